/* Solves on the complement of a subset: the equations that define them, batches, and inputs without a solution. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/lapacks.h"
#include "support/subsets.h"

static void solve(const eigenpair_lapack* lapack, const subset_data* d, int32_t threads) {
  solve_subset(lapack, d, threads);
  solve_complement(lapack, d, threads);
}

TEST(every_complement) {
  const struct {
    int64_t n, first, count;
  } subsets[] = {{1, 0, 1}, {2, 1, 1}, {7, 0, 2}, {7, 3, 3}, {7, 6, 1}, {7, 0, 7}, {33, 14, 4}};
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 3 * 2 * 2 * 7; ++code) {
      problem_spec spec = {.dtype = code % 4, .batch = 3, .want = WANT_DUAL, .seed = (unsigned)code};
      spec.triangle = code / 4 % 3;
      spec.layout = code / 12 % 2;
      spec.type = code / 24 % 2;
      spec.n = subsets[code / 48].n;
      subset_data d = make_subset(spec, subsets[code / 48].first, subsets[code / 48].count);
      const size_t element = element_bytes(spec.dtype), n = (size_t)spec.n;
      const size_t bytes = 3 * n * (n + 4 + (spec.type ? n : 0)) * element, of_y = 3 * n * (size_t)d.count * element;
      void *factor = malloc(bytes), *y = malloc(of_y);
      solve_subset(handle, &d, 1);
      memcpy(factor, d.problem.factor, bytes);
      memcpy(y, d.y, of_y);
      solve_complement(handle, &d, 1);
      check_complement(&d);
      CHECK(memcmp(factor, d.problem.factor, bytes) == 0, "the factor was modified (%s)", describe_subset(&d));
      CHECK(memcmp(y, d.y, of_y) == 0, "y was modified (%s)", describe_subset(&d));
      free(factor);
      free(y);
      free_subset(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* Equal eigenvalues in the subset, so that the null space of A - w_j has several dimensions; and outside of it. */
TEST(equal_eigenvalues) {
  enum { n = 9 };
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 2, .n = n, .batch = 1, .want = WANT_DUAL};
      subset_data d = make_subset(spec, 3 * (code / 8), 3);
      for (int i = 0; i < n * n; ++i) {
        d.whole.a[i] = i % (n + 1) == 0 ? i / n / 3 : 0;
        if (spec.type != 0) d.whole.b[i] = i % (n + 1) == 0 ? 2 : 0;
      }
      store_matrices(&d.whole);
      d.problem.a = d.whole.problem.a;
      d.problem.b = d.whole.problem.b;
      solve(handle, &d, 1);
      check_subset(&d);
      check_complement(&d);
      free_subset(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* More than enough for each of seven threads. */
enum { kBatch = 211 };

TEST(same_bits_on_any_thread_at_any_place) {
  int64_t order[kBatch];
  for (int64_t k = 0; k < kBatch; ++k) order[k] = (17 * k + 5) % kBatch;
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 2, .n = 12, .batch = kBatch, .want = WANT_DUAL};
      spec.layout = code / 8;
      subset_data alone = make_subset(spec, 4, 3);
      solve(handle, &alone, 1);
      for (int32_t threads = 1; threads <= 7; threads += 3) {
        subset_data together = make_subset(spec, 4, 3), moved = make_reordered_subset(&alone, order);
        solve(handle, &together, threads);
        solve(handle, &moved, threads);
        for (int64_t k = 0; k < kBatch; ++k) {
          CHECK(same_subset_bits(&alone, k, &together, k) && same_complement_bits(&alone, k, &together, k),
                "matrix %lld differs on %d threads (%s)", (long long)k, threads, describe_subset(&alone));
          CHECK(same_subset_bits(&alone, order[k], &moved, k) && same_complement_bits(&alone, order[k], &moved, k),
                "matrix %lld differs elsewhere in the batch on %d threads (%s)", (long long)k, threads,
                describe_subset(&alone));
        }
        free_subset(&together);
        free_subset(&moved);
      }
      free_subset(&alone);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* NaN for a matrix that was not solved and for a y that is not finite. The other results do not change. */
TEST(what_cannot_be_solved_is_nan) {
  enum { n = 6, batch = 5, count = 2 };
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 4 % 2, .n = n, .batch = batch, .want = WANT_DUAL};
      spec.layout = code / 8;
      subset_data clean = make_subset(spec, 2, count), spoiled = make_subset(spec, 2, count);
      set_element(spoiled.whole.a_stored, spec.dtype, n * n + n + 1, NAN);
      set_element(spoiled.y, spec.dtype, 3 * n * count + 7, CMPLX(INFINITY, 0));
      solve(handle, &clean, 1);
      solve(handle, &spoiled, 1);
      for (int64_t k = 0; k < batch; ++k) {
        CHECK(k == 1 || k == 3 ? complement_is_nan(&spoiled, k) : same_complement_bits(&clean, k, &spoiled, k),
              "matrix %d (%s)", (int)k, describe_subset(&spoiled));
      }
      free_subset(&clean);
      free_subset(&spoiled);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* LAPACK temporarily overwrites reflectors. Other threads that read the same factor must not see that. */
static subset_data shared_factor;
static eigenpair_lapack* shared_lapack;

static void* solve_repeatedly(void* unused) {
  subset_data own = shared_factor;
  const problem_spec* spec = &own.whole.spec;
  own.complement.x = make_output(spec->n * own.count, element_bytes(spec->dtype));
  for (int repeat = 0; repeat < 200; ++repeat) {
    solve_complement(shared_lapack, &own, 1);
    CHECK(same_complement_bits(&shared_factor, 0, &own, 0), "another job shows (%s)", describe_subset(&own));
  }
  free(own.complement.x);
  return unused;
}

TEST(several_jobs_read_one_factor) {
  FOR_EACH_LAPACK(lapack) {
    shared_lapack = lend(lapack, 0);
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      shared_factor = make_subset((problem_spec){.dtype = dtype, .n = 96, .batch = 1, .want = WANT_DUAL}, 5, 1);
      solve(shared_lapack, &shared_factor, 1);
      pthread_t threads[4];
      for (int i = 0; i < 4; ++i) {
        REQUIRE(pthread_create(&threads[i], NULL, solve_repeatedly, NULL) == 0, "no thread to be had");
      }
      for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
      free_subset(&shared_factor);
    }
    eigenpair_lapack_destroy(shared_lapack);
  }
}
