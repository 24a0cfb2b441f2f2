/* Bad arguments of the ABI, and the messages. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "eigenpair.h"
#include "support/check.h"
#include "support/hollow_lapack.h"

static void* no_routine(void* context, const char* name) { return (void)context, (void)name, NULL; }

static double a[4], b[4], w[2], v[4], u[4];

static eigenpair_hermitian_problem valid(void) {
  return (eigenpair_hermitian_problem){.struct_size = sizeof(eigenpair_hermitian_problem),
                                       .dtype = EIGENPAIR_FLOAT64,
                                       .type = 1,
                                       .n = 2,
                                       .batch = 1,
                                       .a = a,
                                       .a_stride = 4,
                                       .b = b,
                                       .b_stride = 4,
                                       .w = w,
                                       .v = v,
                                       .u = u};
}

/* Both entry points refuse it and create no job. */
static void refuse(const eigenpair_lapack* lapack, const eigenpair_hermitian_problem* problem, const char* word) {
  eigenpair_job* job = (eigenpair_job*)&w;
  expect_status(eigenpair_hermitian_job(lapack, problem, 1, &job), EIGENPAIR_BAD_ARGUMENT, word);
  CHECK(job == NULL, "a refused problem left a job");
  expect_status(eigenpair_hermitian(lapack, problem, 1), EIGENPAIR_BAD_ARGUMENT, word);
}

TEST(a_problem_with_a_bad_field) {
  eigenpair_lapack* lapack = hollow_lapack(NULL);
  eigenpair_hermitian_problem problem;
#define REFUSE(word, field, value) \
  problem = valid();               \
  problem.field = value;           \
  refuse(lapack, &problem, word)
  REFUSE("struct_size", struct_size, 0);
  REFUSE("struct_size", struct_size, (int64_t)sizeof problem - 8);
  REFUSE("struct_size", struct_size, (int64_t)sizeof problem + 8);
  REFUSE("dtype", dtype, -1);
  REFUSE("dtype", dtype, 4);
  REFUSE("type", type, -1);
  REFUSE("type", type, 4);
  REFUSE("triangle", triangle, -1);
  REFUSE("triangle", triangle, 3);
  REFUSE("layout", layout, -1);
  REFUSE("layout", layout, 2);
  REFUSE("driver", driver, -1);
  REFUSE("driver", driver, 4);
  REFUSE("reserved", reserved, 1);
  REFUSE("n is negative", n, -1);
  REFUSE("n is too large", n, (int64_t)1 << 29);
  REFUSE("n is too large", n, INT64_MAX);
  REFUSE("batch is negative", batch, -1);
  REFUSE("stride", a_stride, -4);
  REFUSE("stride", b_stride, -1);
  REFUSE("problem.a", a, NULL);
  REFUSE("problem.b", b, NULL);
  REFUSE("problem.b", type, 0);
  REFUSE("problem.w", w, NULL);
  REFUSE("problem.u", v, NULL);
  REFUSE("EVR", driver, EIGENPAIR_DRIVER_EVR);
#undef REFUSE
  /* Bad fields are refused in an empty problem too. */
  problem = valid();
  problem.n = 0;
  problem.type = 5;
  refuse(lapack, &problem, "type");
  eigenpair_lapack_destroy(lapack);
}

TEST(null_pointers) {
  eigenpair_lapack* lapack = hollow_lapack(NULL);
  const eigenpair_hermitian_problem problem = valid();
  eigenpair_job* job = NULL;
  refuse(NULL, &problem, "lapack");
  refuse(lapack, NULL, "problem");
  expect_status(eigenpair_hermitian_job(lapack, &problem, 1, NULL), EIGENPAIR_BAD_ARGUMENT, "out");
  expect_status(eigenpair_hermitian_job(lapack, &problem, 0, &job), EIGENPAIR_BAD_ARGUMENT, "max_workers");
  expect_status(eigenpair_hermitian_job(lapack, &problem, -3, &job), EIGENPAIR_BAD_ARGUMENT, "max_workers");
  expect_status(eigenpair_hermitian(lapack, &problem, -1), EIGENPAIR_BAD_ARGUMENT, "threads");
  CHECK(job == NULL, "a job of no workers");
  expect_status(eigenpair_job_finish(NULL), EIGENPAIR_BAD_ARGUMENT, "job");
  CHECK(eigenpair_job_workers(NULL) == 0, "workers of no job");
  eigenpair_job_work(NULL);
  eigenpair_job_retain(NULL);
  eigenpair_job_release(NULL);
  eigenpair_lapack_destroy(lapack);
}

TEST(a_bad_lapack) {
  eigenpair_lapack* lapack = (eigenpair_lapack*)&w;
  const int32_t bits[] = {16, 0, -64, 128};
  for (int i = 0; i < 4; ++i) {
    expect_status(eigenpair_lapack_create(bits[i], no_routine, NULL, &lapack), EIGENPAIR_BAD_ARGUMENT, "integer_bits");
    CHECK(lapack == NULL, "a refused LAPACK left a handle");
  }
  expect_status(eigenpair_lapack_create(32, NULL, NULL, &lapack), EIGENPAIR_BAD_ARGUMENT, "lookup");
  expect_status(eigenpair_lapack_create(32, no_routine, NULL, NULL), EIGENPAIR_BAD_ARGUMENT, "out");
  expect_status(eigenpair_lapack_set_threading(NULL, NULL, NULL), EIGENPAIR_BAD_ARGUMENT, "lapack");
  eigenpair_lapack_destroy(NULL);
}

TEST(a_missing_routine) {
  const struct {
    const char* routine;
    int32_t type, driver;
    int vectors;
  } cases[] = {
      {"dsyev", 0, EIGENPAIR_DRIVER_AUTO, 1},  {"dsyevd", 0, EIGENPAIR_DRIVER_EVD, 0},
      {"dsyev", 0, EIGENPAIR_DRIVER_EV, 1},    {"dsyevr", 0, EIGENPAIR_DRIVER_EVR, 1},
      {"dsygvd", 1, EIGENPAIR_DRIVER_EVD, 0},  {"dsygv", 2, EIGENPAIR_DRIVER_EV, 1},
      {"dtrmm", 1, EIGENPAIR_DRIVER_AUTO, 1},  {"dtrmm", 2, EIGENPAIR_DRIVER_AUTO, 1},
      {"dpotrs", 3, EIGENPAIR_DRIVER_AUTO, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    char name[16];
    strcpy(name, cases[i].routine);
    for (int complex_too = 0; complex_too < 2; ++complex_too) {
      if (complex_too) name[0] = 'z';
      if (complex_too && name[1] == 's') memcpy(name + 1, "he", 2);
      eigenpair_lapack* lapack = hollow_lapack(name);
      CHECK(!eigenpair_lapack_has(lapack, name) && eigenpair_lapack_has(lapack, "ssyevd"), "%s", name);
      eigenpair_hermitian_problem problem = valid();
      problem.dtype = complex_too ? EIGENPAIR_COMPLEX128 : EIGENPAIR_FLOAT64;
      problem.type = cases[i].type;
      problem.driver = cases[i].driver;
      if (problem.type == 0) problem.b = NULL;
      if (!cases[i].vectors) problem.v = problem.u = NULL;
      eigenpair_job* job = NULL;
      expect_status(eigenpair_hermitian_job(lapack, &problem, 1, &job), EIGENPAIR_MISSING_ROUTINE, name);
      CHECK(job == NULL, "a job without %s", name);
      /* Problems that do not need the routine still work. */
      problem.dtype = EIGENPAIR_FLOAT32;
      CHECK(eigenpair_hermitian_job(lapack, &problem, 1, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      eigenpair_lapack_destroy(lapack);
    }
  }
}

TEST(has_routine) {
  eigenpair_lapack* lapack = hollow_lapack("cheevd");
  CHECK(eigenpair_lapack_has(lapack, "dsyevd") == 1, "dsyevd");
  CHECK(eigenpair_lapack_has(lapack, "zheevd") == 1, "zheevd");
  CHECK(eigenpair_lapack_has(lapack, "cheevd") == 0, "cheevd");
  CHECK(eigenpair_lapack_has(lapack, "zsyevd") == 0, "the complex routine is called heevd");
  CHECK(eigenpair_lapack_has(lapack, "dsyevd_") == 0, "names are plain");
  CHECK(eigenpair_lapack_has(lapack, "") == 0, "no name");
  CHECK(eigenpair_lapack_has(lapack, NULL) == 0 && eigenpair_lapack_has(NULL, "dsyevd") == 0, "NULL");
  eigenpair_lapack_destroy(lapack);
}

static void* another_threads_error(void* unused) {
  CHECK(strcmp(eigenpair_last_error(), "") == 0, "a new thread has heard '%s'", eigenpair_last_error());
  expect_status(eigenpair_lapack_create(16, no_routine, NULL, &(eigenpair_lapack*){NULL}), EIGENPAIR_BAD_ARGUMENT,
                "integer_bits");
  return unused;
}

TEST(errors_are_per_thread) {
  expect_status(eigenpair_job_finish(NULL), EIGENPAIR_BAD_ARGUMENT, "job");
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, another_threads_error, NULL) == 0, "no thread");
  pthread_join(thread, NULL);
  CHECK(strstr(eigenpair_last_error(), "job") != NULL, "another thread left '%s'", eigenpair_last_error());
}

TEST(versions) {
  CHECK(eigenpair_abi_version() == EIGENPAIR_ABI_VERSION, "ABI %d", eigenpair_abi_version());
  const char* version = eigenpair_version();
  CHECK(strspn(version, "0123456789.") == strlen(version) && strchr(version, '.') != NULL, "'%s'", version);
}
