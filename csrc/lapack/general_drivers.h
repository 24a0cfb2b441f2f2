// The LAPACK calls behind a general problem: geev and ggev, real and complex.
#pragma once

#include <complex>
#include <cstdint>
#include <limits>

#include "lapack/lapack.h"
#include "runtime/matrix.h"

namespace eigenpair {

template <typename T, typename Int>
class GeneralDriver {
 public:
  using R = Real<T>;
  using C = std::complex<R>;

  // The scratch memory of one worker, apart from the matrices.
  class Scratch {
   public:
    explicit Scratch(const GeneralDriver& driver)
        : work_(driver.lwork_),
          reals_(8 * static_cast<int64_t>(driver.n_)),
          numerators_(driver.n_),
          denominators_(driver.n_),
          pivots_(driver.n_),
          pairs_(driver.n_) {}
    // For each eigenvalue: 0 real, +1 first and -1 second of a conjugate pair. Real problems only.
    const int32_t* pairs() const { return pairs_.get(); }
    Int* pivots() const { return pivots_.get(); }

   private:
    friend class GeneralDriver;
    Buffer<T> work_;
    Buffer<R> reals_;
    Buffer<T> numerators_;
    Buffer<T> denominators_;
    Buffer<Int> pivots_;
    Buffer<int32_t> pairs_;
  };

  GeneralDriver(const eigenpair_lapack& lapack, int64_t n, bool generalized, bool left, bool right)
      : n_(checked<Int>(n)),
        generalized_(generalized),
        job_left_(left ? 'V' : 'N'),
        job_right_(right ? 'V' : 'N'),
        routine_(find_routine(lapack, routine_name<T>(generalized ? "ggev" : "geev"))) {
    T a{}, b{}, vl{}, vr{}, work{}, numerators{}, denominators{};
    R reals[8] = {};
    check_query(call(&a, &b, &numerators, reals, &denominators, &vl, &vr, &work, -1, reals));
    lwork_ = checked<Int>(at_least<R>(8 * n, std::real(work)));
  }

  bool left() const { return job_left_ == 'V'; }
  bool right() const { return job_right_ == 'V'; }

  // Overwrites `a` and `b`; eigenvalues as complex numbers, +Inf where infinite, NaN where undetermined. Returns
  // whether LAPACK succeeded.
  bool operator()(T* a, T* b, C* values, T* vl, T* vr, Scratch& scratch) const {
    const int64_t n = n_;
    R* imaginary = scratch.reals_.get();
    T* numerators = scratch.numerators_.get();
    T* denominators = scratch.denominators_.get();
    if (call(a, b, numerators, imaginary, denominators, vl, vr, scratch.work_.get(), lwork_, scratch.reals_.get()) !=
        0) {
      return false;
    }
    for (int64_t j = 0; j < n; ++j) {
      C value;
      if constexpr (is_complex<T>) {
        value = numerators[j];
      } else {
        value = C(numerators[j], imaginary[j]);
        scratch.pairs_.get()[j] = imaginary[j] == 0 ? 0 : (imaginary[j] > 0 ? 1 : -1);
      }
      if (generalized_) value = quotient(value, denominators[j]);
      // The denominators of two conjugate eigenvalues may differ by rounding. Keep the eigenvalues exact conjugates.
      if constexpr (!is_complex<T>) {
        if (scratch.pairs_.get()[j] < 0) value = std::conj(values[j - 1]);
      }
      values[j] = value;
    }
    return true;
  }

 private:
  static C quotient(C numerator, T denominator) {
    if (denominator != T(0)) {
      const C value = numerator / C(denominator);
      if (std::isfinite(value.real()) && std::isfinite(value.imag())) return value;
    } else if (numerator == C(0)) {
      return nan_value<C>();
    }
    return {std::numeric_limits<R>::infinity(), R(0)};
  }

  // `reals` is rwork of the complex routines. Those do not use `imaginary`, so the two may be the same array.
  int64_t call(T* a, T* b, T* numerators, R* imaginary, T* denominators, T* vl, T* vr, T* work, Int lwork,
               R* reals) const {
    const Int* n = &n_;
    const Int leading = std::max<Int>(n_, 1);
    const Int* ld = &leading;
    const Length one = 1;
    Int info = 0;
    if constexpr (is_complex<T>) {
      if (generalized_) {
        fortran(routine_, &job_left_, &job_right_, n, a, ld, b, ld, numerators, denominators, vl, ld, vr, ld, work,
                &lwork, reals, &info, one, one);
      } else {
        fortran(routine_, &job_left_, &job_right_, n, a, ld, numerators, vl, ld, vr, ld, work, &lwork, reals, &info,
                one, one);
      }
    } else {
      if (generalized_) {
        fortran(routine_, &job_left_, &job_right_, n, a, ld, b, ld, numerators, imaginary, denominators, vl, ld, vr, ld,
                work, &lwork, &info, one, one);
      } else {
        fortran(routine_, &job_left_, &job_right_, n, a, ld, numerators, imaginary, vl, ld, vr, ld, work, &lwork, &info,
                one, one);
      }
    }
    return static_cast<int64_t>(info);
  }

  Int n_;
  bool generalized_;
  char job_left_;
  char job_right_;
  void* routine_;
  Int lwork_ = 1;
};

}  // namespace eigenpair
