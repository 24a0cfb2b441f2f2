// Real symmetric matrices of order two, one per lane, solved by a single rotation.
#pragma once

#include <cstdint>

#include "eigenpair.h"
#include "kernels/blocks-inl.h"
#include "kernels/lanes-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// The rotation that makes the matrix (x, b; b, y) diagonal, with half = (y - x) / 2: cosine c >= 0 and sine of either
// sign, so that low = min(x, y) - shift and high = max(x, y) + shift are its eigenvalues. Jacobi's formula.
template <typename R>
struct Rotation {
  using V = Vec<R>;
  V cosine, sine, shift;

  Rotation(V half, V beside) {
    const V zero{}, one = splat<V>(R(1));
    // If the square of `beside` underflows, the sine is meaningless; but then `beside` is negligible in a matrix of
    // size 1.
    const Mask<R> flat = magnitude(beside) <= splat<V>(Precision<R>::kTiny);
    beside = select(flat, zero, beside);
    const V square = beside * beside, radius = root(half * half + square), reach = magnitude(half) + radius;
    const V inverse = one / root(select(flat, one, reach * reach + square));
    cosine = select(flat, one, reach * inverse);
    sine = beside * inverse;
    // Do not use the sine here: its rounding error would make the low eigenvalue of a singular matrix nonzero.
    shift = square / select(flat, one, reach);
  }
};

template <typename R>
struct TwoByTwo {
  using V = Vec<R>;
  using M = Mask<R>;
  static constexpr int kWidth = kLanes<R>;

  static void solve(const eigenpair_hermitian_problem& p, int64_t first, int64_t last) {
    int64_t at = first;
    if (p.a_stride == 4) {
      for (; at + kWidth <= last; at += kWidth) solve_group<true>(p, at, kWidth);
    }
    for (; at < last; at += kWidth) {
      const int64_t left = last - at;
      solve_group<false>(p, at, static_cast<int>(left < kWidth ? left : kWidth));
    }
  }

 private:
  // With `kWhole`, the number of matrices is known at compile time.
  template <bool kWhole>
  static void solve_group(const eigenpair_hermitian_problem& p, int64_t first, int given) {
    const int count = kWhole ? kWidth : given;
    const int64_t stride = kWhole ? 4 : p.a_stride;
    const bool rows = p.layout == EIGENPAIR_ROW_MAJOR;
    const V zero{}, half = splat<V>(R(0.5));
    V in[4];
    Block<R, 4>::load(static_cast<const R*>(p.a) + first * stride, stride, count, in);
    V x = in[0], y = in[3], b = (p.triangle == EIGENPAIR_LOWER) == rows ? in[2] : in[1];
    if (p.triangle == EIGENPAIR_HERMITIAN_PART) b = select(in[1] == in[2], in[1], half * in[1] + half * in[2]);

    V down, up;
    power_of_two(larger(larger(magnitude(x), magnitude(y)), magnitude(b)), &down, &up);
    x *= down;
    y *= down;
    const V apart = half * (y - x);
    const Rotation<R> turn(apart, b * down);
    const M exchanged = apart < zero;
    V w[2] = {(select(exchanged, y, x) - turn.shift) * up + zero, (select(exchanged, x, y) + turn.shift) * up + zero};
    // If an entry is not finite, neither are the eigenvalues.
    const M good = w[0] * zero + w[1] * zero == zero;
    // Adding 0 avoids negative zeros.
    const V c = turn.cosine, s = turn.sine + zero, minus = zero - turn.sine;
    const V low[2] = {select(exchanged, minus, c), select(exchanged, c, minus)};
    const V high[2] = {select(exchanged, c, s), select(exchanged, s, c)};
    V v[4] = {low[0], rows ? high[0] : low[1], rows ? low[1] : high[0], high[1]};
    if (any(~good)) {
      const V nan = splat<V>(R(__builtin_nan("")));
      for (V& value : w) value = select(good, value, nan);
      for (V& entry : v) entry = select(good, entry, nan);
    }
    Block<R, 2>::store(w, count, static_cast<R*>(p.w) + first * 2);
    if (p.v != nullptr) Block<R, 4>::store(v, count, static_cast<R*>(p.v) + first * 4);
    if (p.info == nullptr) return;
    const M finite = x * zero + (y * zero + b * zero) == zero;
    for (int lane = 0; lane < count; ++lane) {
      const int32_t why = finite[lane] != 0 ? EIGENPAIR_INFO_NO_CONVERGENCE : EIGENPAIR_INFO_NOT_FINITE;
      p.info[first + lane] = good[lane] != 0 ? EIGENPAIR_INFO_OK : why;
    }
  }

  static V larger(V x, V y) { return x > y ? x : y; }
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
