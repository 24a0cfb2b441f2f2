// The rule (hermitian/rule-inl.h) in reverse without its products, for matrices larger than the cache. It visits each
// tile together with the tile across the diagonal, because columns whose distance is a power of two compete for the
// same few cache lines.
//
// In this file, rows are rows in memory: those of K, or of its transpose if the layout is column-major. "Above the
// diagonal" refers to these rows.
#pragma once

#include <cstdint>
#include <type_traits>

#include "degeneracy/gaps-inl.h"
#include "degeneracy/rounding-inl.h"
#include "eigenpair.h"
#include "hermitian/rule-inl.h"
#include "kernels/kernels.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

constexpr int64_t kTile = 32;

// A tile on or above the diagonal, of rows p0 to p1 and columns q0 to q1, with a copy of the tile across, transposed.
template <typename T>
struct alignas(64) MirroredTile {
  T& across(int64_t i, int64_t j) { return entries[i - p0][j - q0]; }
  bool on_diagonal() const { return p0 == q0; }
  // The first column of row i that is above the diagonal.
  int64_t above(int64_t i) const { return i + 1 > q0 ? i + 1 : q0; }

  void read(const T* source, int64_t n) {
    for (int64_t j = q0; j < q1; ++j) {
      for (int64_t i = p0; i < p1; ++i) across(i, j) = source[j * n + i];
    }
  }
  // Writes the copy back. On the diagonal, first completes it from what is above.
  void write(T* target, int64_t n) {
    for (int64_t i = p0; on_diagonal() && i < p1; ++i) {
      for (int64_t j = p0; j < i; ++j) across(i, j) = target[j * n + i];
    }
    for (int64_t j = q0; j < q1; ++j) {
      for (int64_t i = p0; i < p1; ++i) target[j * n + i] = across(i, j);
    }
  }

  int64_t p0, p1, q0, q1;
  T entries[kTile][kTile];
};

// Calls `visit(tile)` for the tiles of `target` on and above the diagonal; what is across comes from `source`.
template <typename T, typename Visit>
void visit_tiles(const T* source, T* target, int64_t n, const Visit& visit) {
  const auto end = [n](int64_t start) { return start + kTile < n ? start + kTile : n; };
  MirroredTile<T> tile;
  for (tile.p0 = 0; tile.p0 < n; tile.p0 += kTile) {
    for (tile.q0 = tile.p0; tile.q0 < n; tile.q0 += kTile) {
      tile.p1 = end(tile.p0);
      tile.q1 = end(tile.q0);
      tile.read(source, n);
      visit(tile);
      tile.write(target, n);
    }
  }
}

template <typename T>
const T* matrix_of(const void* base, int64_t index, int64_t n) {
  return base == nullptr ? nullptr : static_cast<const T*>(base) + index * n * n;
}

// Computes M of the rule, which may overwrite K. False if `check` refuses the loss; then M is meaningless. `scratch`
// has room for kRuleScratch times n real numbers.
template <typename T>
bool compute_m(const eigenpair_hermitian_rule& p, int64_t index, const void* of_k, void* to_m, void* scratch) {
  using R = typename RealPart<T>::type;
  const int64_t n = p.n;
  const auto of_vector = [&](const void* base, int64_t count) {
    return base == nullptr ? nullptr : static_cast<const R*>(base) + index * count;
  };
  const R *w = of_vector(p.w, n), *dw = of_vector(p.dw, n);
  const T* k = static_cast<const T*>(of_k);
  T* m = static_cast<T*>(to_m);
  static_assert(kRuleScratch > RoundingOfK<T>::kNorms && sizeof(R) >= sizeof(int32_t));
  R* const norms = static_cast<R*>(scratch);
  Gaps<R> gaps;
  gaps.open(w, n, n, of_vector(p.scale, 1), p.policy, p.parameter,
            reinterpret_cast<int32_t*>(norms + RoundingOfK<T>::kNorms * n));
  const bool asks = gaps.depend_on_k();
  RoundingOfK<T> rounding;
  R largest = 0;
  if (asks) {
    for (int64_t i = 0; i < n * n; ++i) largest = larger(largest, absolute(k[i]));
    const auto of = [&](const void* base) { return matrix_of<T>(base, index, n); };
    rounding.open(of(p.v), of(p.dv), of(p.u), of(p.du), n, n, p.layout == EIGENPAIR_ROW_MAJOR, norms);
    gaps.set_dw(dw, n);
  }
  const auto size_of_rounding = [&](int64_t i, int64_t j) { return at_most_half_of_digits(rounding(i, j), largest); };
  // The anti-Hermitian part of the transpose has the opposite sign.
  const R sign = p.layout == EIGENPAIR_ROW_MAJOR ? R(1) : R(-1);
  bool refused = false;
  visit_tiles(k, m, n, [&](MirroredTile<T>& tile) {
    const bool far = gaps.all_far() || (asks && !tile.on_diagonal() && gaps.all_far(tile.p1 - 1, tile.q0));
    for (int64_t i = tile.p0; i < tile.p1; ++i) {
      for (int64_t j = tile.above(i); far && j < tile.q1; ++j) {
        const T here = scaled(rotation_part(k[i * n + j], tile.across(i, j)), sign / (w[j] - w[i]));
        m[i * n + j] = here;
        tile.across(i, j) = conj_(here);
      }
      for (int64_t j = tile.above(i); !far && j < tile.q1; ++j) {
        const T rotation = rotation_part(k[i * n + j], tile.across(i, j));
        R f = gaps.inverse(i, j);
        if (asks) {
          const R mixing = absolute(mixing_part(k[i * n + j], tile.across(i, j)));
          const int32_t reason = gaps.reason_reverse(i, j, absolute(rotation), mixing, size_of_rounding);
          if (reason != EIGENPAIR_REASON_NONE) f = 0;
          refused |= gaps.refuses(reason);
        }
        m[i * n + j] = scaled(rotation, sign * f);
        tile.across(i, j) = conj_(m[i * n + j]);
      }
    }
    for (int64_t i = tile.p0; tile.on_diagonal() && i < tile.p1; ++i) {
      tile.across(i, i) = number_of<T>(dw == nullptr ? R(0) : dw[i]);
    }
  });
  return !refused;
}

// Computes N of the rule from M, and overwrites K with it.
template <typename T>
void compute_n(const eigenpair_hermitian_rule& p, int64_t index, const void* of_m, void* of_k) {
  using R = typename RealPart<T>::type;
  const int64_t n = p.n;
  const RuleOfType& type = kRuleOfType[p.type];
  const R* w = static_cast<const R*>(p.w) + index * n;
  const T* m = static_cast<const T*>(of_m);
  T* k = static_cast<T*>(of_k);
  visit_tiles<T>(k, k, n, [&](MirroredTile<T>& tile) {
    for (int64_t i = tile.p0; i < tile.p1; ++i) {
      for (int64_t j = i > tile.q0 ? i : tile.q0; j < tile.q1; ++j) {
        T& across = tile.across(i, j);
        const T here = n_of_m(type, mean_of(w[i], w[j]), m[i * n + j], mixing_part(k[i * n + j], across));
        k[i * n + j] = here;
        across = conj_(here);
      }
    }
  });
}

// Turns a Hermitian gradient, given on and below the diagonal, into the gradient with respect to the entries that
// `triangle` reads.
template <typename T>
void share_gradient(const eigenpair_hermitian_rule& p, void* gradient) {
  using R = typename RealPart<T>::type;
  const int64_t n = p.n;
  T* x = static_cast<T*>(gradient);
  const bool both = p.triangle == EIGENPAIR_HERMITIAN_PART;
  const bool above = (p.triangle == EIGENPAIR_UPPER) == (p.layout == EIGENPAIR_ROW_MAJOR);
  // Entries that are not read have gradient 0, even if the other triangle is infinite.
  const T unread = number_of<T>(R(0));
  visit_tiles<T>(x, x, n, [&](MirroredTile<T>& tile) {
    for (int64_t i = tile.p0; i < tile.p1; ++i) {
      for (int64_t j = tile.above(i); j < tile.q1; ++j) {
        T below = tile.across(i, j);
        if (p.conjugated) below = conj_(below);
        if (!both) below = scaled(below, R(2));
        x[i * n + j] = both || above ? conj_(below) : unread;
        tile.across(i, j) = both || !above ? below : unread;
      }
    }
    for (int64_t i = tile.p0; tile.on_diagonal() && i < tile.p1; ++i) {
      tile.across(i, i) = number_of<T>(real_(tile.across(i, i)));
    }
  });
}

// X Diag(dw), or X Diag(s w dw) for dB.
template <typename T>
void scale_columns(const eigenpair_hermitian_rule& p, int64_t index, bool of_b, const void* source, void* target) {
  using R = typename RealPart<T>::type;
  const int64_t n = p.n;
  const RuleOfType& type = kRuleOfType[p.type];
  const R *w = static_cast<const R*>(p.w) + index * n, *dw = static_cast<const R*>(p.dw) + index * n;
  const T* x = static_cast<const T*>(source);
  T* y = static_cast<T*>(target);
  const auto factor = [&](int64_t j) { return of_b ? n_of_dw(type, w[j], dw[j]) : dw[j]; };
  const bool rows = p.layout == EIGENPAIR_ROW_MAJOR;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) y[i * n + j] = scaled(x[i * n + j], factor(rows ? j : i));
  }
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
