/* Eigenpairs of band matrices and solves on their complement: the equations that define them, matrices that cannot be
 * solved, equal eigenvalues, and bad arguments. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/dense.h"
#include "support/lapacks.h"
#include "support/problems.h"
#include "support/refuse.h"

enum { kBatch = 3 };

typedef struct {
  int32_t dtype, layout;
  int64_t n, bandwidth, first, count;
  int values_only;
} band_spec;

typedef struct {
  band_spec spec;
  Z* whole; /* the matrices, column-major */
  void *a, *before, *y;
  eigenpair_banded_problem problem;
  eigenpair_banded_complement_problem complement;
  int32_t info[kBatch];
} band_data;

static int64_t band_index(const band_spec* s, int64_t k, int64_t m, int64_t j) {
  const int64_t each = s->bandwidth + 1;
  return k * each * s->n + (s->layout == EIGENPAIR_ROW_MAJOR ? m * s->n + j : m + j * each);
}

static int64_t column_index(const band_spec* s, int64_t k, int64_t i, int64_t j) {
  return k * s->n * s->count + (s->layout == EIGENPAIR_ROW_MAJOR ? i * s->count + j : i + j * s->n);
}

/* Entries that must not be read are NaN. `diagonal`: the others are 0, and each eigenvalue occurs three times. */
static band_data make_band(band_spec s, int diagonal) {
  band_data d = {.spec = s};
  const int64_t entries = kBatch * (s.bandwidth + 1) * s.n, each = s.n * s.count;
  d.whole = calloc((size_t)(kBatch * s.n * s.n), sizeof *d.whole);
  d.a = calloc((size_t)entries, element_bytes(s.dtype));
  unsigned state = 7 + (unsigned)(s.n + 100 * s.bandwidth);
  for (int64_t k = 0; k < kBatch; ++k) {
    for (int64_t j = 0; j < s.n; ++j) {
      for (int64_t m = 0; m <= s.bandwidth; ++m) {
        const double re = diagonal ? (m == 0 ? (double)(j / 3) : 0) : next_random(&state);
        const double im = diagonal || !is_complex(s.dtype) ? 0 : next_random(&state);
        const int read = j + m < s.n;
        const Z stored = !read ? CMPLX(NAN, NAN) : m == 0 ? CMPLX(re, is_complex(s.dtype) ? NAN : 0) : CMPLX(re, im);
        set_element(d.a, s.dtype, band_index(&s, k, m, j), stored);
        if (!read) continue;
        Z* a = d.whole + k * s.n * s.n;
        a[j + m + j * s.n] = m == 0 ? re : CMPLX(re, im);
        a[j + (j + m) * s.n] = m == 0 ? re : CMPLX(re, -im);
      }
    }
  }
  d.before = malloc((size_t)entries * element_bytes(s.dtype));
  memcpy(d.before, d.a, (size_t)entries * element_bytes(s.dtype));
  d.problem = (eigenpair_banded_problem){.struct_size = sizeof d.problem,
                                         .dtype = s.dtype,
                                         .layout = s.layout,
                                         .n = s.n,
                                         .batch = kBatch,
                                         .bandwidth = s.bandwidth,
                                         .first = s.first,
                                         .count = s.count,
                                         .a = d.a,
                                         .w = make_output(kBatch * s.count, real_bytes(s.dtype))};
  if (s.values_only) return d;
  d.problem.v = make_output(kBatch * each, element_bytes(s.dtype));
  d.problem.edges = make_output(kBatch * 3, real_bytes(s.dtype));
  d.y = make_output(kBatch * each, element_bytes(s.dtype));
  for (int64_t i = 0; i < kBatch * each; ++i) {
    const double re = next_random(&state);
    set_element(d.y, s.dtype, i, CMPLX(re, next_random(&state)));
  }
  d.complement = (eigenpair_banded_complement_problem){.struct_size = sizeof d.complement,
                                                       .dtype = s.dtype,
                                                       .layout = s.layout,
                                                       .n = s.n,
                                                       .batch = kBatch,
                                                       .bandwidth = s.bandwidth,
                                                       .count = s.count,
                                                       .a = d.a,
                                                       .w = d.problem.w,
                                                       .v = d.problem.v,
                                                       .y = d.y,
                                                       .x = make_output(kBatch * each, element_bytes(s.dtype))};
  return d;
}

static void free_band(band_data* d) {
  void* all[] = {d->whole, d->a, d->before, d->y, d->problem.w, d->problem.v, d->problem.edges, d->complement.x};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
}

static void solve(const eigenpair_lapack* lapack, band_data* d) {
  d->problem.info = d->info;
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_banded_job(lapack, &d->problem, 2, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  REQUIRE(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  if (d->spec.values_only) return;
  REQUIRE(eigenpair_banded_complement_job(lapack, &d->complement, 2, &job) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  REQUIRE(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
}

/* How many eigenvalues of the k-th matrix are below x: the signs of the pivots of A - x. */
static int64_t count_below(const band_data* d, int64_t k, double x) {
  const int64_t n = d->spec.n;
  Z* m = malloc((size_t)(n * n) * sizeof *m);
  memcpy(m, d->whole + k * n * n, (size_t)(n * n) * sizeof *m);
  int64_t below = 0;
  for (int64_t j = 0; j < n; ++j) {
    double pivot = creal(m[j + j * n]) - x;
    if (fabs(pivot) < 1e-300) pivot = 1e-300;
    below += pivot < 0;
    for (int64_t i = j + 1; i < n; ++i) {
      for (int64_t l = j + 1; l < n; ++l) m[i + l * n] -= m[i + j * n] * conj(m[l + j * n]) / pivot;
    }
  }
  free(m);
  return below;
}

static void judge_band(const band_data* d) {
  const band_spec* s = &d->spec;
  const size_t bytes = (size_t)(kBatch * (s->bandwidth + 1) * s->n) * element_bytes(s->dtype);
  CHECK(memcmp(d->a, d->before, bytes) == 0, "the band was modified");
  CHECK(is_intact(d->problem.w, kBatch * s->count, real_bytes(s->dtype)), "w was overrun");
  const double tolerance = 100 * (double)s->n * epsilon(s->dtype);
  for (int64_t k = 0; k < kBatch; ++k) {
    if (d->info[k] != EIGENPAIR_INFO_OK) continue;
    const Z* a = d->whole + k * s->n * s->n;
    for (int64_t j = 0; j < s->count; ++j) {
      const double w = get_real(d->problem.w, s->dtype, k * s->count + j);
      CHECK(count_below(d, k, w - tolerance) <= s->first + j && count_below(d, k, w + tolerance) > s->first + j,
            "eigenvalue %lld of n = %lld is %g", (long long)(s->first + j), (long long)s->n, w);
      if (s->values_only) continue;
      double residual = 0, product = 0, along = 0, equation = 0, size = 1;
      for (int64_t i = 0; i < s->n; ++i) {
        Z of_v = 0, of_x = 0, right = get_element(d->y, s->dtype, column_index(s, k, i, j));
        for (int64_t l = 0; l < s->n; ++l) {
          of_v += a[i + l * s->n] * get_element(d->problem.v, s->dtype, column_index(s, k, l, j));
          of_x += a[i + l * s->n] * get_element(d->complement.x, s->dtype, column_index(s, k, l, j));
        }
        const Z x = get_element(d->complement.x, s->dtype, column_index(s, k, i, j));
        for (int64_t l = 0; l < s->count; ++l) {
          Z overlap = 0;
          for (int64_t p = 0; p < s->n; ++p) {
            overlap += conj(get_element(d->problem.v, s->dtype, column_index(s, k, p, l))) *
                       get_element(d->y, s->dtype, column_index(s, k, p, j));
          }
          right -= get_element(d->problem.v, s->dtype, column_index(s, k, i, l)) * overlap;
        }
        residual = fmax(residual, cabs(of_v - w * get_element(d->problem.v, s->dtype, column_index(s, k, i, j))));
        equation = fmax(equation, cabs(of_x - w * x - right));
        size = fmax(size, cabs(x));
      }
      for (int64_t l = 0; l < s->count; ++l) {
        Z overlap = 0, with_x = 0;
        for (int64_t i = 0; i < s->n; ++i) {
          const Z v = conj(get_element(d->problem.v, s->dtype, column_index(s, k, i, l)));
          overlap += v * get_element(d->problem.v, s->dtype, column_index(s, k, i, j));
          with_x += v * get_element(d->complement.x, s->dtype, column_index(s, k, i, j));
        }
        product = fmax(product, cabs(overlap - (l == j)));
        along = fmax(along, cabs(with_x));
      }
      CHECK(residual < tolerance && product < tolerance, "residual %g, overlap %g", residual, product);
      CHECK(equation < 30 * tolerance * size && along < 30 * tolerance * size, "equation %g, overlap %g, size %g",
            equation, along, size);
    }
    if (s->values_only) continue;
    const double below = get_real(d->problem.edges, s->dtype, 3 * k);
    const double above = get_real(d->problem.edges, s->dtype, 3 * k + 1);
    CHECK(s->first == 0 ? below == -INFINITY : count_below(d, k, below + tolerance) >= s->first, "below %g", below);
    CHECK(s->first + s->count == s->n ? above == INFINITY : count_below(d, k, above - tolerance) <= s->first + s->count,
          "above %g", above);
    const double scale = get_real(d->problem.edges, s->dtype, 3 * k + 2);
    CHECK(count_below(d, k, scale + tolerance) == s->n && count_below(d, k, -scale - tolerance) == 0 &&
              (count_below(d, k, scale - tolerance) < s->n || count_below(d, k, tolerance - scale) > 0),
          "scale %g", scale);
  }
}

TEST(every_band) {
  const struct {
    int64_t n, bandwidth, first, count;
  } parts[] = {{1, 0, 0, 1}, {2, 1, 1, 1}, {3, 0, 0, 2}, {9, 1, 0, 9}, {9, 1, 3, 2},   {9, 3, 0, 9},
               {9, 3, 7, 2}, {9, 8, 0, 1}, {5, 2, 0, 4}, {5, 1, 1, 4}, {40, 1, 20, 1}, {40, 2, 0, 1}};
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2 * 12; ++code) {
      band_spec spec = {.dtype = code % 4, .layout = code / 4 % 2, .values_only = code / 8 % 2};
      spec.n = parts[code / 16].n;
      spec.bandwidth = parts[code / 16].bandwidth;
      spec.first = parts[code / 16].first;
      spec.count = parts[code / 16].count;
      band_data d = make_band(spec, 0);
      solve(handle, &d);
      for (int k = 0; k < kBatch; ++k) CHECK(d.info[k] == EIGENPAIR_INFO_OK, "info[%d] = %d", k, d.info[k]);
      judge_band(&d);
      free_band(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(equal_eigenvalues) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 3; ++code) {
      band_data d = make_band(
          (band_spec){.dtype = code % 4, .n = 9, .bandwidth = code / 4, .first = 3 * (code / 4), .count = 3}, 1);
      solve(handle, &d);
      judge_band(&d);
      free_band(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(a_matrix_that_is_not_finite) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int dtype = 0; dtype < 4; ++dtype) {
      band_data d = make_band((band_spec){.dtype = dtype, .n = 5, .bandwidth = 1, .first = 1, .count = 2}, 0);
      set_element(d.a, dtype, band_index(&d.spec, 1, 1, 2), INFINITY);
      memcpy(d.before, d.a, (size_t)(kBatch * 2 * 5) * element_bytes(dtype));
      solve(handle, &d);
      CHECK(d.info[0] == EIGENPAIR_INFO_OK && d.info[1] == EIGENPAIR_INFO_NOT_FINITE && d.info[2] == EIGENPAIR_INFO_OK,
            "%d %d %d", d.info[0], d.info[1], d.info[2]);
      for (int i = 0; i < 2; ++i) CHECK(isnan(get_real(d.problem.w, dtype, 2 + i)), "w[%d]", i);
      for (int i = 0; i < 3; ++i) CHECK(isnan(get_real(d.problem.edges, dtype, 3 + i)), "edges[%d]", i);
      for (int i = 0; i < 10; ++i) {
        CHECK(isnan(creal(get_element(d.problem.v, dtype, 10 + i))), "v[%d]", i);
        CHECK(isnan(creal(get_element(d.complement.x, dtype, 10 + i))), "x[%d]", i);
      }
      judge_band(&d);
      free_band(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

static double a[6], w[3], edges[3], v[9], y[9], x[9];

static eigenpair_banded_problem banded(void) {
  return (eigenpair_banded_problem){.struct_size = sizeof(eigenpair_banded_problem),
                                    .dtype = EIGENPAIR_FLOAT64,
                                    .n = 3,
                                    .batch = 1,
                                    .bandwidth = 1,
                                    .first = 1,
                                    .count = 2,
                                    .a = a,
                                    .w = w,
                                    .v = v,
                                    .edges = edges};
}

static eigenpair_banded_complement_problem banded_complement(void) {
  return (eigenpair_banded_complement_problem){.struct_size = sizeof(eigenpair_banded_complement_problem),
                                               .dtype = EIGENPAIR_FLOAT64,
                                               .n = 3,
                                               .batch = 1,
                                               .bandwidth = 1,
                                               .count = 2,
                                               .a = a,
                                               .w = w,
                                               .v = v,
                                               .y = y,
                                               .x = x};
}

#define REFUSE_ALIKE(kind)                                                                     \
  do {                                                                                         \
    REFUSE(kind, "struct_size", struct_size, (int64_t)sizeof(eigenpair_##kind##_problem) - 8); \
    REFUSE(kind, "dtype", dtype, 4);                                                           \
    REFUSE(kind, "layout", layout, 2);                                                         \
    REFUSE(kind, "problem.n", n, 0);                                                           \
    REFUSE(kind, "batch is negative", batch, -1);                                              \
    REFUSE(kind, "count", count, 4);                                                           \
    REFUSE(kind, "bandwidth", bandwidth, 3);                                                   \
    REFUSE(kind, "bandwidth", bandwidth, -1);                                                  \
    REFUSE(kind, "problem.a", a, NULL);                                                        \
    REFUSE(kind, "w", w, NULL);                                                                \
  } while (0)

TEST(a_bad_field) {
  eigenpair_lapack* lapack = hollow_lapack(NULL);
  REFUSE_ALIKE(banded);
  REFUSE(banded, "first", first, -1);
  REFUSE(banded, "first", first, 2);
  REFUSE(banded, "edges needs", v, NULL);
  REFUSE_ALIKE(banded_complement);
  REFUSE(banded_complement, "v, y or x", v, NULL);
  REFUSE(banded_complement, "v, y or x", y, NULL);
  REFUSE(banded_complement, "v, y or x", x, NULL);
  eigenpair_lapack_destroy(lapack);
}

TEST(a_missing_routine) {
  const char* of_banded[] = {"dsterf", "dstebz", "dstevd", "dsbtrd", "zhbtrd", "dgemm"};
  for (size_t i = 0; i < sizeof of_banded / sizeof *of_banded; ++i) {
    eigenpair_lapack* lapack = hollow_lapack(of_banded[i]);
    eigenpair_banded_problem problem = banded();
    problem.bandwidth = 2;
    problem.dtype = of_banded[i][0] == 'z' ? EIGENPAIR_COMPLEX128 : EIGENPAIR_FLOAT64;
    eigenpair_job* job = NULL;
    expect_status(eigenpair_banded_job(lapack, &problem, 1, &job), EIGENPAIR_MISSING_ROUTINE, of_banded[i]);
    eigenpair_lapack_destroy(lapack);
  }
  const char* of_complement[] = {"dgbtrf", "dgbtrs", "dgemm"};
  for (size_t i = 0; i < sizeof of_complement / sizeof *of_complement; ++i) {
    eigenpair_lapack* lapack = hollow_lapack(of_complement[i]);
    eigenpair_banded_complement_problem problem = banded_complement();
    eigenpair_job* job = NULL;
    expect_status(eigenpair_banded_complement_job(lapack, &problem, 1, &job), EIGENPAIR_MISSING_ROUTINE,
                  of_complement[i]);
    eigenpair_lapack_destroy(lapack);
  }
}

/* Nothing to solve: no pointer is read and LAPACK is not called. */
TEST(an_empty_batch) {
  eigenpair_lapack* lapack = hollow_lapack("dsterf");
  const eigenpair_banded_problem none = {.struct_size = sizeof none, .dtype = EIGENPAIR_FLOAT64, .n = 3, .count = 2};
  const eigenpair_banded_complement_problem nothing = {.struct_size = sizeof nothing, .n = 3, .count = 2};
  eigenpair_job* job = NULL;
  CHECK(eigenpair_banded_job(lapack, &none, 3, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_banded_complement_job(lapack, &nothing, 3, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  eigenpair_lapack_destroy(lapack);
}
