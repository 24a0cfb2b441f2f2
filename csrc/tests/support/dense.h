/* Dense matrices in double precision, column-major, for judges: plain loops, neither LAPACK nor the core. */
#ifndef EIGENPAIR_TESTS_DENSE_H
#define EIGENPAIR_TESTS_DENSE_H

#include <complex.h>
#include <stdint.h>

typedef double complex Z;

/* M X or M^H X, of n x n and n x columns; a copy of X where M is NULL. The memory is the caller's. */
Z* product(const Z* m, const Z* x, int64_t n, int64_t columns, int adjoint);

/* The largest modulus; NaN if there is one. */
double largest(const Z* x, int64_t count);
/* The largest difference; NaN if there is one. */
double distance(const Z* x, const Z* y, int64_t count);

/* Without C's search for NaN at every step. */
static inline Z times(Z x, Z y) {
  return CMPLX(creal(x) * creal(y) - cimag(x) * cimag(y), creal(x) * cimag(y) + cimag(x) * creal(y));
}

#endif
