// <complex.h>, with the CMPLX that clang does not get from every C library.
#ifndef EIGENPAIR_TESTS_COMPLEX_NUMBERS_H
#define EIGENPAIR_TESTS_COMPLEX_NUMBERS_H

#include <complex.h>

#ifndef CMPLX
#define CMPLX(re, im) __builtin_complex((double)(re), (double)(im))
#endif

#endif
