// The LAPACK calls for Hermitian band matrices: reduction to tridiagonal form, its eigenpairs, and LU factors.
//
// A band of width k is stored by columns, as in LAPACK: A(j + m, j) is entry m of column j, with k + 1 entries each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "lapack/lapack.h"
#include "lapack/subset_drivers.h"
#include "runtime/matrix.h"

namespace eigenpair {

// sbtrd is hbtrd for complex matrices.
template <typename T>
void* find_sbtrd(const eigenpair_lapack& lapack) {
  return find_routine(lapack, std::string(1, prefix<T>()) + (is_complex<T> ? "hbtrd" : "sbtrd"));
}

template <typename T, typename Int>
class BandedDriver {
 public:
  using R = Real<T>;

  struct Scratch {
    explicit Scratch(const BandedDriver& driver)
        : q(driver.reduces() && driver.vectors_ ? driver.square() : 0),
          work(driver.n_),
          diagonal(driver.n_),
          beside(driver.n_),
          values(driver.n_),
          changing(2 * static_cast<int64_t>(driver.n_)),
          z(driver.vectors_ ? static_cast<int64_t>(driver.n_) * driver.columns_ : 0),
          reals(driver.real_size_),
          blocks(driver.n_),
          splits(driver.n_),
          integers(driver.integer_size_),
          supports(2 * static_cast<int64_t>(driver.n_)) {}
    Buffer<T> q, work;
    Buffer<R> diagonal, beside, values, changing, z, reals;
    Buffer<Int> blocks, splits, integers, supports;
  };

  // `columns`: the number of eigenpairs to compute, with the neighbours of a subset; 0 for eigenvalues alone.
  BandedDriver(const eigenpair_lapack& lapack, int64_t n, int64_t bandwidth, int64_t columns, bool few)
      : n_(checked<Int>(n)),
        bandwidth_(checked<Int>(bandwidth)),
        columns_(checked<Int>(columns)),
        vectors_(columns > 0),
        few_(few),
        sterf_(find_routine(lapack, routine_name<R>("sterf"))),
        stebz_(few ? find_routine(lapack, routine_name<R>("stebz")) : nullptr),
        stevd_(vectors_ ? find_routine(lapack, routine_name<R>("stevd")) : nullptr),
        stemr_(vectors_ && columns < n ? find_routine(lapack, routine_name<R>("stemr")) : nullptr),
        sbtrd_(reduces() ? find_sbtrd<T>(lapack) : nullptr),
        gemm_(reduces() && vectors_ ? find_routine(lapack, routine_name<T>("gemm")) : nullptr),
        gemm_of_z_(stemr_ != nullptr ? find_routine(lapack, routine_name<R>("gemm")) : nullptr) {
    // As documented: 18 n and 10 n for stemr; 1 + 4 n + n² and 3 + 5 n for stevd; 4 n and 3 n for stebz.
    real_size_ = checked<Int>(vectors_ && columns == n ? 1 + 4 * n + n * n : vectors_ ? 18 * n : 4 * n);
    integer_size_ = checked<Int>(10 * n + 3);
  }

  // Whether the matrix is not real and tridiagonal yet.
  bool reduces() const { return bandwidth_ > 1 || (is_complex<T> && bandwidth_ == 1); }

  // The tridiagonal form into s.diagonal and s.beside, and with vectors Q into s.q. Overwrites the band.
  bool reduce(T* band, Scratch& s) const {
    if (!reduces()) {
      const int64_t n = n_, each = int64_t{bandwidth_} + 1;
      for (int64_t j = 0; j < n; ++j) {
        s.diagonal.get()[j] = std::real(band[j * each]);
        s.beside.get()[j] = bandwidth_ > 0 ? std::real(band[j * each + 1]) : R(0);
      }
      return true;
    }
    const Int each = bandwidth_ + 1;
    const Length one = 1;
    Int info = 0;
    fortran(sbtrd_, vectors_ ? "V" : "N", "L", &n_, &bandwidth_, band, &each, s.diagonal.get(), s.beside.get(),
            s.q.get(), &n_, s.work.get(), &info, one, one);
    return info == 0;
  }

  // All eigenvalues of the tridiagonal matrix, ascending, into s.values.
  bool all_values(Scratch& s) const {
    Int info = 0;
    std::copy(s.diagonal.get(), s.diagonal.get() + n_, s.values.get());
    std::copy(s.beside.get(), s.beside.get() + n_, s.changing.get());
    fortran(sterf_, &n_, s.values.get(), s.changing.get(), &info);
    return info == 0;
  }

  // Eigenvalues first, first + 1, ... of it into s.values, ascending, if bisection finds exactly this many.
  bool some_values(int64_t first, int64_t count, Scratch& s) const {
    if (!few_) return false;
    const R bound = 0, tolerance = 2 * std::numeric_limits<R>::min();
    const Int low = static_cast<Int>(first + 1), high = static_cast<Int>(first + count);
    const Length one = 1;
    Int found = 0, splits = 0, info = 0;
    fortran(stebz_, "I", "E", &n_, &bound, &bound, &low, &high, &tolerance, s.diagonal.get(), s.beside.get(), &found,
            &splits, s.values.get(), s.blocks.get(), s.splits.get(), s.reals.get(), s.integers.get(), &info, one, one);
    return info == 0 && static_cast<int64_t>(found) == count;
  }

  // Eigenpairs first, first + 1, ... (as many as `columns`) of it into s.values and the columns of s.z.
  bool pairs(int64_t first, Scratch& s) const {
    if (columns_ == n_) return all_pairs(s.z.get(), s.reals.get(), real_size_, s);
    const R bound = 0;
    const Int low = static_cast<Int>(first + 1), high = static_cast<Int>(first + columns_);
    const Length one = 1;
    Int found = 0, info = 0, high_accuracy = 1;
    copy_tridiagonal(s);
    fortran(stemr_, "V", "I", &n_, s.changing.get(), s.changing.get() + n_, &bound, &bound, &low, &high, &found,
            s.values.get(), s.z.get(), &n_, &columns_, s.supports.get(), &high_accuracy, s.reals.get(), &real_size_,
            s.integers.get(), &integer_size_, &info, one, one);
    if (info == 0 && found == columns_ && all_finite(s.values.get(), columns_) &&
        all_finite(s.z.get(), int64_t{n_} * columns_)) {
      make_orthonormal(s);
      return true;
    }
    return pairs_of_all(first, s);
  }

  // The n x columns matrix Q z, or z itself; into `out`, which has that size.
  void back(int64_t first, int64_t count, const Scratch& s, T* out) const {
    const R* z = s.z.get() + first * n_;
    if (!reduces()) {
      for (int64_t i = 0; i < count * n_; ++i) out[i] = T(z[i]);
      return;
    }
    const Int k = static_cast<Int>(count);
    const T plus = T(1), zero = T(0);
    const Length one = 1;
    Buffer<T> converted;
    const T* right;
    if constexpr (is_complex<T>) {
      converted = Buffer<T>(count * n_);
      for (int64_t i = 0; i < count * n_; ++i) converted.get()[i] = T(z[i]);
      right = converted.get();
    } else {
      right = z;
    }
    fortran(gemm_, "N", "N", &n_, &k, &n_, &plus, s.q.get(), &n_, right, &n_, &zero, out, &n_, one, one);
  }

 private:
  int64_t square() const { return int64_t{n_} * n_; }

  void copy_tridiagonal(Scratch& s) const {
    std::copy(s.diagonal.get(), s.diagonal.get() + n_, s.changing.get());
    std::copy(s.beside.get(), s.beside.get() + n_, s.changing.get() + n_);
  }

  bool all_pairs(R* z, R* work, Int size, Scratch& s) const {
    copy_tridiagonal(s);
    const Length one = 1;
    Int info = 0;
    fortran(stevd_, "V", &n_, s.changing.get(), s.changing.get() + n_, z, &n_, work, &size, s.integers.get(),
            &integer_size_, &info, one);
    std::copy(s.changing.get(), s.changing.get() + n_, s.values.get());
    return info == 0;
  }

  // A Newton step towards the nearest orthonormal columns: z ← z (3 − zᵀz)/2. Columns of stemr have overlaps of 1e-13
  // where eigenvalues are close, but the decision about clusters expects overlaps of the size of rounding errors. The
  // step does not increase residuals, because two columns overlap at most by a residual divided by their gap.
  void make_orthonormal(Scratch& s) const {
    const int64_t k = columns_, entries = int64_t{n_} * k;
    const Buffer<R> gram(k * k), z(entries);
    std::copy(s.z.get(), s.z.get() + entries, z.get());
    const R plus = 1, zero = 0;
    const Length one = 1;
    fortran(gemm_of_z_, "T", "N", &columns_, &columns_, &n_, &plus, z.get(), &n_, z.get(), &n_, &zero, gram.get(),
            &columns_, one, one);
    for (int64_t i = 0; i < k * k; ++i) gram.get()[i] = (i % (k + 1) == 0 ? R(1.5) : R(0)) - gram.get()[i] / 2;
    fortran(gemm_of_z_, "N", "N", &n_, &columns_, &columns_, &plus, z.get(), &n_, gram.get(), &columns_, &zero,
            s.z.get(), &n_, one, one);
  }

  // stemr has failed, which happens for a few matrices.
  bool pairs_of_all(int64_t first, Scratch& s) const {
    const int64_t n = n_, size = 1 + 4 * n + n * n;
    const Buffer<R> z(n * n), work(size);
    if (!all_pairs(z.get(), work.get(), checked<Int>(size), s)) return false;
    std::copy(s.values.get() + first, s.values.get() + first + columns_, s.values.get());
    std::copy(z.get() + first * n, z.get() + (first + columns_) * n, s.z.get());
    return true;
  }

  Int n_, bandwidth_, columns_;
  bool vectors_, few_;
  void *sterf_, *stebz_, *stevd_, *stemr_, *sbtrd_, *gemm_, *gemm_of_z_;
  Int real_size_ = 0, integer_size_ = 0;
};

// Solves systems with a shifted band matrix.
template <typename T, typename Int>
class BandedComplementDriver {
 public:
  using R = Real<T>;

  struct Scratch {
    explicit Scratch(const BandedComplementDriver& driver)
        : factors(driver.rows_ * static_cast<int64_t>(driver.n_)),
          solution(driver.n_),
          best(driver.n_),
          pivots(driver.n_) {}
    Buffer<T> factors, solution, best;
    Buffer<Int> pivots;
  };

  BandedComplementDriver(const eigenpair_lapack& lapack, int64_t n, int64_t bandwidth)
      : n_(checked<Int>(n)),
        bandwidth_(checked<Int>(bandwidth)),
        rows_(checked<Int>(3 * bandwidth + 1)),
        gbtrf_(find_routine(lapack, routine_name<T>("gbtrf"))),
        gbtrs_(find_routine(lapack, routine_name<T>("gbtrs"))) {}

  // y ← (A − w)⁻¹ y, with pivots bounded away from zero.
  bool solve_column(const T* band, R w, T* y, Scratch& s) const {
    R size = std::max(std::numeric_limits<R>::min(), std::abs(w));
    for (int64_t i = 0; i < (int64_t{bandwidth_} + 1) * n_; ++i) size = std::max(size, std::abs(band[i]));
    const auto solve = [&](R shift, R least, T* x) { return solve_shifted(band, shift, least, x, s); };
    if (!smallest_solution(y, int64_t{n_}, w, size, s.solution.get(), s.best.get(), solve)) return false;
    std::copy(s.best.get(), s.best.get() + n_, y);
    return true;
  }

 private:
  bool solve_shifted(const T* band, R shift, R least, T* x, Scratch& s) const {
    const int64_t n = n_, k = bandwidth_, rows = rows_;
    T* f = s.factors.get();
    std::fill(f, f + rows * n, T(0));
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t m = 0; m <= std::min(k, n - 1 - j); ++m) {
        const T entry = band[m + j * (k + 1)];
        f[2 * k + m + j * rows] = m == 0 ? T(std::real(entry) - shift) : entry;
        if (m > 0) f[2 * k - m + (j + m) * rows] = conjugate(entry);
      }
    }
    Int info = 0;
    fortran(gbtrf_, &n_, &n_, &bandwidth_, &bandwidth_, f, &rows_, s.pivots.get(), &info);
    if (info < 0) return false;
    for (int64_t j = 0; j < n; ++j) {
      T& pivot = f[2 * k + j * rows];
      if (std::abs(pivot) < least) pivot = pivot == T(0) ? T(least) : pivot * (least / std::abs(pivot));
    }
    const Int columns = 1;
    const Length one = 1;
    fortran(gbtrs_, "N", &n_, &bandwidth_, &bandwidth_, &columns, f, &rows_, s.pivots.get(), x, &n_, &info, one);
    return info == 0;
  }

  Int n_, bandwidth_, rows_;
  void *gbtrf_, *gbtrs_;
};

}  // namespace eigenpair
