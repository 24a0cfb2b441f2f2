// Arithmetic of real and complex numbers, single ones or one per SIMD lane: `V` is a real number or a vector of real
// numbers.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// Not std::complex, because of isa.h.
template <typename V>
struct Complex {
  V re, im;
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
struct Precision;
template <>
struct Precision<double> {
  static constexpr double kEpsilon = 2.220446049250313e-16;
  // Its square does not underflow, and it is negligible in a matrix of size 1.
  static constexpr double kTiny = 1e-140;
};
template <>
struct Precision<float> {
  static constexpr float kEpsilon = 1.1920929e-07f;
  static constexpr float kTiny = 1e-17f;
};

template <typename V>
inline V conj_(V x) {
  return x;
}
template <typename V>
inline V real_(V x) {
  return x;
}
// |x|²
template <typename V>
inline V norm_(V x) {
  return x * x;
}
template <typename V>
inline V times(V x, V y) {
  return x * y;
}
// x* y
template <typename V>
inline V dot(V x, V y) {
  return x * y;
}
template <typename V>
inline V scaled(V x, V real) {
  return x * real;
}
template <typename V>
inline V plus(V x, V y) {
  return x + y;
}
template <typename V>
inline V minus(V x, V y) {
  return x - y;
}

template <typename V>
inline Complex<V> conj_(Complex<V> x) {
  return {x.re, -x.im};
}
template <typename V>
inline V real_(Complex<V> x) {
  return x.re;
}
template <typename V>
inline V norm_(Complex<V> x) {
  return x.re * x.re + x.im * x.im;
}
template <typename V>
inline Complex<V> times(Complex<V> x, Complex<V> y) {
  return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}
template <typename V>
inline Complex<V> dot(Complex<V> x, Complex<V> y) {
  return {x.re * y.re + x.im * y.im, x.re * y.im - x.im * y.re};
}
template <typename V>
inline Complex<V> scaled(Complex<V> x, V real) {
  return {x.re * real, x.im * real};
}
template <typename V>
inline Complex<V> plus(Complex<V> x, Complex<V> y) {
  return {x.re + y.re, x.im + y.im};
}
template <typename V>
inline Complex<V> minus(Complex<V> x, Complex<V> y) {
  return {x.re - y.re, x.im - y.im};
}

// ---- single numbers ----

template <typename R>
inline R absolute(R x) {
  return x < 0 ? -x : x;
}

// √(x² + y²), scaled so that the squares neither overflow nor underflow.
template <typename R>
inline R modulus(R x, R y) {
  const R a = absolute(x), b = absolute(y), large = a > b ? a : b, small = a > b ? b : a;
  if (!(large > 0)) return large + small;
  const R ratio = small / large;
  return large * static_cast<R>(__builtin_sqrt(static_cast<double>(1 + ratio * ratio)));
}

template <typename R>
inline R absolute(Complex<R> x) {
  return modulus(x.re, x.im);
}

// The larger of x >= 0 and y >= 0; NaN if one of them is NaN.
template <typename R>
inline R larger(R x, R y) {
  return y <= x || x != x ? x : y;
}

template <typename R>
inline bool is_nan(R x) {
  return x != x;
}

// A real number as one of type T.
template <typename T>
inline T number_of(typename RealPart<T>::type x) {
  if constexpr (sizeof(T) == sizeof x) {
    return x;
  } else {
    return {x, 0};
  }
}

template <typename T>
inline T nan_of() {
  using R = typename RealPart<T>::type;
  const R nan = static_cast<R>(__builtin_nan(""));
  if constexpr (sizeof(T) == sizeof nan) {
    return nan;
  } else {
    return {nan, nan};
  }
}

// (x + y)/2 without overflow, and exactly x if they are equal.
template <typename R>
inline R mean(R x, R y) {
  return x == y ? x : R(0.5) * x + R(0.5) * y;
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
