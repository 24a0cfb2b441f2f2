/* Dense matrices in double precision, column-major, for checks: simple loops, without LAPACK or the core. */
#ifndef EIGENPAIR_TESTS_DENSE_H
#define EIGENPAIR_TESTS_DENSE_H

#include <stdint.h>

#include "support/complex_numbers.h"

typedef double complex Z;

/* M X or M^H X, of n x n and n x columns; a copy of X where M is NULL. The memory is the caller's. */
Z* product(const Z* m, const Z* x, int64_t n, int64_t columns, int adjoint);

/* The largest modulus; NaN if an entry is NaN. */
double largest(const Z* x, int64_t count);
/* The largest difference; NaN if an entry is NaN. */
double distance(const Z* x, const Z* y, int64_t count);

/* Faster than C's complex product, which checks for NaN. */
static inline Z times(Z x, Z y) {
  return CMPLX(creal(x) * creal(y) - cimag(x) * cimag(y), creal(x) * cimag(y) + cimag(x) * creal(y));
}

#endif
