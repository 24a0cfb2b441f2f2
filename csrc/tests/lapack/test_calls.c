/* How LAPACK is called and how its results are used, with a fake LAPACK that records its calls. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/fake_lapack.h"
#include "support/problems.h"

static char* complex_name(const char* name, char* buffer) {
  strcpy(buffer, name);
  buffer[0] = name[0] == 's' ? 'c' : 'z';
  if (name[1] == 's') memcpy(buffer + 1, "he", 2);
  return buffer;
}

static void solve(const eigenpair_lapack* lapack, const problem_data* data) {
  const eigenpair_status status = eigenpair_hermitian(lapack, &data->problem, 1);
  CHECK(status == EIGENPAIR_OK, "status %d: %s (%s)", status, eigenpair_last_error(), describe(&data->spec));
}

TEST(routines_arguments_and_hidden_lengths) {
  const struct {
    int32_t type, driver;
    int want;
    const char* routine;
    const char* dual;
    char job;
    int64_t n;
  } cases[] = {
      {0, EIGENPAIR_DRIVER_AUTO, WANT_VALUES, "dsyev", NULL, 'N', 25},
      {0, EIGENPAIR_DRIVER_AUTO, WANT_VECTORS, "dsyev", NULL, 'V', 25},
      {0, EIGENPAIR_DRIVER_AUTO, WANT_VALUES, "dsyevd", NULL, 'N', 26},
      {0, EIGENPAIR_DRIVER_AUTO, WANT_VECTORS, "dsyevd", NULL, 'V', 26},
      {0, EIGENPAIR_DRIVER_EVD, WANT_DUAL, "dsyevd", NULL, 'V', 5},
      {0, EIGENPAIR_DRIVER_EV, WANT_VECTORS, "dsyev", NULL, 'V', 5},
      {0, EIGENPAIR_DRIVER_EVR, WANT_VECTORS, "dsyevr", NULL, 'V', 5},
      {0, EIGENPAIR_DRIVER_EVR, WANT_VALUES, "dsyevr", NULL, 'N', 5},
      {1, EIGENPAIR_DRIVER_AUTO, WANT_VALUES, "dsygvd", NULL, 'N', 5},
      {1, EIGENPAIR_DRIVER_AUTO, WANT_DUAL, "dsygvd", "dtrmm", 'V', 5},
      {2, EIGENPAIR_DRIVER_EVD, WANT_DUAL, "dsygvd", "dtrmm", 'V', 5},
      {3, EIGENPAIR_DRIVER_AUTO, WANT_DUAL, "dsygvd", "dpotrs", 'V', 5},
      {3, EIGENPAIR_DRIVER_EV, WANT_VECTORS, "dsygv", NULL, 'V', 5},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    for (int32_t code = 0; code < 4 * 2 * 3; ++code) {
      const int32_t bits = code / 4 % 2 == 0 ? 32 : 64;
      problem_spec spec = {.dtype = code % 4, .triangle = code / 8, .batch = 1, .want = cases[i].want};
      spec.n = cases[i].n;
      spec.type = cases[i].type;
      spec.driver = cases[i].driver;
      eigenpair_lapack* lapack = fake_lapack_lend(bits);
      problem_data data = make_problem(spec);
      solve(lapack, &data);
      const fake_record* record = fake_lapack_record();
      const fake_call* call = &record->solution;
      char name[16], buffer[16];
      strcpy(name, cases[i].routine);
      if (spec.dtype % 2 == 0) name[0] = 's';
      const char* routine = is_complex(spec.dtype) ? complex_name(name, buffer) : name;
      REQUIRE(call->routine != NULL && strcmp(call->routine, routine) == 0, "%s was called instead of %s (%s)",
              call->routine, routine, describe(&spec));
      const size_t characters = spec.driver == EIGENPAIR_DRIVER_EVR ? 3 : 2;
      for (size_t c = 0; c < characters; ++c) {
        CHECK(call->lengths[c] == 1, "length %zu is %zu (%s)", c, call->lengths[c], routine);
      }
      CHECK(call->n == spec.n && call->lda == spec.n && call->type == spec.type, "n %lld, lda %lld, type %lld (%s)",
            (long long)call->n, (long long)call->lda, (long long)call->type, routine);
      CHECK(call->job == cases[i].job && call->uplo == 'L', "job %c, uplo %c (%s)", call->job, call->uplo, routine);
      CHECK(characters == 2 || call->range == 'A', "range %c", call->range);
      CHECK(call->a != data.a_stored && (call->b == NULL || call->b != data.b_stored), "%s got the input", routine);

      if (cases[i].dual == NULL) {
        CHECK(record->duals == 0, "%s was called for no dual", record->dual.routine);
      } else {
        const int products = spec.type == 3 ? 1 : 2;
        CHECK(record->duals == products && strcmp(record->dual.routine + 1, cases[i].dual + 1) == 0,
              "%d calls of %s for the dual (%s)", record->duals, record->dual.routine, describe(&spec));
        CHECK(record->dual.a == call->b && record->dual.b == data.problem.u, "the dual's matrices (%s)", routine);
        for (int c = 0; c < (spec.type == 3 ? 1 : 4); ++c) {
          CHECK(record->dual.lengths[c] == 1, "length %d is %zu (%s)", c, record->dual.lengths[c], cases[i].dual);
        }
      }
      free_problem(&data);
      eigenpair_lapack_destroy(lapack);
    }
  }
}

/* Work arrays are never shorter than LAPACK's documentation demands, whatever a query returns. */
TEST(workspace_is_at_least_the_documented_minimum) {
  const int64_t n = 9;
  const struct {
    int32_t driver;
    int want;
    int64_t real_work, real_iwork, complex_work, complex_rwork, complex_iwork;
  } cases[] = {
      {EIGENPAIR_DRIVER_EVD, WANT_VALUES, 2 * n + 1, 1, n + 1, n, 1},
      {EIGENPAIR_DRIVER_EVD, WANT_VECTORS, 1 + 6 * n + 2 * n * n, 3 + 5 * n, 2 * n + n * n, 1 + 5 * n + 2 * n * n,
       3 + 5 * n},
      {EIGENPAIR_DRIVER_EV, WANT_VECTORS, 3 * n - 1, 0, 2 * n - 1, 3 * n - 2, 0},
      {EIGENPAIR_DRIVER_EVR, WANT_VECTORS, 26 * n, 10 * n, 2 * n, 24 * n, 10 * n},
      {EIGENPAIR_DRIVER_EVR, WANT_VALUES, 26 * n, 10 * n, 2 * n, 24 * n, 10 * n},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    for (int32_t code = 0; code < 4 * 2 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .driver = cases[i].driver, .n = n, .batch = 2, .want = cases[i].want};
      spec.type = code / 8;
      if (spec.type != 0 && spec.driver == EIGENPAIR_DRIVER_EVR) continue;
      eigenpair_lapack* lapack = fake_lapack_lend(code / 4 % 2 == 0 ? 32 : 64);
      fake_lapack_behave((fake_behaviour){.work = 0, .rwork = 0, .iwork = 0});
      problem_data data = make_problem(spec);
      solve(lapack, &data);
      const fake_call* call = &fake_lapack_record()->solution;
      const int64_t work = is_complex(spec.dtype) ? cases[i].complex_work : cases[i].real_work;
      const int64_t rwork = is_complex(spec.dtype) ? cases[i].complex_rwork : 0;
      const int64_t iwork = is_complex(spec.dtype) ? cases[i].complex_iwork : cases[i].real_iwork;
      CHECK(call->lwork >= work && call->lrwork >= rwork && call->liwork >= iwork,
            "%s: lwork %lld of %lld, lrwork %lld of %lld, liwork %lld of %lld", call->routine, (long long)call->lwork,
            (long long)work, (long long)call->lrwork, (long long)rwork, (long long)call->liwork, (long long)iwork);
      if (call->isuppz != NULL && call->job == 'V') {
        const char *iwork_end = (char*)call->iwork + call->liwork * call->integer_bits / 8, *isuppz = call->isuppz;
        CHECK(isuppz >= iwork_end || isuppz + 2 * n * call->integer_bits / 8 <= (char*)call->iwork,
              "isuppz overlaps iwork");
      }
      free_problem(&data);
      eigenpair_lapack_destroy(lapack);
    }
  }
}

/* The optimum comes back as a floating-point number, and single precision rounds 2^26 + 3 down to 2^26. */
TEST(workspace_optimum_survives_single_precision) {
  for (int32_t dtype = 0; dtype < 4; ++dtype) {
    eigenpair_lapack* lapack = fake_lapack_lend(32);
    const int64_t work = (1 << 26) + 3, rwork = work, iwork = 12345;
    fake_lapack_behave((fake_behaviour){.work = (double)work, .rwork = (double)rwork, .iwork = iwork});
    problem_data data = make_problem(
        (problem_spec){.dtype = dtype, .driver = EIGENPAIR_DRIVER_EVD, .n = 3, .batch = 1, .want = WANT_VECTORS});
    solve(lapack, &data);
    const fake_call* call = &fake_lapack_record()->solution;
    CHECK(call->lwork >= work, "lwork is %lld (%s)", (long long)call->lwork, call->routine);
    CHECK(!is_complex(dtype) || call->lrwork >= rwork, "lrwork is %lld (%s)", (long long)call->lrwork, call->routine);
    CHECK(call->liwork >= iwork, "liwork is %lld (%s)", (long long)call->liwork, call->routine);
    free_problem(&data);
    eigenpair_lapack_destroy(lapack);
  }
}

/* The status of making a job of size n, whose arrays do not exist, and the routine chosen for it. */
static eigenpair_status make_only(int32_t bits, problem_spec spec, const char** routine) {
  static double nothing;
  eigenpair_lapack* lapack = fake_lapack_lend(bits);
  eigenpair_hermitian_problem problem = {.struct_size = sizeof problem,
                                         .dtype = spec.dtype,
                                         .type = spec.type,
                                         .driver = spec.driver,
                                         .n = spec.n,
                                         .batch = 1,
                                         .a = &nothing,
                                         .b = spec.type == 0 ? NULL : &nothing,
                                         .w = &nothing,
                                         .v = spec.want == WANT_VALUES ? NULL : &nothing};
  eigenpair_job* job = NULL;
  const eigenpair_status status = eigenpair_hermitian_job(lapack, &problem, 1, &job);
  *routine = fake_lapack_record()->query.routine;
  if (*routine == NULL) *routine = "none";
  eigenpair_job_release(job);
  eigenpair_lapack_destroy(lapack);
  return status;
}

/* 2n^2 + 6n + 1 is the last to fit 31 bits at n = 32766. */
TEST(sizes_whose_workspace_overflows_32_bits) {
  const struct {
    int32_t bits;
    problem_spec spec;
    eigenpair_status status;
    const char* routine;
  } cases[] = {
      {32, {.n = 32766, .want = WANT_VECTORS}, EIGENPAIR_OK, "evd"},
      {32, {.n = 32767, .want = WANT_VECTORS}, EIGENPAIR_OK, "evr"},
      {32, {.n = 32768, .want = WANT_VECTORS}, EIGENPAIR_OK, "evr"},
      {32, {.n = 32768, .want = WANT_VALUES}, EIGENPAIR_OK, "evd"},
      {32, {.n = 32768, .want = WANT_VECTORS, .type = 1}, EIGENPAIR_OK, "gv"},
      {32, {.n = 32768, .want = WANT_VALUES, .type = 1}, EIGENPAIR_OK, "gvd"},
      {32, {.n = 32768, .want = WANT_VECTORS, .driver = EIGENPAIR_DRIVER_EVD}, EIGENPAIR_TOO_LARGE, NULL},
      {32, {.n = 65536, .want = WANT_VECTORS, .driver = EIGENPAIR_DRIVER_EVD}, EIGENPAIR_TOO_LARGE, NULL},
      {32, {.n = 200000000, .want = WANT_VECTORS}, EIGENPAIR_TOO_LARGE, NULL},
      {64, {.n = 32768, .want = WANT_VECTORS}, EIGENPAIR_OK, "evd"},
      {64, {.n = 32768, .want = WANT_VECTORS, .type = 3}, EIGENPAIR_OK, "gvd"},
      {64, {.n = 200000000, .want = WANT_VECTORS}, EIGENPAIR_OK, "evd"},
      {64, {.n = 1 << 29, .want = WANT_VECTORS}, EIGENPAIR_BAD_ARGUMENT, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      problem_spec spec = cases[i].spec;
      spec.dtype = dtype;
      const char* routine;
      const eigenpair_status status = make_only(cases[i].bits, spec, &routine);
      CHECK(status == cases[i].status, "status %d: %s (%d-bit, %s)", status, eigenpair_last_error(), cases[i].bits,
            describe(&spec));
      CHECK(cases[i].routine == NULL || strcmp(routine + 3, cases[i].routine) == 0, "%s was chosen (%d-bit, %s)",
            routine, cases[i].bits, describe(&spec));
    }
  }
}

/* An absurd optimum: more than the memory and more than a 32-bit integer. */
TEST(work_arrays_that_cannot_be_had) {
  for (int32_t dtype = 0; dtype < 4; ++dtype) {
    for (double optimum = 1e15; optimum < 1e19; optimum *= 1000) {
      problem_data data = make_problem((problem_spec){.dtype = dtype, .n = 3, .batch = 4, .want = WANT_VECTORS});
      eigenpair_lapack* wide = fake_lapack_lend(64);
      fake_lapack_behave((fake_behaviour){.work = optimum, .rwork = 1, .iwork = 1});
      eigenpair_status status = eigenpair_hermitian(wide, &data.problem, 1);
      CHECK(status == EIGENPAIR_OUT_OF_MEMORY, "status %d: %s", status, eigenpair_last_error());
      eigenpair_lapack_destroy(wide);

      eigenpair_lapack* narrow = fake_lapack_lend(32);
      fake_lapack_behave((fake_behaviour){.work = optimum, .rwork = 1, .iwork = 1});
      status = eigenpair_hermitian(narrow, &data.problem, 1);
      CHECK(status == EIGENPAIR_TOO_LARGE, "status %d: %s", status, eigenpair_last_error());
      eigenpair_lapack_destroy(narrow);
      free_problem(&data);
    }
  }
}

TEST(a_query_that_fails) {
  eigenpair_lapack* lapack = fake_lapack_lend(32);
  fake_lapack_behave((fake_behaviour){.work = 1, .rwork = 1, .iwork = 1, .query_info = -8});
  problem_data data = make_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .n = 3, .batch = 1});
  const eigenpair_status status = eigenpair_hermitian(lapack, &data.problem, 1);
  CHECK(status == EIGENPAIR_INTERNAL, "status %d", status);
  CHECK(strstr(eigenpair_last_error(), "-8") != NULL, "'%s' does not say -8", eigenpair_last_error());
  free_problem(&data);
  eigenpair_lapack_destroy(lapack);
}

/* With vectors, syevd and sygvd may return info up to n(n + 2) if they fail. So for info between n + 1 and 2n, only the
 * pivot that Cholesky left in B tells whether it is about B. */
TEST(what_info_means) {
  const int64_t n = 4;
  const struct {
    int32_t type;
    int64_t info;
    double first_value, pivot;
    int32_t expected;
  } cases[] = {
      {0, 0, -1, 1, EIGENPAIR_INFO_OK},
      {0, 1, -1, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {0, n, -1, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {0, n + 2, -1, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {0, n * (n + 2), -1, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {0, -3, -1, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {0, 0, NAN, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {0, 0, INFINITY, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {1, 0, -1, 1, EIGENPAIR_INFO_OK},
      {1, 2, -1, 1, EIGENPAIR_INFO_NO_CONVERGENCE},
      {1, n + 1, -1, -2, EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE},
      {2, n + 2, -1, 0, EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE},
      {3, 2 * n, -1, -2, EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE},
      {1, 2 * n, -1, 3, EIGENPAIR_INFO_NO_CONVERGENCE},
      {1, n * (n + 2), -1, 3, EIGENPAIR_INFO_NO_CONVERGENCE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    for (int32_t code = 0; code < 4 * 3; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = cases[i].type, .n = n, .batch = 2, .want = code / 4};
      eigenpair_lapack* lapack = fake_lapack_lend(32);
      fake_behaviour behaviour = {.work = 1, .rwork = 1, .iwork = 1, .info = cases[i].info};
      behaviour.first_value = cases[i].first_value;
      behaviour.pivot = cases[i].pivot;
      fake_lapack_behave(behaviour);
      problem_data data = make_problem(spec);
      solve(lapack, &data);
      for (int64_t k = 0; k < 2; ++k) {
        CHECK(data.problem.info[k] == cases[i].expected, "LAPACK's info %lld was read as %d (%s)",
              (long long)cases[i].info, data.problem.info[k], describe(&spec));
        CHECK(all_nan(&data, k) == (cases[i].expected != EIGENPAIR_INFO_OK), "info %d, NaN %d (%s)",
              data.problem.info[k], all_nan(&data, k), describe(&spec));
      }
      free_problem(&data);
      eigenpair_lapack_destroy(lapack);
    }
  }
}
