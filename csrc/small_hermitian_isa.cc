// Compiled once per instruction set, with EIGENPAIR_ISA naming the namespace and the symbol.
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "small_hermitian.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

#include "small_lanes.h"
#include "small_solver.h"
#include "small_storage.h"
// built on these:
#include "small_pair.h"

// 2^-k for the k that brings x to [1, 2), and 2^k; exact both, and clamped well inside the exponent range.
inline void power_of_two(double x, double* down, double* up) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  int64_t k = 1023 - static_cast<int64_t>((bits >> 52) & 2047);
  k = k > 1000 ? 1000 : (k < -1000 ? -1000 : k);
  k &= ~int64_t{1};  // even: generalized problems need its square root
  const uint64_t forward = static_cast<uint64_t>(1023 + k) << 52, back = static_cast<uint64_t>(1023 - k) << 52;
  std::memcpy(down, &forward, sizeof forward);
  std::memcpy(up, &back, sizeof back);
}
inline void power_of_two(float x, float* down, float* up) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  int32_t k = 127 - static_cast<int32_t>((bits >> 23) & 255);
  k = k > 120 ? 120 : (k < -120 ? -120 : k);
  k &= ~1;
  const uint32_t forward = static_cast<uint32_t>(127 + k) << 23, back = static_cast<uint32_t>(127 - k) << 23;
  std::memcpy(down, &forward, sizeof forward);
  std::memcpy(up, &back, sizeof back);
}

template <typename V, typename R>
inline R* lanes_of(V& x) {
  return reinterpret_cast<R*>(&x);
}

template <typename T, int N>
struct SmallGroup {
  using R = typename RealPart<T>::type;
  using V = Vec<R>;
  using M = Mask<R>;
  static constexpr bool kComplex = !std::is_same_v<T, R>;
  static constexpr int kParts = kComplex ? 2 : 1;
  static constexpr int kWidth = kLanes<R>;
  using Solver = SmallPair<T, R, N>;
  using S = typename Solver::S;

  // Returns the lanes whose entries are all finite; the others become zero. Scales each matrix to size 1.
  static M load(const eigenpair_hermitian_problem& p, const void* source, int64_t stride, int64_t first, int count,
                S* target, int n, V* up) {
    const bool rows = p.layout == EIGENPAIR_ROW_MAJOR;
    const T* matrices[kWidth];
    for (int lane = 0; lane < kWidth; ++lane) {
      matrices[lane] = static_cast<const T*>(source) + (first + (lane < count ? lane : count - 1)) * stride;
    }
    // Row-major storage is the transpose of column-major: of the conjugate matrix.
    const bool both = p.triangle == EIGENPAIR_HERMITIAN_PART, below = (p.triangle == EIGENPAIR_LOWER) != rows;
    for (int j = 0; j < n; ++j) {
      for (int i = j; i < n; ++i) {
        V* entry = reinterpret_cast<V*>(&target[i + j * n]);
        V mirror[kParts];
        const int64_t here = i + j * n, there = j + i * n;
        for (int lane = 0; lane < kWidth; ++lane) {
          const R* x = reinterpret_cast<const R*>(matrices[lane] + (both || below ? here : there));
          for (int part = 0; part < kParts; ++part) lanes_of<V, R>(entry[part])[lane] = x[part];
          if (!both) continue;
          const R* y = reinterpret_cast<const R*>(matrices[lane] + there);
          for (int part = 0; part < kParts; ++part) lanes_of<V, R>(mirror[part])[lane] = y[part];
        }
        if (kComplex && both) mirror[kParts - 1] = -mirror[kParts - 1];
        for (int part = 0; both && part < kParts; ++part) {
          const V half = splat<V>(R(0.5));
          entry[part] = select(entry[part] == mirror[part], entry[part], half * entry[part] + half * mirror[part]);
        }
        if (kComplex && (both ? rows : p.triangle == EIGENPAIR_UPPER)) entry[kParts - 1] = -entry[kParts - 1];
        if (kComplex && i == j) entry[kParts - 1] = V{};
      }
    }
    return bring_to_size_one(target, n, up);
  }

  // Scales every lane by a power of two, and says which are finite; the others become zero.
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
    for (int lane = 0; lane < kWidth; ++lane)
      power_of_two(largest[lane], &lanes_of<V, R>(down)[lane], &lanes_of<V, R>(*up)[lane]);
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

  // The operations that a lane does not need leave it as it is but for the sign of a zero, which depends on the
  // company; so
  // + 0, which makes every zero a positive one.
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

  static void sort_lane(Solver* s, int lane, int* order, R* values) {
    for (int j = 0; j < s->n(); ++j) {
      const R value = s->d(j)[lane];
      int place = j;
      for (; N == 0 && place > 0 && values[place - 1] > value; --place) {
        values[place] = values[place - 1];
        order[place] = order[place - 1];
      }
      values[place] = value;
      order[place] = j;
    }
  }

  static bool finite_values(Solver* s, int lane, R up_pair, R up, R scale_b) {
    R poison = 0;
    for (int j = 0; j < s->n(); ++j) poison += s->d(j)[lane] * up_pair * up * scale_b * R(0);
    return poison == R(0);
  }

  static void run(const eigenpair_hermitian_problem& p, int64_t first, int count, Solver* s) {
    const int n = s->n();
    const bool vectors = p.v != nullptr, rows = p.layout == EIGENPAIR_ROW_MAJOR;
    V up, up_b, up_pair = splat<V>(R(1));
    M finite = load(p, p.a, p.a_stride, first, count, &s->a(0, 0), n, &up), definite = finite | ~finite,
      overflown = finite & ~finite;
    if (p.type != 0) {
      finite &= load(p, p.b, p.b_stride, first, count, &s->b(0, 0), n, &up_b);
      definite = s->factor();
      s->reduce_pair(p.type);
      // Near-singular B makes large what was of size one. What is not finite now is not solved.
      overflown = ~bring_to_size_one(&s->a(0, 0), n, &up_pair);
    }
    M failed = overflown;
    if constexpr (N == 2 && !kComplex) {
      s->rotate_two();
    } else {
      s->reduce(vectors);
      failed |= s->iterate(vectors);
    }
    if constexpr (N > 0) s->sort(vectors);
    if (p.type != 0 && vectors) s->take_back();
    for (int lane = 0; lane < count; ++lane) {
      const int64_t index = first + lane;
      const R scale_b = p.type == 0 ? R(1) : (p.type == 1 ? R(1) / up_b[lane] : up_b[lane]);
      int32_t info = EIGENPAIR_INFO_OK;
      if (finite[lane] == 0) {
        info = EIGENPAIR_INFO_NOT_FINITE;
      } else if (definite[lane] == 0) {
        info = EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE;
      } else if (failed[lane] != 0 || !finite_values(s, lane, up_pair[lane], up[lane], scale_b)) {
        info = EIGENPAIR_INFO_NO_CONVERGENCE;
      }
      if (p.info != nullptr) p.info[index] = info;
      if (info != EIGENPAIR_INFO_OK) {
        store_nan(p, index, n);
        continue;
      }
      int order[kSmallLimit];
      R values[kSmallLimit];
      sort_lane(s, lane, order, values);
      R* w = static_cast<R*>(p.w) + index * n;
      for (int j = 0; j < n; ++j) w[j] = values[j] * up_pair[lane] * up[lane] * scale_b + R(0);
      if (!vectors) continue;
      if (p.type == 0) {
        store_vectors(&s->q(0, 0), R(1), p.v, index, lane, order, n, rows);
        if (p.u != nullptr) store_vectors(&s->q(0, 0), R(1), p.u, index, lane, order, n, rows);
        continue;
      }
      // B was scaled by an even power of two, and vectors by its square root.
      const R size = static_cast<R>(__builtin_sqrt(static_cast<double>(up_b[lane])));
      const S *primal = &s->a(0, 0), *dual = &s->q(0, 0);
      store_vectors(p.type == 3 ? dual : primal, p.type == 3 ? size : R(1) / size, p.v, index, lane, order, n, rows);
      if (p.u == nullptr) continue;
      store_vectors(p.type == 3 ? primal : dual, p.type == 3 ? R(1) / size : size, p.u, index, lane, order, n, rows);
    }
  }
};

template <typename T, int N>
void solve_order(const eigenpair_hermitian_problem& p, int64_t first, int64_t last, void* scratch) {
  using R = typename RealPart<T>::type;
  auto* solver = static_cast<SmallPair<T, R, N>*>(scratch);
  solver->set_order(static_cast<int>(p.n));
  for (int64_t at = first; at < last; at += kLanes<R>) {
    const int64_t left = last - at;
    SmallGroup<T, N>::run(p, at, static_cast<int>(left < kLanes<R> ? left : kLanes<R>), solver);
  }
}

template <typename T>
void solve(const eigenpair_hermitian_problem& p, int64_t first, int64_t last, void* scratch) {
  // Unrolled where that is most of the time; each instance costs compile time and 10 kB.
  if constexpr (std::is_same_v<T, typename RealPart<T>::type>) {
    if (p.n == 2) return solve_order<T, 2>(p, first, last, scratch);
    if (p.n == 3) return solve_order<T, 3>(p, first, last, scratch);
    if (p.n == 4) return solve_order<T, 4>(p, first, last, scratch);
  }
  solve_order<T, 0>(p, first, last, scratch);
}

template <typename T>
size_t scratch_bytes() {
  return sizeof(SmallPair<T, typename RealPart<T>::type, 0>);
}

}  // namespace

extern const SmallSolvers solvers;
const SmallSolvers solvers = {
    {solve<float>, solve<double>, solve<Complex<float>>, solve<Complex<double>>},
    {scratch_bytes<float>, scratch_bytes<double>, scratch_bytes<Complex<float>>, scratch_bytes<Complex<double>>},
    {kLanes<float>, kLanes<double>, kLanes<float>, kLanes<double>}};

}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
