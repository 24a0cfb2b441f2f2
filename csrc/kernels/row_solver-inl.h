// The Hermitian eigenproblem, one matrix at a time, its rows padded to whole vectors: Householder reduction to
// tridiagonal form from the last row up, then implicit QL. For matrices that fit in the cache, where the overhead of
// LAPACK's calls dominates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/implicit_ql-inl.h"
#include "kernels/lanes-inl.h"
#include "kernels/storage-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T>
class RowSolver {
 public:
  using R = typename RealPart<T>::type;
  typedef Vec<R> V __attribute__((may_alias));
  static constexpr bool kComplex = !std::is_same_v<T, R>;
  static constexpr int kPlanes = kComplex ? 2 : 1;
  static constexpr int64_t kWidth = kLanes<R>;

  static size_t scratch_bytes(int64_t n) {
    const int64_t stride = stride_for(n);
    return static_cast<size_t>(kPlanes * (2 * n + 2) * stride + 3 * stride) * sizeof(R);
  }

  // The scratch memory is not cleared, because padding is never read.
  RowSolver(int64_t order, void* scratch) : n_(order), stride_(stride_for(order)) {
    R* next = static_cast<R*>(scratch);
    const auto take = [&next](int64_t count) {
      R* taken = next;
      next += count;
      return taken;
    };
    for (int k = 0; k < kPlanes; ++k) {
      a_[k] = take(n_ * stride_);
      q_[k] = take(n_ * stride_);
      z_[k] = take(stride_);
      e_[k] = take(stride_);
    }
    d_ = take(stride_);
    beta_ = take(stride_);
  }

  // Replaces the lower triangle of `a`, column-major and finite, by the eigenvectors in columns. False if QL does not
  // converge.
  bool solve(T* a, R* w, bool vectors) {
    const R up = load(reinterpret_cast<const R*>(a));
    reduce();
    if (vectors) accumulate();
    make_real(vectors);
    ImplicitQl<R> iteration{n_, d_, e_[0]};
    const bool done = vectors ? iteration.run([this](int64_t i, R c, R s) { rotate(i, c, s); }) : iteration.values();
    if (!done) return false;
    store(up, vectors ? reinterpret_cast<R*>(a) : nullptr, w);
    return true;
  }

 private:
  static constexpr R kTiny = Precision<R>::kTiny;

  static int64_t stride_for(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }
  static R sum_of(V x) {
    R sum = 0;
    for (int lane = 0; lane < kWidth; ++lane) sum += x[lane];
    return sum;
  }

  // Loads both triangles, scaled by a power of two to size 1. Returns the inverse of that power.
  R load(const R* a) {
    R largest = 0;
    for (int64_t j = 0; j < n_; ++j) {
      for (int64_t i = j * kPlanes; i < n_ * kPlanes; ++i) {
        const R size = absolute(a[i + j * n_ * kPlanes]);
        largest = size > largest ? size : largest;
      }
    }
    Vec<R> down, up;
    power_of_two(splat<Vec<R>>(largest), &down, &up);
    const R factor = down[0];
    for (int64_t j = 0; j < n_; ++j) {
      for (int64_t i = j; i < n_; ++i) {
        for (int k = 0; k < kPlanes; ++k) {
          const R entry = k == 1 && i == j ? R(0) : a[(i + j * n_) * kPlanes + k] * factor;
          a_[k][i * stride_ + j] = entry;
          a_[k][j * stride_ + i] = k == 1 ? -entry : entry;
        }
      }
    }
    return up[0];
  }

  // Replaces row i, up to the diagonal, by the adjoint y of a reflector. Stores the remaining subdiagonal entry in e.
  void reduce() {
    for (int64_t i = n_ - 1; i > 0; --i) {
      R* y[kPlanes];
      for (int k = 0; k < kPlanes; ++k) y[k] = a_[k] + i * stride_;
      d_[i] = y[0][i];
      R first[kPlanes], size = 0;
      for (int k = 0; k < kPlanes; ++k) {
        first[k] = y[k][i - 1];
        for (int64_t j = i - 1; j < stride_; ++j) y[k][j] = 0;
        size += first[k] * first[k];
      }
      // As in lane_solver-inl.h: the phase of a number whose square underflows does not have modulus 1.
      if (kComplex && size <= kTiny * kTiny) {
        for (R& part : first) part = 0;
        size = 0;
      }
      size = kComplex ? root_of(size) : absolute(first[0]);
      V squares{};
      for (int k = 0; k < kPlanes; ++k) {
        for (int64_t j = 0; j < i; j += kWidth) squares += at(y[k] + j) * at(y[k] + j);
      }
      const R rest = sum_of(squares);
      beta_[i] = 0;
      for (int k = 0; k < kPlanes; ++k) e_[k][i - 1] = first[k];
      if (rest <= kTiny * kTiny) continue;
      const R whole = root_of(size * size + rest), head = size + whole;
      beta_[i] = 2 / (head * head + rest);
      for (int k = 0; k < kPlanes; ++k) {
        const R phase = size > 0 ? first[k] / size : R(k == 0);
        y[k][i - 1] = phase * head;
        e_[k][i - 1] = -phase * whole;
      }
      update(i, y);
    }
    d_[0] = a_[0][0];
  }

  // A ← H A H for the leading block of order m, H = I − β y* yᵀ: with z = β yᵀ A − κ y, row r loses y_r* z + z_r* y.
  void update(int64_t m, R* const* y) {
    const R beta = beta_[m];
    for (int k = 0; k < kPlanes; ++k) {
      for (int64_t j = 0; j < m; j += kWidth) at(z_[k] + j) = V{};
    }
    int64_t r = 0;
    for (; r + 4 <= m; r += 4) add_rows<4>(m, r, y);
    for (; r < m; ++r) add_rows<1>(m, r, y);
    V overlap{};
    for (int k = 0; k < kPlanes; ++k) {
      for (int64_t j = m; j < stride_; ++j) z_[k][j] = 0;
      for (int64_t j = 0; j < m; j += kWidth) {
        at(z_[k] + j) *= splat<V>(beta);
        overlap += at(z_[k] + j) * at(y[k] + j);
      }
    }
    const R kappa = sum_of(overlap) * beta / 2;
    for (int k = 0; k < kPlanes; ++k) {
      for (int64_t j = 0; j < m; j += kWidth) at(z_[k] + j) -= splat<V>(kappa) * at(y[k] + j);
    }
    for (r = 0; r + 2 <= m; r += 2) subtract_rows<2>(m, r, y);
    for (; r < m; ++r) subtract_rows<1>(m, r, y);
  }

  template <int M>
  void add_rows(int64_t m, int64_t r, R* const* y) {
    for (int64_t j = 0; j < m; j += kWidth) {
      V re = at(z_[0] + j), im = kComplex ? at(z_[kPlanes - 1] + j) : V{};
      for (int l = 0; l < M; ++l) {
        const V yr = splat<V>(y[0][r + l]), ar = at(a_[0] + (r + l) * stride_ + j);
        re += yr * ar;
        if constexpr (kComplex) {
          const V yi = splat<V>(y[1][r + l]), ai = at(a_[1] + (r + l) * stride_ + j);
          re -= yi * ai;
          im += yr * ai + yi * ar;
        }
      }
      at(z_[0] + j) = re;
      if constexpr (kComplex) at(z_[1] + j) = im;
    }
  }

  template <int M>
  void subtract_rows(int64_t m, int64_t r, R* const* y) {
    for (int64_t j = 0; j < m; j += kWidth) {
      const V yr = at(y[0] + j), zr = at(z_[0] + j);
      for (int l = 0; l < M; ++l) {
        const V fr = splat<V>(y[0][r + l]), gr = splat<V>(z_[0][r + l]);
        V& re = at(a_[0] + (r + l) * stride_ + j);
        re -= fr * zr + gr * yr;
        if constexpr (kComplex) {
          const V yi = at(y[1] + j), zi = at(z_[1] + j), fi = splat<V>(y[1][r + l]), gi = splat<V>(z_[1][r + l]);
          re -= fi * zi + gi * yi;
          at(a_[1] + (r + l) * stride_ + j) -= fr * zi - fi * zr + gr * yi - gi * yr;
        }
      }
    }
  }

  // The rows of q become the columns of Q = H₍ₙ₋₁₎ … H₂, multiplied from the last factor to the first, so that only
  // leading blocks change.
  void accumulate() {
    for (R* plane : q_) std::memset(plane, 0, static_cast<size_t>(n_ * stride_) * sizeof(R));
    for (int64_t i = 0; i < n_; ++i) q_[0][i * stride_ + i] = 1;
    for (int64_t m = 2; m < n_; ++m) {
      if (beta_[m] == 0) continue;
      int64_t r = 0;
      for (; r + 4 <= m; r += 4) reflect_rows<4>(m, r);
      for (; r < m; ++r) reflect_rows<1>(m, r);
    }
  }

  // Row ← row − β (row · y) y*
  template <int M>
  void reflect_rows(int64_t m, int64_t r) {
    const R* y[kPlanes];
    for (int k = 0; k < kPlanes; ++k) y[k] = a_[k] + m * stride_;
    V re[M] = {}, im[M] = {};
    for (int64_t j = 0; j < m; j += kWidth) {
      for (int l = 0; l < M; ++l) {
        const V qr = at(q_[0] + (r + l) * stride_ + j);
        re[l] += qr * at(y[0] + j);
        if constexpr (kComplex) {
          const V qi = at(q_[1] + (r + l) * stride_ + j);
          re[l] -= qi * at(y[1] + j);
          im[l] += qr * at(y[1] + j) + qi * at(y[0] + j);
        }
      }
    }
    for (int l = 0; l < M; ++l) {
      const V fr = splat<V>(beta_[m] * sum_of(re[l])), fi = splat<V>(kComplex ? beta_[m] * sum_of(im[l]) : R(0));
      for (int64_t j = 0; j < m; j += kWidth) {
        V& qr = at(q_[0] + (r + l) * stride_ + j);
        qr -= fr * at(y[0] + j);
        if constexpr (kComplex) {
          qr -= fi * at(y[1] + j);
          at(q_[1] + (r + l) * stride_ + j) -= fi * at(y[0] + j) - fr * at(y[1] + j);
        }
      }
    }
  }

  // Makes the subdiagonal entries real. The rows of q are multiplied by their phases.
  void make_real(bool vectors) {
    if constexpr (kComplex) {
      R turn[2] = {1, 0};
      for (int64_t i = 0; i + 1 < n_; ++i) {
        const R re = e_[0][i], im = e_[1][i], square = re * re + im * im,
                size = square <= kTiny * kTiny ? R(0) : root_of(square);
        const R ur = size > 0 ? re / size : R(1), ui = size > 0 ? im / size : R(0), kept = turn[0];
        turn[0] = kept * ur - turn[1] * ui;
        turn[1] = kept * ui + turn[1] * ur;
        e_[0][i] = size;
        for (int64_t j = (i + 1) * stride_; vectors && j < (i + 2) * stride_; j += kWidth) {
          V &qr = at(q_[0] + j), &qi = at(q_[1] + j);
          const V x = qr;
          qr = splat<V>(turn[0]) * x - splat<V>(turn[1]) * qi;
          qi = splat<V>(turn[1]) * x + splat<V>(turn[0]) * qi;
        }
      }
    }
  }

  void rotate(int64_t i, R cosine, R sine) {
    const V c = splat<V>(cosine), s = splat<V>(sine);
    for (int k = 0; k < kPlanes; ++k) {
      R *low = q_[k] + i * stride_, *high = low + stride_;
      for (int64_t j = 0; j < stride_; j += kWidth) {
        const V h = at(high + j), x = at(low + j);
        at(high + j) = s * x + c * h;
        at(low + j) = c * x - s * h;
      }
    }
  }

  void store(R up, R* v, R* w) {
    int64_t* order = reinterpret_cast<int64_t*>(a_[0]);
    for (int64_t i = 0; i < n_; ++i) {
      int64_t place = i;
      for (; place > 0 && d_[order[place - 1]] > d_[i]; --place) order[place] = order[place - 1];
      order[place] = i;
    }
    for (int64_t j = 0; j < n_; ++j) w[j] = d_[order[j]] * up;
    for (int64_t j = 0; v != nullptr && j < n_; ++j) {
      for (int k = 0; k < kPlanes; ++k) {
        const R* row = q_[k] + order[j] * stride_;
        for (int64_t i = 0; i < n_; ++i) v[(i + j * n_) * kPlanes + k] = row[i];
      }
    }
  }

  static V& at(R* x) { return *reinterpret_cast<V*>(x); }
  static const V& at(const R* x) { return *reinterpret_cast<const V*>(x); }

  int64_t n_, stride_;
  R *a_[kPlanes], *q_[kPlanes], *z_[kPlanes], *e_[kPlanes], *d_, *beta_;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
