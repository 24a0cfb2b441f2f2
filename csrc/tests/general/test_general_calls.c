/* How the general drivers are called and how their results are used, with a fake LAPACK that records its calls. */
#include <math.h>
#include <string.h>

#include "support/check.h"
#include "support/complex_numbers.h"
#include "support/fake_lapack.h"
#include "support/problems.h"

enum { kSize = 5 };

static double a[2 * kSize * kSize], b[2 * kSize * kSize], w[2 * kSize], v[2 * kSize * kSize], vl[2 * kSize * kSize];
static int32_t info[1];

static eigenpair_general_problem make(int32_t dtype, int generalized, int left, int right) {
  return (eigenpair_general_problem){.struct_size = sizeof(eigenpair_general_problem),
                                     .dtype = dtype,
                                     .n = kSize,
                                     .batch = 1,
                                     .a = a,
                                     .b = generalized ? b : NULL,
                                     .w = w,
                                     .v = right ? v : NULL,
                                     .vl = left ? vl : NULL,
                                     .info = info};
}

TEST(routines_arguments_and_hidden_lengths) {
  for (int code = 0; code < 4 * 2 * 2 * 2 * 2; ++code) {
    const int32_t dtype = code % 4;
    const int generalized = code / 4 % 2, left = code / 8 % 2, right = code / 16 % 2;
    eigenpair_lapack* lapack = fake_lapack_lend(code / 32 ? 64 : 32);
    fake_lapack_behave((fake_behaviour){.work = 0});
    const eigenpair_general_problem problem = make(dtype, generalized, left, right);
    CHECK(eigenpair_general(lapack, &problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
    const fake_call* call = &fake_lapack_record()->solution;
    const char expected[] = {"sdcz"[dtype], 'g', generalized ? 'g' : 'e', 'e', 'v', '\0'};
    REQUIRE(call->routine != NULL && strcmp(call->routine, expected) == 0, "%s instead of %s", call->routine, expected);
    CHECK(call->lengths[0] == 1 && call->lengths[1] == 1, "%s: lengths %zu, %zu", expected, call->lengths[0],
          call->lengths[1]);
    CHECK(call->job == (left ? 'V' : 'N') && call->range == (right ? 'V' : 'N'), "%s: jobs %c%c", expected, call->job,
          call->range);
    CHECK(call->n == kSize && call->lda == kSize && call->a != a && call->b != (void*)b, "%s: n, lda or input",
          expected);
    const int64_t least = is_complex(dtype) ? 2 * kSize : generalized ? 8 * kSize : 4 * kSize;
    CHECK(call->lwork >= least, "%s: lwork %lld of %lld", expected, (long long)call->lwork, (long long)least);
    eigenpair_lapack_destroy(lapack);
  }
}

TEST(what_info_means) {
  const struct {
    int64_t info;
    double first_value;
    int32_t expected;
  } cases[] = {{0, -1, EIGENPAIR_INFO_OK},
               {2, -1, EIGENPAIR_INFO_NO_CONVERGENCE},
               {kSize + 1, -1, EIGENPAIR_INFO_NO_CONVERGENCE},
               {-3, -1, EIGENPAIR_INFO_NO_CONVERGENCE},
               {0, NAN, EIGENPAIR_INFO_NO_CONVERGENCE}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    for (int32_t code = 0; code < 8; ++code) {
      const int generalized = code / 4;
      if (generalized && isnan(cases[i].first_value)) continue; /* there it is an undetermined eigenvalue */
      eigenpair_lapack* lapack = fake_lapack_lend(32);
      fake_lapack_behave((fake_behaviour){.work = 1, .info = cases[i].info, .first_value = cases[i].first_value});
      const eigenpair_general_problem problem = make(code % 4, generalized, 0, 0);
      CHECK(eigenpair_general(lapack, &problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      CHECK(info[0] == cases[i].expected, "LAPACK's info %lld was read as %d", (long long)cases[i].info, info[0]);
      const double first = creal(get_element(w, (code % 4) | 2, 0));
      CHECK(isnan(first) == (cases[i].expected != EIGENPAIR_INFO_OK), "w[0] = %g with info %d", first, info[0]);
      eigenpair_lapack_destroy(lapack);
    }
  }
}

TEST(a_query_that_fails_and_a_missing_routine) {
  eigenpair_lapack* lapack = fake_lapack_lend(32);
  fake_lapack_behave((fake_behaviour){.work = 1, .query_info = -4});
  eigenpair_general_problem problem = make(EIGENPAIR_FLOAT64, 0, 0, 1);
  CHECK(eigenpair_general(lapack, &problem, 1) == EIGENPAIR_INTERNAL, "%s", eigenpair_last_error());
  fake_lapack_behave((fake_behaviour){.work = 1});
  problem.u = vl; /* for which the fake has no gemm */
  CHECK(eigenpair_general(lapack, &problem, 1) == EIGENPAIR_MISSING_ROUTINE &&
            strstr(eigenpair_last_error(), "zgemm") != NULL,
        "%s", eigenpair_last_error());
  problem.u = NULL;
  problem.n = (int64_t)1 << 28; /* 8n does not fit in 31 bits */
  CHECK(eigenpair_general(lapack, &problem, 1) == EIGENPAIR_TOO_LARGE, "%s", eigenpair_last_error());
  eigenpair_lapack_destroy(lapack);
}
