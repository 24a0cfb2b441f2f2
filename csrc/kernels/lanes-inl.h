// Vectors of SIMD lanes.
#pragma once

#include <cstdint>

#include "kernels/isa.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// One native register per vector. With wider vectors, g++ compares lane by lane.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename R>
struct LaneTypes;
template <>
struct LaneTypes<double> {
  typedef double Vector __attribute__((vector_size(kVectorBytes)));
  typedef double InMemory __attribute__((vector_size(kVectorBytes), aligned(sizeof(double)), may_alias));
  typedef int64_t Mask __attribute__((vector_size(kVectorBytes)));
};
template <>
struct LaneTypes<float> {
  typedef float Vector __attribute__((vector_size(kVectorBytes)));
  typedef float InMemory __attribute__((vector_size(kVectorBytes), aligned(sizeof(float)), may_alias));
  typedef int32_t Mask __attribute__((vector_size(kVectorBytes)));
};

template <typename R>
using Vec = typename LaneTypes<R>::Vector;
template <typename R>
using Mask = typename LaneTypes<R>::Mask;
template <typename R>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(R));

template <typename V, typename R>
inline V splat(R x) {
  return x - V{};
}

template <typename M, typename V>
inline V select(M mask, V yes, V no) {
  return mask ? yes : no;
}

#if defined(__AVX512F__)
template <typename M>
inline bool any(M mask) {
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
}
// The masked square root with all lanes set is the plain square root, for which g++ 12 warns about its own header.
inline Vec<double> root(Vec<double> x) { return (Vec<double>)_mm512_maskz_sqrt_pd(0xff, (__m512d)x); }
inline Vec<float> root(Vec<float> x) { return (Vec<float>)_mm512_maskz_sqrt_ps(0xffff, (__m512)x); }
#elif defined(__AVX__)
template <typename M>
inline bool any(M mask) {
  return _mm256_testz_si256((__m256i)mask, (__m256i)mask) == 0;
}
inline Vec<double> root(Vec<double> x) { return (Vec<double>)_mm256_sqrt_pd((__m256d)x); }
inline Vec<float> root(Vec<float> x) { return (Vec<float>)_mm256_sqrt_ps((__m256)x); }
#else
template <typename M>
inline bool any(M mask) {
  int64_t halves[2];
  __builtin_memcpy(halves, &mask, sizeof halves);
  return (halves[0] | halves[1]) != 0;
}
template <typename V>
inline V root(V x) {
  V result;
  for (int lane = 0; lane < static_cast<int>(sizeof(V) / sizeof(x[0])); ++lane) {
    result[lane] = sizeof(x[0]) == 8 ? __builtin_sqrt(x[lane]) : __builtin_sqrtf(static_cast<float>(x[lane]));
  }
  return result;
}
#endif

template <typename V, typename R>
inline R* lanes_of(V& x) {
  return reinterpret_cast<R*>(&x);
}
template <typename V, typename R>
inline const R* lanes_of(const V& x) {
  return reinterpret_cast<const R*>(&x);
}

// 2^k and 2^-k, where 2^k x is in [1/2, 2) for x > 0. Both are exact and clamped well inside the exponent range. k is
// even, because pairs need the square root.
inline void power_of_two(Vec<double> x, Vec<double>* down, Vec<double>* up) {
  using M = Mask<double>;
  M k = 1023 - (((M)x >> 52) & 2047);
  k = k > 1000 ? M{} + 1000 : (k < -1000 ? M{} - 1000 : k);
  k &= ~M{} - 1;
  *down = (Vec<double>)((1023 + k) << 52);
  *up = (Vec<double>)((1023 - k) << 52);
}
inline void power_of_two(Vec<float> x, Vec<float>* down, Vec<float>* up) {
  using M = Mask<float>;
  M k = 127 - (((M)x >> 23) & 255);
  k = k > 120 ? M{} + 120 : (k < -120 ? M{} - 120 : k);
  k &= ~M{} - 1;
  *down = (Vec<float>)((127 + k) << 23);
  *up = (Vec<float>)((127 - k) << 23);
}

// x times three such powers. The exponents are added first, so that no intermediate result overflows or underflows
// unless the final one does.
template <typename R>
inline Vec<R> times_powers(Vec<R> x, Vec<R> p, Vec<R> q, Vec<R> r) {
  using V = Vec<R>;
  using M = Mask<R>;
  constexpr int kMantissa = sizeof(R) == 8 ? 52 : 23, kBias = sizeof(R) == 8 ? 1023 : 127;
  constexpr int kMost = 2 * (sizeof(R) == 8 ? 1000 : 120);
  M k = ((M)p >> kMantissa) + ((M)q >> kMantissa) + ((M)r >> kMantissa) - 3 * kBias;
  k = k > kMost ? M{} + kMost : (k < -kMost ? M{} - kMost : k);
  const M half = k >> 1;
  return x * (V)((kBias + half) << kMantissa) * (V)((kBias + k - half) << kMantissa);
}

inline Vec<double> magnitude(Vec<double> x) { return (Vec<double>)((Mask<double>)x & INT64_MAX); }
inline Vec<float> magnitude(Vec<float> x) { return (Vec<float>)((Mask<float>)x & INT32_MAX); }

template <typename M, typename V>
inline Complex<V> select(M mask, Complex<V> yes, Complex<V> no) {
  return {select(mask, yes.re, no.re), select(mask, yes.im, no.im)};
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
