// How far rounding reaches in entries of K = V* dV - dU* U, of docs/derivations.md, "Degeneracy".
#pragma once

#include <cstdint>

#include "degeneracy/decision-inl.h"
#include "eigenpair.h"
#include "kernels/lanes-inl.h"
#include "kernels/storage-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// A NaN stays.
template <typename R>
inline R larger(R x, R y) {
  return y <= x || x != x ? x : y;
}

// A bound that overflows must not be one that everything respects.
template <typename R>
inline R finite_or_nan(R x) {
  return x + (x - x);
}

// `kappa`, but so small that half of the digits of the largest entry are no rounding; NaN where it is not known.
template <typename R>
inline R at_most_of(R kappa, R largest) {
  const R most = finite_or_nan(largest / static_cast<R>(kRoundingOfCotangent * __builtin_sqrt(LaneTypes<R>::kEpsilon)));
  kappa = finite_or_nan(kappa);
  return kappa <= most || kappa != kappa ? kappa : most;
}

// The 2-norms of the columns of an n x n matrix, each safe from overflow and underflow of its squares; NaN if there is
// one in it.
template <typename T>
void column_norms(const T* matrix, int64_t n, bool rows, typename RealPart<T>::type* norms) {
  using R = typename RealPart<T>::type;
  constexpr int64_t kParts = sizeof(T) / sizeof(R), kBlock = 64;
  const R* x = reinterpret_cast<const R*>(matrix);
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t count = first + kBlock < n ? kBlock : n - first;
    // In the order of memory.
    const auto visit = [&](auto each) {
      const int64_t outer = rows ? n : count, inner = rows ? count : n;
      for (int64_t a = 0; a < outer; ++a) {
        for (int64_t b = 0; b < inner; ++b) {
          const R* entry = x + (rows ? a * n + first + b : (first + a) * n + b) * kParts;
          for (int64_t part = 0; part < kParts; ++part) each(rows ? b : a, entry[part]);
        }
      }
    };
    R tops[kBlock] = {}, sums[kBlock] = {};
    visit([&](int64_t j, R entry) { tops[j] = larger(tops[j], absolute(entry)); });
    // 0, infinity and NaN stay what they are.
    for (R& top : tops) top = top > 0 && top - top == 0 ? top : R(1);
    visit([&](int64_t j, R entry) { sums[j] += entry / tops[j] * (entry / tops[j]); });
    for (int64_t j = 0; j < count; ++j) norms[first + j] = tops[j] * static_cast<R>(__builtin_sqrt(sums[j]));
  }
}

// One basis and its cotangent. What a loss leaves in its cotangent as rounding is of one size in all columns, or in
// proportion to the vectors: the smaller of the two is believed.
template <typename T>
class RoundingOfBasis {
 public:
  using R = typename RealPart<T>::type;

  RoundingOfBasis() = default;
  // `norms` has room for 2 n numbers.
  RoundingOfBasis(const T* x, const T* dx, int64_t n, bool rows, R* norms) : lengths_(norms) {
    column_norms(x, n, rows, norms);
    column_norms(dx, n, rows, norms + n);
    for (int64_t k = 0; k < n; ++k) {
      const R size = norms[n + k];
      largest_ = larger(largest_, size);
      relative_ = larger(relative_, size == 0 ? R(0) : size / norms[k]);
    }
  }

  R operator()(int64_t i, int64_t j) const {
    if (lengths_ == nullptr) return 0;
    const R x = lengths_[i], y = lengths_[j], large = x < y ? y : x, small = x < y ? x : y;
    const R flat = large * largest_, scaled = small * relative_ * large;
    return scaled < flat ? scaled : flat;
  }

 private:
  const R* lengths_ = nullptr;
  R largest_ = 0, relative_ = 0;
};

template <typename T>
class RoundingOfK {
 public:
  using R = typename RealPart<T>::type;

  // For each order, how many numbers the norms take.
  static constexpr int64_t kNorms = 4;

  // `of_k` is the largest entry of K.
  void open(const eigenpair_hermitian_rule& p, int64_t index, R of_k, R* norms) {
    const auto of_basis = [&](const void* x, const void* dx, R* room) {
      if (dx == nullptr) return RoundingOfBasis<T>();
      const int64_t start = index * p.n * p.n;
      return RoundingOfBasis<T>(static_cast<const T*>(x) + start, static_cast<const T*>(dx) + start, p.n,
                                p.layout == EIGENPAIR_ROW_MAJOR, room);
    };
    of_v_ = of_basis(p.v, p.dv, norms);
    of_u_ = of_basis(p.u, p.du, norms + 2 * p.n);
    of_k_ = of_k;
  }

  // NaN where it is not known.
  R operator()(int64_t i, int64_t j) const { return at_most_of<R>(of_v_(i, j) + of_u_(i, j), of_k_); }

 private:
  RoundingOfBasis<T> of_v_, of_u_;
  R of_k_ = 0;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
