#include "support/problems.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int is_complex(int32_t dtype) { return dtype >= EIGENPAIR_COMPLEX64; }
static int is_double(int32_t dtype) { return dtype == EIGENPAIR_FLOAT64 || dtype == EIGENPAIR_COMPLEX128; }
size_t real_bytes(int32_t dtype) { return is_double(dtype) ? sizeof(double) : sizeof(float); }
size_t element_bytes(int32_t dtype) { return real_bytes(dtype) * (is_complex(dtype) ? 2 : 1); }
double epsilon(int32_t dtype) { return is_double(dtype) ? 0x1p-52 : 0x1p-23; }

double get_real(const void* data, int32_t dtype, int64_t index) {
  return is_double(dtype) ? ((const double*)data)[index] : (double)((const float*)data)[index];
}

static void set_real(void* data, int32_t dtype, int64_t index, double value) {
  if (is_double(dtype)) {
    ((double*)data)[index] = value;
  } else {
    ((float*)data)[index] = (float)value;
  }
}

double complex get_element(const void* data, int32_t dtype, int64_t index) {
  if (!is_complex(dtype)) return get_real(data, dtype, index);
  return CMPLX(get_real(data, dtype, 2 * index), get_real(data, dtype, 2 * index + 1));
}

void set_element(void* data, int32_t dtype, int64_t index, double complex value) {
  if (!is_complex(dtype)) {
    set_real(data, dtype, index, creal(value));
  } else {
    set_real(data, dtype, 2 * index, creal(value));
    set_real(data, dtype, 2 * index + 1, cimag(value));
  }
}

int64_t stored_index(const problem_spec* spec, int shared, int64_t k, int64_t i, int64_t j) {
  const int64_t stride = shared ? 0 : spec->n * spec->n + spec->gap;
  return k * stride + (spec->layout == EIGENPAIR_ROW_MAJOR ? i * spec->n + j : i + j * spec->n);
}

double next_random(unsigned* state) {
  *state = *state * 1664525u + 1013904223u;
  return (double)((int)(*state >> 16) % 129 - 64) / 64;
}

static double complex next_entry(unsigned* state, int32_t dtype) {
  const double re = next_random(state);
  return is_complex(dtype) ? CMPLX(re, next_random(state)) : re;
}

static double complex* random_hermitian(const problem_spec* spec, unsigned seed, int64_t count, double shift) {
  const int64_t n = spec->n;
  double complex* matrices = malloc((size_t)(count * n * n + 1) * sizeof *matrices);
  unsigned state = seed;
  for (double complex* a = matrices; a < matrices + count * n * n; a += n * n) {
    for (int64_t j = 0; j < n; ++j) {
      a[j + j * n] = next_random(&state) + shift;
      for (int64_t i = j + 1; i < n; ++i) {
        a[i + j * n] = next_entry(&state, spec->dtype);
        a[j + i * n] = conj(a[i + j * n]);
      }
    }
  }
  return matrices;
}

static void* store(const problem_spec* spec, const double complex* matrices, int shared, size_t* bytes) {
  const int64_t n = spec->n, count = shared ? 1 : spec->batch;
  const int64_t elements = count * (n * n + (shared ? 0 : spec->gap));
  *bytes = (size_t)elements * element_bytes(spec->dtype);
  void* data = malloc(*bytes + 1);
  const double complex unread = is_complex(spec->dtype) ? CMPLX(NAN, NAN) : NAN;
  for (int64_t i = 0; i < elements; ++i) set_element(data, spec->dtype, i, unread);
  unsigned state = spec->seed + 7;
  for (int64_t k = 0; k < count; ++k) {
    const double complex* a = matrices + k * n * n;
    for (int64_t j = 0; j < n; ++j) {
      const double diagonal = creal(a[j + j * n]);
      set_element(data, spec->dtype, stored_index(spec, shared, k, j, j),
                  is_complex(spec->dtype) ? CMPLX(diagonal, NAN) : diagonal);
      for (int64_t i = j + 1; i < n; ++i) {
        /* Entries that must not matter: anti-Hermitian if the mean is read, NaN if one triangle is. */
        const double complex skew =
            spec->triangle == EIGENPAIR_HERMITIAN_PART ? next_entry(&state, spec->dtype) : unread;
        const double complex below = a[i + j * n] + (spec->triangle == EIGENPAIR_LOWER ? 0 : skew);
        const double complex above = a[j + i * n] - (spec->triangle == EIGENPAIR_UPPER ? 0 : conj(skew));
        set_element(data, spec->dtype, stored_index(spec, shared, k, i, j), below);
        set_element(data, spec->dtype, stored_index(spec, shared, k, j, i), above);
      }
    }
  }
  return data;
}

static void* copy_of(const void* data, size_t bytes) {
  void* copy = malloc(bytes + 1);
  memcpy(copy, data, bytes);
  return copy;
}

void* make_output(int64_t count, size_t each) {
  const size_t bytes = (size_t)count * each;
  unsigned char* data = malloc(bytes + kCanaryBytes);
  memset(data, 0x3F, bytes);
  memset(data + bytes, kCanary, kCanaryBytes);
  return data;
}

int is_intact(const void* output, int64_t count, size_t each) {
  const unsigned char* behind = (const unsigned char*)output + (size_t)count * each;
  int intact = 1;
  for (int i = 0; output != NULL && i < kCanaryBytes; ++i) intact &= behind[i] == kCanary;
  return intact;
}

static void store_again(const problem_spec* spec, const double complex* matrices, int shared, void** stored,
                        void** before, size_t* bytes) {
  free(*stored);
  free(*before);
  *stored = store(spec, matrices, shared, bytes);
  *before = copy_of(*stored, *bytes);
}

void store_matrices(problem_data* data) {
  store_again(&data->spec, data->a, data->spec.shared_a, &data->a_stored, &data->a_before, &data->a_bytes);
  data->problem.a = data->a_stored;
  if (data->b == NULL) return;
  store_again(&data->spec, data->b, data->spec.shared_b, &data->b_stored, &data->b_before, &data->b_bytes);
  data->problem.b = data->b_stored;
}

problem_data make_problem(problem_spec spec) {
  const int64_t n = spec.n, stride = n * n + spec.gap;
  problem_data data = {.spec = spec};
  data.a = random_hermitian(&spec, 3 * spec.seed + 1, spec.shared_a ? 1 : spec.batch, 0);
  if (spec.type != 0) {
    /* Diagonally dominant, so positive definite and well conditioned. */
    data.b = random_hermitian(&spec, 5 * spec.seed + 2, spec.shared_b ? 1 : spec.batch, (double)(2 * n));
  }
  const size_t element = element_bytes(spec.dtype);
  data.problem = (eigenpair_hermitian_problem){
      .struct_size = sizeof data.problem,
      .dtype = spec.dtype,
      .type = spec.type,
      .triangle = spec.triangle,
      .layout = spec.layout,
      .driver = spec.driver,
      .n = n,
      .batch = spec.batch,
      .a_stride = spec.shared_a ? 0 : stride,
      .b_stride = spec.shared_b ? 0 : stride,
      .w = make_output(spec.batch * n, real_bytes(spec.dtype)),
      .v = spec.want >= WANT_VECTORS ? make_output(spec.batch * n * n, element) : NULL,
      .u = spec.want >= WANT_DUAL ? make_output(spec.batch * n * n, element) : NULL,
      .info = make_output(spec.batch, sizeof(int32_t)),
  };
  store_matrices(&data);
  return data;
}

static void reorder(void* target, const void* source, size_t each, int64_t batch, const int64_t* order) {
  for (int64_t k = 0; k < batch && source != NULL; ++k) {
    memcpy((char*)target + (size_t)k * each, (const char*)source + (size_t)order[k] * each, each);
  }
}

problem_data make_reordered(const problem_data* source, const int64_t* order) {
  const problem_spec* spec = &source->spec;
  problem_data data = make_problem(*spec);
  const size_t square = (size_t)(spec->n * spec->n);
  const size_t stored = (square + (size_t)spec->gap) * element_bytes(spec->dtype);
  reorder(data.a, source->a, square * sizeof *data.a, spec->batch, order);
  reorder(data.b, source->b, square * sizeof *data.b, spec->batch, order);
  reorder(data.a_stored, source->a_stored, stored, spec->batch, order);
  reorder(data.b_stored, source->b_stored, stored, spec->batch, order);
  memcpy(data.a_before, data.a_stored, data.a_bytes);
  if (data.b_stored != NULL) memcpy(data.b_before, data.b_stored, data.b_bytes);
  return data;
}

void free_problem(problem_data* data) {
  void* all[] = {data->a,        data->b,         data->a_stored,  data->b_stored,  data->a_before,
                 data->b_before, data->problem.w, data->problem.v, data->problem.u, data->problem.info};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
  memset(data, 0, sizeof *data);
}

const char* describe(const problem_spec* spec) {
  static _Thread_local char text[256];
  const char* dtypes[] = {"float32", "float64", "complex64", "complex128"};
  const char* triangles[] = {"Hermitian part", "lower", "upper"};
  const char* wants[] = {"values", "vectors", "dual"};
  snprintf(text, sizeof text, "%s type %d, %s, %s-major, %s, driver %d, n = %lld, batch %lld, seed %u",
           dtypes[spec->dtype], spec->type, triangles[spec->triangle],
           spec->layout == EIGENPAIR_ROW_MAJOR ? "row" : "column", wants[spec->want], spec->driver, (long long)spec->n,
           (long long)spec->batch, spec->seed);
  return text;
}
