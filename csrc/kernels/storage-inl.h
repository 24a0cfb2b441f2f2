// Elements as the caller stores them.
#pragma once

#include <cstdint>

#include "eigenpair.h"
#include "kernels/isa.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// An element as the caller stores it; std::complex would bring functions of the standard library with it.
template <typename R>
struct Complex {
  R re, im;
};

template <typename T>
struct RealPart {
  using type = T;
};
template <typename R>
struct RealPart<Complex<R>> {
  using type = R;
};

template <typename R>
inline R absolute(R x) {
  return x < 0 ? -x : x;
}

// Scaled, so that squares neither overflow nor vanish.
template <typename R>
inline R modulus(R x, R y) {
  const R a = absolute(x), b = absolute(y), large = a > b ? a : b, small = a > b ? b : a;
  if (!(large > 0)) return large + small;
  const R ratio = small / large;
  return large * static_cast<R>(__builtin_sqrt(static_cast<double>(1 + ratio * ratio)));
}

template <typename R>
inline R mean(R x, R y) {
  return x == y ? x : R(0.5) * x + R(0.5) * y;
}

// Entry (i, j), i >= j, of the Hermitian matrix that `triangle` of column-major or row-major storage stands for.
template <typename R>
inline void read(const R* source, int64_t n, int64_t i, int64_t j, int32_t triangle, bool rows, R* re, R*) {
  const R below = rows ? source[i * n + j] : source[i + j * n];
  const R above = rows ? source[j * n + i] : source[j + i * n];
  *re = triangle == EIGENPAIR_LOWER ? below : (triangle == EIGENPAIR_UPPER ? above : mean(below, above));
}
template <typename R>
inline void read(const Complex<R>* source, int64_t n, int64_t i, int64_t j, int32_t triangle, bool rows, R* re, R* im) {
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
