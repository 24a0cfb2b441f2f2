/* The reverse rule of large matrices, with products by the BLAS, against the rule with the core's own products,
 * which test_small_rule.c tests. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eigenpair.h"
#include "support/check.h"
#include "support/lapacks.h"

/* Four rows of tiles and two blocks of a product, the last ones incomplete; and a cluster of two in different tiles. */
enum { kOrder = 100, kSquare = kOrder * kOrder, kBatch = 3, kFirst = 31, kSecond = 32 };

static double uniform(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / 9007199254740992.0 - 0.5;
}

static int have_kernels(void) {
  if (eigenpair_has_small_kernels()) return 1;
  check_skip("no kernels of our own");
  return 0;
}

static int is_single(int32_t dtype) { return dtype == EIGENPAIR_FLOAT32 || dtype == EIGENPAIR_COMPLEX64; }
static int reals_per_entry(int32_t dtype) { return dtype >= EIGENPAIR_COMPLEX64 ? 2 : 1; }

static double get(const void* data, int32_t dtype, int64_t i) {
  return is_single(dtype) ? ((const float*)data)[i] : ((const double*)data)[i];
}
static void put(void* data, int32_t dtype, int64_t i, double x) {
  if (is_single(dtype)) {
    ((float*)data)[i] = (float)x;
  } else {
    ((double*)data)[i] = x;
  }
}

/* The size of a batch; matrices have room for the largest type. */
typedef struct {
  double w[kBatch * kOrder], dw[kBatch * kOrder], scale[kBatch];
  double v[2 * kBatch * kSquare], u[2 * kBatch * kSquare], dv[2 * kBatch * kSquare], du[2 * kBatch * kSquare];
  double da[2][2 * kBatch * kSquare], db[2][2 * kBatch * kSquare];
} data;

/* Copies two columns from `from` or its complex conjugate to `to`. */
static void copy_pair(int32_t dtype, int32_t layout, int64_t start, const void* from, int conjugate, void* to) {
  for (int64_t i = 0; i < kOrder; ++i) {
    for (int64_t j = kFirst; j <= kSecond; ++j) {
      const int64_t place = start + (layout == EIGENPAIR_ROW_MAJOR ? i * kOrder + j : i + j * kOrder);
      for (int k = 0; k < reals_per_entry(dtype); ++k) {
        const double x = get(from, dtype, place * reals_per_entry(dtype) + k);
        put(to, dtype, place * reals_per_entry(dtype) + k, k == 1 && conjugate ? -x : x);
      }
    }
  }
}

/* The second matrix has a cluster. The loss is random, or does not rotate the two vectors. */
static void fill(data* d, int32_t dtype, int32_t layout, int conjugated, int allowed) {
  uint64_t seed = 3;
  for (int k = 0; k < kBatch; ++k) {
    put(d->scale, dtype, k, 200);
    for (int i = 0; i < kOrder; ++i) {
      put(d->w, dtype, k * kOrder + i, k == 1 && i == kSecond ? 1 + kFirst : 1 + i);
      const double slope = uniform(&seed);
      put(d->dw, dtype, k * kOrder + i, k > 0 && i == kSecond ? get(d->dw, dtype, k * kOrder + kFirst) : slope);
    }
  }
  void* const all[] = {d->v, d->u, d->dv, d->du};
  for (int m = 0; m < 4; ++m) {
    for (int64_t i = 0; i < kBatch * kSquare * reals_per_entry(dtype); ++i) put(all[m], dtype, i, uniform(&seed) / 5);
  }
  /* The third matrix has two close eigenvalues in different clusters, whose vectors are coupled only by rounding
   * errors. */
  put(d->w, dtype, 2 * kOrder + kSecond, 1 + kFirst + 1e-5);
  copy_pair(dtype, layout, 2 * kSquare, d->v, conjugated, d->dv);
  copy_pair(dtype, layout, 2 * kSquare, d->u, conjugated, d->du);
  if (!allowed) return;
  copy_pair(dtype, layout, kSquare, d->v, conjugated, d->dv);
  copy_pair(dtype, layout, kSquare, d->u, conjugated, d->du);
}

static void agree(const data* d, const eigenpair_hermitian_rule* rule, int turn) {
  const int64_t count = kSquare * reals_per_entry(rule->dtype);
  for (int which = 0; which < 2; ++which) {
    if ((which == 0 ? rule->da : rule->db) == NULL) continue;
    const void *found = which == 0 ? d->da[0] : d->db[0], *expected = which == 0 ? d->da[1] : d->db[1];
    for (int k = 0; k < kBatch; ++k) {
      double largest = 0, wrong = 0;
      int nans = 0;
      for (int64_t i = k * count; i < (k + 1) * count; ++i) {
        const double x = get(found, rule->dtype, i), y = get(expected, rule->dtype, i);
        nans += isnan(x) != isnan(y);
        if (isnan(y)) continue;
        largest = fmax(largest, fabs(y));
        wrong = fmax(wrong, fabs(x - y));
      }
      CHECK(nans == 0, "turn %d, %s, matrix %d: %d NaNs differ", turn, which ? "db" : "da", k, nans);
      CHECK(wrong <= (is_single(rule->dtype) ? 1e-4 : 1e-13) * largest, "turn %d, %s, matrix %d: off by %g of %g", turn,
            which ? "db" : "da", k, wrong, largest);
    }
  }
}

TEST(products_by_blas_or_by_hand) {
  if (!have_kernels()) return;
  FOR_EACH_LAPACK(one) {
    eigenpair_lapack* lapack = lend(one, 1);
    data* d = malloc(sizeof *d);
    REQUIRE(d != NULL, "out of memory");
    uint64_t seed = 11;
    for (int turn = 0; turn < 96; ++turn) {
      const int32_t dtype = turn % 4, type = turn / 4 % 4, layout = turn / 16 % 2;
      const int allowed = uniform(&seed) > 0, conjugated = uniform(&seed) > 0;
      const int32_t policy = (int32_t)(3.999 * (uniform(&seed) + 0.5)), cotangents = turn / 32 + 1;
      fill(d, dtype, layout, conjugated, allowed);
      const int both = uniform(&seed) > 0, first = both || uniform(&seed) > 0;
      int32_t refused[2][kBatch];
      eigenpair_hermitian_rule rule = {.struct_size = sizeof rule,
                                       .dtype = dtype,
                                       .type = type,
                                       .triangle = (int32_t)(2.999 * (uniform(&seed) + 0.5)),
                                       .layout = layout,
                                       .policy = policy,
                                       .reverse = 1,
                                       .conjugated = conjugated,
                                       .parameter = policy == EIGENPAIR_POLICY_CHECK ? 10 : 0.5,
                                       .n = kOrder,
                                       .batch = kBatch,
                                       .w = d->w,
                                       .v = d->v,
                                       .u = type >= 2 ? d->u : NULL,
                                       .scale = type > 0 ? d->scale : NULL};
      /* Cotangents of values, vectors, or both; also of the dual basis. */
      if (cotangents != 2) rule.dw = d->dw;
      if (cotangents != 1) rule.dv = d->dv;
      if (cotangents != 1 && type >= 2) rule.du = d->du;
      if (cotangents == 2 && type >= 2 && uniform(&seed) > 0) rule.dv = NULL;
      for (int by_hand = 0; by_hand <= 1; ++by_hand) {
        rule.da = type == 0 || first ? d->da[by_hand] : NULL;
        rule.db = type > 0 && (both || !first) ? d->db[by_hand] : NULL;
        rule.refused = refused[by_hand];
        REQUIRE(eigenpair_hermitian_apply_rule(by_hand ? NULL : lapack, &rule, 1 + turn % 3) == EIGENPAIR_OK, "%s",
                eigenpair_last_error());
      }
      for (int k = 0; k < kBatch; ++k) {
        CHECK(refused[0][k] == refused[1][k], "turn %d, matrix %d", turn, k);
        CHECK(refused[0][k] == (cotangents != 1 && policy == EIGENPAIR_POLICY_CHECK && k == 1 && !allowed),
              "turn %d, matrix %d: %d", turn, k, (int)refused[0][k]);
      }
      if (policy == EIGENPAIR_POLICY_RAW && cotangents != 1) continue; /* infinite: nothing to compare */
      agree(d, &rule, turn);
    }
    free(d);
    eigenpair_lapack_destroy(lapack);
  }
}

TEST(a_nan_in_the_cotangent_is_not_lost) {
  if (!have_kernels()) return;
  FOR_EACH_LAPACK(one) {
    eigenpair_lapack* lapack = lend(one, 0);
    data* d = malloc(sizeof *d);
    REQUIRE(d != NULL, "out of memory");
    fill(d, EIGENPAIR_FLOAT64, EIGENPAIR_ROW_MAJOR, 0, 1);
    d->dv[kSquare + 7] = NAN;
    eigenpair_hermitian_rule rule = {.struct_size = sizeof rule,
                                     .dtype = EIGENPAIR_FLOAT64,
                                     .layout = EIGENPAIR_ROW_MAJOR,
                                     .reverse = 1,
                                     .parameter = 10,
                                     .n = kOrder,
                                     .batch = kBatch,
                                     .w = d->w,
                                     .v = d->v,
                                     .dv = d->dv,
                                     .da = d->da[0]};
    REQUIRE(eigenpair_hermitian_apply_rule(lapack, &rule, 2) == EIGENPAIR_OK, "%s", eigenpair_last_error());
    for (int k = 0; k < kBatch; ++k) CHECK(isnan(d->da[0][k * kSquare]) == (k == 1), "matrix %d", k);
    free(d);
    eigenpair_lapack_destroy(lapack);
  }
}
