// The LAPACK calls that solve for a subset of the spectrum: sytrd, sterf, stebz, stein, ormtr; gttrf, gttrs for the
// complement.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "lapack/lapack.h"
#include "runtime/matrix.h"

namespace eigenpair {

// ormtr is unmtr for complex matrices.
template <typename T>
void* find_ormtr(const eigenpair_lapack& lapack) {
  return find_routine(lapack, std::string(1, prefix<T>()) + (is_complex<T> ? "unmtr" : "ormtr"));
}

// Applies Q of A = Q T Q^H, or its adjoint, to the n x k matrix c from the left.
template <typename T, typename Int>
Int multiply_by_q(void* ormtr, bool adjoint, Int n, Int k, const T* reflectors, const T* tau, T* c, T* work,
                  Int lwork) {
  const Length one = 1;
  Int info = 0;
  fortran(ormtr, "L", "L", adjoint ? (is_complex<T> ? "C" : "T") : "N", &n, &k, reflectors, &n, tau, c, &n, work,
          &lwork, &info, one, one, one);
  return info;
}

template <typename T, typename Int>
int64_t query_multiply_by_q(void* ormtr, Int n, Int k) {
  T nothing{}, size{};
  check_query(multiply_by_q<T, Int>(ormtr, false, n, k, &nothing, &nothing, &nothing, &size, -1));
  return at_least<Real<T>>(std::max<int64_t>(n, k), std::real(size));
}

template <typename T, typename Int>
class SubsetDriver {
 public:
  using R = Real<T>;

  struct Scratch {
    explicit Scratch(const SubsetDriver& driver)
        : work(driver.lwork_),
          diagonal(driver.n_),
          beside(driver.n_),
          values(driver.n_),
          picked(driver.n_),
          reals(5 * static_cast<int64_t>(driver.n_)),
          blocks(driver.n_),
          splits(driver.n_),
          picked_blocks(driver.n_),
          integers(4 * static_cast<int64_t>(driver.n_)),
          order(static_cast<size_t>(driver.n_)) {}
    Buffer<T> work;
    Buffer<R> diagonal, beside, values, picked, reals;
    Buffer<Int> blocks, splits, picked_blocks, integers;
    std::vector<int64_t> order;
  };

  SubsetDriver(const eigenpair_lapack& lapack, int64_t n, int64_t count, bool vectors)
      : n_(checked<Int>(n)),
        sytrd_(find_routine(lapack, routine_name<T>("sytrd"))),
        sterf_(find_routine(lapack, routine_name<R>("sterf"))),
        stebz_(vectors || kFew * count <= n ? find_routine(lapack, routine_name<R>("stebz")) : nullptr),
        stein_(vectors ? find_routine(lapack, routine_name<T>("stein")) : nullptr),
        ormtr_(vectors ? find_ormtr<T>(lapack) : nullptr),
        few_(kFew * count <= n) {
    T nothing{}, size{};
    R real{};
    check_query(tridiagonal(&nothing, &nothing, &real, &real, &size, -1));
    int64_t lwork = at_least<R>(1, std::real(size));
    if (vectors) lwork = std::max(lwork, query_multiply_by_q<T, Int>(ormtr_, n_, checked<Int>(count)));
    lwork_ = checked<Int>(lwork);
  }

  bool reduce(T* a, T* tau, Scratch& s) const {
    return tridiagonal(a, tau, s.diagonal.get(), s.beside.get(), s.work.get(), lwork_) == 0;
  }

  // Whether bisection for this many eigenvalues is faster than QL for all.
  bool bisection_is_faster() const { return few_; }

  // All eigenvalues of the tridiagonal matrix, ascending, into s.values.
  bool all_values(Scratch& s) const {
    Int info = 0;
    std::copy(s.diagonal.get(), s.diagonal.get() + n_, s.values.get());
    std::copy(s.beside.get(), s.beside.get() + n_ - 1, s.reals.get());
    fortran(sterf_, &n_, s.values.get(), s.reals.get(), &info);
    return info == 0;
  }

  // Computes eigenvalues first, first + 1, ... of the tridiagonal matrix into s.values, block by block. Returns how
  // many were found, or -1.
  int64_t bisect(int64_t first, int64_t count, Scratch& s) const {
    const R bound = 0;
    // The smallest tolerance that stebz can use.
    const R tolerance = 2 * std::numeric_limits<R>::min();
    const Int low = static_cast<Int>(first + 1), high = static_cast<Int>(first + count);
    const Length one = 1;
    Int found = 0, splits = 0, info = 0;
    fortran(stebz_, "I", "B", &n_, &bound, &bound, &low, &high, &tolerance, s.diagonal.get(), s.beside.get(), &found,
            &splits, s.values.get(), s.blocks.get(), s.splits.get(), s.reals.get(), s.integers.get(), &info, one, one);
    return info == 0 ? static_cast<int64_t>(found) : -1;
  }

  // Computes the eigenvectors of some of the eigenvalues that bisect() found, to the columns of z. `kept` are their
  // positions, ascending.
  bool vectors(const std::vector<int64_t>& kept, const T* reflectors, const T* tau, T* z, Scratch& s) const {
    const Int count = static_cast<Int>(kept.size());
    for (size_t j = 0; j < kept.size(); ++j) {
      s.picked.get()[j] = s.values.get()[kept[j]];
      s.picked_blocks.get()[j] = s.blocks.get()[kept[j]];
    }
    Int info = 0;
    Int* failures = s.integers.get() + n_;
    fortran(stein_, &n_, s.diagonal.get(), s.beside.get(), &count, s.picked.get(), s.picked_blocks.get(),
            s.splits.get(), z, &n_, s.reals.get(), s.integers.get(), failures, &info);
    if (info != 0) return false;
    return multiply_by_q<T, Int>(ormtr_, false, n_, count, reflectors, tau, z, s.work.get(), lwork_) == 0;
  }

 private:
  int64_t tridiagonal(T* a, T* tau, R* d, R* e, T* work, Int lwork) const {
    Int info = 0;
    const Length one = 1;
    fortran(sytrd_, "L", &n_, a, &n_, d, e, tau, work, &lwork, &info, one);
    return static_cast<int64_t>(info);
  }

  // Bisection is faster for up to n/kFew eigenvalues.
  static constexpr int64_t kFew = 24;

  Int n_;
  void *sytrd_, *sterf_, *stebz_, *stein_, *ormtr_;
  Int lwork_ = 0;
  bool few_;
};

// Solves with a matrix whose shift is an eigenvalue up to rounding. `solve(shift, least, x)` overwrites x, with pivots
// of at least `least`; `size` is that of the matrix. The matrix is sometimes much closer to singular than rounding.
// Then rounding errors of the right side along the eigenvector grow so large that a projection afterwards does not
// remove all of them. So if the solution is large, we try shifts that differ by rounding, and take the smallest
// solution. False if none is finite.
template <typename T, typename Solve>
bool smallest_solution(const T* right, int64_t entries, Real<T> shift, Real<T> size, T* solution, T* best,
                       const Solve& solve) {
  using R = Real<T>;
  constexpr R kEpsilon = std::numeric_limits<R>::epsilon(), kPlain = 1e3;
  R given = 0, smallest = std::numeric_limits<R>::infinity();
  for (int64_t i = 0; i < entries; ++i) given = std::max(given, std::abs(right[i]));
  for (const int steps : {0, 1, -1, 2, -2}) {
    std::copy(right, right + entries, solution);
    if (!solve(shift + static_cast<R>(steps) * kEpsilon * size, kEpsilon * size, solution)) return false;
    R largest = 0;
    for (int64_t i = 0; i < entries; ++i) largest = std::max(largest, std::abs(solution[i]));
    if (!all_finite(solution, entries) || largest >= smallest / 2) continue;
    smallest = largest;
    std::copy(solution, solution + entries, best);
    if (largest * size <= kPlain * given) break;
  }
  return smallest < std::numeric_limits<R>::infinity();
}

// y ← y − v (vᴴ y), of n x k matrices, with room for k x k numbers in `overlap`.
template <typename T, typename Int>
void project_out(void* gemm, Int n, Int k, const T* v, T* y, T* overlap) {
  const T plus = T(1), minus = T(-1), zero = T(0);
  const Length one = 1;
  fortran(gemm, "C", "N", &k, &k, &n, &plus, v, &n, y, &n, &zero, overlap, &k, one, one);
  fortran(gemm, "N", "N", &n, &k, &k, &minus, v, &n, overlap, &k, &plus, y, &n, one, one);
}

template <typename T, typename Int>
class ComplementDriver {
 public:
  using R = Real<T>;

  struct Scratch {
    explicit Scratch(const ComplementDriver& driver)
        : work(driver.lwork_), reals((4 + 3 * kParts) * static_cast<int64_t>(driver.n_)), integers(driver.n_) {}
    Buffer<T> work;
    Buffer<R> reals;
    Buffer<Int> integers;
  };

  ComplementDriver(const eigenpair_lapack& lapack, int64_t n, int64_t count)
      : n_(checked<Int>(n)),
        count_(checked<Int>(count)),
        ormtr_(find_ormtr<T>(lapack)),
        gemm_(find_routine(lapack, routine_name<T>("gemm"))),
        gttrf_(find_routine(lapack, routine_name<R>("gttrf"))),
        gttrs_(find_routine(lapack, routine_name<R>("gttrs"))),
        lwork_(checked<Int>(query_multiply_by_q<T, Int>(ormtr_, n_, count_))) {}

  // y ← y − v (vᴴ y)
  void project(const T* v, T* y, T* overlap) const { project_out<T, Int>(gemm_, n_, count_, v, y, overlap); }

  // y_j ← (A − w_j)⁻¹ y_j, with pivots bounded away from zero.
  bool solve(const T* reflectors, const T* tau, const T* diagonal, const T* beside, R down, const R* w, T* y,
             Scratch& s) const {
    if (multiply_by_q<T, Int>(ormtr_, true, n_, count_, reflectors, tau, y, s.work.get(), lwork_) != 0) return false;
    for (Int j = 0; j < count_; ++j) {
      if (!solve_column(diagonal, beside, down, w[j] * down, y + static_cast<int64_t>(j) * n_, s)) return false;
    }
    return multiply_by_q<T, Int>(ormtr_, false, n_, count_, reflectors, tau, y, s.work.get(), lwork_) == 0;
  }

 private:
  bool solve_column(const T* diagonal, const T* beside, R down, R shift, T* y, Scratch& s) const {
    const int64_t n = n_, entries = kParts * n;
    R size = std::max(std::numeric_limits<R>::min(), std::abs(shift));
    for (int64_t i = 0; i < n; ++i) {
      size = std::max({size, std::abs(diagonal[i]), i + 1 < n ? std::abs(beside[i]) : R(0)});
    }
    R* numbers = reinterpret_cast<R*>(y);
    R *right = s.reals.get() + 4 * n, *solution = right + entries, *best = solution + entries;
    for (int64_t i = 0; i < entries; ++i) right[i % kParts * n + i / kParts] = numbers[i];
    const auto solve = [&](R shifted, R least, R* x) { return solve_shifted(diagonal, beside, shifted, least, x, s); };
    if (!smallest_solution(right, entries, shift, size, solution, best, solve)) return false;
    for (int64_t i = 0; i < entries; ++i) numbers[i] = best[i % kParts * n + i / kParts] * down;
    return true;
  }

  // Solves for the real parts of x and then for the imaginary parts, with pivots of at least `least`. We use gttrf,
  // which has true partial pivoting. The pivoting of lagtf is relative to the neighbouring entries, so it may divide a
  // small coupling by a much smaller pivot.
  bool solve_shifted(const T* diagonal, const T* beside, R shift, R least, R* x, Scratch& s) const {
    const int64_t n = n_;
    R *d = s.reals.get(), *above = d + n, *below = above + n, *second = below + n;
    for (int64_t i = 0; i < n; ++i) {
      d[i] = std::real(diagonal[i]) - shift;
      if (i + 1 < n) above[i] = below[i] = std::real(beside[i]);
    }
    Int info = 0;
    fortran(gttrf_, &n_, below, d, above, second, s.integers.get(), &info);
    if (info < 0) return false;
    for (int64_t i = 0; i < n; ++i) {
      if (std::abs(d[i]) < least) d[i] = std::copysign(least, d[i]);
    }
    const Int columns = kParts;
    const Length one = 1;
    fortran(gttrs_, "N", &n_, &columns, below, d, above, second, s.integers.get(), x, &n_, &info, one);
    return info == 0;
  }

  static constexpr int kParts = is_complex<T> ? 2 : 1;

  Int n_, count_;
  void *ormtr_, *gemm_, *gttrf_, *gttrs_;
  Int lwork_;
};

}  // namespace eigenpair
