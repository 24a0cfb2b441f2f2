#include "support/subsets.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

static size_t vectors_bytes(const subset_data* d) {
  return (size_t)(d->whole.spec.n * d->count) * element_bytes(d->whole.spec.dtype);
}

static size_t factor_elements(const subset_data* d) {
  const int64_t n = d->whole.spec.n;
  return (size_t)(n * (n + 4) + (d->whole.spec.type != 0 ? n * n : 0));
}

subset_data make_subset(problem_spec spec, int64_t first, int64_t count) {
  const int want = spec.want;
  spec.want = WANT_VALUES;
  subset_data d = {.whole = make_problem(spec), .first = first, .count = count};
  d.whole.spec.want = want;
  const int64_t batch = spec.batch, each = spec.n * count;
  const size_t element = element_bytes(spec.dtype), real = real_bytes(spec.dtype);
  d.problem = (eigenpair_subset_problem){
      .struct_size = sizeof d.problem,
      .dtype = spec.dtype,
      .triangle = spec.triangle,
      .layout = spec.layout,
      .n = spec.n,
      .batch = batch,
      .first = first,
      .count = count,
      .a = d.whole.problem.a,
      .a_stride = d.whole.problem.a_stride,
      .b = d.whole.problem.b,
      .b_stride = d.whole.problem.b_stride,
      .w = make_output(batch * count, real),
      .edges = want >= WANT_VECTORS ? make_output(batch * 3, real) : NULL,
      .v = want >= WANT_VECTORS ? make_output(batch * each, element) : NULL,
      .factor = want >= WANT_DUAL ? make_output(batch * (int64_t)factor_elements(&d), element) : NULL,
      .info = make_output(batch, sizeof(int32_t)),
  };
  if (want < WANT_DUAL) return d;
  d.y = make_output(batch * each, element);
  unsigned state = spec.seed + 11;
  for (int64_t i = 0; i < batch * each; ++i) {
    const double re = next_random(&state);
    set_element(d.y, spec.dtype, i, CMPLX(re, next_random(&state)));
  }
  d.complement = (eigenpair_complement_problem){
      .struct_size = sizeof d.complement,
      .dtype = spec.dtype,
      .layout = spec.layout,
      .type = spec.type,
      .n = spec.n,
      .batch = batch,
      .count = count,
      .factor = d.problem.factor,
      .w = d.problem.w,
      .v = d.problem.v,
      .y = d.y,
      .x = make_output(batch * each, element),
  };
  return d;
}

subset_data make_reordered_subset(const subset_data* source, const int64_t* order) {
  problem_spec spec = source->whole.spec;
  subset_data d = make_subset(spec, source->first, source->count);
  const int want = d.whole.spec.want;
  free_problem(&d.whole);
  d.whole = make_reordered(&source->whole, order);
  d.whole.spec.want = want;
  d.problem.a = d.whole.problem.a;
  d.problem.b = d.whole.problem.b;
  const size_t bytes = vectors_bytes(&d);
  for (int64_t k = 0; k < spec.batch && d.y != NULL; ++k) {
    memcpy((char*)d.y + (size_t)k * bytes, (const char*)source->y + (size_t)order[k] * bytes, bytes);
  }
  return d;
}

void free_subset(subset_data* d) {
  void* all[] = {d->problem.w,    d->problem.edges, d->problem.v, d->problem.factor,
                 d->problem.info, d->complement.x,  d->y};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
  free_problem(&d->whole);
  memset(d, 0, sizeof *d);
}

static void* work_and_release(void* job) {
  eigenpair_job_work(job);
  eigenpair_job_release(job);
  return NULL;
}

static void run(eigenpair_status status, eigenpair_job* job, int32_t threads, const subset_data* d) {
  REQUIRE(status == EIGENPAIR_OK, "status %d: %s (%s)", status, eigenpair_last_error(), describe_subset(d));
  pthread_t helpers[8];
  for (int32_t i = 1; i < threads; ++i) {
    eigenpair_job_retain(job);
    REQUIRE(pthread_create(&helpers[i], NULL, work_and_release, job) == 0, "no thread to be had");
  }
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s (%s)", eigenpair_last_error(), describe_subset(d));
  for (int32_t i = 1; i < threads; ++i) pthread_join(helpers[i], NULL);
}

void solve_subset(const eigenpair_lapack* lapack, const subset_data* d, int32_t threads) {
  eigenpair_job* job = NULL;
  const eigenpair_status status = eigenpair_subset_job(lapack, &d->problem, threads, &job);
  run(status, job, threads, d);
}

void solve_complement(const eigenpair_lapack* lapack, const subset_data* d, int32_t threads) {
  eigenpair_job* job = NULL;
  const eigenpair_status status = eigenpair_complement_job(lapack, &d->complement, threads, &job);
  run(status, job, threads, d);
}

static int same(const void* x, int64_t k, const void* y, int64_t m, size_t bytes) {
  return x == NULL || memcmp((const char*)x + (size_t)k * bytes, (const char*)y + (size_t)m * bytes, bytes) == 0;
}

int same_subset_bits(const subset_data* x, int64_t k, const subset_data* y, int64_t m) {
  const size_t real = real_bytes(x->whole.spec.dtype);
  return same(x->problem.w, k, y->problem.w, m, (size_t)x->count * real) &&
         same(x->problem.edges, k, y->problem.edges, m, 3 * real) &&
         same(x->problem.v, k, y->problem.v, m, vectors_bytes(x));
}

int same_complement_bits(const subset_data* x, int64_t k, const subset_data* y, int64_t m) {
  return same(x->complement.x, k, y->complement.x, m, vectors_bytes(x));
}

static int nan_from(const void* output, int32_t dtype, int64_t k, int64_t each) {
  int nan = 1;
  for (int64_t i = k * each; i < (k + 1) * each && output != NULL; ++i) nan &= isnan(get_real(output, dtype, i));
  return nan;
}

int subset_is_nan(const subset_data* d, int64_t k) {
  const int32_t dtype = d->whole.spec.dtype;
  const int64_t reals_per_entry = is_complex(dtype) ? 2 : 1;
  return nan_from(d->problem.w, dtype, k, d->count) && nan_from(d->problem.edges, dtype, k, 3) &&
         nan_from(d->problem.v, dtype, k, reals_per_entry * d->whole.spec.n * d->count) &&
         nan_from(d->problem.factor, dtype, k, reals_per_entry * (int64_t)factor_elements(d));
}

int complement_is_nan(const subset_data* d, int64_t k) {
  const int32_t dtype = d->whole.spec.dtype;
  return nan_from(d->complement.x, dtype, k, (is_complex(dtype) ? 2 : 1) * d->whole.spec.n * d->count);
}

const char* describe_subset(const subset_data* d) {
  static _Thread_local char text[320];
  snprintf(text, sizeof text, "%s, %lld from %lld", describe(&d->whole.spec), (long long)d->count, (long long)d->first);
  return text;
}
