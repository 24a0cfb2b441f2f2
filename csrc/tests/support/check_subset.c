/* Checks subsets of the spectrum, column by column, by simple loops in double precision. */
#include <math.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/dense.h"
#include "support/subsets.h"

static Z dot(const Z* x, const Z* y, int64_t n) {
  Z sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += times(conj(x[i]), y[i]);
  return sum;
}

/* The larger number; NaN if one is NaN. */
static double larger(double x, double y) { return x >= y || isnan(x) ? x : y; }

/* Columns of the k-th n x count matrix. */
static Z* load(const subset_data* d, const void* output, int64_t k) {
  const int64_t n = d->whole.spec.n, count = d->count;
  Z* columns = malloc((size_t)(n * count) * sizeof *columns);
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = d->problem.layout == EIGENPAIR_ROW_MAJOR ? i * count + j : i + j * n;
      columns[i + j * n] = get_element(output, d->whole.spec.dtype, k * n * count + at);
    }
  }
  return columns;
}

static const Z* matrix(const subset_data* d, const Z* matrices, int shared, int64_t k) {
  const int64_t n = d->whole.spec.n;
  return matrices == NULL ? NULL : matrices + (shared ? 0 : k * n * n);
}

/* CHECKs that a number is zero up to a modest multiple of rounding errors. */
static void vanishes(double error, double scale, const subset_data* d, int64_t k, const char* what) {
  const double bound = 8 * (double)(d->whole.spec.n + 4) * epsilon(d->whole.spec.dtype) * scale;
  CHECK(error <= bound, "%s is off by %g, allowed %g (matrix %lld; %s)", what, error, bound, (long long)k,
        describe_subset(d));
}

static void check_eigenpairs(const subset_data* d, int64_t k) {
  const int64_t n = d->whole.spec.n, count = d->count;
  double* w = malloc((size_t)count * sizeof *w);
  for (int64_t j = 0; j < count; ++j) {
    w[j] = get_real(d->problem.w, d->problem.dtype, k * count + j);
    CHECK(isfinite(w[j]) && (j == 0 || w[j] >= w[j - 1]), "w[%lld] = %g is out of order (matrix %lld; %s)",
          (long long)j, w[j], (long long)k, describe_subset(d));
  }
  if (d->problem.v != NULL) {
    const Z* a = matrix(d, d->whole.a, d->whole.spec.shared_a, k);
    Z *v = load(d, d->problem.v, k), *av = product(a, v, n, count, 0);
    Z* bv = product(matrix(d, d->whole.b, d->whole.spec.shared_b, k), v, n, count, 0);
    double residual = 0, normalization = 0, most = 0;
    for (int64_t j = 0; j < count; ++j) {
      most = larger(fabs(w[j]), most);
      for (int64_t i = 0; i < n; ++i) residual = larger(cabs(av[i + j * n] - w[j] * bv[i + j * n]), residual);
      for (int64_t i = 0; i < count; ++i) {
        normalization = larger(cabs(dot(v + i * n, bv + j * n, n) - (i == j)), normalization);
      }
    }
    const double scale = (double)n * largest(a, n * n) * largest(v, n * count) + most * largest(bv, n * count);
    vanishes(residual, scale, d, k, "the residual");
    vanishes(normalization, 1, d, k, "the normalization");
    free(v), free(av), free(bv);
  }
  free(w);
}

void check_subset(const subset_data* d) {
  const problem_spec* spec = &d->whole.spec;
  const int64_t n = spec->n, batch = spec->batch, factor = n * (n + 4) + (spec->type != 0 ? n * n : 0);
  const size_t element = element_bytes(spec->dtype), real = real_bytes(spec->dtype);
  check_solutions(&d->whole); /* that the matrices have not changed; none of its own outputs says OK */
  CHECK(is_intact(d->problem.w, batch * d->count, real) && is_intact(d->problem.edges, batch * 3, real) &&
            is_intact(d->problem.v, batch * n * d->count, element) &&
            is_intact(d->problem.factor, batch * factor, element) && is_intact(d->problem.info, batch, sizeof(int32_t)),
        "an output was written past its end (%s)", describe_subset(d));
  for (int64_t k = 0; k < batch; ++k) {
    if (d->problem.info[k] == EIGENPAIR_INFO_OK) check_eigenpairs(d, k);
  }
}

/* (A - w_j B) x_j = y_j - B V V^H y_j and V^H B x_j = 0, which determine x. */
static void check_columns(const subset_data* d, int64_t k) {
  const int64_t n = d->whole.spec.n, count = d->count;
  const Z* a = matrix(d, d->whole.a, d->whole.spec.shared_a, k);
  const Z* b = matrix(d, d->whole.b, d->whole.spec.shared_b, k);
  Z *v = load(d, d->problem.v, k), *x = load(d, d->complement.x, k), *y = load(d, d->y, k);
  Z *ax = product(a, x, n, count, 0), *bx = product(b, x, n, count, 0), *bv = product(b, v, n, count, 0);
  double residual = 0, overlap = 0, most = 0;
  for (int64_t j = 0; j < count; ++j) {
    const double w = get_real(d->problem.w, d->problem.dtype, k * count + j);
    most = larger(fabs(w), most);
    for (int64_t l = 0; l < count; ++l) {
      const Z part = dot(v + l * n, y + j * n, n);
      for (int64_t i = 0; i < n; ++i) ax[i + j * n] += times(part, bv[i + l * n]);
      overlap = larger(cabs(dot(v + l * n, bx + j * n, n)), overlap);
    }
    for (int64_t i = 0; i < n; ++i) {
      residual = larger(cabs(ax[i + j * n] - w * bx[i + j * n] - y[i + j * n]), residual);
    }
  }
  /* The size of x and of the part that is projected out at the end: y after its projection, with rounding errors,
   * divided by a pivot of the size of rounding errors. */
  const double size = largest(x, n * count) + (double)n * largest(y, n * count) / fmax(largest(a, n * n), 1.0 / 64);
  const double of_b = b == NULL ? 1 : largest(b, n * n);
  const double scale = (double)n * (largest(a, n * n) + most * of_b) * size;
  vanishes(residual, scale, d, k, "the residual of the complement");
  vanishes(overlap, (double)n * largest(bv, n * count) * size, d, k,
           "the overlap of the eigenvectors with the complement");
  free(v), free(x), free(y), free(ax), free(bx), free(bv);
}

void check_complement(const subset_data* d) {
  const int64_t n = d->whole.spec.n, batch = d->whole.spec.batch;
  CHECK(is_intact(d->complement.x, batch * n * d->count, element_bytes(d->complement.dtype)) &&
            is_intact(d->y, batch * n * d->count, element_bytes(d->complement.dtype)),
        "an output was written past its end (%s)", describe_subset(d));
  for (int64_t k = 0; k < batch; ++k) {
    if (d->problem.info[k] == EIGENPAIR_INFO_OK) check_columns(d, k);
  }
}
