// Implicit QL with Wilkinson's shift (Martin, Wilkinson) for one symmetric tridiagonal matrix of size 1: d is its
// diagonal and e its subdiagonal. The eigenvalues replace d, unsorted.
#pragma once

#include <cstdint>

#include "kernels/lanes-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

inline double root_of(double x) { return __builtin_sqrt(x); }
inline float root_of(float x) { return __builtin_sqrtf(x); }

template <typename R>
struct ImplicitQl {
  int64_t n;
  R *d, *e;
  // About two sweeps per eigenvalue are usual. The first of many tiny eigenvalues takes more, because of rounding
  // errors of large entries.
  int64_t sweeps_left = 30 * n;

  static constexpr R kTiny = Precision<R>::kTiny, kEpsilon = Precision<R>::kEpsilon;

  // Calls `rotate(i, cosine, sine)` for every rotation of vectors i and i + 1. False if it does not converge.
  template <typename Rotate>
  bool run(const Rotate& rotate) {
    for (int64_t l = 0; l + 1 < n; ++l) {
      for (;; --sweeps_left) {
        int64_t m = l;
        while (m + 1 < n && absolute(e[m]) > kEpsilon * (absolute(d[m]) + absolute(d[m + 1])) + kTiny) ++m;
        if (m == l) break;
        if (sweeps_left == 0) return false;
        if (m == l + 1) {
          meet(l, rotate);
        } else {
          sweep(l, m, rotate);
        }
      }
    }
    return true;
  }

  // Eigenvalues alone, without square roots (Pal, Walker, Kahan; Parlett, The Symmetric Eigenvalue Problem, 8.15): the
  // subdiagonal entries are squared.
  bool values() {
    for (int64_t i = 0; i + 1 < n; ++i) e[i] *= e[i];
    for (int64_t l = 0; l + 1 < n; ++l) {
      for (;; --sweeps_left) {
        int64_t m = l;
        for (; m + 1 < n; ++m) {
          const R least = kEpsilon * (absolute(d[m]) + absolute(d[m + 1])) + kTiny;
          if (e[m] <= least * least) break;
        }
        if (m == l) break;
        if (sweeps_left == 0) return false;
        if (m == l + 1) {
          e[l] = root_of(e[l]);
          meet(l, [](int64_t, R, R) {});
        } else {
          sweep_values(l, m);
        }
      }
    }
    return true;
  }

  void sweep_values(int64_t l, int64_t m) {
    const R beside = root_of(e[l]), half = (d[l + 1] - d[l]) / (2 * beside), slope = root_of(half * half + 1);
    const R shift = d[l] - beside / (half + (half < 0 ? -slope : slope));
    R c = 1, s = 0, g = d[m] - shift, p = g * g;
    for (int64_t i = m - 1; i >= l; --i) {
      const bool none = p <= kTiny * kTiny;
      if (none) p = 0;
      const R square = e[i], r = p + square, before = c, old = g;
      e[i + 1] = s * r;
      // Compute 1/c together with c, because the next step needs both.
      const R inverse = none ? R(0) : r / p;
      c = p / r;
      s = square / r;
      g = c * (d[i] - shift) - s * old;
      d[i + 1] = old + (d[i] - g);
      p = none ? before * square : g * g * inverse;
    }
    e[l] = s * p;
    d[l] = shift + g;
    e[m] = 0;
  }

  // Diagonalizes a block of order two by one rotation, with Jacobi's formula.
  template <typename Rotate>
  void meet(int64_t i, const Rotate& rotate) {
    const R half = (d[i + 1] - d[i]) / 2, beside = e[i];
    const R tangent = (half < 0 ? -beside : beside) / (absolute(half) + root_of(half * half + beside * beside));
    const R cosine = 1 / root_of(1 + tangent * tangent);
    d[i] -= tangent * beside;
    d[i + 1] += tangent * beside;
    e[i] = 0;
    rotate(i, cosine, tangent * cosine);
  }

  template <typename Rotate>
  void sweep(int64_t l, int64_t m, const Rotate& rotate) {
    R g = (d[l + 1] - d[l]) / (2 * e[l]);
    R r = root_of(g * g + 1);
    g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
    R s = 1, c = 1, p = 0;
    for (int64_t i = m - 1; i >= l; --i) {
      const R f = s * e[i], b = c * e[i], square = f * f + g * g;
      r = root_of(square);
      e[i + 1] = r;
      const bool flat = square <= kTiny * kTiny;  // the rotation is negligible
      const R inverse = 1 / (flat ? R(1) : r);
      s = flat ? R(0) : f * inverse;
      c = flat ? R(1) : g * inverse;
      const R shifted = d[i + 1] - p, t = (d[i] - shifted) * s + 2 * c * b;
      p = s * t;
      d[i + 1] = shifted + p;
      g = c * t - b;
      rotate(i, c, s);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
  }
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
