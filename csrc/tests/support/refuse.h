/* For tests of bad arguments. */
#ifndef EIGENPAIR_TESTS_REFUSE_H
#define EIGENPAIR_TESTS_REFUSE_H

#include "support/check.h"
#include "support/hollow_lapack.h"

/* CHECKs that `lapack` refuses the problem that the function `kind` returns once `field` has this value. */
#define REFUSE(kind, word, field, value)                                                            \
  do {                                                                                              \
    eigenpair_##kind##_problem problem = kind();                                                    \
    problem.field = value;                                                                          \
    eigenpair_job* job = (eigenpair_job*)&problem;                                                  \
    expect_status(eigenpair_##kind##_job(lapack, &problem, 1, &job), EIGENPAIR_BAD_ARGUMENT, word); \
    CHECK(job == NULL, "a refused problem left a job");                                             \
  } while (0)

#endif
