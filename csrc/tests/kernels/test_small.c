/* The kernels for small matrices, at every size: all kinds of spectra, and that results do not depend on the other
 * matrices of the batch or on the number of threads, bit for bit. They need no LAPACK. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/hollow_lapack.h"
#include "support/problems.h"

/* From order 1 to one more than the orders that are unrolled, padded or exactly filled; and the largest orders. */
static const int64_t kSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32};
enum { kSizeCount = sizeof kSizes / sizeof *kSizes, kMaxThreads = 7 };
/* The orders that the row solver solves, one matrix at a time. */
static const int64_t kLonely[] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 64, 128};
enum { kLonelyCount = sizeof kLonely / sizeof *kLonely, kLargest = 128 };

enum { RANDOM, DEGENERATE, CLUSTERED, GRADED, RANK_ONE, DIAGONAL, ZERO, TINY, HUGE, SPECTRA };

/* H D H with H = I - 2 h h^T / (h^T h): a matrix whose eigenvalues are the diagonal of D. */
static void with_eigenvalues(const double* w, int64_t n, unsigned* state, double complex* a) {
  double h[kLargest], square = 0;
  for (int64_t i = 0; i < n; ++i) h[i] = 1.5 + next_random(state);
  for (int64_t i = 0; i < n; ++i) square += h[i] * h[i];
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) {
      double sum = 0;
      for (int64_t l = 0; l < n; ++l) {
        sum += ((i == l) - 2 * h[i] * h[l] / square) * w[l] * ((l == j) - 2 * h[l] * h[j] / square);
      }
      a[i + j * n] = a[j + i * n] = sum;
    }
  }
}

/* Replaces the random matrix by one with this kind of spectrum. */
static void change(double complex* a, int64_t n, int spectrum, int32_t dtype, unsigned* state) {
  const int single = dtype % 2 == 0;
  double w[kLargest];
  for (int64_t i = 0; i < n; ++i) {
    w[i] = spectrum == DEGENERATE ? (double)(i % 2) : 1 + (single ? 1e-5 : 1e-12) * (double)i;
  }
  if (spectrum == DEGENERATE || spectrum == CLUSTERED) with_eigenvalues(w, n, state, a);
  double complex first[kLargest];
  memcpy(first, a, (size_t)n * sizeof *a);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < n; ++i) {
      double complex* entry = &a[i + j * n];
      if (spectrum == GRADED) *entry *= ldexp(1, -(int)(i + j) * 30 / (int)(n + 1));
      if (spectrum == RANK_ONE) *entry = i == j ? pow(cabs(first[i]), 2) : first[i] * conj(first[j]);
      if ((spectrum == DIAGONAL && i != j) || spectrum == ZERO) *entry = 0;
      if (spectrum == TINY) *entry *= ldexp(1, single ? -100 : -900);
      if (spectrum == HUGE) *entry *= ldexp(1, single ? 100 : 900);
    }
  }
}

/* Rounds like storing does, so that the check uses the same matrix as the core. */
static void round_entries(double complex* a, int64_t count, int32_t dtype) {
  for (int64_t i = 0; i < count && dtype % 2 == 0; ++i) a[i] = CMPLX((float)creal(a[i]), (float)cimag(a[i]));
}

/* Neighbours have different kinds of spectra. One triangle is read if a mean would round the entries. */
static problem_data mixed_spectra(problem_spec spec) {
  spec.triangle = EIGENPAIR_LOWER + (int32_t)(spec.seed % 2);
  problem_data data = make_problem(spec);
  const int64_t square = spec.n * spec.n;
  unsigned state = spec.seed;
  for (int64_t k = 0; k < spec.batch; ++k) change(data.a + k * square, spec.n, (int)(k % SPECTRA), spec.dtype, &state);
  round_entries(data.a, spec.batch * square, spec.dtype);
  store_matrices(&data);
  return data;
}

/* Enough for three chunks, by the core's estimate of the time, and not a multiple of any number of lanes. */
static int64_t batch_for(int64_t n) { return 37 + 100000 / (3 + (n == 2 ? 0 : 2 * n * n * (10 + n) / 10)); }

static void* work_and_release(void* job) {
  eigenpair_job_work(job);
  eigenpair_job_release(job);
  return NULL;
}

static void solve(const problem_data* data, int32_t threads) {
  eigenpair_lapack* none = hollow_lapack("");
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_hermitian_job(none, &data->problem, threads, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_job_workers(job) >= (threads < 3 ? threads : 3), "%d workers (%s)", eigenpair_job_workers(job),
        describe(&data->spec));
  pthread_t helpers[kMaxThreads];
  for (int32_t i = 1; i < threads; ++i) {
    eigenpair_job_retain(job);
    REQUIRE(pthread_create(&helpers[i], NULL, work_and_release, job) == 0, "no thread to be had");
  }
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  for (int32_t i = 1; i < threads; ++i) pthread_join(helpers[i], NULL);
  eigenpair_lapack_destroy(none);
}

static problem_spec spec_for(int code, int64_t n) {
  problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .n = n, .batch = SPECTRA * 5, .seed = (unsigned)code};
  spec.want = code / 16 == 0 ? WANT_VALUES : WANT_DUAL;
  spec.layout = code / 4 % 3 % 2;
  spec.seed += (unsigned)n;
  return spec;
}

TEST(every_spectrum_alone) {
  for (int size = 0; size < kLonelyCount; ++size) {
    for (int code = 0; code < 4 * SPECTRA; ++code) {
      problem_spec spec = {
          .dtype = code % 4, .n = kLonely[size], .batch = 1, .triangle = EIGENPAIR_LOWER + code / 4 % 2};
      spec.layout = code / 8 % 2;
      spec.seed = (unsigned)code;
      problem_data data[2];
      eigenpair_lapack* none = hollow_lapack("");
      for (int values = 0; values <= 1; ++values) {
        spec.want = values ? WANT_VALUES : WANT_DUAL;
        data[values] = make_problem(spec);
        unsigned state = spec.seed;
        change(data[values].a, spec.n, code / 4, spec.dtype, &state);
        round_entries(data[values].a, spec.n * spec.n, spec.dtype);
        store_matrices(&data[values]);
        REQUIRE(eigenpair_hermitian(none, &data[values].problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
        CHECK(data[values].problem.info[0] == EIGENPAIR_INFO_OK, "%s", describe(&data[values].spec));
        check_solutions(&data[values]);
      }
      eigenpair_lapack_destroy(none);
      free_problem(&data[0]);
      free_problem(&data[1]);
    }
  }
}

TEST(every_spectrum_at_every_size) {
  for (int size = 0; size < kSizeCount; ++size) {
    for (int code = 0; code < 4 * 4; ++code) {
      problem_spec spec = spec_for(code, kSizes[size]);
      spec.want = WANT_DUAL;
      problem_data data = mixed_spectra(spec);
      spec.want = WANT_VALUES;
      problem_data values = mixed_spectra(spec);
      solve(&data, 1);
      solve(&values, 1);
      check_solutions(&data);
      check_solutions(&values);
      for (int64_t k = 0; k < spec.batch; ++k) {
        CHECK(data.problem.info[k] == EIGENPAIR_INFO_OK, "info[%lld] = %d (%s)", (long long)k, data.problem.info[k],
              describe(&data.spec));
        const int64_t n = spec.n;
        const double most = fmax(fabs(get_real(data.problem.w, spec.dtype, k * n)),
                                 fabs(get_real(data.problem.w, spec.dtype, k * n + n - 1)));
        for (int64_t i = k * n; i < (k + 1) * n; ++i) {
          const double error =
              fabs(get_real(data.problem.w, spec.dtype, i) - get_real(values.problem.w, spec.dtype, i));
          CHECK(error <= 16 * (double)(n + 4) * epsilon(spec.dtype) * most, "w differs by %g (matrix %lld; %s)", error,
                (long long)k, describe(&values.spec));
        }
      }
      free_problem(&data);
      free_problem(&values);
    }
  }
}

static void same_bits_everywhere(problem_spec spec, int64_t* order) {
  spec.batch = batch_for(spec.n);
  problem_data alone = mixed_spectra(spec);
  solve(&alone, 1);
  for (int32_t threads = 2; threads <= kMaxThreads; threads += 5) {
    for (int64_t k = 0; k < spec.batch; ++k) order[k] = (k + threads) % spec.batch;
    problem_data moved = make_reordered(&alone, order);
    solve(&moved, threads);
    for (int64_t k = 0; k < spec.batch; ++k) {
      CHECK(same_bits(&alone, order[k], &moved, k), "matrix %lld differs elsewhere in the batch on %d threads (%s)",
            (long long)order[k], threads, describe(&spec));
    }
    free_problem(&moved);
  }
  /* Next to a matrix that fails, and last in an incomplete group. */
  problem_data beside = mixed_spectra(spec);
  const int64_t bad = spec.batch / 2;
  set_element(beside.a_stored, spec.dtype, stored_index(&spec, 0, bad, 0, 0), NAN);
  beside.problem.batch = bad + 19;
  solve(&beside, 1);
  for (int64_t k = 0; k < bad + 19; ++k) {
    CHECK(k == bad ? all_nan(&beside, k) : same_bits(&alone, k, &beside, k), "matrix %lld beside one that fails (%s)",
          (long long)k, describe(&spec));
  }
  free_problem(&beside);
  free_problem(&alone);
}

/* Values alone, and all outputs. */
TEST(same_bits_on_any_thread_at_any_place) {
  int64_t* order = malloc((size_t)batch_for(2) * sizeof *order); /* the largest */
  for (int size = 0; size < kSizeCount; ++size) {
    for (int code = 0; code < 4 * 4 * 2; ++code) same_bits_everywhere(spec_for(code, kSizes[size]), order);
  }
  free(order);
}
