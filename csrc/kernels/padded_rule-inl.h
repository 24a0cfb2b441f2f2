// The rules of docs/derivations.md, "Hermitian problems", for one matrix at a time: rows are padded to whole vectors,
// real and imaginary parts lie in planes of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "degeneracy/gaps-inl.h"
#include "degeneracy/rounding-inl.h"
#include "eigenpair.h"
#include "kernels/padded_matrices-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T, int N>
class SmallRule : private SmallMatrices<T, N> {
  using Base = SmallMatrices<T, N>;

 public:
  using R = typename Base::R;
  using Matrix = typename Base::Matrix;
  using Base::kComplex;

  static size_t scratch_bytes(int64_t order) {
    const int64_t numbers = planes() * order * Base::stride_for(order) + RoundingOfK<T>::kNorms * order;
    return static_cast<size_t>(numbers) * sizeof(R) + static_cast<size_t>(order) * sizeof(int32_t);
  }

  SmallRule(const eigenpair_hermitian_rule& problem, void* scratch)
      : Base(problem.n, problem.layout, problem.triangle, problem.reverse && problem.conjugated), p_(problem) {
    // Padding takes part in products, and must not be slow.
    std::memset(scratch, 0, scratch_bytes(n()));
    R* next = static_cast<R*>(scratch);
    for (Matrix& m : matrices_) {
      m.re = next;
      next += n() * stride();
      m.im = kComplex ? next : nullptr;
      if (kComplex) next += n() * stride();
    }
    norms_ = next;
    first_ = reinterpret_cast<int32_t*>(next + RoundingOfK<T>::kNorms * n());
  }

  void solve(int64_t index) {
    w_ = static_cast<const R*>(p_.w) + index * n();
    const R* scale = p_.scale == nullptr ? nullptr : static_cast<const R*>(p_.scale) + index;
    gaps_.open(w_, n(), n(), scale, p_.policy, p_.parameter, first_);
    const bool good = p_.reverse ? pull_back(index) : push_forward(index);
    if (p_.refused != nullptr) p_.refused[index] = good ? 0 : 1;
  }

 private:
  static constexpr int kMatrices = 8;
  static constexpr int planes() { return kMatrices * (kComplex ? 2 : 1); }
  enum { kV, kVh, kU, kUh, kK, kM, kT, kOut };

  using Base::clear;
  using Base::fill_nan;
  using Base::load;
  using Base::load_hermitian;
  using Base::multiply;
  using Base::n;
  using Base::square;
  using Base::store;
  using Base::store_gradient;
  using Base::stride;
  using Base::subtract;

  const Matrix& at(int which) const { return matrices_[which]; }
  const T* input(const void* base, int64_t index) const { return static_cast<const T*>(base) + index * square(); }

  // ---- reverse ----

  bool pull_back(int64_t index) {
    const bool vectors = p_.dv != nullptr || p_.du != nullptr;
    const R* dw = p_.dw == nullptr ? nullptr : static_cast<const R*>(p_.dw) + index * n();
    if (!vectors && dw == nullptr) {
      clear(at(kOut));
      if (p_.da != nullptr) store(at(kOut), p_.da, index, 1);
      if (p_.db != nullptr) store(at(kOut), p_.db, index, 1);
      return true;
    }
    const bool needs_v = vectors || p_.type != 2 || p_.db != nullptr;
    if (needs_v) {
      load(input(p_.v, index), false, false, at(kV));
      load(input(p_.v, index), true, false, at(kVh));
    }
    if (p_.u != nullptr) {
      load(input(p_.u, index), false, false, at(kU));
      load(input(p_.u, index), true, false, at(kUh));
    }
    if (vectors && !rotate(index, dw)) {
      fill_nan(p_.da, index, square() * (kComplex ? 2 : 1));
      fill_nan(p_.db, index, square() * (kComplex ? 2 : 1));
      return false;
    }
    const bool a_by_u = p_.type == 2, b_by_u = p_.type == 3;
    if (p_.da != nullptr) {
      apply(vectors, dw, nullptr, a_by_u);
      store_gradient(at(kOut), p_.da, index);
    }
    if (p_.db != nullptr) {
      if (vectors) mix(p_.type == 1 ? R(-1) : R(1), p_.type == 3 ? R(0.25) : R(-0.25));
      apply(vectors, dw, w_, b_by_u);
      store_gradient(at(kOut), p_.db, index);
    }
    return true;
  }

  // K = V* dV - dU* U, and M = Diag(dw) + F o S; false where the loss is refused.
  bool rotate(int64_t index, const R* dw) {
    const bool conjugated = p_.conjugated != 0;
    if (p_.dv != nullptr) {
      load(input(p_.dv, index), false, conjugated, at(kT));
      multiply(at(kK), at(kVh), at(kT));
    }
    if (p_.du != nullptr) {
      load(input(p_.du, index), true, conjugated, at(kT));
      multiply(at(kM), at(kT), at(kU));
      if (p_.dv == nullptr) clear(at(kK));
      subtract(at(kK), at(kM));
    }
    const bool asks = gaps_.depend_on_k();
    const Matrix k = at(kK), m = at(kM);
    R largest = 0;
    RoundingOfK<T> rounding;
    if (asks) {
      for (int64_t i = 0; i < n(); ++i) {
        for (int64_t j = 0; j < n(); ++j) {
          largest = larger(largest, size(k.re[i * stride() + j], kComplex ? k.im[i * stride() + j] : R(0)));
        }
      }
      const auto of = [&](const void* base) { return base == nullptr ? nullptr : input(base, index); };
      rounding.open(of(p_.v), of(p_.dv), of(p_.u), of(p_.du), n(), n(), p_.layout == EIGENPAIR_ROW_MAJOR, norms_);
      gaps_.set_dw(dw, n());
    }
    const auto size_of_rounding = [&](int64_t i, int64_t j) { return at_most_half_of_digits(rounding(i, j), largest); };
    for (int64_t i = 0; i < n(); ++i) {
      m.re[i * stride() + i] = dw != nullptr ? dw[i] : R(0);
      if constexpr (kComplex) m.im[i * stride() + i] = 0;
      for (int64_t j = i + 1; j < n(); ++j) {
        const R re = R(0.5) * (k.re[i * stride() + j] - k.re[j * stride() + i]);
        const R im = kComplex ? R(0.5) * (k.im[i * stride() + j] + k.im[j * stride() + i]) : R(0);
        R f = gaps_.inverse(i, j);
        if (asks) {
          const R mixing_re = R(0.5) * (k.re[i * stride() + j] + k.re[j * stride() + i]);
          const R mixing_im = kComplex ? R(0.5) * (k.im[i * stride() + j] - k.im[j * stride() + i]) : R(0);
          const int32_t reason = gaps_.reason_reverse(i, j, size(re, im), size(mixing_re, mixing_im), size_of_rounding);
          if (gaps_.refuses(reason)) return false;
          if (reason != EIGENPAIR_REASON_NONE) f = 0;
        }
        m.re[i * stride() + j] = f * re;
        m.re[j * stride() + i] = f * re;
        if constexpr (kComplex) {
          m.im[i * stride() + j] = f * im;
          m.im[j * stride() + i] = -f * im;
        }
      }
    }
    return true;
  }

  static R size(R re, R im) { return kComplex ? modulus(re, im) : absolute(re); }

  // From M to what dB takes the place of dA with: sign L o M + part (K + K*).
  void mix(R sign, R part) {
    const Matrix k = at(kK), m = at(kM);
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = i; j < n(); ++j) {
        const R mean = sign * (R(0.5) * w_[i] + R(0.5) * w_[j]);
        const R re = mean * m.re[i * stride() + j] + part * (k.re[i * stride() + j] + k.re[j * stride() + i]);
        R im = 0;
        if constexpr (kComplex) {
          im = mean * m.im[i * stride() + j] + part * (k.im[i * stride() + j] - k.im[j * stride() + i]);
          m.im[i * stride() + j] = im;
          m.im[j * stride() + i] = -im;
        }
        m.re[i * stride() + j] = re;
        m.re[j * stride() + i] = re;
      }
    }
  }

  // Out = X M X*, with a diagonal M made from dw (times w, for dB) when only eigenvalues have cotangents.
  void apply(bool vectors, const R* dw, const R* factor, bool by_u) {
    const Matrix x = at(by_u ? kU : kV), xh = at(by_u ? kUh : kVh), t = at(kT);
    if (vectors) {
      multiply(t, x, at(kM));
    } else {
      const R sign = p_.type == 1 ? R(-1) : R(1);
      for (int64_t j = 0; j < n(); ++j) {
        const R d = factor == nullptr ? dw[j] : sign * factor[j] * dw[j];
        for (int64_t i = 0; i < n(); ++i) {
          t.re[i * stride() + j] = x.re[i * stride() + j] * d;
          if constexpr (kComplex) t.im[i * stride() + j] = x.im[i * stride() + j] * d;
        }
      }
    }
    multiply(at(kOut), t, xh);
  }

  // ---- forward ----

  // M = X* dA X + sign L o N with N = Y* dB Y; dw = diag M, K = F o M + part N, dV = V K, dU = -U K*.
  bool push_forward(int64_t index) {
    load(input(p_.v, index), false, false, at(kV));
    load(input(p_.v, index), true, false, at(kVh));
    if (p_.u != nullptr) {
      load(input(p_.u, index), false, false, at(kU));
      load(input(p_.u, index), true, false, at(kUh));
    }
    const Matrix m = at(kM), extra = at(kK);
    if (p_.da != nullptr) {
      project(p_.da, index, p_.type == 2, m);
    } else {
      clear(m);
    }
    if (p_.db != nullptr) project(p_.db, index, p_.type == 3, extra);
    const R sign = p_.type == 1 ? R(-1) : R(1), part = p_.type == 3 ? R(0.5) : R(-0.5);
    R* dw = p_.dw == nullptr ? nullptr : static_cast<R*>(p_.dw) + index * n();
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        const int64_t ij = i * stride() + j;
        const R mean = sign * (R(0.5) * w_[i] + R(0.5) * w_[j]);
        if (p_.db != nullptr) {
          m.re[ij] += mean * extra.re[ij];
          if constexpr (kComplex) m.im[ij] += mean * extra.im[ij];
        }
      }
      if (dw != nullptr) dw[i] = m.re[i * stride() + i];
    }
    const bool vectors = p_.dv != nullptr || p_.du != nullptr;
    const bool asks = vectors && gaps_.clustered() && (p_.options & EIGENPAIR_RULE_MASK_COUPLED) == 0;
    R* const lost = norms_;
    const bool good = !asks || !find_coupled(index, m, lost);
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        const int64_t ij = i * stride() + j;
        const R re = m.re[ij], im = kComplex ? m.im[ij] : R(0);
        const R f = i == j ? 0 : gaps_.inverse_of(i, j);
        m.re[ij] = i == j ? 0 : f * re;
        if constexpr (kComplex) m.im[ij] = i == j ? 0 : f * im;
        if (p_.db != nullptr) {
          m.re[ij] += part * extra.re[ij];
          if constexpr (kComplex) m.im[ij] += part * extra.im[ij];
        }
      }
    }
    if (p_.dv != nullptr) {
      multiply(at(kOut), at(kV), m);
      if (!good) lose(lost, at(kOut));
      store(at(kOut), p_.dv, index, 1);
    }
    if (p_.du != nullptr) {
      const Matrix adjoint = at(kT);
      for (int64_t i = 0; i < n(); ++i) {
        for (int64_t j = 0; j < n(); ++j) {
          adjoint.re[i * stride() + j] = m.re[j * stride() + i];
          if constexpr (kComplex) adjoint.im[i * stride() + j] = -m.im[j * stride() + i];
        }
      }
      multiply(at(kOut), at(kU), adjoint);
      if (!good) lose(lost, at(kOut));
      store(at(kOut), p_.du, index, -1);
    }
    return good;
  }

  // Whether the perturbation couples vectors within clusters beyond rounding. Which ones, is put into `lost`, as 1,
  // with scratch of twice its size behind it.
  bool find_coupled(int64_t index, Matrix m, R* lost) {
    const Matrix bound = at(kOut), tangent = at(kT);
    R *const row = lost + n(), *const turn = lost + 2 * n();
    clear(bound);
    const auto add_form = [&](const void* source, const Matrix& x, bool by_mean) {
      if (source == nullptr) return;
      load_hermitian(input(source, index), tangent);
      const auto of_a = [&](int64_t k, int64_t l) { return size_at(tangent, k, l); };
      const auto of_x = [&](int64_t k, int64_t j) { return size_at(x, k, j); };
      const auto wanted = [&](int64_t i, int64_t j) { return i < j && gaps_.share_cluster(i, j); };
      const auto add = [&](int64_t i, int64_t j, R sum) {
        bound.re[i * stride() + j] += by_mean ? absolute(R(0.5) * w_[i] + R(0.5) * w_[j]) * sum : sum;
      };
      add_rounding_of_form<R>(n(), n(), of_x, of_a, of_x, wanted, add, row);
    };
    add_form(p_.da, at(p_.type == 2 ? kU : kV), false);
    add_form(p_.db, at(p_.type == 3 ? kU : kV), true);
    R largest = 0;
    for (int64_t j = 0; j < n(); ++j) {
      lost[j] = 0;
      for (int64_t i = 0; i < n(); ++i) largest = larger(largest, size_at(m, i, j));
      turn[j] = norm_of<R>(
          n(), [&](int64_t i) { return i == j ? R(0) : absolute(gaps_.inverse_of(i, j)) * size_at(m, i, j); });
    }
    bool any = false;
    for (int64_t j = 1; j < n(); ++j) {
      for (int64_t i = 0; i < j; ++i) {
        if (!gaps_.share_cluster(i, j)) continue;
        const R parts = bound.re[i * stride() + j] + gaps_.scale() * (turn[i] + turn[j]);
        const R size = at_most_half_of_digits(parts, largest);
        if (!gaps_.refuses(gaps_.reason_forward(i, j, size_at(m, i, j), size, size_at(m, j, i), size))) continue;
        lost[i] = lost[j] = 1;
        any = true;
      }
    }
    return any;
  }

  R size_at(const Matrix& x, int64_t i, int64_t j) const {
    return size(x.re[i * stride() + j], kComplex ? x.im[i * stride() + j] : R(0));
  }

  void lose(const R* lost, Matrix columns) const {
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        if (lost[j] == 0) continue;
        columns.re[i * stride() + j] = static_cast<R>(__builtin_nan(""));
        if constexpr (kComplex) columns.im[i * stride() + j] = static_cast<R>(__builtin_nan(""));
      }
    }
  }

  void project(const void* tangent, int64_t index, bool by_u, Matrix target) {
    load_hermitian(input(tangent, index), at(kT));
    multiply(at(kOut), at(kT), at(by_u ? kU : kV));
    multiply(target, at(by_u ? kUh : kVh), at(kOut));
  }

  const eigenpair_hermitian_rule& p_;
  Gaps<R> gaps_;
  const R* w_ = nullptr;
  R* norms_;
  int32_t* first_;
  Matrix matrices_[kMatrices];
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
