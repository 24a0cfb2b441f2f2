/* A LAPACK whose routines do nothing, for what happens before any is called. */
#ifndef EIGENPAIR_TESTS_HOLLOW_LAPACK_H
#define EIGENPAIR_TESTS_HOLLOW_LAPACK_H

#include "eigenpair.h"

/* It has every routine but the one named, if one is. */
eigenpair_lapack* hollow_lapack(const char* missing);

/* CHECKs a status, and that the message names `word`. */
void expect_status(eigenpair_status status, eigenpair_status expected, const char* word);

#endif
