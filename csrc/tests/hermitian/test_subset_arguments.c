/* Bad arguments of the jobs for subsets, and the messages. */
#include <string.h>

#include "support/check.h"
#include "support/refuse.h"

static double a[9], b[9], w[3], edges[3], v[9], factor[30], y[9], x[9];

static eigenpair_subset_problem subset(void) {
  return (eigenpair_subset_problem){.struct_size = sizeof(eigenpair_subset_problem),
                                    .dtype = EIGENPAIR_FLOAT64,
                                    .n = 3,
                                    .batch = 1,
                                    .first = 1,
                                    .count = 2,
                                    .a = a,
                                    .a_stride = 9,
                                    .b = b,
                                    .b_stride = 9,
                                    .w = w,
                                    .edges = edges,
                                    .v = v,
                                    .factor = factor};
}

static eigenpair_complement_problem complement(void) {
  return (eigenpair_complement_problem){.struct_size = sizeof(eigenpair_complement_problem),
                                        .dtype = EIGENPAIR_FLOAT64,
                                        .type = 1,
                                        .n = 3,
                                        .batch = 1,
                                        .count = 2,
                                        .factor = factor,
                                        .w = w,
                                        .v = v,
                                        .y = y,
                                        .x = x};
}

#define REFUSE_ALIKE(kind)                                                                              \
  do {                                                                                                  \
    REFUSE(kind, "struct_size", struct_size, (int64_t)sizeof(eigenpair_##kind##_problem) - 8);          \
    REFUSE(kind, "dtype", dtype, -1);                                                                   \
    REFUSE(kind, "dtype", dtype, 4);                                                                    \
    REFUSE(kind, "layout", layout, -1);                                                                 \
    REFUSE(kind, "layout", layout, 2);                                                                  \
    REFUSE(kind, "reserved", reserved, 1);                                                              \
    REFUSE(kind, "problem.n", n, 0);                                                                    \
    REFUSE(kind, "problem.n", n, (int64_t)1 << 29);                                                     \
    REFUSE(kind, "batch is negative", batch, -1);                                                       \
    REFUSE(kind, "count", count, 0);                                                                    \
    REFUSE(kind, "count", count, 4);                                                                    \
    REFUSE(kind, "w", w, NULL);                                                                         \
    const eigenpair_##kind##_problem problem = kind();                                                  \
    eigenpair_job* job = NULL;                                                                          \
    expect_status(eigenpair_##kind##_job(NULL, &problem, 1, &job), EIGENPAIR_BAD_ARGUMENT, "lapack");   \
    expect_status(eigenpair_##kind##_job(lapack, NULL, 1, &job), EIGENPAIR_BAD_ARGUMENT, "problem");    \
    expect_status(eigenpair_##kind##_job(lapack, &problem, 1, NULL), EIGENPAIR_BAD_ARGUMENT, "out");    \
    expect_status(eigenpair_##kind##_job(lapack, &problem, 0, &job), EIGENPAIR_BAD_ARGUMENT, "worker"); \
    CHECK(job == NULL, "a job of no workers");                                                          \
  } while (0)

TEST(a_bad_field) {
  eigenpair_lapack* lapack = hollow_lapack(NULL);
  REFUSE_ALIKE(subset);
  REFUSE(subset, "triangle", triangle, -1);
  REFUSE(subset, "triangle", triangle, 3);
  REFUSE(subset, "first", first, -1);
  REFUSE(subset, "first", first, 2);
  REFUSE(subset, "stride", a_stride, -1);
  REFUSE(subset, "stride", b_stride, -9);
  REFUSE(subset, "problem.a", a, NULL);
  REFUSE(subset, "edges and factor need", v, NULL);
  REFUSE_ALIKE(complement);
  REFUSE(complement, "type", type, 2);
  REFUSE(complement, "type", type, -1);
  REFUSE(complement, "factor", factor, NULL);
  REFUSE(complement, "v", v, NULL);
  REFUSE(complement, "y", y, NULL);
  REFUSE(complement, "x is NULL", x, NULL);
  eigenpair_lapack_destroy(lapack);
}

/* The message names the missing routine. In the other precision nothing is missing. */
#define LACKS(kind, routine, set)                                                                               \
  do {                                                                                                          \
    eigenpair_lapack* lapack = hollow_lapack(routine);                                                          \
    eigenpair_##kind##_problem problem = kind();                                                                \
    problem.dtype = (routine)[0] == 'z' ? EIGENPAIR_COMPLEX128 : EIGENPAIR_FLOAT64;                             \
    set;                                                                                                        \
    eigenpair_job* job = NULL;                                                                                  \
    expect_status(eigenpair_##kind##_job(lapack, &problem, 1, &job), EIGENPAIR_MISSING_ROUTINE, routine);       \
    CHECK(job == NULL, "a job without %s", routine);                                                            \
    problem.dtype = EIGENPAIR_FLOAT32;                                                                          \
    CHECK(eigenpair_##kind##_job(lapack, &problem, 1, &job) == EIGENPAIR_OK, "%s needs %s: %s", #kind, routine, \
          eigenpair_last_error());                                                                              \
    eigenpair_job_release(job);                                                                                 \
    eigenpair_lapack_destroy(lapack);                                                                           \
  } while (0)

TEST(a_missing_routine) {
  const char* of_subset[] = {"dsytrd", "dstebz", "dstein", "dormtr", "dpotrf", "dpocon", "dsygst", "dtrsm",
                             "zhetrd", "zstein", "zunmtr", "zpotrf", "zpocon", "zhegst", "ztrsm"};
  for (size_t i = 0; i < sizeof of_subset / sizeof *of_subset; ++i) LACKS(subset, of_subset[i], (void)0);
  LACKS(subset, "dsterf", (problem.v = problem.edges = problem.factor = NULL));
  const char* of_complement[] = {"dormtr", "dgemm", "dgttrf", "dgttrs", "dtrsm", "dtrmm", "zunmtr", "zgemm", "ztrmm"};
  for (size_t i = 0; i < sizeof of_complement / sizeof *of_complement; ++i) {
    LACKS(complement, of_complement[i], (void)0);
  }
}

/* Routines that are not needed may be missing: those for vectors if only values are computed, those for pairs without
 * b. */
TEST(a_routine_that_is_not_needed) {
  const char* of_vectors[] = {"dstebz", "dstein", "dormtr"};
  const char* of_pairs[] = {"dpotrf", "dpocon", "dsygst", "dtrsm", "dtrmm"};
  for (int i = 0; i < 3 + 2 * 5; ++i) {
    eigenpair_lapack* lapack = hollow_lapack(i < 3 ? of_vectors[i] : of_pairs[(i - 3) % 5]);
    eigenpair_job* job = NULL;
    eigenpair_status status;
    if (i < 8) {
      eigenpair_subset_problem problem = subset();
      if (i < 3) problem.v = problem.edges = problem.factor = NULL;
      if (i >= 3) problem.b = NULL;
      status = eigenpair_subset_job(lapack, &problem, 1, &job);
    } else {
      eigenpair_complement_problem problem = complement();
      problem.type = 0;
      status = eigenpair_complement_job(lapack, &problem, 1, &job);
    }
    CHECK(status == EIGENPAIR_OK, "%d: %s", i, eigenpair_last_error());
    eigenpair_job_release(job);
    eigenpair_lapack_destroy(lapack);
  }
}

/* Nothing to solve: no pointer is read and LAPACK is not called. */
TEST(an_empty_batch) {
  eigenpair_lapack* lapack = hollow_lapack("dsytrd");
  eigenpair_subset_problem none = {.struct_size = sizeof none, .dtype = EIGENPAIR_FLOAT64, .n = 3, .count = 2};
  eigenpair_complement_problem nothing = {.struct_size = sizeof nothing, .n = 3, .count = 2};
  eigenpair_job* job = NULL;
  CHECK(eigenpair_subset_job(lapack, &none, 3, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_complement_job(lapack, &nothing, 3, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  eigenpair_lapack_destroy(lapack);
}
