/* Batches: strides, and matrices of which only one fails. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/lapacks.h"
#include "support/problems.h"

static void run(const eigenpair_lapack* lapack, const problem_data* data) {
  const eigenpair_status status = eigenpair_hermitian(lapack, &data->problem, 1);
  CHECK(status == EIGENPAIR_OK, "status %d: %s (%s)", status, eigenpair_last_error(), describe(&data->spec));
}

static void all_solved(const problem_data* data) {
  for (int64_t k = 0; k < data->spec.batch; ++k) {
    CHECK(data->problem.info[k] == EIGENPAIR_INFO_OK, "info[%lld] = %d (%s)", (long long)k, data->problem.info[k],
          describe(&data->spec));
  }
  check_solutions(data);
}

TEST(one_matrix_shared_by_the_batch) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 4 * 3; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .n = 6, .batch = 5, .want = WANT_DUAL, .seed = 5};
      spec.shared_a = code / 16 != 1;
      spec.shared_b = code / 16 != 0;
      problem_data data = make_problem(spec);
      run(handle, &data);
      all_solved(&data);
      if (spec.shared_a && spec.shared_b) {
        for (int64_t k = 1; k < spec.batch; ++k) {
          CHECK(same_bits(&data, 0, &data, k), "matrix %lld differs (%s)", (long long)k, describe(&spec));
        }
      }
      free_problem(&data);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(gaps_between_matrices) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 4 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .n = 5, .batch = 4, .want = WANT_DUAL, .seed = 8};
      spec.layout = code / 16;
      problem_data tight = make_problem(spec);
      spec.gap = 13;
      problem_data apart = make_problem(spec);
      run(handle, &tight);
      run(handle, &apart);
      all_solved(&apart);
      for (int64_t k = 0; k < spec.batch; ++k) {
        CHECK(same_bits(&tight, k, &apart, k), "matrix %lld differs (%s)", (long long)k, describe(&spec));
      }
      free_problem(&tight);
      free_problem(&apart);
    }
    eigenpair_lapack_destroy(handle);
  }
}

typedef enum { NAN_IN_A, NAN_IN_B, INF_IN_A, INF_IN_B, NEGATIVE_B, ZERO_B, HARMS } harm;
enum { kBatch = 6 };

/* Overwrites one entry that is read of the k-th matrix; an entry off the diagonal, if there is one. */
static void spoil(problem_data* data, harm what, int64_t k) {
  const problem_spec* spec = &data->spec;
  const int in_a = what == NAN_IN_A || what == INF_IN_A;
  void* stored = in_a ? data->a_stored : data->b_stored;
  const int64_t last = spec->n - 1, low = spec->triangle == EIGENPAIR_UPPER ? 0 : last;
  if (what == NEGATIVE_B || what == ZERO_B) {
    const double value = what == ZERO_B ? 0 : -1;
    set_element(stored, spec->dtype, stored_index(spec, 0, k, last, last), value);
  } else {
    const double value = what == NAN_IN_A || what == NAN_IN_B ? NAN : -INFINITY;
    /* Only the imaginary part, if it is read. */
    const double complex entry = is_complex(spec->dtype) && spec->n > 1 ? CMPLX(0.5, value) : value;
    set_element(stored, spec->dtype, stored_index(spec, 0, k, low, last - low), entry);
  }
}

/* One matrix is not finite: its results are NaN and info says why; all other results keep every bit. */
static void spoil_one(const eigenpair_lapack* lapack, problem_spec spec, harm what, int64_t bad) {
  problem_data clean = make_problem(spec), spoiled = make_problem(spec);
  spoil(&spoiled, what, bad);
  memcpy(spoiled.a_before, spoiled.a_stored, spoiled.a_bytes);
  if (spec.type != 0) memcpy(spoiled.b_before, spoiled.b_stored, spoiled.b_bytes);
  run(lapack, &clean);
  run(lapack, &spoiled);
  check_solutions(&spoiled);
  const int32_t expected =
      what == NEGATIVE_B || what == ZERO_B ? EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE : EIGENPAIR_INFO_NOT_FINITE;
  for (int64_t k = 0; k < kBatch; ++k) {
    const int32_t info = spoiled.problem.info[k];
    CHECK(info == (k == bad ? expected : EIGENPAIR_INFO_OK), "info[%lld] = %d when %lld has harm %d (%s)", (long long)k,
          info, (long long)bad, what, describe(&spec));
    if (k == bad) {
      CHECK(all_nan(&spoiled, k), "a matrix with harm %d has finite results (%s)", what, describe(&spec));
    } else {
      CHECK(same_bits(&clean, k, &spoiled, k), "matrix %lld changed when %lld has harm %d (%s)", (long long)k,
            (long long)bad, what, describe(&spec));
    }
  }
  free_problem(&clean);
  free_problem(&spoiled);
}

TEST(a_matrix_that_fails_leaves_its_neighbours_alone) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 4 * 3 * 2 * HARMS; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .batch = kBatch, .seed = (unsigned)code};
      spec.triangle = code / 16 % 3;
      spec.layout = code / 48 % 2;
      spec.want = code % 3;
      spec.n = code % 5 == 0 ? 1 : 6;
      const harm what = (harm)(code / 96);
      if (spec.type == 0 && what != NAN_IN_A && what != INF_IN_A) continue;
      spoil_one(handle, spec, what, code % 3 == 0 ? 0 : code % 3 == 1 ? kBatch - 1 : 2);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* For some of these, LAPACK returns finite eigenvalues. */
TEST(one_nan_in_a_large_matrix) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      for (int want = WANT_VALUES; want <= WANT_VECTORS; ++want) {
        for (int64_t row = 0; row < 64; row += 21) {
          problem_data data = make_problem((problem_spec){.dtype = dtype, .n = 64, .batch = 1, .want = want});
          set_element(data.a_stored, dtype, row + 64 * (row / 2), NAN);
          run(handle, &data);
          CHECK(data.problem.info[0] == EIGENPAIR_INFO_NOT_FINITE && all_nan(&data, 0), "info = %d, row %lld (%s)",
                data.problem.info[0], (long long)row, describe(&data.spec));
          free_problem(&data);
        }
      }
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* Finite input whose reduction B^-1 A overflows: the results are NaN and info says so. */
TEST(overflow_inside_a_generalized_problem) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 3 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 3 + 1, .n = 4, .batch = 1, .want = code / 12};
      problem_data data = make_problem(spec);
      const double large = spec.dtype % 2 == 1 ? DBL_MAX / 8 : FLT_MAX / 8;
      for (int64_t i = 0; i < 16; ++i) {
        set_element(data.a_stored, spec.dtype, i, i % 5 == 0 ? large : large / 4);
        set_element(data.b_stored, spec.dtype, i, i % 5 == 0 ? (spec.type == 1 ? 1 / large : large) : 0);
      }
      run(handle, &data);
      CHECK(data.problem.info[0] == EIGENPAIR_INFO_NO_CONVERGENCE && all_nan(&data, 0), "info = %d (%s)",
            data.problem.info[0], describe(&spec));
      free_problem(&data);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(info_is_optional) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    problem_data data = make_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .n = 3, .batch = 2, .want = WANT_DUAL});
    int32_t* info = data.problem.info;
    data.problem.info = NULL;
    set_element(data.a_stored, EIGENPAIR_FLOAT64, 9, NAN);
    memcpy(data.a_before, data.a_stored, data.a_bytes);
    run(handle, &data);
    CHECK(all_nan(&data, 1) && !all_nan(&data, 0), "without info");
    data.problem.info = info;
    free_problem(&data);
    eigenpair_lapack_destroy(handle);
  }
}

/* Nothing to solve: no pointer is read and LAPACK is not called, so this needs no real LAPACK. */
static void* no_routine(void* context, const char* name) { return (void)context, (void)name, NULL; }

TEST(nothing_to_solve) {
  eigenpair_lapack* handle = NULL;
  REQUIRE(eigenpair_lapack_create(32, no_routine, NULL, &handle) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  for (int code = 0; code < 4 * 4 * 3; ++code) {
    eigenpair_hermitian_problem problem = {.struct_size = sizeof problem, .dtype = code % 4, .type = code / 4 % 4};
    problem.n = code / 16 == 1 ? 7 : 0;
    problem.batch = code / 16 == 2 ? 3 : 0;
    int32_t info[4] = {99, 99, 99, 99};
    problem.info = info;
    CHECK(eigenpair_hermitian(handle, &problem, 3) == EIGENPAIR_OK, "%s", eigenpair_last_error());
    for (int i = 0; i < 4; ++i) {
      CHECK(info[i] == (i < problem.batch ? EIGENPAIR_INFO_OK : 99), "info[%d] = %d", i, info[i]);
    }
    problem.info = NULL;
    eigenpair_job* job = NULL;
    CHECK(eigenpair_hermitian_job(handle, &problem, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
    CHECK(eigenpair_job_workers(job) == 1, "%d workers for nothing", eigenpair_job_workers(job));
    eigenpair_job_work(job);
    CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  }
  eigenpair_lapack_destroy(handle);
}
