/* Random bytes as calls of the C ABI: problems, rules, functions of matrices and decisions with any numbers in
 * them, and with wrong codes, sizes and pointers. Nothing may crash, read or write beyond an array, change its inputs,
 * or return an unknown status. A wrong description must be refused, and the results of solved problems must be in
 * order.
 *
 * Built for libFuzzer by `make fuzz`. The LAPACK is the first of EIGENPAIR_TEST_LAPACK. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eigenpair.h"
#include "fuzz/input.h"
#include "support/lapacks.h"

#define EXPECT(condition)                                                 \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                            \
    }                                                                     \
  } while (0)

static eigenpair_lapack* lapack;

/* The arrays of one call. Inputs are compared with their copies afterwards. */
typedef struct {
  void* memory[24];
  void* copy[24];
  size_t bytes[24];
  int count;
} arrays;

static void* keep(arrays* all, void* memory, size_t bytes, int read_only) {
  EXPECT(all->count < 24);
  all->memory[all->count] = memory;
  all->bytes[all->count] = bytes;
  all->copy[all->count] = NULL;
  if (read_only && memory != NULL) {
    all->copy[all->count] = room(bytes);
    memcpy(all->copy[all->count], memory, bytes);
  }
  ++all->count;
  return memory;
}

static void* read_only(arrays* all, input* in, int32_t dtype, int64_t count) {
  return keep(all, numbers(in, dtype, count), (size_t)count * bytes_of(dtype), 1);
}

static int32_t real_dtype(int32_t dtype) {
  return real_bytes_of(dtype) == sizeof(float) ? EIGENPAIR_FLOAT32 : EIGENPAIR_FLOAT64;
}

static double real_at(const void* x, int32_t dtype, int64_t i) {
  return real_bytes_of(dtype) == sizeof(float) ? ((const float*)x)[i] : ((const double*)x)[i];
}

/* Ascending real numbers, like the eigenvalues of a Hermitian problem; NaN may be anywhere. */
static void* spectra(arrays* all, input* in, int32_t dtype, int64_t batch, int64_t n) {
  const int32_t real = real_dtype(dtype);
  const size_t each = real_bytes_of(real);
  char* w = numbers(in, real, batch * n);
  for (int64_t i = 1; i < batch * n; ++i) {
    for (int64_t j = i; j % n > 0 && real_at(w, real, j - 1) > real_at(w, real, j); --j) {
      char swap[sizeof(double)];
      memcpy(swap, w + (size_t)j * each, each);
      memcpy(w + (size_t)j * each, w + (size_t)(j - 1) * each, each);
      memcpy(w + (size_t)(j - 1) * each, swap, each);
    }
  }
  return keep(all, w, (size_t)(batch * n) * each, 1);
}

static void* written(arrays* all, size_t bytes) { return keep(all, room(bytes), bytes, 0); }

static void finish(arrays* all) {
  for (int i = 0; i < all->count; ++i) {
    if (all->copy[i] != NULL) EXPECT(memcmp(all->copy[i], all->memory[i], all->bytes[i]) == 0);
    free(all->copy[i]);
    free(all->memory[i]);
  }
}

/* Real numbers in ascending order without NaN, or only NaN if there is no solution. */
static void expect_spectrum(const void* w, int32_t dtype, int64_t first, int64_t count, int32_t info) {
  for (int64_t i = first; i < first + count; ++i) {
    const double x = real_at(w, dtype, i);
    EXPECT(isnan(x) == (info != EIGENPAIR_INFO_OK));
    if (info == EIGENPAIR_INFO_OK && i > first) EXPECT(real_at(w, dtype, i - 1) <= x);
  }
}

/* Orders around those at which methods change, with few matrices if they are large. */
static int64_t order(input* in, int64_t* batch) {
  static const int8_t kLarge[] = {16, 17, 31, 33, 48, 65};
  const int k = choose(in, 24);
  *batch = k < 14 ? choose(in, 20) : choose(in, 3);
  return k < 14 ? k : k < 20 ? kLarge[k - 14] : k - 12;
}

static int64_t wrong_size(input* in, int64_t right, int* valid) {
  const int k = choose(in, 64);
  if (k > 1) return right;
  *valid = 0;
  return k == 0 ? -1 : INT64_MIN;
}

static int64_t wrong_struct(input* in, size_t right, int* valid) {
  if (choose(in, 64) != 0) return (int64_t)right;
  *valid = 0;
  return (int64_t)right - 8;
}

/* ---- problems ---------------------------------------------------------------------------------------------------- */

static void hermitian(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_hermitian_problem p = {.struct_size = wrong_struct(in, sizeof p, &valid)};
  p.dtype = code(in, 4, &valid);
  p.type = code(in, 4, &valid);
  p.triangle = code(in, 3, &valid);
  p.layout = code(in, 2, &valid);
  p.driver = code(in, 4, &valid);
  int64_t batch;
  const int64_t n = order(in, &batch);
  p.n = wrong_size(in, n, &valid);
  p.batch = wrong_size(in, batch, &valid);
  const int wants = choose(in, 8), threads = choose(in, 4);
  const size_t one = bytes_of(p.dtype), square = (size_t)(batch * n * n) * one;
  p.a_stride = choose(in, 4) == 0 ? 0 : n * n;
  p.b_stride = choose(in, 4) == 0 ? 0 : n * n;
  p.a = read_only(&all, in, p.dtype, p.a_stride == 0 ? n * n : batch * n * n);
  if (p.type != 0) p.b = read_only(&all, in, p.dtype, p.b_stride == 0 ? n * n : batch * n * n);
  p.w = written(&all, (size_t)(batch * n) * real_bytes_of(p.dtype));
  if (wants & 1) p.v = written(&all, square);
  if (wants & 2) p.u = written(&all, square);
  int32_t* info = p.info = wants & 4 ? written(&all, (size_t)batch * sizeof *info) : NULL;
  const eigenpair_status status = eigenpair_hermitian(lapack, &p, threads);
  EXPECT(status >= EIGENPAIR_OK && status <= EIGENPAIR_INTERNAL);
  if (!valid) EXPECT(status == EIGENPAIR_BAD_ARGUMENT);
  if (status == EIGENPAIR_OK && info != NULL && n > 0) {
    for (int64_t k = 0; k < batch; ++k) expect_spectrum(p.w, p.dtype, k * n, n, info[k]);
  }
  finish(&all);
}

static void general(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_general_problem p = {.struct_size = wrong_struct(in, sizeof p, &valid)};
  p.dtype = code(in, 4, &valid);
  p.layout = code(in, 2, &valid);
  int64_t batch;
  const int64_t n = order(in, &batch);
  p.n = wrong_size(in, n, &valid);
  p.batch = wrong_size(in, batch, &valid);
  const int wants = choose(in, 32), threads = choose(in, 4);
  const size_t complex_bytes = 2 * real_bytes_of(p.dtype), square = (size_t)(batch * n * n) * complex_bytes;
  p.a_stride = p.b_stride = n * n;
  p.a = read_only(&all, in, p.dtype, batch * n * n);
  if (wants & 16) p.b = read_only(&all, in, p.dtype, batch * n * n);
  p.w = written(&all, (size_t)(batch * n) * complex_bytes);
  if (wants & 1) p.v = written(&all, square);
  if (wants & 2) p.vl = written(&all, square);
  if (wants & 4) p.u = written(&all, square);
  int32_t* info = p.info = wants & 8 ? written(&all, (size_t)batch * sizeof *info) : NULL;
  const eigenpair_status status = eigenpair_general(lapack, &p, threads);
  EXPECT(status >= EIGENPAIR_OK && status <= EIGENPAIR_INTERNAL);
  if (!valid) EXPECT(status == EIGENPAIR_BAD_ARGUMENT);
  if (status == EIGENPAIR_OK && info != NULL) {
    for (int64_t k = 0; k < batch; ++k) EXPECT(info[k] >= 0 && info[k] <= EIGENPAIR_INFO_NO_CONVERGENCE);
  }
  finish(&all);
}

static eigenpair_status run(eigenpair_status status, eigenpair_job* job) {
  if (status != EIGENPAIR_OK) return status;
  EXPECT(job != NULL && eigenpair_job_workers(job) >= 1);
  eigenpair_job_work(job);
  return eigenpair_job_finish(job);
}

/* A subset, and solves with its factor. */
static void subset(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_subset_problem p = {.struct_size = wrong_struct(in, sizeof p, &valid)};
  p.dtype = code(in, 4, &valid);
  p.triangle = code(in, 3, &valid);
  p.layout = code(in, 2, &valid);
  int64_t batch;
  const int64_t n = 1 + order(in, &batch);
  p.n = n;
  p.batch = wrong_size(in, batch, &valid);
  p.first = choose(in, (int)n);
  p.count = 1 + choose(in, (int)(n - p.first));
  if (choose(in, 32) == 0) {
    p.first += n;
    valid = 0;
  }
  const int wants = choose(in, 32);
  const size_t one = bytes_of(p.dtype), real = real_bytes_of(p.dtype), columns = (size_t)(batch * n * p.count) * one;
  p.a_stride = p.b_stride = n * n;
  p.a = read_only(&all, in, p.dtype, batch * n * n);
  if (wants & 1) p.b = read_only(&all, in, p.dtype, batch * n * n);
  p.w = written(&all, (size_t)(batch * p.count) * real);
  if (wants & 2) p.v = written(&all, columns);
  if (wants & 4 && p.v != NULL) p.edges = written(&all, (size_t)(batch * 3) * real);
  const int64_t private_size = p.b != NULL || wants & 1 ? n * (2 * n + 4) : n * (n + 4);
  if (wants & 8 && p.v != NULL) p.factor = written(&all, (size_t)(batch * private_size) * one);
  int32_t* info = p.info = wants & 16 ? written(&all, (size_t)batch * sizeof *info) : NULL;
  eigenpair_job* job = NULL;
  const eigenpair_status status = run(eigenpair_subset_job(lapack, &p, 2, &job), job);
  EXPECT(status >= EIGENPAIR_OK && status <= EIGENPAIR_INTERNAL);
  if (!valid) EXPECT(status == EIGENPAIR_BAD_ARGUMENT);
  if (status == EIGENPAIR_OK && info != NULL) {
    for (int64_t k = 0; k < batch; ++k) expect_spectrum(p.w, p.dtype, k * p.count, p.count, info[k]);
  }
  if (status == EIGENPAIR_OK && p.factor != NULL && batch > 0) {
    eigenpair_complement_problem c = {.struct_size = sizeof c, .dtype = p.dtype, .layout = p.layout, .n = n};
    c.type = p.b != NULL;
    c.batch = batch;
    c.count = p.count;
    c.factor = p.factor;
    c.w = p.w;
    c.v = p.v;
    c.y = read_only(&all, in, p.dtype, batch * n * p.count);
    c.x = written(&all, columns);
    job = NULL;
    EXPECT(run(eigenpair_complement_job(lapack, &c, 2, &job), job) == EIGENPAIR_OK);
  }
  finish(&all);
}

/* Some eigenpairs of band matrices, and solves on their complement. */
static void banded(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_banded_problem p = {.struct_size = wrong_struct(in, sizeof p, &valid)};
  p.dtype = code(in, 4, &valid);
  p.layout = code(in, 2, &valid);
  int64_t batch;
  const int64_t n = 1 + order(in, &batch);
  p.n = n;
  p.batch = wrong_size(in, batch, &valid);
  const int64_t bandwidth = choose(in, (int)n);
  p.bandwidth = wrong_size(in, bandwidth, &valid);
  p.first = choose(in, (int)n);
  p.count = 1 + choose(in, (int)(n - p.first));
  const int wants = choose(in, 8);
  const size_t one = bytes_of(p.dtype), real = real_bytes_of(p.dtype), columns = (size_t)(batch * n * p.count) * one;
  p.a = read_only(&all, in, p.dtype, batch * (bandwidth + 1) * n);
  p.w = written(&all, (size_t)(batch * p.count) * real);
  if (wants & 1) p.v = written(&all, columns);
  if (wants & 2 && p.v != NULL) p.edges = written(&all, (size_t)(batch * 3) * real);
  int32_t* info = p.info = wants & 4 ? written(&all, (size_t)batch * sizeof *info) : NULL;
  eigenpair_job* job = NULL;
  const eigenpair_status status = run(eigenpair_banded_job(lapack, &p, 2, &job), job);
  EXPECT(status >= EIGENPAIR_OK && status <= EIGENPAIR_INTERNAL);
  if (!valid) EXPECT(status == EIGENPAIR_BAD_ARGUMENT);
  if (status == EIGENPAIR_OK && info != NULL) {
    for (int64_t k = 0; k < batch; ++k) expect_spectrum(p.w, p.dtype, k * p.count, p.count, info[k]);
  }
  if (status == EIGENPAIR_OK && p.v != NULL && batch > 0) {
    eigenpair_banded_complement_problem c = {.struct_size = sizeof c, .dtype = p.dtype, .layout = p.layout, .n = n};
    c.batch = batch;
    c.bandwidth = bandwidth;
    c.count = p.count;
    c.a = p.a;
    c.w = p.w;
    c.v = p.v;
    c.y = read_only(&all, in, p.dtype, batch * n * p.count);
    c.x = written(&all, columns);
    job = NULL;
    EXPECT(run(eigenpair_banded_complement_job(lapack, &c, 2, &job), job) == EIGENPAIR_OK);
  }
  finish(&all);
}

/* ---- rules and decisions ----------------------------------------------------------------------------------------- */

static void rule(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_hermitian_rule r = {.struct_size = wrong_struct(in, sizeof r, &valid)};
  r.dtype = code(in, 4, &valid);
  r.type = code(in, 4, &valid);
  r.triangle = code(in, 3, &valid);
  r.layout = code(in, 2, &valid);
  r.policy = code(in, 4, &valid);
  r.reverse = choose(in, 2);
  r.conjugated = choose(in, 2);
  r.options = choose(in, 2);
  r.parameter = fabs(number(in));
  int64_t batch;
  const int64_t n = order(in, &batch);
  r.n = wrong_size(in, n, &valid);
  r.batch = wrong_size(in, batch, &valid);
  const int wants = choose(in, 128);
  const size_t square = (size_t)(batch * n * n) * bytes_of(r.dtype);
  const size_t row = (size_t)(batch * n) * real_bytes_of(r.dtype);
  r.w = spectra(&all, in, r.dtype, batch, n);
  r.v = read_only(&all, in, r.dtype, batch * n * n);
  if (wants & 1 || r.type >= 2) r.u = read_only(&all, in, r.dtype, batch * n * n);
  if (wants & 2) r.scale = read_only(&all, in, real_dtype(r.dtype), batch);
  void** matrices[] = {&r.da, &r.db, &r.dv, &r.du};
  for (int i = 0; i < 4; ++i) {
    const int given = r.reverse ? i >= 2 : i < 2;
    if (i == 1 && r.type == 0) continue;
    if (!(wants & 4 << i)) continue;
    *matrices[i] = given ? read_only(&all, in, r.dtype, batch * n * n) : written(&all, square);
  }
  if (wants & 64) r.dw = r.reverse ? read_only(&all, in, real_dtype(r.dtype), batch * n) : written(&all, row);
  int32_t* refused = r.refused = written(&all, (size_t)batch * sizeof *refused);
  const eigenpair_status status = eigenpair_hermitian_apply_rule(lapack, &r, 1);
  EXPECT(status >= EIGENPAIR_OK && status <= EIGENPAIR_INTERNAL);
  if (!valid) EXPECT(status != EIGENPAIR_OK);
  if (status == EIGENPAIR_OK) {
    for (int64_t k = 0; k < batch; ++k) EXPECT(refused[k] == 0 || refused[k] == 1);
  }
  finish(&all);
}

/* Matrices of a function or of directions: one for every direction and matrix, in either order, or shared by some. */
static int64_t directions(input* in, int64_t each, int64_t shared, int may_share, int64_t* outer, int64_t* inner) {
  const int order = choose(in, may_share ? 4 : 2);
  *outer = order == 0 ? shared : order == 1 || order == 2;
  *inner = order == 0 || order == 3 ? 1 : order == 1 ? each : 0;
  return order < 2 ? each * shared : order == 2 ? each : shared;
}

static void form(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_spectral_form f = {.struct_size = wrong_struct(in, sizeof f, &valid)};
  f.dtype = code(in, 4, &valid);
  f.layout = code(in, 2, &valid);
  f.order = code(in, 3, &valid);
  int64_t shared;
  const int64_t n = order(in, &shared), each = 1 + choose(in, 3);
  f.n = wrong_size(in, n, &valid);
  f.batch = wrong_size(in, each * shared, &valid);
  f.shared = shared;
  f.step = choose(in, (int)n + 3) - 1;
  if (f.step > n) valid = 0;
  const int32_t real = real_dtype(f.dtype);
  f.w = spectra(&all, in, f.dtype, shared, n);
  f.v = read_only(&all, in, f.dtype, shared * n * n);
  const void** values[] = {&f.values, &f.derivative, &f.half_second};
  const void** differences[] = {&f.first, &f.left, &f.right};
  for (int i = 0; i < 3; ++i) {
    *values[i] = read_only(&all, in, real, shared * n);
    *differences[i] = read_only(&all, in, real, n > 0 ? shared * (n - 1) : 0);
  }
  f.x = read_only(&all, in, f.dtype, n * n * directions(in, each, shared, 1, &f.x_outer, &f.x_inner));
  f.y = read_only(&all, in, f.dtype, n * n * directions(in, each, shared, 1, &f.y_outer, &f.y_inner));
  const int64_t results = directions(in, each, shared, 0, &f.out_outer, &f.out_inner);
  f.out = written(&all, (size_t)(results * n * n) * bytes_of(f.dtype));
  eigenpair_job* job = NULL;
  const eigenpair_status status = run(eigenpair_spectral_form_job(lapack, &f, 2, &job), job);
  if (!valid) EXPECT(status == EIGENPAIR_BAD_ARGUMENT);
  if (valid) EXPECT(status == (eigenpair_has_small_kernels() ? EIGENPAIR_OK : EIGENPAIR_MISSING_ROUTINE));
  finish(&all);
}

static void decide(input* in) {
  arrays all = {.count = 0};
  int valid = 1;
  eigenpair_decision d = {.struct_size = wrong_struct(in, sizeof d, &valid)};
  d.general = choose(in, 2);
  d.dtype = d.general ? EIGENPAIR_COMPLEX64 + choose(in, 2) : code(in, 4, &valid);
  d.type = d.general ? choose(in, 2) : code(in, 4, &valid);
  d.mode = code(in, 3, &valid);
  d.layout = code(in, 2, &valid);
  d.policy = code(in, 4, &valid);
  d.options = choose(in, 4);
  d.parameter = fabs(number(in));
  int64_t batch;
  const int64_t n = order(in, &batch) % 18;
  d.n = wrong_size(in, n, &valid);
  d.batch = wrong_size(in, batch, &valid);
  d.order = n + (d.general || choose(in, 4) ? 0 : choose(in, 5));
  const int wants = choose(in, 256), more = choose(in, 256);
  const int32_t real = real_dtype(d.dtype);
  d.w = d.general ? read_only(&all, in, d.dtype, batch * n) : spectra(&all, in, d.dtype, batch, n);
  if (wants & 1) d.k = read_only(&all, in, d.dtype, batch * n * n);
  if (wants & 2) d.dw = read_only(&all, in, d.general ? d.dtype : real, batch * n);
  if (wants & 4) {
    if (!d.general) d.scale = read_only(&all, in, real, batch);
    if (d.general) d.reach = read_only(&all, in, real, batch * n);
    if (d.general) d.condition = read_only(&all, in, real, batch * n);
  }
  if (wants & 8) d.sizes = read_only(&all, in, real, batch * n * n);
  if (wants & 16) d.norms = read_only(&all, in, real, batch * 2);
  if (wants & 32) d.v = read_only(&all, in, d.dtype, batch * d.order * n);
  if (wants & 64) d.u = read_only(&all, in, d.dtype, batch * d.order * n);
  if (more & 1) d.dv = read_only(&all, in, d.dtype, batch * d.order * n);
  if (more & 2) d.du = read_only(&all, in, d.dtype, batch * d.order * n);
  if (more & 4) d.da = read_only(&all, in, d.dtype, batch * d.order * d.order);
  if (more & 8) d.db = read_only(&all, in, d.dtype, batch * d.order * d.order);
  if (more & 16) d.outside = read_only(&all, in, real, batch * n);
  if (more & 32) d.largest = read_only(&all, in, real, batch);
  if (more & 64) d.edges = read_only(&all, in, real, batch * 2);
  int32_t* gaps = d.gaps = written(&all, (size_t)(batch * n * n) * sizeof *gaps);
  int32_t* reasons = d.reasons = written(&all, (size_t)(batch * n * n) * sizeof *reasons);
  int32_t* refused = d.refused = written(&all, (size_t)batch * sizeof *refused);
  if (wants & 128) d.lost = written(&all, (size_t)(batch * n) * sizeof *d.lost);
  if (more & 128 && !d.general) d.scales = written(&all, (size_t)batch * real_bytes_of(real));
  const eigenpair_status status = eigenpair_decide(&d);
  EXPECT(status >= EIGENPAIR_OK && status <= EIGENPAIR_INTERNAL);
  if (!valid) EXPECT(status == EIGENPAIR_BAD_ARGUMENT);
  for (int64_t k = 0; status == EIGENPAIR_OK && k < batch; ++k) {
    EXPECT(refused[k] == 0 || refused[k] == 1);
    for (int64_t i = 0; i < n; ++i) {
      EXPECT(gaps[k * n * n + i * n + i] == EIGENPAIR_GAP_KEPT);
      for (int64_t j = 0; j < i; ++j) {
        const int64_t ij = k * n * n + i * n + j, ji = k * n * n + j * n + i;
        EXPECT(gaps[ij] == gaps[ji] && reasons[ij] == reasons[ji]);
        EXPECT(gaps[ij] >= EIGENPAIR_GAP_KEPT && gaps[ij] <= EIGENPAIR_GAP_REFUSED);
        if (gaps[ij] == EIGENPAIR_GAP_REFUSED) EXPECT(refused[k] == 1 && eigenpair_reason_text(reasons[ij]) != NULL);
      }
    }
  }
  finish(&all);
}

int LLVMFuzzerInitialize(int* argc, char*** argv);
int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void)argc;
  (void)argv;
  test_lapack found;
  EXPECT(test_lapacks(&found, 1) == 1);
  lapack = lend(&found, 1);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static void (*const kTargets[])(input*) = {hermitian, general, subset, rule, decide, banded, form};
  input in = {data, size};
  kTargets[choose(&in, 7)](&in);
  return 0;
}
