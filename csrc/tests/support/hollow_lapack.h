/* A LAPACK whose routines do nothing, for tests of the code before the first call. */
#ifndef EIGENPAIR_TESTS_HOLLOW_LAPACK_H
#define EIGENPAIR_TESTS_HOLLOW_LAPACK_H

#include "eigenpair.h"

/* It has every routine except `missing`, which may be NULL. */
eigenpair_lapack* hollow_lapack(const char* missing);

/* CHECKs a status, and that the message names `word`. */
void expect_status(eigenpair_status status, eigenpair_status expected, const char* word);

#endif
