/* Checks solutions against the definition of each problem, by simple loops in double precision. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/dense.h"
#include "support/problems.h"

static Z* identity(int64_t n) {
  Z* result = calloc((size_t)(n * n), sizeof *result);
  for (int64_t i = 0; i < n; ++i) result[i + i * n] = 1;
  return result;
}

/* B^-1 X by Gaussian elimination; B is positive definite, so it needs no pivoting. */
static Z* solve(const Z* b, const Z* x, int64_t n) {
  const size_t bytes = (size_t)(n * n) * sizeof(Z);
  Z *m = malloc(bytes), *y = malloc(bytes);
  memcpy(m, b, bytes);
  memcpy(y, x, bytes);
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const Z factor = m[i + k * n] / m[k + k * n];
      for (int64_t j = k; j < n; ++j) m[i + j * n] -= factor * m[k + j * n];
      for (int64_t j = 0; j < n; ++j) y[i + j * n] -= factor * y[k + j * n];
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) y[i + j * n] /= m[i + i * n];
  }
  free(m);
  return y;
}

static Z* load(const problem_data* data, const void* output, int64_t k) {
  const problem_spec* spec = &data->spec;
  const int64_t n = spec->n;
  Z* matrix = malloc((size_t)(n * n) * sizeof *matrix);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = spec->layout == EIGENPAIR_ROW_MAJOR ? i * n + j : i + j * n;
      matrix[i + j * n] = get_element(output, spec->dtype, k * n * n + at);
    }
  }
  return matrix;
}

/* CHECKs that x and y agree up to a modest multiple of rounding errors, relative to `scale`. */
static void agree(const Z* x, const Z* y, double scale, const problem_data* data, int64_t k, const char* what) {
  const int64_t n = data->spec.n;
  const double error = distance(x, y, n * n), bound = 8 * (double)(n + 4) * epsilon(data->spec.dtype) * scale;
  CHECK(error <= bound, "%s is off by %g, allowed %g (matrix %lld; %s)", what, error, bound, (long long)k,
        describe(&data->spec));
}

static void check_vectors(const problem_data* data, int64_t k, const double* w) {
  const problem_spec* spec = &data->spec;
  const int64_t n = spec->n;
  const Z* a = data->a + (spec->shared_a ? 0 : k * n * n);
  const Z* b = spec->type == 0 ? NULL : data->b + (spec->shared_b ? 0 : k * n * n);
  Z* v = load(data, data->problem.v, k);

  /* The dual basis U satisfies V^H U = I. */
  Z* one = identity(n);
  Z* dual = spec->type == 3 ? solve(b, v, n) : product(b, v, n, n, 0);

  /* Both sides of the equation: A x = y diag(w), with x and y as the type says. */
  Z* x = spec->type == 2 ? dual : v;
  Z* left = product(a, x, n, n, 0);
  Z* right = malloc((size_t)(n * n) * sizeof *right);
  const Z* y = spec->type == 1 || spec->type == 3 ? dual : v;
  for (int64_t i = 0; i < n * n; ++i) right[i] = y[i] * w[i / n];
  const double most_w = fmax(fabs(w[0]), fabs(w[n - 1]));
  const double scale = (double)n * largest(a, n * n) * largest(x, n * n) + most_w * largest(y, n * n);
  agree(left, right, scale, data, k, "the residual");

  Z* gram = product(dual, v, n, n, 1);
  agree(gram, one, 1, data, k, "the normalization");

  if (data->problem.u != NULL) {
    Z* u = load(data, data->problem.u, k);
    agree(u, dual, (double)n * largest(dual, n * n), data, k, "the dual basis");
    if (spec->type == 0) CHECK(distance(u, v, n * n) == 0, "U is not V (%s)", describe(spec));
    free(u);
  }
  free(v), free(dual), free(left), free(right), free(one), free(gram);
}

static void check_memory(const problem_data* data) {
  const problem_spec* spec = &data->spec;
  const char* text = describe(spec);
  CHECK(memcmp(data->a_stored, data->a_before, data->a_bytes) == 0, "A was modified (%s)", text);
  if (data->b_stored != NULL) {
    CHECK(memcmp(data->b_stored, data->b_before, data->b_bytes) == 0, "B was modified (%s)", text);
  }
  const int64_t count = spec->batch * spec->n, square = count * spec->n;
  CHECK(is_intact(data->problem.w, count, real_bytes(spec->dtype)) &&
            is_intact(data->problem.v, square, element_bytes(spec->dtype)) &&
            is_intact(data->problem.u, square, element_bytes(spec->dtype)) &&
            is_intact(data->problem.info, spec->batch, sizeof(int32_t)),
        "an output was written past its end (%s)", text);
}

void check_solutions(const problem_data* data) {
  const problem_spec* spec = &data->spec;
  const int64_t n = spec->n;
  check_memory(data);
  double* w = malloc((size_t)(n + 1) * sizeof *w);
  for (int64_t k = 0; k < spec->batch && n > 0; ++k) {
    if (data->problem.info != NULL && data->problem.info[k] != EIGENPAIR_INFO_OK) continue;
    for (int64_t i = 0; i < n; ++i) w[i] = get_real(data->problem.w, spec->dtype, k * n + i);
    for (int64_t i = 0; i < n; ++i) {
      CHECK(isfinite(w[i]) && (i == 0 || w[i] >= w[i - 1]), "w[%lld] = %g is out of order (matrix %lld; %s)",
            (long long)i, w[i], (long long)k, describe(spec));
    }
    if (data->problem.v != NULL) check_vectors(data, k, w);
  }
  free(w);
}

int same_bits(const problem_data* x, int64_t k, const problem_data* y, int64_t m) {
  const size_t values = (size_t)x->spec.n * real_bytes(x->spec.dtype);
  const size_t vectors = (size_t)(x->spec.n * x->spec.n) * element_bytes(x->spec.dtype);
  const struct {
    const char *x, *y;
    size_t bytes;
  } outputs[] = {{x->problem.w, y->problem.w, values},
                 {x->problem.v, y->problem.v, vectors},
                 {x->problem.u, y->problem.u, vectors}};
  for (int i = 0; i < 3; ++i) {
    const size_t bytes = outputs[i].bytes;
    if (outputs[i].x != NULL &&
        memcmp(outputs[i].x + (size_t)k * bytes, outputs[i].y + (size_t)m * bytes, bytes) != 0) {
      return 0;
    }
  }
  return 1;
}

int all_nan(const problem_data* data, int64_t k) {
  const int32_t dtype = data->spec.dtype;
  const int64_t n = data->spec.n, reals_per_entry = is_complex(dtype) ? 2 : 1;
  int nan = 1;
  for (int64_t i = 0; i < n; ++i) nan &= isnan(get_real(data->problem.w, dtype, k * n + i));
  for (int64_t i = 0; i < reals_per_entry * n * n; ++i) {
    if (data->problem.v != NULL) nan &= isnan(get_real(data->problem.v, dtype, k * reals_per_entry * n * n + i));
    if (data->problem.u != NULL) nan &= isnan(get_real(data->problem.u, dtype, k * reals_per_entry * n * n + i));
  }
  return nan;
}
