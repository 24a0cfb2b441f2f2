// Divided differences of eigenvalues from those of neighbours, docs/derivations.md, "Spectral functions". In the core,
// the formulas are only here. V is a number, or a vector with one matrix per lane.
#pragma once

#include <cstdint>

#include "kernels/lanes-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// `f[w_i, w_j]` for all i and j, by `put(i, j, value)`: the mean of the differences of the neighbours between them,
// weighted with the gaps. `w`, `derivative` and `first` return the i-th number.
template <typename V, typename W, typename D, typename F, typename Put>
inline void first_of_all(int64_t n, const W& w, const D& derivative, const F& first, const Put& put) {
  for (int64_t i = 0; i < n; ++i) {
    V so_far = derivative(i);
    put(i, i, so_far);
    for (int64_t j = i + 1; j < n; ++j) {
      const V before = w(j - 1) - w(i), gap = w(j) - w(j - 1), whole = w(j) - w(i);
      so_far = select(whole > V{}, before / whole * so_far + gap / whole * first(j - 1), derivative(i));
      put(i, j, so_far);
      put(j, i, so_far);
    }
  }
}

// The mean of second differences so far and those of one more gap, for the weight (t - w_i)/(w_j - w_i)²: `inner` and
// `outer` belong to the end of the gap that is closer to i, and to the other one.
template <typename V>
inline V extended_slope(V before, V gap, V whole, V so_far, V inner, V outer) {
  const V ratio = before / whole;
  return ratio * ratio * so_far + gap / whole * (ratio * inner + outer);
}

// `f[w_i, w_j, w_j]` for all i and j, by `put(i, j, value)`, from `f''/2` and from `left`, `f[w_k, w_k, w_k+1]`, and
// `right`, `f[w_k, w_k+1, w_k+1]`.
template <typename V, typename W, typename H, typename L, typename R, typename Put>
inline void slopes_of_all(int64_t n, const W& w, const H& half_second, const L& left, const R& right, const Put& put) {
  for (int64_t i = 0; i < n; ++i) {
    const V here = half_second(i);
    put(i, i, here);
    V so_far = here;
    for (int64_t j = i + 1; j < n; ++j) {
      const V before = w(j - 1) - w(i), gap = w(j) - w(j - 1), whole = w(j) - w(i);
      const V next = extended_slope(before, gap, whole, so_far, V(left(j - 1)), V(right(j - 1)));
      so_far = select(whole > V{}, next, here);
      put(i, j, so_far);
    }
    so_far = here;
    for (int64_t j = i - 1; j >= 0; --j) {
      const V before = w(i) - w(j + 1), gap = w(j + 1) - w(j), whole = w(i) - w(j);
      const V next = extended_slope(before, gap, whole, so_far, V(right(j)), V(left(j)));
      so_far = select(whole > V{}, next, here);
      put(i, j, so_far);
    }
  }
}

// `f[a, b, c]` for a <= b <= c, with `share` = (b - a)/(c - a), from the slopes a -> b and c -> b.
template <typename V>
inline V second_difference(V share, V from_low, V from_high) {
  return share * from_low + (V{} + 1 - share) * from_high;
}

// `f[w_i, w_j]` of the step, which is `size` for the first `step` eigenvalues and 0 for the others. Only eigenvalues on
// different sides have differences.
template <typename V, typename W, typename Put>
inline void first_of_step(int64_t n, int64_t step, const W& w, V size, const Put& put) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) {
      const V value = i < step && j >= step ? -size / (w(j) - w(i)) : size * V{};
      put(i, j, value);
      put(j, i, value);
    }
  }
}

// `f[a, b, c]` of that step, from the first differences, for size 1, of the one that is alone on its side with the
// other two.
template <typename V>
inline V second_of_step(V size, bool lone_is_below, V one, V other) {
  return size * (lone_is_below ? one * other : -one * other);
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
