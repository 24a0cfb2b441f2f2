// Matrices whose rows are padded to whole vectors. Real and imaginary parts are stored in separate planes, so that a
// product uses the same vector operations for all types.
#pragma once

#include <cstdint>
#include <type_traits>

#include "eigenpair.h"
#include "kernels/lanes-inl.h"
#include "kernels/storage-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename R, int L>
struct RowVector {
  typedef R type __attribute__((vector_size(L * sizeof(R)), may_alias));
};

// N is the order where unrolling makes it faster, else 0.
template <typename T, int N>
class PaddedMatrices {
 public:
  using R = typename RealPart<T>::type;
  static constexpr bool kComplex = !std::is_same_v<T, R>;
  static constexpr int kRow = N == 0 ? kLanes<R> : (N <= 2 ? 2 : 4);
  static constexpr int kWidth = kRow < kLanes<R> ? kRow : kLanes<R>;  // of a vector
  using V = typename RowVector<R, kWidth>::type;

  struct Matrix {
    R* re;
    R* im;
  };

  static int64_t stride_for(int64_t n) { return N > 0 ? kRow : (n + kWidth - 1) / kWidth * kWidth; }

 protected:
  PaddedMatrices(int64_t order, int32_t layout, int32_t triangle, bool conjugated)
      : n_(order),
        stride_(stride_for(order)),
        rows_(layout == EIGENPAIR_ROW_MAJOR),
        triangle_(triangle),
        conjugated_(conjugated) {}

  int64_t n() const { return N > 0 ? N : n_; }
  int64_t stride() const { return N > 0 ? kRow : stride_; }
  int64_t square() const { return n() * n(); }

  T entry(const Matrix& x, int64_t i, int64_t j) const {
    if constexpr (kComplex) {
      return {x.re[i * stride() + j], x.im[i * stride() + j]};
    } else {
      return x.re[i * stride() + j];
    }
  }
  void set(const Matrix& x, int64_t i, int64_t j, T value) const {
    if constexpr (kComplex) {
      x.re[i * stride() + j] = value.re;
      x.im[i * stride() + j] = value.im;
    } else {
      x.re[i * stride() + j] = value;
    }
  }

  // Loads the matrix or its adjoint. With `conjugated`, what is stored is the complex conjugate of the matrix.
  void load(const T* source, bool adjoint, bool conjugated, Matrix target) const {
    const bool rows = rows_ != adjoint;
    const R sign = conjugated != adjoint ? R(-1) : R(1);
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        const T x = rows ? source[i * n() + j] : source[i + j * n()];
        if constexpr (kComplex) {
          target.re[i * stride() + j] = x.re;
          target.im[i * stride() + j] = sign * x.im;
        } else {
          target.re[i * stride() + j] = x;
        }
      }
    }
  }

  // Loads the Hermitian matrix that a triangle of a tangent represents.
  void load_hermitian(const T* source, Matrix target) const {
    for (int64_t j = 0; j < n(); ++j) {
      for (int64_t i = j; i < n(); ++i) {
        R re, im = 0;
        read_entry(source, n(), i, j, triangle_, rows_, &re, &im);
        target.re[i * stride() + j] = re;
        target.re[j * stride() + i] = re;
        if constexpr (kComplex) {
          target.im[i * stride() + j] = im;
          target.im[j * stride() + i] = -im;
        }
      }
    }
  }

  void store(Matrix source, void* base, int64_t index, R sign) const {
    T* out = static_cast<T*>(base) + index * square();
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        T& place = out[rows_ ? i * n() + j : i + j * n()];
        if constexpr (kComplex) {
          place = {sign * source.re[i * stride() + j], sign * source.im[i * stride() + j]};
        } else {
          place = sign * source.re[i * stride() + j];
        }
      }
    }
  }

  // Stores the gradient of the Hermitian part, or of one triangle.
  void store_gradient(Matrix m, void* base, int64_t index) const {
    T* out = static_cast<T*>(base) + index * square();
    const R sign = conjugated_ ? R(-1) : R(1);
    const auto put = [&](int64_t i, int64_t j, R re, R im) {
      T& place = out[rows_ ? i * n() + j : i + j * n()];
      if constexpr (kComplex) {
        place = {re, sign * im};
      } else {
        place = re;
      }
    };
    const bool both = triangle_ == EIGENPAIR_HERMITIAN_PART, lower = triangle_ == EIGENPAIR_LOWER;
    for (int64_t j = 0; j < n(); ++j) {
      put(j, j, m.re[j * stride() + j], 0);
      for (int64_t i = j + 1; i < n(); ++i) {
        const R re = m.re[i * stride() + j] + m.re[j * stride() + i];
        const R im = kComplex ? m.im[i * stride() + j] - m.im[j * stride() + i] : 0;
        // Entries that are not read have gradient 0, even if the other triangle is infinite.
        put(i, j, both ? R(0.5) * re : (lower ? re : R(0)), both ? R(0.5) * im : (lower ? im : R(0)));
        put(j, i, both ? R(0.5) * re : (lower ? R(0) : re), both ? R(-0.5) * im : (lower ? R(0) : -im));
      }
    }
  }

  void fill_nan(void* base, int64_t index, int64_t count) const {
    if (base == nullptr) return;
    R* out = static_cast<R*>(base) + index * count;
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<R>(__builtin_nan(""));
  }

  // C = A B
  void multiply(Matrix c, Matrix a, Matrix b) const {
    // As many sums at once as the registers can hold.
    constexpr bool kMany = kVectorBytes == 64 || !kComplex;
    constexpr int kRows = N > 0 ? 1 : (kMany ? 4 : 2), kColumns = N > 0 ? kRow / kWidth : (kVectorBytes == 64 ? 4 : 2);
    int64_t i = 0;
    for (; i + kRows <= n(); i += kRows) rows<kRows, kComplex ? (kColumns + 1) / 2 : kColumns>(c, a, b, i);
    if constexpr (N == 0) {
      for (; i < n(); ++i) rows<1, kColumns>(c, a, b, i);
    }
  }

  template <int M, int K>
  void rows(const Matrix& c, const Matrix& a, const Matrix& b, int64_t i) const {
    int64_t j = 0;
    for (; j + K * kWidth <= stride(); j += K * kWidth) tile<M, K>(c, a, b, i, j);
    if constexpr (K > 2) {
      for (; j + 2 * kWidth <= stride(); j += 2 * kWidth) tile<M, 2>(c, a, b, i, j);
    }
    if constexpr (K > 1) {
      for (; j < stride(); j += kWidth) tile<M, 1>(c, a, b, i, j);
    }
  }

  template <int M, int K>
  __attribute__((always_inline)) void tile(const Matrix& c, const Matrix& a, const Matrix& b, int64_t i,
                                           int64_t j) const {
    V re[M][K] = {}, im[M][K] = {};
    const int64_t count = n();
    for (int64_t l = 0; l < count; ++l) {
      const V* br = reinterpret_cast<const V*>(b.re + l * stride() + j);
      const V* bi = kComplex ? reinterpret_cast<const V*>(b.im + l * stride() + j) : nullptr;
      for (int m = 0; m < M; ++m) {
        const V ar = splat<V>(a.re[(i + m) * stride() + l]);
        if constexpr (kComplex) {
          const V ai = splat<V>(a.im[(i + m) * stride() + l]);
          for (int k = 0; k < K; ++k) {
            re[m][k] += ar * br[k] - ai * bi[k];
            im[m][k] += ar * bi[k] + ai * br[k];
          }
        } else {
          for (int k = 0; k < K; ++k) re[m][k] += ar * br[k];
        }
      }
    }
    for (int m = 0; m < M; ++m) {
      for (int k = 0; k < K; ++k) {
        reinterpret_cast<V*>(c.re + (i + m) * stride() + j)[k] = re[m][k];
        if constexpr (kComplex) reinterpret_cast<V*>(c.im + (i + m) * stride() + j)[k] = im[m][k];
      }
    }
  }

  void subtract(Matrix c, Matrix b) const {
    for (int64_t i = 0; i < n() * stride(); ++i) {
      c.re[i] -= b.re[i];
      if constexpr (kComplex) c.im[i] -= b.im[i];
    }
  }

  void clear(Matrix m) const {
    for (int64_t i = 0; i < n() * stride(); ++i) {
      m.re[i] = 0;
      if constexpr (kComplex) m.im[i] = 0;
    }
  }

 private:
  int64_t n_, stride_;
  bool rows_;
  int32_t triangle_;
  bool conjugated_;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
