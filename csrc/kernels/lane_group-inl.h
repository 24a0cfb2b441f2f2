// Solves groups of matrices, one in each lane: loads them, calls the solver, and stores the results.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "eigenpair.h"
#include "kernels/blocks-inl.h"
#include "kernels/lane_pair-inl.h"
#include "kernels/storage-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// The number of groups that are interleaved. For larger orders one group keeps the processor busy.
constexpr int kGroupsInTurns = 3;
constexpr int groups_in_turns(int64_t n, bool vectors) { return n <= (vectors ? 8 : 16) ? kGroupsInTurns : 1; }

template <typename T, int N>
struct LaneGroup {
  using R = typename RealPart<T>::type;
  using V = Vec<R>;
  using M = Mask<R>;
  static constexpr bool kComplex = !std::is_same_v<T, R>;
  static constexpr int kParts = kComplex ? 2 : 1;
  static constexpr int kWidth = kLanes<R>;
  static constexpr bool kBlocks = N > 0 && !kComplex, kByOneRotation = N == 2 && !kComplex;
  using Solver = LanePair<T, R, N>;
  using S = typename Solver::S;

  Solver* s;
  int64_t first;
  int count;
  M finite, definite, failed;
  V up, up_b, up_pair;

  // Loads matrices and scales each to size 1. Returns the lanes whose entries are all finite; the others become zero.
  static M load(const eigenpair_hermitian_problem& p, const void* source, int64_t stride, int64_t first, int count,
                S* target, int n, V* up) {
    const bool rows = p.layout == EIGENPAIR_ROW_MAJOR;
    const T* start = static_cast<const T*>(source) + first * stride;
    V whole[kBlocks ? N * N : 1];
    if constexpr (kBlocks) Block<R, N * N>::load(start, stride, count, whole);
    const auto gather = [&](int64_t offset, V* entry) {
      if constexpr (kBlocks) {
        *entry = whole[offset];
      } else {
        for (int lane = 0; lane < kWidth; ++lane) {
          const R* x = reinterpret_cast<const R*>(start + (lane < count ? lane : count - 1) * stride + offset);
          for (int part = 0; part < kParts; ++part) lanes_of<V, R>(entry[part])[lane] = x[part];
        }
      }
    };
    // Row-major storage of a Hermitian matrix is column-major storage of its conjugate.
    const bool both = p.triangle == EIGENPAIR_HERMITIAN_PART, below = (p.triangle == EIGENPAIR_LOWER) != rows;
    for (int j = 0; j < n; ++j) {
      for (int i = j; i < n; ++i) {
        V* entry = reinterpret_cast<V*>(&target[i + j * n]);
        V mirror[kParts];
        gather(both || below ? i + j * n : j + i * n, entry);
        if (both && i != j) {
          gather(j + i * n, mirror);
          if (kComplex) mirror[kParts - 1] = -mirror[kParts - 1];
          for (int part = 0; part < kParts; ++part) {
            const V half = splat<V>(R(0.5));
            entry[part] = select(entry[part] == mirror[part], entry[part], half * entry[part] + half * mirror[part]);
          }
        }
        if (kComplex && (both ? rows : p.triangle == EIGENPAIR_UPPER)) entry[kParts - 1] = -entry[kParts - 1];
        if (kComplex && i == j) entry[kParts - 1] = V{};
      }
    }
    return bring_to_size_one(target, n, up);
  }

  // Scales every lane by a power of two. Returns which lanes are finite; the others become zero.
  static M bring_to_size_one(S* target, int n, V* up) {
    V largest{}, poison{};
    for (int j = 0; j < n; ++j) {
      for (int i = j; i < n; ++i) {
        const V* entry = reinterpret_cast<const V*>(&target[i + j * n]);
        for (int part = 0; part < kParts; ++part) {
          const V size = magnitude(entry[part]);
          largest = size > largest ? size : largest;
          poison += entry[part] * R(0);
        }
      }
    }
    const M finite = poison == V{};
    V down;
    power_of_two(largest, &down, up);
    for (int j = 0; j < n; ++j) {
      for (int i = j; i < n; ++i) {
        V* entry = reinterpret_cast<V*>(&target[i + j * n]);
        for (int part = 0; part < kParts; ++part) entry[part] = select(finite, entry[part] * down, V{});
      }
    }
    return finite;
  }

  static void store_nan(const eigenpair_hermitian_problem& p, int64_t index, int n) {
    const R nan = __builtin_nan("");
    R* w = static_cast<R*>(p.w) + index * n;
    for (int i = 0; i < n; ++i) w[i] = nan;
    void* const matrices[] = {p.v, p.u};
    for (void* matrix : matrices) {
      if (matrix == nullptr) continue;
      R* out = reinterpret_cast<R*>(static_cast<T*>(matrix) + index * n * n);
      for (int i = 0; i < n * n * kParts; ++i) out[i] = nan;
    }
  }

  // Operations that a lane does not need may change the sign of a zero, depending on the other lanes. Adding 0 makes
  // every zero positive.
  static void store_vectors(const S* q, R factor, void* target, int64_t index, int lane, const int* order, int n,
                            bool rows) {
    R* out = reinterpret_cast<R*>(static_cast<T*>(target) + index * n * n);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < n; ++i) {
        const R* entry = reinterpret_cast<const R*>(&q[i + order[j] * n]);
        R* place = out + kParts * (rows ? i * n + j : i + j * n);
        for (int part = 0; part < kParts; ++part) place[part] = factor * entry[part * kWidth + lane] + R(0);
      }
    }
  }

  // Stores the vectors of a whole group.
  static void store_block(const S* q, V factor, void* target, int64_t first, bool rows) {
    V x[N * N];
    for (int j = 0; j < N; ++j) {
      for (int i = 0; i < N; ++i) x[rows ? i * N + j : i + j * N] = factor * q[i + j * N] + splat<V>(R(0));
    }
    Block<R, N * N>::store(x, kWidth, static_cast<R*>(target) + first * N * N);
  }

  static void sort_lane(const V* w, int n, int lane, int* order, R* values) {
    for (int j = 0; j < n; ++j) {
      const R value = w[j][lane];
      int place = j;
      for (; N == 0 && place > 0 && values[place - 1] > value; --place) {
        values[place] = values[place - 1];
        order[place] = order[place - 1];
      }
      values[place] = value;
      order[place] = j;
    }
  }

  // Loads matrices [first, first + count) and reduces them to tridiagonal form.
  void begin(const eigenpair_hermitian_problem& p, int64_t from, int matrices) {
    first = from;
    count = matrices;
    const int n = s->n();
    up_b = up_pair = splat<V>(R(1));
    finite = load(p, p.a, p.a_stride, first, count, &s->a(0, 0), n, &up);
    definite = finite | ~finite;
    failed = finite & ~finite;
    if (p.type != 0) {
      finite &= load(p, p.b, p.b_stride, first, count, &s->b(0, 0), n, &up_b);
      definite = s->factor();
      s->reduce_pair(p.type);
      // If B is nearly singular, the reduced matrix is large or not finite. Those that are not finite fail.
      failed = ~bring_to_size_one(&s->a(0, 0), n, &up_pair);
    }
    if constexpr (!kByOneRotation) s->reduce(p.v != nullptr);
  }

  // Writes the results from the eigenvalues and vectors of the tridiagonal form.
  void finish(const eigenpair_hermitian_problem& p) {
    const int n = s->n();
    const bool vectors = p.v != nullptr, rows = p.layout == EIGENPAIR_ROW_MAJOR;
    const V zero{}, one = splat<V>(R(1));
    if constexpr (kByOneRotation) s->rotate_two();
    if constexpr (N > 0) s->sort(vectors);
    if (p.type != 0 && vectors) s->take_back();

    V scale_v = one, scale_u = one;
    if (p.type != 0) {
      // B was scaled by an even power of two. The vectors must be scaled by its square root.
      const V scale_b = p.type == 1 ? one / up_b : up_b, size_b = root(up_b);
      for (int j = 0; j < n; ++j) s->d(j) = times_powers<R>(s->d(j), up_pair, up, scale_b);
      up = one;
      scale_v = p.type == 3 ? size_b : one / size_b;
      scale_u = p.type == 3 ? one / size_b : size_b;
    }
    V w[kSmallLimit], poison = zero;
    for (int j = 0; j < n; ++j) {
      w[j] = s->d(j) * up + zero;
      poison += w[j] * zero;
    }
    failed |= poison != zero;
    // For type 0 the dual basis is the basis itself.
    const S *primal = p.type == 0 ? &s->q(0, 0) : &s->a(0, 0), *dual = &s->q(0, 0);
    const S *v = p.type == 3 ? dual : primal, *u = p.type == 3 ? primal : dual;
    if constexpr (kBlocks) {
      if (count == kWidth && !any(~(finite & definite) | failed)) {
        Block<R, N>::store(w, kWidth, static_cast<R*>(p.w) + first * N);
        if (vectors) store_block(v, scale_v, p.v, first, rows);
        if (p.u != nullptr) store_block(u, scale_u, p.u, first, rows);
        for (int lane = 0; p.info != nullptr && lane < kWidth; ++lane) p.info[first + lane] = EIGENPAIR_INFO_OK;
        return;
      }
    }
    for (int lane = 0; lane < count; ++lane) {
      const int64_t index = first + lane;
      int32_t info = EIGENPAIR_INFO_OK;
      if (finite[lane] == 0) {
        info = EIGENPAIR_INFO_NOT_FINITE;
      } else if (definite[lane] == 0) {
        info = EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE;
      } else if (failed[lane] != 0) {
        info = EIGENPAIR_INFO_NO_CONVERGENCE;
      }
      if (p.info != nullptr) p.info[index] = info;
      if (info != EIGENPAIR_INFO_OK) {
        store_nan(p, index, n);
        continue;
      }
      int order[kSmallLimit];
      R values[kSmallLimit];
      sort_lane(w, n, lane, order, values);
      std::memcpy(static_cast<R*>(p.w) + index * n, values, static_cast<size_t>(n) * sizeof(R));
      if (vectors) store_vectors(v, scale_v[lane], p.v, index, lane, order, n, rows);
      if (p.u != nullptr) store_vectors(u, scale_u[lane], p.u, index, lane, order, n, rows);
    }
  }
};

// Solves `kGroups` groups from matrix `at` on. Only the last may be incomplete. A compiler may contract products and
// sums in one instance and not in another; `same_bits…` in test_small.c tests that results do not depend on it.
template <typename T, int N, int kGroups>
void solve_groups(const eigenpair_hermitian_problem& p, int64_t at, int64_t last, void* scratch) {
  using Group = LaneGroup<T, N>;
  using Solver = typename Group::Solver;
  Group groups[kGroups];
  typename Solver::Base* solvers[kGroups];
  char* const squares = static_cast<char*>(scratch) + kGroups * sizeof(Solver);
  for (int k = 0; k < kGroups; ++k) {
    const int64_t from = at + k * Group::kWidth, left = last - from;
    groups[k].s = static_cast<Solver*>(scratch) + k;
    solvers[k] = groups[k].s;
    groups[k].s->place(static_cast<int>(p.n),
                       reinterpret_cast<typename Solver::S*>(squares + k * Solver::squares_bytes(p.n)));
    groups[k].begin(p, from, static_cast<int>(left < Group::kWidth ? left : Group::kWidth));
  }
  if constexpr (!Group::kByOneRotation) Solver::Base::iterate(solvers, p.v != nullptr);
  for (Group& group : groups) group.finish(p);
}

template <typename T, int N>
void solve_order(const eigenpair_hermitian_problem& p, int64_t first, int64_t last, void* scratch) {
  constexpr int64_t kWidth = LaneGroup<T, N>::kWidth;
  int64_t at = first;
  if (groups_in_turns(p.n, p.v != nullptr) > 1) {
    constexpr int64_t kMost = kGroupsInTurns;
    for (; at + (kMost - 1) * kWidth < last; at += kMost * kWidth) solve_groups<T, N, kMost>(p, at, last, scratch);
  }
  for (; at < last; at += kWidth) solve_groups<T, N, 1>(p, at, last, scratch);
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
