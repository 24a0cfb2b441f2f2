// The LAPACK calls that solve a Hermitian problem, for each element type and integer size.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "lapack/lapack.h"
#include "runtime/matrix.h"
#include "runtime/status.h"

namespace eigenpair {

// Sizes of LAPACK's work arrays, in elements.
struct Workspace {
  int64_t work = 0;
  int64_t rwork = 0;
  int64_t iwork = 0;
};

template <typename T, typename Int>
class HermitianDriver {
 public:
  using R = Real<T>;

  HermitianDriver(const eigenpair_lapack& lapack, int64_t n, int32_t type, bool vectors, int32_t driver)
      : n_(checked<Int>(n)), type_(static_cast<Int>(type)), job_(vectors ? 'V' : 'N') {
    driver_ = driver == EIGENPAIR_DRIVER_AUTO ? choose() : driver;
    if (type != 0 && driver_ == EIGENPAIR_DRIVER_EVR) {
      throw Failure(EIGENPAIR_BAD_ARGUMENT, "driver EVR solves only the standard problem (type 0)");
    }
    const char* standard[] = {nullptr, "syevd", "syev", "syevr"};
    const char* generalized[] = {nullptr, "sygvd", "sygv", nullptr};
    routine_ = find_routine(lapack, routine_name<T>((type == 0 ? standard : generalized)[driver_]));
    query();
  }

  const Workspace& workspace() const { return workspace_; }
  // syevr writes the vectors to a separate matrix.
  bool needs_second_matrix() const { return driver_ == EIGENPAIR_DRIVER_EVR && job_ == 'V'; }

  // `a` holds the lower triangle and becomes the vectors (with syevr: `z` does); `b` becomes its Cholesky factor.
  // Returns LAPACK's info.
  int64_t operator()(T* a, T* b, R* w, T* z, T* work, R* rwork, Int* iwork) const {
    return call(a, b, w, z, work, static_cast<Int>(workspace_.work), rwork, static_cast<Int>(workspace_.rwork), iwork,
                static_cast<Int>(workspace_.iwork));
  }

 private:
  // With vectors, divide and conquer is the fastest driver; without, all drivers run the same QL iteration. But its
  // workspace of 2n² entries overflows 32-bit integers from n = 32,767 on. With an LP64 LAPACK we then use a driver
  // whose workspace is proportional to n.
  int32_t choose() const {
    // Up to this order divide and conquer does not divide the matrix; it is syev with an extra copy.
    constexpr Int kUndivided = 25;
    if (type_ == 0 && n_ <= kUndivided) return EIGENPAIR_DRIVER_EV;
    const double n = static_cast<double>(n_);
    const bool fits = job_ == 'N' || 1 + 6 * n + 2 * n * n < static_cast<double>(std::numeric_limits<Int>::max());
    if (fits) return EIGENPAIR_DRIVER_EVD;
    return type_ == 0 ? EIGENPAIR_DRIVER_EVR : EIGENPAIR_DRIVER_EV;
  }

  void query() {
    T a{}, b{}, z{}, work{};
    R w{}, rwork{};
    Int iwork[2] = {0, 0};
    check_query(call(&a, &b, &w, &z, &work, -1, &rwork, -1, iwork, -1));
    const int64_t n = n_;
    const bool quadratic = driver_ == EIGENPAIR_DRIVER_EVD && job_ == 'V';
    int64_t least_work = 3 * n + 1, least_rwork = 3 * n + 1, least_iwork = 1;
    if (driver_ == EIGENPAIR_DRIVER_EVR) {
      least_work = 26 * n + 1;
      least_rwork = 24 * n + 1;
      least_iwork = 10 * n + 1;
    } else if (quadratic) {
      least_work = is_complex<T> ? 2 * n + n * n + 1 : 1 + 6 * n + 2 * n * n;
      least_rwork = 1 + 5 * n + 2 * n * n;
      least_iwork = 3 + 5 * n;
    }
    workspace_.work = checked<Int>(at_least<R>(least_work, std::real(work)));
    workspace_.rwork = is_complex<T> ? checked<Int>(at_least<R>(least_rwork, rwork)) : 0;
    workspace_.iwork = checked<Int>(std::max(least_iwork, static_cast<int64_t>(iwork[0])));
    if (driver_ == EIGENPAIR_DRIVER_EVR)
      workspace_.iwork = checked<Int>(workspace_.iwork + 2 * n);  // isuppz, at the end
  }

  int64_t call(T* a, T* b, R* w, T* z, T* work, Int lwork, R* rwork, Int lrwork, Int* iwork, Int liwork) const {
    const Int* n = &n_;
    const Int leading = std::max<Int>(n_, 1);
    const Int* ld = &leading;
    const char* job = &job_;
    const char* uplo = "L";
    const Length one = 1;
    Int info = 0;
    if (driver_ == EIGENPAIR_DRIVER_EVR) {
      const R bound = 0, tolerance = 0;
      const Int index = 0;
      Int found = 0;
      if (liwork > 0) liwork = static_cast<Int>(liwork - 2 * n_);
      Int* isuppz = liwork > 0 ? iwork + liwork : iwork + 1;
      if constexpr (is_complex<T>) {
        fortran(routine_, job, "A", uplo, n, a, ld, &bound, &bound, &index, &index, &tolerance, &found, w, z, ld,
                isuppz, work, &lwork, rwork, &lrwork, iwork, &liwork, &info, one, one, one);
      } else {
        fortran(routine_, job, "A", uplo, n, a, ld, &bound, &bound, &index, &index, &tolerance, &found, w, z, ld,
                isuppz, work, &lwork, iwork, &liwork, &info, one, one, one);
      }
    } else if (type_ == 0 && driver_ == EIGENPAIR_DRIVER_EVD) {
      if constexpr (is_complex<T>) {
        fortran(routine_, job, uplo, n, a, ld, w, work, &lwork, rwork, &lrwork, iwork, &liwork, &info, one, one);
      } else {
        fortran(routine_, job, uplo, n, a, ld, w, work, &lwork, iwork, &liwork, &info, one, one);
      }
    } else if (type_ == 0) {
      if constexpr (is_complex<T>) {
        fortran(routine_, job, uplo, n, a, ld, w, work, &lwork, rwork, &info, one, one);
      } else {
        fortran(routine_, job, uplo, n, a, ld, w, work, &lwork, &info, one, one);
      }
    } else if (driver_ == EIGENPAIR_DRIVER_EVD) {
      if constexpr (is_complex<T>) {
        fortran(routine_, &type_, job, uplo, n, a, ld, b, ld, w, work, &lwork, rwork, &lrwork, iwork, &liwork, &info,
                one, one);
      } else {
        fortran(routine_, &type_, job, uplo, n, a, ld, b, ld, w, work, &lwork, iwork, &liwork, &info, one, one);
      }
    } else {
      if constexpr (is_complex<T>) {
        fortran(routine_, &type_, job, uplo, n, a, ld, b, ld, w, work, &lwork, rwork, &info, one, one);
      } else {
        fortran(routine_, &type_, job, uplo, n, a, ld, b, ld, w, work, &lwork, &info, one, one);
      }
    }
    return static_cast<int64_t>(info);
  }

  Int n_;
  Int type_;
  char job_;
  int32_t driver_ = EIGENPAIR_DRIVER_EVD;
  void* routine_ = nullptr;
  Workspace workspace_;
};

}  // namespace eigenpair
