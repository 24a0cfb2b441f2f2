// The LAPACK calls that reduce a pair to a standard problem: potrf, sygst, pocon, trsm, trmm.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "lapack/lapack.h"
#include "runtime/matrix.h"

namespace eigenpair {

// A pair is solved as C = L⁻¹ A L⁻ᴴ (type 1) or Lᴴ A L (types 2 and 3), with B = L Lᴴ. All matrices are lower
// triangles.
template <typename T, typename Int>
class PairDriver {
 public:
  using R = Real<T>;

  // Up to this order, products with whole matrices are faster than sygst, although they need twice the operations.
  static constexpr int64_t kByTriangles = 300;

  struct Scratch {
    explicit Scratch(const PairDriver& driver) : work(3 * driver.n_), reals(driver.n_), integers(driver.n_) {}
    Buffer<T> work;
    Buffer<R> reals;
    Buffer<Int> integers;
  };

  static bool is_lent(const eigenpair_lapack& lapack) {
    for (const char* stem : {"potrf", "pocon", "sygst", "trsm", "trmm"}) {
      if (lapack.routines.count(routine_name<T>(stem)) == 0) return false;
    }
    return true;
  }

  PairDriver(const eigenpair_lapack& lapack, int64_t n)
      : n_(checked<Int>(n)),
        potrf_(find_routine(lapack, routine_name<T>("potrf"))),
        pocon_(find_routine(lapack, routine_name<T>("pocon"))),
        sygst_(find_routine(lapack, routine_name<T>("sygst"))),
        trsm_(find_routine(lapack, routine_name<T>("trsm"))),
        trmm_(find_routine(lapack, routine_name<T>("trmm"))) {}

  // B becomes L; false if it is not positive definite.
  bool factorize(T* b) const {
    const Length one = 1;
    Int info = 0;
    fortran(potrf_, "L", &n_, b, &n_, &info, one);
    return info == 0;
  }

  // A becomes C; false if that overflows.
  bool reduce(int32_t type, T* a, const T* l) const {
    if (n_ > kByTriangles) {
      const Int itype = static_cast<Int>(type);
      const Length one = 1;
      Int info = 0;
      fortran(sygst_, &itype, "L", &n_, a, &n_, l, &n_, &info, one);
      if (info != 0) return false;
    } else {
      mirror_lower(a, n_);
      if (type == 1) {
        apply(trsm_, "L", "N", n_, n_, l, a);
        divide_lower(a, l);
      } else {
        apply(trmm_, "L", "C", n_, n_, l, a);
        apply(trmm_, "R", "N", n_, n_, l, a);
      }
    }
    return lower_is_finite(a, n_);
  }

  // LAPACK's estimate of the 1-norm of B⁻¹, which is an upper bound of the 2-norm. The estimate is seldom much too
  // small. Infinite if pocon fails.
  R inverse_norm(const T* l, Scratch& s) const {
    const R unit = 1;
    const Length one = 1;
    R reciprocal = 0;
    Int info = 0;
    if constexpr (is_complex<T>) {
      fortran(pocon_, "L", &n_, l, &n_, &unit, &reciprocal, s.work.get(), s.reals.get(), &info, one);
    } else {
      fortran(pocon_, "L", &n_, l, &n_, &unit, &reciprocal, s.work.get(), s.integers.get(), &info, one);
    }
    return info == 0 ? 1 / reciprocal : std::numeric_limits<R>::infinity();
  }

  // x ← L⁻¹ x or L⁻ᴴ x, n x count.
  void solve(bool adjoint, Int count, const T* l, T* x) const {
    apply(trsm_, "L", adjoint ? "C" : "N", n_, count, l, x);
  }
  // x ← L x or Lᴴ x
  void multiply(bool adjoint, Int count, const T* l, T* x) const {
    apply(trmm_, "L", adjoint ? "C" : "N", n_, count, l, x);
  }

 private:
  // rows x columns matrix x, from the left or the right
  void apply(void* routine, const char* side, const char* op, Int rows, Int columns, const T* l, T* x) const {
    const T unit = T(1);
    const Length one = 1;
    fortran(routine, side, "L", op, "N", &rows, &columns, &unit, l, &n_, x, &n_, one, one, one, one);
  }

  // Computes the lower triangle of x L⁻ᴴ in blocks of rows, each with only the columns it needs.
  void divide_lower(T* x, const T* l) const {
    const Int block = std::max<Int>(kNarrowest, n_ / 4);
    for (Int first = 0; first < n_; first += block) {
      const Int count = std::min<Int>(block, n_ - first);
      apply(trsm_, "R", "C", count, first + count, l, x + first);
    }
  }
  static constexpr Int kNarrowest = 32;

  Int n_;
  void *potrf_, *pocon_, *sygst_, *trsm_, *trmm_;
};

}  // namespace eigenpair
