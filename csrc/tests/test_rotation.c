/* The reverse rule of large matrices in parts: against the rule of small ones, which does all of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "eigenpair.h"

/* Four rows of tiles, the last one short. */
enum { kOrder = 100, kSquare = kOrder * kOrder, kBatch = 3 };

static double uniform(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / 9007199254740992.0 - 0.5;
}

static int have_kernels(void) {
  if (eigenpair_has_small_kernels()) return 1;
  check_skip("no kernels of our own");
  return 0;
}

static int64_t place(int32_t layout, int64_t i, int64_t j) {
  return layout == EIGENPAIR_ROW_MAJOR ? i * kOrder + j : i + j * kOrder;
}

/* C = A B, or A^T B, or A B^T. */
static void multiply(int32_t layout, const double* a, int transpose_a, const double* b, int transpose_b, double* c) {
  for (int64_t i = 0; i < kOrder; ++i) {
    for (int64_t j = 0; j < kOrder; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < kOrder; ++l) {
        sum += a[transpose_a ? place(layout, l, i) : place(layout, i, l)] *
               b[transpose_b ? place(layout, j, l) : place(layout, l, j)];
      }
      c[place(layout, i, j)] = sum;
    }
  }
}

/* A rotation of every pair of neighbours: orthogonal, and no more is asked of eigenvectors here. */
static void fill_vectors(int32_t layout, double* v) {
  for (int64_t i = 0; i < kOrder; ++i) {
    for (int64_t j = 0; j < kOrder; ++j) v[place(layout, i, j)] = i == j;
  }
  for (int64_t k = 0; k + 1 < kOrder; ++k) {
    const double c = cos(1.0 + (double)k), s = sin(1.0 + (double)k);
    for (int64_t i = 0; i < kOrder; ++i) {
      double *x = &v[place(layout, i, k)], *y = &v[place(layout, i, k + 1)], kept = *x;
      *x = c * kept - s * *y;
      *y = s * kept + c * *y;
    }
  }
}

static double largest_column(int32_t layout, const double* x) {
  double largest = 0;
  for (int64_t j = 0; j < kOrder; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < kOrder; ++i) sum += x[place(layout, i, j)] * x[place(layout, i, j)];
    largest = fmax(largest, sqrt(sum));
  }
  return largest;
}

typedef struct {
  double w[kBatch * kOrder], dw[kBatch * kOrder], v[kBatch * kSquare], dv[kBatch * kSquare], kappa[kBatch];
} data;

/* The second matrix has a cluster: of the loss as it comes, or of one that does not turn the two vectors. */
static data* make_data(int32_t layout, int symmetric) {
  data* d = malloc(sizeof *d);
  REQUIRE(d != NULL, "out of memory");
  uint64_t seed = 3;
  for (int k = 0; k < kBatch; ++k) {
    double *v = d->v + k * kSquare, *dv = d->dv + k * kSquare;
    for (int i = 0; i < kOrder; ++i) {
      d->w[k * kOrder + i] = k == 1 && i == 41 ? 41 : 1.0 + i;
      d->dw[k * kOrder + i] = k == 1 && i == 41 ? d->dw[k * kOrder + 40] : uniform(&seed);
    }
    fill_vectors(layout, v);
    for (int i = 0; i < kSquare; ++i) dv[i] = uniform(&seed);
    for (int i = 0; symmetric && k == 1 && i < kOrder; ++i) {
      dv[place(layout, i, 40)] = v[place(layout, i, 40)];
      dv[place(layout, i, 41)] = v[place(layout, i, 41)];
    }
    d->kappa[k] = largest_column(layout, v) * largest_column(layout, dv);
  }
  return d;
}

static void finish(eigenpair_job* job) {
  REQUIRE(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
}

/* In place, when asked. */
static void in_parts(const data* d, int32_t layout, int32_t triangle, int32_t policy, int in_place, double* out,
                     int32_t* refused) {
  double *k = malloc(sizeof(double) * kBatch * kSquare), *t = malloc(sizeof(double) * kBatch * kSquare);
  double* m = in_place ? k : malloc(sizeof(double) * kBatch * kSquare);
  REQUIRE(k && t && m, "out of memory");
  for (int b = 0; b < kBatch; ++b) multiply(layout, d->v + b * kSquare, 1, d->dv + b * kSquare, 0, k + b * kSquare);
  const eigenpair_rotation rotation = {.struct_size = sizeof rotation,
                                       .dtype = EIGENPAIR_FLOAT64,
                                       .layout = layout,
                                       .policy = policy,
                                       .parameter = policy == EIGENPAIR_POLICY_CHECK ? 10 : 0.5,
                                       .n = kOrder,
                                       .batch = kBatch,
                                       .w = d->w,
                                       .dw = d->dw,
                                       .kappa = d->kappa,
                                       .k = k,
                                       .m = m,
                                       .refused = refused};
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_rotation_job(&rotation, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  finish(job);
  for (int b = 0; b < kBatch; ++b) {
    CHECK(isnan(m[b * kSquare + place(layout, 40, 41)]) == refused[b], "matrix %d", b);
    multiply(layout, d->v + b * kSquare, 0, m + b * kSquare, 0, t + b * kSquare);
    multiply(layout, t + b * kSquare, 0, d->v + b * kSquare, 1, out + b * kSquare);
  }
  memcpy(t, out, sizeof(double) * kBatch * kSquare);
  const eigenpair_gradient gradient = {.struct_size = sizeof gradient,
                                       .dtype = EIGENPAIR_FLOAT64,
                                       .layout = layout,
                                       .triangle = triangle,
                                       .n = kOrder,
                                       .batch = kBatch,
                                       .whole = in_place ? out : t,
                                       .refused = refused,
                                       .gradient = out};
  REQUIRE(eigenpair_gradient_job(&gradient, 4, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  finish(job);
  free(k);
  free(t);
  if (!in_place) free(m);
}

static void at_once(const data* d, int32_t layout, int32_t triangle, int32_t policy, double* out, int32_t* refused) {
  eigenpair_hermitian_rule rule = {.struct_size = sizeof rule,
                                   .dtype = EIGENPAIR_FLOAT64,
                                   .triangle = triangle,
                                   .layout = layout,
                                   .policy = policy,
                                   .reverse = 1,
                                   .parameter = policy == EIGENPAIR_POLICY_CHECK ? 10 : 0.5,
                                   .n = kOrder,
                                   .batch = kBatch,
                                   .w = d->w,
                                   .v = d->v,
                                   .da = out,
                                   .dw = (void*)(uintptr_t)d->dw,
                                   .dv = (void*)(uintptr_t)d->dv,
                                   .refused = refused};
  REQUIRE(eigenpair_hermitian_apply_rule(&rule, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
}

TEST(the_parts_are_the_rule) {
  if (!have_kernels()) return;
  double *parts = malloc(sizeof(double) * kBatch * kSquare), *whole = malloc(sizeof(double) * kBatch * kSquare);
  REQUIRE(parts && whole, "out of memory");
  for (int32_t layout = 0; layout <= 1; ++layout) {
    for (int symmetric = 0; symmetric <= 1; ++symmetric) {
      data* d = make_data(layout, symmetric);
      for (int32_t triangle = 0; triangle <= 2; ++triangle) {
        for (int32_t policy = 0; policy <= 2; ++policy) {
          int32_t found[kBatch], expected[kBatch];
          in_parts(d, layout, triangle, policy, triangle == 1, parts, found);
          at_once(d, layout, triangle, policy, whole, expected);
          for (int b = 0; b < kBatch; ++b) {
            CHECK(found[b] == expected[b], "matrix %d", b);
            CHECK(found[b] == (policy == 0 && b == 1 && !symmetric), "matrix %d: %d", b, (int)found[b]);
          }
          for (int i = 0; i < kBatch * kSquare; ++i) {
            CHECK(isnan(parts[i]) == isnan(whole[i]) && !(fabs(parts[i] - whole[i]) > 1e-11),
                  "layout %d, triangle %d, policy %d, entry %d: %g, not %g", (int)layout, (int)triangle, (int)policy, i,
                  parts[i], whole[i]);
          }
        }
      }
      free(d);
    }
  }
  free(parts);
  free(whole);
}

TEST(arguments_are_checked) {
  double x[4] = {1, 2, 3, 4};
  const eigenpair_rotation good = {
      .struct_size = sizeof good, .dtype = 1, .n = 2, .batch = 1, .w = x, .kappa = x, .k = x, .m = x};
  eigenpair_rotation bad[7];
  for (int i = 0; i < 7; ++i) bad[i] = good;
  bad[0].struct_size = 1;
  bad[1].dtype = 4;
  bad[2].policy = -1;
  bad[3].parameter = -1;
  bad[4].n = -1;
  bad[5].k = NULL;
  bad[6].kappa = NULL;
  eigenpair_job* job = NULL;
  for (int i = 0; i < 7; ++i) {
    CHECK(eigenpair_rotation_job(&bad[i], 1, &job) == EIGENPAIR_BAD_ARGUMENT, "%d", i);
    CHECK(strstr(eigenpair_last_error(), "rotation.") != NULL, "%d: %s", i, eigenpair_last_error());
  }
  CHECK(eigenpair_rotation_job(NULL, 1, &job) == EIGENPAIR_BAD_ARGUMENT, "nothing");
  eigenpair_gradient wrong = {.struct_size = sizeof wrong, .dtype = 1, .n = 2, .batch = 1, .whole = x};
  CHECK(eigenpair_gradient_job(&wrong, 1, &job) == EIGENPAIR_BAD_ARGUMENT, "nowhere to put it");
  wrong.gradient = x;
  wrong.triangle = 3;
  CHECK(eigenpair_gradient_job(&wrong, 1, &job) == EIGENPAIR_BAD_ARGUMENT, "no such triangle");
  if (!have_kernels()) return;
  wrong.triangle = 0;
  wrong.batch = 0;
  CHECK(eigenpair_gradient_job(&wrong, 1, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  finish(job);
}
