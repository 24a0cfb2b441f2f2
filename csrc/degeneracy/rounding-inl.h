// The size of rounding errors in the numbers that a decision tests, in units of √n ε: docs/derivations.md,
// "Degeneracy".
#pragma once

#include <cstdint>

#include "degeneracy/thresholds-inl.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// x, or NaN if it overflowed, so that nothing passes a test against it.
template <typename R>
inline R finite_or_nan(R x) {
  return x + (x - x);
}

// `size`, limited so that half of the digits of the largest entry count as exact. NaN if it is not known.
template <typename R>
inline R at_most_half_of_digits(R size, R largest) {
  const R most = finite_or_nan(largest / static_cast<R>(kRoundingLimit * __builtin_sqrt(Precision<R>::kEpsilon)));
  size = finite_or_nan(size);
  return size <= most || is_nan(size) ? size : most;
}

// The 2-norm of entry(0), ..., entry(count - 1), which are not negative. Safe from overflow and underflow of squares.
template <typename R, typename Entry>
R norm_of(int64_t count, const Entry& entry) {
  R top = 0, sum = 0;
  for (int64_t i = 0; i < count; ++i) top = larger(top, entry(i));
  // 0, infinity and NaN stay what they are.
  top = top > 0 && top - top == 0 ? top : R(1);
  for (int64_t i = 0; i < count; ++i) sum += entry(i) / top * (entry(i) / top);
  return top * static_cast<R>(__builtin_sqrt(sum));
}

// The 2-norms of the columns of a matrix, with rows or columns contiguous.
template <typename T>
void column_norms(const T* matrix, int64_t rows, int64_t columns, bool by_rows, typename RealPart<T>::type* norms) {
  using R = typename RealPart<T>::type;
  constexpr int64_t kParts = sizeof(T) / sizeof(R), kBlock = 64;
  const R* x = reinterpret_cast<const R*>(matrix);
  for (int64_t first = 0; first < columns; first += kBlock) {
    const int64_t count = first + kBlock < columns ? kBlock : columns - first;
    // In the order of memory.
    const auto visit = [&](auto each) {
      const int64_t outer = by_rows ? rows : count, inner = by_rows ? count : rows;
      for (int64_t a = 0; a < outer; ++a) {
        for (int64_t b = 0; b < inner; ++b) {
          const R* entry = x + (by_rows ? a * columns + first + b : (first + a) * rows + b) * kParts;
          for (int64_t part = 0; part < kParts; ++part) each(by_rows ? b : a, entry[part]);
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

// ---- reverse mode ----

// The rounding errors of Xᴴ dX, for one basis X and its cotangent dX. The rounding errors in dX have the same size in
// all columns, or are proportional to the vectors: we take the smaller estimate.
template <typename T>
class RoundingOfBasis {
 public:
  using R = typename RealPart<T>::type;

  RoundingOfBasis() = default;
  // `norms` has room for 2 n numbers.
  RoundingOfBasis(const T* x, const T* dx, int64_t rows, int64_t n, bool by_rows, R* norms) : lengths_(norms) {
    column_norms(x, rows, n, by_rows, norms);
    column_norms(dx, rows, n, by_rows, norms + n);
    for (int64_t k = 0; k < n; ++k) {
      const R size = norms[n + k];
      largest_ = larger(largest_, size);
      relative_ = larger(relative_, size == 0 ? R(0) : size / norms[k]);
    }
  }

  R operator()(int64_t i, int64_t j) const {
    if (lengths_ == nullptr) return 0;
    const R x = lengths_[i], y = lengths_[j], large = x < y ? y : x, small = x < y ? x : y;
    const R flat = large * largest_, proportional = small * relative_ * large;
    return proportional < flat ? proportional : flat;
  }

 private:
  const R* lengths_ = nullptr;
  R largest_ = 0, relative_ = 0;
};

// The rounding errors of K = Vᴴ dV - dUᴴ U.
template <typename T>
class RoundingOfK {
 public:
  using R = typename RealPart<T>::type;

  // How many numbers `norms` has room for, in units of n.
  static constexpr int64_t kNorms = 4;

  // Matrices of `rows` x n; a cotangent may be NULL.
  void open(const T* v, const T* dv, const T* u, const T* du, int64_t rows, int64_t n, bool by_rows, R* norms) {
    of_v_ = dv == nullptr ? RoundingOfBasis<T>() : RoundingOfBasis<T>(v, dv, rows, n, by_rows, norms);
    of_u_ = du == nullptr ? RoundingOfBasis<T>() : RoundingOfBasis<T>(u, du, rows, n, by_rows, norms + 2 * n);
  }

  R operator()(int64_t i, int64_t j) const { return of_v_(i, j) + of_u_(i, j); }

 private:
  RoundingOfBasis<T> of_v_, of_u_;
};

// ---- forward mode ----

// Calls add(i, j, size) with the entries (i, j), where `wanted`, of |X|ᵀ |A| |Y|: the size of the rounded terms in
// Xᴴ A Y. It does not change if X, A and Y are scaled row by row against each other, as in a graded problem.
// `size_of_...` are the absolute values of the entries; `row` has room for `rows` numbers.
template <typename R, typename SizeOfX, typename SizeOfA, typename SizeOfY, typename Wanted, typename Add>
void add_rounding_of_form(int64_t rows, int64_t n, const SizeOfX& size_of_x, const SizeOfA& size_of_a,
                          const SizeOfY& size_of_y, const Wanted& wanted, const Add& add, R* row) {
  for (int64_t j = 0; j < n; ++j) {
    bool any = false;
    for (int64_t i = 0; i < n; ++i) any |= i != j && wanted(i, j);
    if (!any) continue;
    for (int64_t k = 0; k < rows; ++k) {
      row[k] = 0;
      for (int64_t l = 0; l < rows; ++l) row[k] += size_of_a(k, l) * size_of_y(l, j);
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i == j || !wanted(i, j)) continue;
      R sum = 0;
      for (int64_t k = 0; k < rows; ++k) sum += size_of_x(k, i) * row[k];
      add(i, j, sum);
    }
  }
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
