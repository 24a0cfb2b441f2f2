// The rule (hermitian/rule-inl.h) for one matrix at a time, stored as in padded_matrices-inl.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "degeneracy/gaps-inl.h"
#include "degeneracy/rounding-inl.h"
#include "eigenpair.h"
#include "hermitian/rule-inl.h"
#include "kernels/padded_matrices-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T, int N>
class PaddedRule : private PaddedMatrices<T, N> {
  using Base = PaddedMatrices<T, N>;

 public:
  using R = typename Base::R;
  using Matrix = typename Base::Matrix;
  using Base::kComplex;

  static size_t scratch_bytes(int64_t order) {
    const int64_t numbers = planes() * order * Base::stride_for(order) + RoundingOfK<T>::kNorms * order;
    return static_cast<size_t>(numbers) * sizeof(R) + static_cast<size_t>(order) * sizeof(int32_t);
  }

  PaddedRule(const eigenpair_hermitian_rule& problem, void* scratch)
      : Base(problem.n, problem.layout, problem.triangle, problem.reverse && problem.conjugated),
        p_(problem),
        type_(kRuleOfType[problem.type]) {
    // Products read the padding too. Zeros there, because NaN and denormal numbers are slow.
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
    index_ = index;
    w_ = static_cast<const R*>(p_.w) + index * n();
    dw_ = p_.dw == nullptr ? nullptr : static_cast<R*>(p_.dw) + index * n();
    const R* scale = p_.scale == nullptr ? nullptr : static_cast<const R*>(p_.scale) + index;
    gaps_.open(w_, n(), n(), scale, p_.policy, p_.parameter, first_);
    const bool good = p_.reverse ? compute_gradients() : compute_tangents();
    if (p_.refused != nullptr) p_.refused[index] = good ? 0 : 1;
  }

  // ---- reverse: see pull_back of rule-inl.h ----

  bool compute_m() {
    const bool conjugated = p_.conjugated != 0;
    if (p_.dv != nullptr) {
      load(input(p_.dv), false, conjugated, at(kT));
      multiply(at(kK), at(kVh), at(kT));
    }
    if (p_.du != nullptr) {
      load(input(p_.du), true, conjugated, at(kT));
      multiply(at(kM), at(kT), at(kU));
      if (p_.dv == nullptr) clear(at(kK));
      subtract(at(kK), at(kM));
    }
    const Matrix k = at(kK), m = at(kM);
    const bool asks = gaps_.depend_on_k();
    RoundingOfK<T> rounding;
    R largest = 0;
    if (asks) {
      for (int64_t i = 0; i < n(); ++i) {
        for (int64_t j = 0; j < n(); ++j) largest = larger(largest, absolute(entry(k, i, j)));
      }
      rounding.open(input(p_.v), input(p_.dv), input(p_.u), input(p_.du), n(), n(), p_.layout == EIGENPAIR_ROW_MAJOR,
                    norms_);
      gaps_.set_dw(dw_, n());
    }
    const auto size_of_rounding = [&](int64_t i, int64_t j) { return at_most_half_of_digits(rounding(i, j), largest); };
    for (int64_t i = 0; i < n(); ++i) {
      set(m, i, i, number_of<T>(dw_ != nullptr ? dw_[i] : R(0)));
      for (int64_t j = i + 1; j < n(); ++j) {
        const T here = entry(k, i, j), across = entry(k, j, i), rotation = rotation_part(here, across);
        R f = gaps_.inverse(i, j);
        if (asks) {
          const int32_t reason =
              gaps_.reason_reverse(i, j, absolute(rotation), absolute(mixing_part(here, across)), size_of_rounding);
          if (gaps_.refuses(reason)) return false;
          if (reason != EIGENPAIR_REASON_NONE) f = 0;
        }
        const T turned = scaled(rotation, f);
        set(m, i, j, turned);
        set(m, j, i, conj_(turned));
      }
    }
    return true;
  }

  void compute_n() {
    const Matrix k = at(kK), m = at(kM);
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = i; j < n(); ++j) {
        const T here =
            n_of_m(type_, mean_of(w_[i], w_[j]), entry(m, i, j), mixing_part(entry(k, i, j), entry(k, j, i)));
        set(k, i, j, here);
        set(k, j, i, conj_(here));
      }
    }
  }

  void pull_back_a(bool x_is_u) {
    const auto diagonal = [&](int64_t j) { return dw_[j]; };
    multiply_around(x_is_u, at(kM), diagonal);
    store_gradient(at(kOut), p_.da, index_);
  }

  void pull_back_b(bool y_is_u) {
    const auto diagonal = [&](int64_t j) { return n_of_dw(type_, w_[j], dw_[j]); };
    multiply_around(y_is_u, at(kK), diagonal);
    store_gradient(at(kOut), p_.db, index_);
  }

 private:
  static constexpr int kMatrices = 8;
  static constexpr int planes() { return kMatrices * (kComplex ? 2 : 1); }
  enum { kV, kVh, kU, kUh, kK, kM, kT, kOut };

  using Base::clear;
  using Base::entry;
  using Base::fill_nan;
  using Base::load;
  using Base::load_hermitian;
  using Base::multiply;
  using Base::n;
  using Base::set;
  using Base::square;
  using Base::store;
  using Base::store_gradient;
  using Base::stride;
  using Base::subtract;

  const Matrix& at(int which) const { return matrices_[which]; }
  const T* input(const void* base) const {
    return base == nullptr ? nullptr : static_cast<const T*>(base) + index_ * square();
  }

  void load_bases(bool v, bool u) {
    if (v) {
      load(input(p_.v), false, false, at(kV));
      load(input(p_.v), true, false, at(kVh));
    }
    if (u && p_.u != nullptr) {
      load(input(p_.u), false, false, at(kU));
      load(input(p_.u), true, false, at(kUh));
    }
  }

  bool compute_gradients() {
    const bool vectors = p_.dv != nullptr || p_.du != nullptr;
    if (!vectors && dw_ == nullptr) {
      clear(at(kOut));
      if (p_.da != nullptr) store(at(kOut), p_.da, index_, 1);
      if (p_.db != nullptr) store(at(kOut), p_.db, index_, 1);
      return true;
    }
    load_bases(vectors || !type_.x_is_u || p_.db != nullptr, true);
    if (pull_back(p_, *this)) return true;
    fill_nan(p_.da, index_, square() * (kComplex ? 2 : 1));
    fill_nan(p_.db, index_, square() * (kComplex ? 2 : 1));
    return false;
  }

  // Out = X M Xᴴ. M is diagonal if only eigenvalues have cotangents.
  template <typename Diagonal>
  void multiply_around(bool by_u, const Matrix& m, const Diagonal& diagonal) {
    const Matrix x = at(by_u ? kU : kV), xh = at(by_u ? kUh : kVh), t = at(kT);
    if (p_.dv != nullptr || p_.du != nullptr) {
      multiply(t, x, m);
    } else {
      for (int64_t j = 0; j < n(); ++j) {
        const R d = diagonal(j);
        for (int64_t i = 0; i < n(); ++i) set(t, i, j, scaled(entry(x, i, j), d));
      }
    }
    multiply(at(kOut), t, xh);
  }

  // ---- forward ----

  bool compute_tangents() {
    load_bases(true, true);
    const Matrix m = at(kM), of_b = at(kK);
    if (p_.da != nullptr) {
      project(p_.da, type_.x_is_u, m);
    } else {
      clear(m);
    }
    if (p_.db != nullptr) project(p_.db, type_.y_is_u, of_b);
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; p_.db != nullptr && j < n(); ++j) {
        set(m, i, j, m_of_n(type_, mean_of(w_[i], w_[j]), entry(m, i, j), entry(of_b, i, j)));
      }
      if (dw_ != nullptr) dw_[i] = real_(entry(m, i, i));
    }
    const bool vectors = p_.dv != nullptr || p_.du != nullptr;
    const bool asks = vectors && gaps_.clustered() && (p_.options & EIGENPAIR_RULE_MASK_COUPLED) == 0;
    R* const lost = norms_;
    const bool good = !asks || !find_coupled(m, lost);
    const T zero = number_of<T>(R(0));
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        const R f = i == j ? R(0) : gaps_.inverse_of(i, j);
        const T here = i == j ? zero : entry(m, i, j);
        set(m, i, j, p_.db != nullptr ? k_of_m(type_, f, here, entry(of_b, i, j)) : scaled(here, f));
      }
    }
    if (p_.dv != nullptr) {
      multiply(at(kOut), at(kV), m);
      if (!good) fill_lost(lost, at(kOut));
      store(at(kOut), p_.dv, index_, 1);
    }
    if (p_.du != nullptr) {
      const Matrix adjoint = at(kT);
      for (int64_t i = 0; i < n(); ++i) {
        for (int64_t j = 0; j < n(); ++j) set(adjoint, i, j, conj_(entry(m, j, i)));
      }
      multiply(at(kOut), at(kU), adjoint);
      if (!good) fill_lost(lost, at(kOut));
      store(at(kOut), p_.du, index_, -1);
    }
    return good;
  }

  // Xᴴ dA X
  void project(const void* tangent, bool by_u, Matrix target) {
    load_hermitian(input(tangent), at(kT));
    multiply(at(kOut), at(kT), at(by_u ? kU : kV));
    multiply(target, at(by_u ? kUh : kVh), at(kOut));
  }

  // Returns whether the perturbation couples vectors inside clusters by more than rounding. Writes 1 to `lost` for
  // these vectors. `lost` is followed by scratch memory of twice its size.
  bool find_coupled(Matrix m, R* lost) {
    const Matrix bound = at(kOut), tangent = at(kT);
    R *const row = lost + n(), *const turn = lost + 2 * n();
    clear(bound);
    const auto size = [&](const Matrix& x) {
      return [this, x](int64_t i, int64_t j) { return absolute(entry(x, i, j)); };
    };
    const auto add_form = [&](const void* source, const Matrix& x, bool by_mean) {
      if (source == nullptr) return;
      load_hermitian(input(source), tangent);
      const auto wanted = [&](int64_t i, int64_t j) { return i < j && gaps_.share_cluster(i, j); };
      const auto add = [&](int64_t i, int64_t j, R sum) {
        bound.re[i * stride() + j] += by_mean ? absolute(mean_of(w_[i], w_[j])) * sum : sum;
      };
      add_rounding_of_form<R>(n(), n(), size(x), size(tangent), size(x), wanted, add, row);
    };
    add_form(p_.da, at(type_.x_is_u ? kU : kV), false);
    add_form(p_.db, at(type_.y_is_u ? kU : kV), true);
    const auto size_of_m = size(m);
    R largest = 0;
    for (int64_t j = 0; j < n(); ++j) {
      lost[j] = 0;
      for (int64_t i = 0; i < n(); ++i) largest = larger(largest, size_of_m(i, j));
      turn[j] = norm_of<R>(
          n(), [&](int64_t i) { return i == j ? R(0) : absolute(gaps_.inverse_of(i, j)) * size_of_m(i, j); });
    }
    bool any = false;
    for (int64_t j = 1; j < n(); ++j) {
      for (int64_t i = 0; i < j; ++i) {
        if (!gaps_.share_cluster(i, j)) continue;
        const R parts = bound.re[i * stride() + j] + gaps_.scale() * (turn[i] + turn[j]);
        const R limit = at_most_half_of_digits(parts, largest);
        if (!gaps_.refuses(gaps_.reason_forward(i, j, size_of_m(i, j), limit, size_of_m(j, i), limit))) continue;
        lost[i] = lost[j] = 1;
        any = true;
      }
    }
    return any;
  }

  void fill_lost(const R* lost, Matrix columns) const {
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        if (lost[j] != 0) set(columns, i, j, nan_of<T>());
      }
    }
  }

  const eigenpair_hermitian_rule& p_;
  const RuleOfType& type_;
  Gaps<R> gaps_;
  int64_t index_ = 0;
  const R* w_ = nullptr;
  R* dw_ = nullptr;  // cotangents, or tangents to be written
  R* norms_;
  int32_t* first_;
  Matrix matrices_[kMatrices];
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
