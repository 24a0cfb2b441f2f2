// The parts of the reverse rule that are not products, for matrices beyond the cache: tile by tile with the tile across
// the diagonal, for columns a power of two apart share few lines of the cache.
//
// What lies in memory, row after row, is K itself or, column-major, its transpose. "Above" is meant there.
#pragma once

#include <cstdint>
#include <type_traits>

#include "degeneracy/gaps-inl.h"
#include "degeneracy/rounding-inl.h"
#include "eigenpair.h"
#include "kernels/kernels.h"
#include "kernels/storage-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

constexpr int64_t kTile = 32;

// Calls `visit(p0, p1, q0, q1)` for the tiles on and above the diagonal.
template <typename Visit>
void visit_tiles(int64_t n, Visit visit) {
  const auto end = [n](int64_t start) { return start + kTile < n ? start + kTile : n; };
  for (int64_t p0 = 0; p0 < n; p0 += kTile) {
    for (int64_t q0 = p0; q0 < n; q0 += kTile) visit(p0, end(p0), q0, end(q0));
  }
}

template <typename T>
struct alignas(64) MirroredTiles {
  using R = typename RealPart<T>::type;
  static constexpr bool kComplex = !std::is_same_v<T, R>;

  // The tile across the diagonal, transposed.
  void read(const T* source, int64_t n, int64_t p0, int64_t p1, int64_t q0, int64_t q1) {
    for (int64_t j = q0; j < q1; ++j) {
      for (int64_t i = p0; i < p1; ++i) entries[i - p0][j - q0] = source[j * n + i];
    }
  }
  void write(T* target, int64_t n, int64_t p0, int64_t p1, int64_t q0, int64_t q1) const {
    for (int64_t j = q0; j < q1; ++j) {
      for (int64_t i = p0; i < p1; ++i) target[j * n + i] = entries[i - p0][j - q0];
    }
  }

  static T scaled(T x, R factor) {
    if constexpr (kComplex) {
      return {factor * x.re, factor * x.im};
    } else {
      return factor * x;
    }
  }
  static T adjoint(T x) {
    if constexpr (kComplex) {
      return {x.re, -x.im};
    } else {
      return x;
    }
  }
  // (x + sign y*)/2
  static T half(T x, T y, R sign) {
    if constexpr (kComplex) {
      return {R(0.5) * x.re + R(0.5) * sign * y.re, R(0.5) * x.im - R(0.5) * sign * y.im};
    } else {
      return R(0.5) * x + R(0.5) * sign * y;
    }
  }
  static T sum(T x, T y) {
    if constexpr (kComplex) {
      return {x.re + y.re, x.im + y.im};
    } else {
      return x + y;
    }
  }
  static T real(R x) {
    if constexpr (kComplex) {
      return {x, 0};
    } else {
      return x;
    }
  }
  static R size(T x) {
    if constexpr (kComplex) {
      return modulus(x.re, x.im);
    } else {
      return absolute(x);
    }
  }

  T entries[kTile][kTile];
};

// M = Diag(dw) + F o (K - K*)/2, which may take the place of K; false where `check` refuses the loss, and M is worth
// nothing. `scratch` has room for kRotationScratch times n real numbers.
template <typename T>
bool rotate(const eigenpair_hermitian_rule& p, int64_t index, const void* of_k, void* to_m, void* scratch) {
  using Mirror = MirroredTiles<T>;
  using R = typename Mirror::R;
  const int64_t n = p.n;
  const auto of_matrix = [&](const void* base, int64_t count) {
    return base == nullptr ? nullptr : static_cast<const R*>(base) + index * count;
  };
  const R *w = of_matrix(p.w, n), *dw = of_matrix(p.dw, n);
  const T* x = static_cast<const T*>(of_k);
  T* y = static_cast<T*>(to_m);
  static_assert(kRotationScratch > RoundingOfK<T>::kNorms && sizeof(R) >= sizeof(int32_t));
  R* const norms = static_cast<R*>(scratch);
  Gaps<R> gaps;
  gaps.open(w, n, n, of_matrix(p.scale, 1), p.policy, p.parameter,
            reinterpret_cast<int32_t*>(norms + RoundingOfK<T>::kNorms * n));
  R largest = 0;
  RoundingOfK<T> rounding;
  if (gaps.depend_on_k()) {
    for (int64_t i = 0; i < n * n; ++i) largest = larger(largest, Mirror::size(x[i]));
    const auto of = [&](const void* base) {
      return base == nullptr ? nullptr : static_cast<const T*>(base) + index * n * n;
    };
    rounding.open(of(p.v), of(p.dv), of(p.u), of(p.du), n, n, p.layout == EIGENPAIR_ROW_MAJOR, norms);
    gaps.set_dw(dw, n);
  }
  // Transposed, the anti-Hermitian part changes its sign.
  const R sign = p.layout == EIGENPAIR_ROW_MAJOR ? R(1) : R(-1);
  bool refused = false;
  const auto size_of_rounding = [&](int64_t i, int64_t j) { return at_most_half_of_digits(rounding(i, j), largest); };
  Mirror mirror;
  visit_tiles(n, [&](int64_t p0, int64_t p1, int64_t q0, int64_t q1) {
    mirror.read(x, n, p0, p1, q0, q1);
    const bool far = gaps.all_far() || (gaps.depend_on_k() && p0 != q0 && gaps.all_far(p1 - 1, q0));
    for (int64_t i = p0; i < p1; ++i) {
      const auto across = [&](int64_t j) -> T& { return mirror.entries[i - p0][j - q0]; };
      for (int64_t j = i + 1 > q0 ? i + 1 : q0; far && j < q1; ++j) {
        const T here = Mirror::scaled(Mirror::half(x[i * n + j], across(j), R(-1)), sign / (w[j] - w[i]));
        y[i * n + j] = here;
        across(j) = Mirror::adjoint(here);
      }
      for (int64_t j = i + 1 > q0 ? i + 1 : q0; !far && j < q1; ++j) {
        const T rotation = Mirror::half(x[i * n + j], across(j), R(-1));
        R f = gaps.inverse(i, j);
        if (gaps.depend_on_k()) {
          const R mixing = Mirror::size(Mirror::half(x[i * n + j], across(j), R(1)));
          const int32_t reason = gaps.reason_reverse(i, j, Mirror::size(rotation), mixing, size_of_rounding);
          if (reason != EIGENPAIR_REASON_NONE) f = 0;
          refused |= gaps.refuses(reason);
        }
        y[i * n + j] = Mirror::scaled(rotation, sign * f);
        across(j) = Mirror::adjoint(y[i * n + j]);
      }
    }
    for (int64_t i = p0; p0 == q0 && i < p1; ++i) {
      mirror.entries[i - p0][i - p0] = Mirror::real(dw == nullptr ? R(0) : dw[i]);
      // Of a tile on the diagonal, all of the mirror image is written back.
      for (int64_t j = p0; j < i; ++j) mirror.entries[i - p0][j - p0] = y[j * n + i];
    }
    mirror.write(y, n, p0, p1, q0, q1);
  });
  return !refused;
}

// From M to what dB takes the place of dA with, in the place of K: sign L o M + part (K + K*)/2.
template <typename T>
void mix(const eigenpair_hermitian_rule& p, int64_t index, const void* of_m, void* of_k) {
  using Mirror = MirroredTiles<T>;
  using R = typename Mirror::R;
  const int64_t n = p.n;
  const R* w = static_cast<const R*>(p.w) + index * n;
  const T* m = static_cast<const T*>(of_m);
  T* x = static_cast<T*>(of_k);
  const R half = p.type == 1 ? R(-0.5) : R(0.5), part = p.type == 3 ? R(0.5) : R(-0.5);
  Mirror mirror;
  visit_tiles(n, [&](int64_t p0, int64_t p1, int64_t q0, int64_t q1) {
    mirror.read(x, n, p0, p1, q0, q1);
    for (int64_t i = p0; i < p1; ++i) {
      const auto across = [&](int64_t j) -> T& { return mirror.entries[i - p0][j - q0]; };
      for (int64_t j = i > q0 ? i : q0; j < q1; ++j) {
        const T here = Mirror::sum(Mirror::scaled(m[i * n + j], half * w[i] + half * w[j]),
                                   Mirror::scaled(Mirror::half(x[i * n + j], across(j), R(1)), part));
        x[i * n + j] = here;
        across(j) = Mirror::adjoint(here);
      }
      for (int64_t j = p0; p0 == q0 && j < i; ++j) mirror.entries[i - p0][j - p0] = x[j * n + i];
    }
    mirror.write(x, n, p0, p1, q0, q1);
  });
}

// What the variables of `triangle` get of a Hermitian gradient whose entries on and below the diagonal are there.
template <typename T>
void share(const eigenpair_hermitian_rule& p, void* gradient) {
  using Mirror = MirroredTiles<T>;
  using R = typename Mirror::R;
  const int64_t n = p.n;
  T* x = static_cast<T*>(gradient);
  const bool both = p.triangle == EIGENPAIR_HERMITIAN_PART;
  const bool above = (p.triangle == EIGENPAIR_UPPER) == (p.layout == EIGENPAIR_ROW_MAJOR);
  // What is not read has the gradient 0, whatever infinity stands on the other side.
  const T unread = Mirror::real(R(0));
  Mirror mirror;
  visit_tiles(n, [&](int64_t p0, int64_t p1, int64_t q0, int64_t q1) {
    mirror.read(x, n, p0, p1, q0, q1);
    for (int64_t i = p0; i < p1; ++i) {
      const auto across = [&](int64_t j) -> T& { return mirror.entries[i - p0][j - q0]; };
      for (int64_t j = i + 1 > q0 ? i + 1 : q0; j < q1; ++j) {
        T below = across(j);
        if (p.conjugated) below = Mirror::adjoint(below);
        if (!both) below = Mirror::scaled(below, R(2));
        x[i * n + j] = both || above ? Mirror::adjoint(below) : unread;
        across(j) = both || !above ? below : unread;
      }
    }
    for (int64_t i = p0; p0 == q0 && i < p1; ++i) {
      T* const row = mirror.entries[i - p0];
      if constexpr (Mirror::kComplex) row[i - p0].im = 0;
      for (int64_t j = p0; j < i; ++j) row[j - p0] = x[j * n + i];
    }
    mirror.write(x, n, p0, p1, q0, q1);
  });
}

// X Diag(d), with d = dw, or sign w dw for dB.
template <typename T>
void scale_columns(const eigenpair_hermitian_rule& p, int64_t index, bool of_b, const void* source, void* target) {
  using Mirror = MirroredTiles<T>;
  using R = typename Mirror::R;
  const int64_t n = p.n;
  const R *w = static_cast<const R*>(p.w) + index * n, *dw = static_cast<const R*>(p.dw) + index * n;
  const T* x = static_cast<const T*>(source);
  T* y = static_cast<T*>(target);
  const auto factor = [&](int64_t j) { return of_b ? (p.type == 1 ? -w[j] : w[j]) * dw[j] : dw[j]; };
  const bool rows = p.layout == EIGENPAIR_ROW_MAJOR;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) y[i * n + j] = Mirror::scaled(x[i * n + j], factor(rows ? j : i));
  }
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
