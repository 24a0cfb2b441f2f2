// The factor that the job for a subset stores for the job of its complement, and code that jobs for subsets share.
#pragma once

#include "runtime/matrix.h"
#include "runtime/problem.h"

namespace eigenpair {

// Parts of a factor: the reflectors and their coefficients, the diagonal and subdiagonal of the tridiagonal matrix, the
// power of two by which the matrix was scaled, and for a pair the L of B = L Lᴴ.
template <typename T>
struct Factor {
  T *reflectors, *tau, *diagonal, *beside, *down, *cholesky;

  static int64_t size(int64_t n, bool pair) { return n * (n + 4) + (pair ? n * n : 0); }
  Factor(T* base, int64_t n)
      : reflectors(base),
        tau(base + n * n),
        diagonal(tau + n),
        beside(diagonal + n),
        down(beside + n),
        cholesky(down + n) {}
};

inline void check_shape(int64_t n, int64_t batch, int64_t count, int32_t dtype, int32_t layout, int32_t reserved) {
  require(dtype >= EIGENPAIR_FLOAT32 && dtype <= EIGENPAIR_COMPLEX128, "problem.dtype is unknown");
  require(layout == EIGENPAIR_COLUMN_MAJOR || layout == EIGENPAIR_ROW_MAJOR, "problem.layout is unknown");
  require(reserved == 0, "problem.reserved is not 0");
  require(n >= 1 && n < (int64_t{1} << 29), "problem.n is less than 1 or too large");
  require(batch >= 0, "problem.batch is negative");
  require(count >= 1 && count <= n, "problem.count is not between 1 and n");
}

// Copies between the caller's n x k layout and columns.
template <typename T>
void columns_from(const T* source, int64_t n, int64_t k, int32_t layout, T* target) {
  if (layout == EIGENPAIR_COLUMN_MAJOR) {
    std::copy(source, source + n * k, target);
    return;
  }
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t i = 0; i < n; ++i) target[i + j * n] = source[i * k + j];
  }
}

template <typename T>
void columns_to(const T* source, int64_t n, int64_t k, int32_t layout, T* target) {
  if (layout == EIGENPAIR_COLUMN_MAJOR) {
    std::copy(source, source + n * k, target);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) target[i * k + j] = source[i + j * n];
  }
}

}  // namespace eigenpair
