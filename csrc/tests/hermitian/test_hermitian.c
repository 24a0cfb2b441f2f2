/* Results for every dtype, type, triangle, layout and output, checked against the definition of the problem. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/lapacks.h"
#include "support/problems.h"

static void solve(const eigenpair_lapack* lapack, const problem_data* data) {
  const eigenpair_status status = eigenpair_hermitian(lapack, &data->problem, 1);
  CHECK(status == EIGENPAIR_OK, "status %d: %s (%s)", status, eigenpair_last_error(), describe(&data->spec));
  for (int64_t k = 0; k < data->spec.batch; ++k) {
    CHECK(data->problem.info[k] == EIGENPAIR_INFO_OK, "info[%lld] = %d (%s)", (long long)k, data->problem.info[k],
          describe(&data->spec));
  }
  check_solutions(data);
}

/* The eigenvalues of two solutions of one problem agree to rounding. */
static void same_values(const problem_data* x, const problem_data* y) {
  const int64_t n = x->spec.n;
  for (int64_t i = 0; i < x->spec.batch * n; ++i) {
    const int64_t first = i / n * n;
    const double most = fmax(fabs(get_real(x->problem.w, x->spec.dtype, first)),
                             fabs(get_real(x->problem.w, x->spec.dtype, first + n - 1)));
    const double error = fabs(get_real(x->problem.w, x->spec.dtype, i) - get_real(y->problem.w, y->spec.dtype, i));
    CHECK(error <= 16 * (double)(n + 4) * epsilon(x->spec.dtype) * most, "w[%lld] differs by %g (%s)", (long long)i,
          error, describe(&y->spec));
  }
}

/* Sizes up to one more than the tile in which matrices are copied, and twice that. */
static const int64_t kSizes[] = {1, 2, 3, 7, 33};
static const int64_t kLargeSize = 65;

static void every_problem_of_type(int32_t type) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t code = 0; code < 4 * 3 * 2 * 6; ++code) {
      problem_spec spec = {.type = type, .batch = 3, .seed = (unsigned)code};
      spec.dtype = code % 4;
      spec.triangle = code / 4 % 3;
      spec.layout = code / 12 % 2;
      const int size = code / 24;
      spec.n = size < 5 ? kSizes[size] : kLargeSize;
      if (spec.n == kLargeSize) spec.batch = 1;
      spec.want = WANT_DUAL;
      problem_data dual = make_problem(spec);
      solve(handle, &dual);
      for (spec.want = WANT_VALUES; spec.want < WANT_DUAL; ++spec.want) {
        problem_data less = make_problem(spec);
        solve(handle, &less);
        same_values(&dual, &less);
        free_problem(&less);
      }
      free_problem(&dual);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(standard_problem) { every_problem_of_type(0); }
TEST(generalized_problem_type_1) { every_problem_of_type(1); }
TEST(generalized_problem_type_2) { every_problem_of_type(2); }
TEST(generalized_problem_type_3) { every_problem_of_type(3); }

TEST(drivers_agree) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t code = 0; code < 4 * 4 * 2 * 3; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .batch = 2, .seed = 11, .n = code / 32 * 20 + 1};
      spec.want = code / 16 % 2 == 0 ? WANT_VALUES : WANT_DUAL;
      problem_data automatic = make_problem(spec);
      solve(handle, &automatic);
      for (spec.driver = EIGENPAIR_DRIVER_EVD; spec.driver <= EIGENPAIR_DRIVER_EVR; ++spec.driver) {
        if (spec.type != 0 && spec.driver == EIGENPAIR_DRIVER_EVR) continue;
        problem_data chosen = make_problem(spec);
        solve(handle, &chosen);
        same_values(&automatic, &chosen);
        free_problem(&chosen);
      }
      free_problem(&automatic);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* [[0, x], [x, 0]] and [x] for the largest and the smallest x: the Hermitian part must neither overflow nor lose
 * bits, and the eigenvalues of the first are -x and x. */
TEST(extreme_entries) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      const int wide = dtype % 2 == 1;
      const double extremes[] = {wide ? 0x1.fffffffffffffp+1023 : 0x1.fffffep+127, wide ? 0x1p-1022 : 0x1p-126,
                                 wide ? 0x1p-1074 : 0x1p-149};
      for (int32_t triangle = 0; triangle < 3; ++triangle) {
        for (int e = 0; e < 3; ++e) {
          const double x = extremes[e];
          problem_data one = make_problem((problem_spec){.dtype = dtype, .triangle = triangle, .n = 1, .batch = 1});
          set_element(one.a_stored, dtype, 0, x);
          REQUIRE(eigenpair_hermitian(handle, &one.problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
          CHECK(get_real(one.problem.w, dtype, 0) == x, "w = %g instead of %g (%s)", get_real(one.problem.w, dtype, 0),
                x, describe(&one.spec));
          free_problem(&one);

          if (e == 2) continue; /* LAPACK need not resolve denormals in larger matrices */
          problem_data two = make_problem((problem_spec){.dtype = dtype, .triangle = triangle, .n = 2, .batch = 1});
          for (int i = 0; i < 4; ++i) set_element(two.a_stored, dtype, i, i == 1 || i == 2 ? x : 0);
          REQUIRE(eigenpair_hermitian(handle, &two.problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
          for (int i = 0; i < 2; ++i) {
            const double w = get_real(two.problem.w, dtype, i), expected = i == 0 ? -x : x;
            CHECK(fabs(w / expected - 1) <= 4 * epsilon(dtype), "w[%d] = %g instead of %g (%s)", i, w, expected,
                  describe(&two.spec));
          }
          free_problem(&two);
        }
      }
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* Exactly degenerate: the identity, shifted and scaled. */
TEST(degenerate_eigenvalues) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      for (int32_t type = 0; type < 4; ++type) {
        problem_data data =
            make_problem((problem_spec){.dtype = dtype, .type = type, .n = 9, .batch = 1, .want = WANT_DUAL});
        for (int64_t i = 0; i < 81; ++i) {
          data.a[i] = i % 10 == 0 ? -3 : 0;
          if (type != 0) data.b[i] = i % 10 == 0 ? 2 : 0;
          set_element(data.a_stored, dtype, i, data.a[i]);
          if (type != 0) set_element(data.b_stored, dtype, i, data.b[i]);
        }
        memcpy(data.a_before, data.a_stored, data.a_bytes);
        if (type != 0) memcpy(data.b_before, data.b_stored, data.b_bytes);
        solve(handle, &data);
        free_problem(&data);
      }
    }
    eigenpair_lapack_destroy(handle);
  }
}
