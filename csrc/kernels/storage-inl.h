// Reads entries from the caller's storage.
#pragma once

#include <cstdint>

#include "eigenpair.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// Entry (i, j), i >= j, of the Hermitian matrix that `triangle` of column-major or row-major storage represents.
template <typename R>
inline void read_entry(const R* source, int64_t n, int64_t i, int64_t j, int32_t triangle, bool rows, R* re, R*) {
  const R below = rows ? source[i * n + j] : source[i + j * n];
  const R above = rows ? source[j * n + i] : source[j + i * n];
  *re = triangle == EIGENPAIR_LOWER ? below : (triangle == EIGENPAIR_UPPER ? above : mean(below, above));
}
template <typename R>
inline void read_entry(const Complex<R>* source, int64_t n, int64_t i, int64_t j, int32_t triangle, bool rows, R* re,
                       R* im) {
  const Complex<R> below = rows ? source[i * n + j] : source[i + j * n];
  const Complex<R> above = rows ? source[j * n + i] : source[j + i * n];
  const bool both = triangle == EIGENPAIR_HERMITIAN_PART;
  *re = both ? mean(below.re, above.re) : (triangle == EIGENPAIR_LOWER ? below.re : above.re);
  *im = both ? mean(below.im, -above.im) : (triangle == EIGENPAIR_LOWER ? below.im : -above.im);
  if (i == j) *im = 0;
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
