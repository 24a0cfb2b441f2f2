/* How many threads LAPACK may use for a single matrix: one if more would be slower, else its own number. And what
 * happens if others change the number. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/fake_lapack.h"
#include "support/hollow_lapack.h"
#include "support/problems.h"

enum { kOwn = 5 };

static atomic_int lapack_threads, calls_to_set;
static int32_t get_threads(void) { return atomic_load(&lapack_threads); }
static void set_threads(int32_t threads) {
  atomic_fetch_add(&calls_to_set, 1);
  atomic_store(&lapack_threads, threads);
}

static eigenpair_lapack* with_threads(eigenpair_lapack* lapack, int32_t threads) {
  atomic_store(&lapack_threads, threads);
  atomic_store(&calls_to_set, 0);
  REQUIRE(eigenpair_lapack_set_threading(lapack, get_threads, set_threads) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  return lapack;
}

/* ---- by size: jobs that are created and released, so that arrays are never read ---- */

static double array[4];

static eigenpair_job* general(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  const eigenpair_general_problem problem = {
      .struct_size = sizeof problem, .dtype = dtype, .n = n, .batch = 1, .a = array, .w = array, .u = array};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_general_job(lapack, &problem, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return job;
}

static eigenpair_job* hermitian(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  const eigenpair_hermitian_problem problem = {.struct_size = sizeof problem,
                                               .dtype = dtype,
                                               .driver = EIGENPAIR_DRIVER_EVD,
                                               .n = n,
                                               .batch = 1,
                                               .a = array,
                                               .w = array,
                                               .v = array};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_hermitian_job(lapack, &problem, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return job;
}

static eigenpair_job* definite_pair(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  const eigenpair_hermitian_problem problem = {.struct_size = sizeof problem,
                                               .dtype = dtype,
                                               .type = 1,
                                               .n = n,
                                               .batch = 1,
                                               .a = array,
                                               .b = array,
                                               .w = array,
                                               .v = array};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_hermitian_job(lapack, &problem, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return job;
}

static eigenpair_job* rule(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  const eigenpair_hermitian_rule rule = {.struct_size = sizeof rule,
                                         .dtype = dtype,
                                         .reverse = 1,
                                         .n = n,
                                         .batch = 1,
                                         .w = array,
                                         .v = array,
                                         .da = array,
                                         .dv = array};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_hermitian_rule_job(lapack, &rule, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return job;
}

static eigenpair_job* subset(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  const eigenpair_subset_problem problem = {.struct_size = sizeof problem,
                                            .dtype = dtype,
                                            .n = n,
                                            .batch = 1,
                                            .count = 1,
                                            .a = array,
                                            .w = array,
                                            .v = array};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_subset_job(lapack, &problem, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return job;
}

static eigenpair_job* complement(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  const eigenpair_complement_problem problem = {.struct_size = sizeof problem,
                                                .dtype = dtype,
                                                .n = n,
                                                .batch = 1,
                                                .count = 1,
                                                .factor = array,
                                                .w = array,
                                                .v = array,
                                                .y = array,
                                                .x = array};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_complement_job(lapack, &problem, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return job;
}

TEST(small_matrices_have_one_thread_and_large_ones_have_all) {
  static const struct {
    const char* name;
    eigenpair_job* (*make)(const eigenpair_lapack*, int32_t, int64_t);
    int needs_kernels;
    int64_t small, large; /* orders for one thread, for all threads */
  } kinds[] = {{"general", general, 0, 100, 1024},  {"hermitian", hermitian, 0, 64, 512},
               {"pair", definite_pair, 0, 48, 512}, {"rule", rule, 1, 68, 512},
               {"subset", subset, 0, 96, 1000},     {"complement", complement, 0, 96, 1000}};
  eigenpair_lapack* lapack = with_threads(hollow_lapack(NULL), kOwn);
  for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; ++kind) {
    if (kinds[kind].needs_kernels && !eigenpair_has_small_kernels()) continue;
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      for (int large = 0; large < 2; ++large) {
        const int64_t n = large ? kinds[kind].large : kinds[kind].small;
        eigenpair_job* job = kinds[kind].make(lapack, dtype, n);
        CHECK(get_threads() == (large ? kOwn : 1), "%s, dtype %d, n = %lld: %d threads", kinds[kind].name, dtype,
              (long long)n, get_threads());
        eigenpair_job_release(job);
        CHECK(get_threads() == kOwn, "%s, dtype %d, n = %lld: left with %d", kinds[kind].name, dtype, (long long)n,
              get_threads());
      }
    }
  }
  eigenpair_lapack_destroy(lapack);
}

/* The number of threads is not changed for orders at which LAPACK would not wake threads. */
TEST(the_smallest_leave_the_number_alone) {
  eigenpair_lapack* lapack = with_threads(hollow_lapack(NULL), kOwn);
  for (int64_t n = 1; n < 16; ++n) eigenpair_job_release(general(lapack, EIGENPAIR_FLOAT64, n));
  CHECK(atomic_load(&calls_to_set) == 0, "set_threads was called");
  eigenpair_lapack_destroy(lapack);
}

TEST(one_thread_is_left_at_one) {
  eigenpair_lapack* lapack = with_threads(hollow_lapack(NULL), 1);
  eigenpair_job_release(general(lapack, EIGENPAIR_FLOAT64, 100));
  CHECK(atomic_load(&calls_to_set) == 0, "set_threads was called");
  eigenpair_lapack_destroy(lapack);
}

/* ---- the number of threads inside the routines ---- */

static void solve_general(const eigenpair_lapack* lapack, int32_t dtype, int64_t n) {
  double* memory = calloc((size_t)(3 * n * n + 2 * n), sizeof(double));
  REQUIRE(memory != NULL, "no memory");
  double *a = memory, *w = a + n * n, *v = w + 2 * n;
  if (is_complex(dtype)) a = v; /* both are zero; v is written only after a has been read */
  const eigenpair_general_problem problem = {
      .struct_size = sizeof problem, .dtype = dtype, .n = n, .batch = 1, .a = a, .w = w, .v = v};
  CHECK(eigenpair_general(lapack, &problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  free(memory);
}

TEST(iterations_without_use_for_threads_have_one) {
  static const struct {
    int32_t dtype;
    int64_t n;
    int32_t threads;
  } cases[] = {{EIGENPAIR_FLOAT64, 8, kOwn},   {EIGENPAIR_FLOAT64, 100, 1},     {EIGENPAIR_FLOAT64, 400, 1},
               {EIGENPAIR_FLOAT64, 700, kOwn}, {EIGENPAIR_COMPLEX128, 100, 1},  {EIGENPAIR_COMPLEX128, 200, kOwn},
               {EIGENPAIR_FLOAT32, 400, 1},    {EIGENPAIR_COMPLEX64, 200, kOwn}};
  eigenpair_lapack* lapack = with_threads(fake_lapack_lend(32), kOwn);
  fake_lapack_watch(get_threads);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    solve_general(lapack, cases[i].dtype, cases[i].n);
    const fake_call* call = &fake_lapack_record()->solution;
    REQUIRE(call->n == cases[i].n, "not called");
    CHECK(call->threads == cases[i].threads, "dtype %d, n = %lld: %d threads", cases[i].dtype, (long long)call->n,
          call->threads);
    CHECK(get_threads() == kOwn, "left with %d", get_threads());
  }
  eigenpair_lapack_destroy(lapack);
}

TEST(a_number_that_others_set_meanwhile_stays) {
  eigenpair_lapack* lapack = with_threads(hollow_lapack(NULL), kOwn);
  eigenpair_job* job = general(lapack, EIGENPAIR_FLOAT64, 100);
  set_threads(3);
  eigenpair_job_release(job);
  CHECK(get_threads() == 3, "%d instead of the 3 that were set", get_threads());
  eigenpair_job_release(general(lapack, EIGENPAIR_FLOAT64, 100));
  CHECK(get_threads() == 3, "%d instead of the 3 that were set before", get_threads());
  eigenpair_lapack_destroy(lapack);
}

/* ---- several jobs at once ---- */

static void* solve_repeatedly(void* lapack) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    const int64_t n = repeat % 5 == 4 ? 400 : 20 + repeat; /* 400: one thread only for the iteration */
    solve_general(lapack, EIGENPAIR_FLOAT64, n);
    const fake_call* call = &fake_lapack_record()->solution;
    CHECK(call->n == n && call->threads == 1, "n = %lld: %d threads", (long long)call->n, call->threads);
  }
  return NULL;
}

TEST(matrices_on_several_threads_at_once) {
  eigenpair_lapack* lapack = with_threads(fake_lapack_lend(32), kOwn);
  fake_lapack_watch(get_threads);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) REQUIRE(pthread_create(&threads[i], NULL, solve_repeatedly, lapack) == 0, "no thread");
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  CHECK(get_threads() == kOwn, "left with %d", get_threads());
  CHECK(atomic_load(&calls_to_set) % 2 == 0, "%d calls to set_threads", atomic_load(&calls_to_set));
  eigenpair_lapack_destroy(lapack);
}
