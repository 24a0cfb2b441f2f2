/* First derivatives: against finite differences of the solver, forward against reverse, and what `check` refuses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eigenpair.h"
#include "support/check.h"

enum { kOrders = 6, kLargest = 8 };
static const int64_t orders[kOrders] = {1, 2, 3, 4, 5, 8};

static double uniform(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / 9007199254740992.0 - 0.5;
}

static void* lookup_nothing(void* context, const char* routine) {
  (void)context;
  (void)routine;
  return NULL;
}

static int have_kernels(void) {
  if (eigenpair_has_small_kernels()) return 1;
  check_skip("no kernels for small matrices");
  return 0;
}

/* Small matrices need no LAPACK. Row-major, the Hermitian part. */
static void solve(int64_t n, int64_t batch, const double* a, double* w, double* v) {
  eigenpair_lapack* lapack = NULL;
  REQUIRE(eigenpair_lapack_create(32, lookup_nothing, NULL, &lapack) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  eigenpair_hermitian_problem problem = {.struct_size = sizeof problem,
                                         .dtype = EIGENPAIR_FLOAT64,
                                         .layout = EIGENPAIR_ROW_MAJOR,
                                         .n = n,
                                         .batch = batch,
                                         .a = a,
                                         .a_stride = n * n,
                                         .w = w,
                                         .v = v};
  REQUIRE(eigenpair_hermitian(lapack, &problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  eigenpair_lapack_destroy(lapack);
}

static eigenpair_hermitian_rule rule_for(int64_t n, int64_t batch, const double* w, const double* v) {
  eigenpair_hermitian_rule rule = {.struct_size = sizeof rule,
                                   .dtype = EIGENPAIR_FLOAT64,
                                   .layout = EIGENPAIR_ROW_MAJOR,
                                   .policy = EIGENPAIR_POLICY_CHECK,
                                   .parameter = 10,
                                   .n = n,
                                   .batch = batch,
                                   .w = w,
                                   .v = v};
  return rule;
}

static void apply(const eigenpair_hermitian_rule* rule, int32_t threads) {
  REQUIRE(eigenpair_hermitian_apply_rule(NULL, rule, threads) == EIGENPAIR_OK, "%s", eigenpair_last_error());
}

static void random_matrix(int64_t n, uint64_t seed, double* a) {
  for (int64_t i = 0; i < n * n; ++i) a[i] = uniform(&seed);
  for (int64_t i = 0; i < n; ++i) a[i * (n + 1)] += 3 * (double)i;
}

/* sum c_i w_i + sum g_ij v_ij^2 */
static double loss(int64_t n, const double* a, const double* c, const double* g) {
  double w[kLargest], v[kLargest * kLargest], total = 0;
  solve(n, 1, a, w, v);
  for (int64_t i = 0; i < n; ++i) total += c[i] * w[i];
  for (int64_t i = 0; i < n * n; ++i) total += g[i] * v[i] * v[i];
  return total;
}

TEST(reverse_is_the_derivative) {
  if (!have_kernels()) return;
  for (int which = 0; which < kOrders; ++which) {
    const int64_t n = orders[which], square = n * n;
    double a[kLargest * kLargest], c[kLargest], g[kLargest * kLargest];
    double w[kLargest], v[kLargest * kLargest], dv[kLargest * kLargest], gradient[kLargest * kLargest];
    uint64_t seed = 77 + (uint64_t)n;
    random_matrix(n, seed, a);
    for (int64_t i = 0; i < n; ++i) c[i] = uniform(&seed);
    for (int64_t i = 0; i < square; ++i) g[i] = uniform(&seed);
    solve(n, 1, a, w, v);
    for (int64_t i = 0; i < square; ++i) dv[i] = 2 * g[i] * v[i];
    eigenpair_hermitian_rule rule = rule_for(n, 1, w, v);
    int32_t refused = 7;
    rule.reverse = 1;
    rule.dw = c;
    rule.dv = dv;
    rule.da = gradient;
    rule.refused = &refused;
    apply(&rule, 1);
    CHECK(refused == 0, "n = %d", (int)n);
    for (int64_t k = 0; k < square; ++k) {
      const double step = 1e-5, kept = a[k];
      a[k] = kept + step;
      const double above = loss(n, a, c, g);
      a[k] = kept - step;
      const double below = loss(n, a, c, g);
      a[k] = kept;
      const double slope = (above - below) / (2 * step);
      CHECK(fabs(gradient[k] - slope) < 1e-7, "n = %d, entry %d: %g, not %g", (int)n, (int)k, gradient[k], slope);
    }
  }
}

TEST(forward_and_reverse_are_transposes) {
  if (!have_kernels()) return;
  for (int which = 0; which < kOrders; ++which) {
    for (int32_t type = 0; type <= 3; ++type) {
      for (int32_t triangle = 0; triangle <= 2; ++triangle) {
        for (int32_t layout = 0; layout <= 1; ++layout) {
          const int64_t n = orders[which], square = n * n;
          double x[7][kLargest * kLargest], out[5][kLargest * kLargest], a[kLargest * kLargest];
          double w[kLargest], v[kLargest * kLargest];
          uint64_t seed = 5;
          random_matrix(n, 9, a);
          solve(n, 1, a, w, v);
          for (int k = 0; k < 7; ++k) {
            for (int64_t i = 0; i < square; ++i) x[k][i] = uniform(&seed);
          }
          const double scale = 10;
          eigenpair_hermitian_rule rule = rule_for(n, 1, w, v);
          rule.type = type;
          rule.triangle = triangle;
          rule.layout = layout;
          rule.u = type >= 2 ? x[5] : NULL;
          rule.scale = type > 0 ? &scale : NULL;
          rule.da = x[0];
          rule.db = type > 0 ? x[1] : NULL;
          rule.dw = out[0];
          rule.dv = out[1];
          rule.du = type >= 2 ? out[2] : NULL;
          apply(&rule, 1);
          double forward = 0, back = 0;
          for (int64_t i = 0; i < n; ++i) forward += x[2][i] * out[0][i];
          for (int64_t i = 0; i < square; ++i) forward += x[3][i] * out[1][i] + (type >= 2 ? x[4][i] * out[2][i] : 0);
          rule.reverse = 1;
          rule.dw = x[2];
          rule.dv = x[3];
          rule.du = type >= 2 ? x[4] : NULL;
          rule.da = out[3];
          rule.db = type > 0 ? out[4] : NULL;
          apply(&rule, 1);
          for (int64_t i = 0; i < square; ++i) back += x[0][i] * out[3][i] + (type > 0 ? x[1][i] * out[4][i] : 0);
          CHECK(fabs(forward - back) < 1e-10 * (1 + fabs(forward)), "n = %d, type %d, triangle %d: %.17g, not %.17g",
                (int)n, (int)type, (int)triangle, back, forward);
        }
      }
    }
  }
}

TEST(clusters_are_decided) {
  if (!have_kernels()) return;
  enum { n = 4, square = n * n, batch = 3 };
  double w[batch * n], v[batch * square] = {0}, dv[batch * square], gradient[batch * square];
  int32_t refused[batch];
  uint64_t seed = 3;
  for (int k = 0; k < batch; ++k) {
    for (int i = 0; i < n; ++i) {
      w[k * n + i] = k == 1 && i == 1 ? 1 : 1 + i;
      v[k * square + i * (n + 1)] = 1;
    }
  }
  for (int i = 0; i < batch * square; ++i) dv[i] = uniform(&seed);
  eigenpair_hermitian_rule rule = rule_for(n, batch, w, v);
  rule.reverse = 1;
  rule.dv = dv;
  rule.da = gradient;
  rule.refused = refused;
  apply(&rule, 1);
  for (int k = 0; k < batch; ++k) {
    CHECK(refused[k] == (k == 1), "matrix %d", k);
    for (int i = 0; i < square; ++i) CHECK(isnan(gradient[k * square + i]) == (k == 1), "matrix %d, entry %d", k, i);
  }
  /* A symmetric coupling inside the cluster does not need the gap. */
  dv[square + 1] = dv[square + n];
  apply(&rule, 1);
  CHECK(refused[1] == 0 && !isnan(gradient[square]), "%d, %g", (int)refused[1], gradient[square]);
  rule.policy = EIGENPAIR_POLICY_RAW;
  apply(&rule, 1);
  CHECK(refused[1] == 0 && !isfinite(gradient[square + 1]), "%g", gradient[square + 1]);
}

TEST(tangents_of_coupled_vectors_are_nan) {
  if (!have_kernels()) return;
  enum { n = 5, square = n * n };
  double w[n] = {0, 1, 1, 2, 3}, v[square] = {0}, da[square] = {0}, dw[n], dv[square];
  for (int i = 0; i < n; ++i) v[i * (n + 1)] = 1;
  /* A large cotangent that does not affect the coupling. */
  da[square - 1] = 1e9;
  da[3 * n + 1] = da[1 * n + 3] = 1;
  for (int turn = 0; turn < 4; ++turn) {
    const int couples = turn > 0, masked = turn == 3;
    int32_t refused = 7;
    da[1 * n + 2] = da[2 * n + 1] = couples ? 1e-9 : 0;
    da[1 * n + 1] = turn == 2 ? 0.5 : 0;
    eigenpair_hermitian_rule rule = rule_for(n, 1, w, v);
    rule.da = da;
    rule.dw = dw;
    rule.dv = dv;
    rule.refused = &refused;
    rule.options = masked ? EIGENPAIR_RULE_MASK_COUPLED : 0;
    apply(&rule, 1);
    CHECK(refused == (couples && !masked), "turn %d", turn);
    for (int i = 0; i < square; ++i) {
      const int inside = i % n == 1 || i % n == 2;
      CHECK(isnan(dv[i]) == (inside && couples && !masked), "turn %d, entry %d: %g", turn, i, dv[i]);
    }
    CHECK(dw[1] == da[n + 1] && dw[4] == 1e9, "turn %d: %g, %g", turn, dw[1], dw[4]);
    CHECK(fabs(dv[1 * n + 3] - 1) < 1e-15, "turn %d: %g", turn, dv[1 * n + 3]);
  }
}

TEST(long_vectors_hide_nothing_of_short_ones) {
  if (!have_kernels()) return;
  enum { n = 6, square = n * n, turns = 5 };
  /* First a vector outside of the cluster, then the cluster itself. `lost` couples its two vectors. */
  const double lengths[turns] = {1e12, 1e-12, 1e150, 1e12, 1}, sizes[turns] = {1e12, 1, 1e150, 0, 0};
  for (int turn = 0; turn < 2 * turns; ++turn) {
    const double length = lengths[turn % turns], size = sizes[turn % turns], lost = turn < turns ? 1 : 0;
    for (int32_t layout = 0; layout <= 1; ++layout) {
      double w[n], v[square] = {0}, dv[square] = {0}, gradient[square], scale = n;
      int32_t refused = 7;
      for (int i = 0; i < n; ++i) {
        w[i] = i == 2 ? 1 : i;
        v[i * (n + 1)] = i == 0 ? length : 1;
      }
      dv[0] = size;
      dv[1 * n + 2] = dv[2 * n + 1] = 1;
      dv[layout ? 1 * n + 2 : 2 * n + 1] += lost;
      eigenpair_hermitian_rule rule = rule_for(n, 1, w, v);
      rule.type = 1;
      rule.layout = layout;
      rule.scale = &scale;
      rule.reverse = 1;
      rule.dv = dv;
      rule.da = gradient;
      rule.refused = &refused;
      apply(&rule, 1);
      CHECK(refused == (lost > 0), "turn %d: %d", turn, (int)refused);
      CHECK(isnan(gradient[square - 1]) == (lost > 0), "turn %d: %g", turn, gradient[square - 1]);
    }
  }
}

TEST(rounding_that_overflows_refuses) {
  if (!have_kernels()) return;
  enum { n = 6, square = n * n };
  const double scale = n;
  for (int turn = 0; turn < 3; ++turn) {
    double w[n], v[square] = {0}, dv[square] = {0}, gradient[square];
    int32_t refused = 7;
    for (int i = 0; i < n; ++i) {
      w[i] = i == 1 ? 0 : i;
      v[i * (n + 1)] = i == 0 && turn > 0 ? 1e200 : 1;
    }
    /* Does not couple vectors of the cluster. */
    dv[3 * n] = dv[3 * n + 1] = turn > 1 ? 1e200 : 1;
    eigenpair_hermitian_rule rule = rule_for(n, 1, w, v);
    rule.type = 1;
    rule.scale = &scale;
    rule.reverse = 1;
    rule.dv = dv;
    rule.da = gradient;
    rule.refused = &refused;
    apply(&rule, 1);
    CHECK(refused == (turn == 2), "turn %d: %d", turn, (int)refused);
  }
}

TEST(the_same_bits_on_any_number_of_threads) {
  if (!have_kernels()) return;
  enum { n = 3, square = n * n, batch = 5000 };
  double *a = malloc(sizeof *a * batch * square), *v = malloc(sizeof *v * batch * square),
         *w = malloc(sizeof *w * batch * n), *one = malloc(sizeof *one * batch * square),
         *many = malloc(sizeof *many * batch * square);
  REQUIRE(a && v && w && one && many, "out of memory");
  uint64_t seed = 8;
  for (int i = 0; i < batch * square; ++i) a[i] = uniform(&seed);
  solve(n, batch, a, w, v);
  eigenpair_hermitian_rule rule = rule_for(n, batch, w, v);
  rule.reverse = 1;
  rule.dv = a;
  rule.da = one;
  apply(&rule, 1);
  rule.da = many;
  apply(&rule, 4);
  CHECK(memcmp(one, many, sizeof *one * batch * square) == 0, "the number of threads shows");
  free(a);
  free(v);
  free(w);
  free(one);
  free(many);
}

TEST(arguments_are_checked) {
  if (!have_kernels()) return;
  double x[4] = {1, 2, 3, 4};
  const eigenpair_hermitian_rule good = rule_for(2, 1, x, x);
  eigenpair_hermitian_rule bad[8];
  for (int i = 0; i < 8; ++i) bad[i] = good;
  bad[0].struct_size = 1;
  bad[1].dtype = 4;
  bad[2].type = 2; /* without u */
  bad[3].policy = 4;
  bad[4].parameter = -1;
  bad[5].n = -1;
  bad[6].w = NULL;
  bad[7].db = x; /* for the standard problem */
  for (int i = 0; i < 8; ++i) {
    CHECK(eigenpair_hermitian_apply_rule(NULL, &bad[i], 1) == EIGENPAIR_BAD_ARGUMENT, "%d", i);
    CHECK(strstr(eigenpair_last_error(), "rule.") != NULL, "%d: %s", i, eigenpair_last_error());
  }
  CHECK(eigenpair_hermitian_apply_rule(NULL, NULL, 1) == EIGENPAIR_BAD_ARGUMENT, "no rule");
  CHECK(eigenpair_hermitian_apply_rule(NULL, &good, -1) == EIGENPAIR_BAD_ARGUMENT, "negative threads");
  CHECK(eigenpair_hermitian_rule_job(NULL, &good, 1, NULL) == EIGENPAIR_BAD_ARGUMENT, "nowhere to put the job");
  /* Without any cotangent the gradient is zero. */
  double gradient[4] = {1, 1, 1, 1};
  eigenpair_hermitian_rule nothing = good;
  nothing.reverse = 1;
  nothing.da = gradient;
  CHECK(eigenpair_hermitian_apply_rule(NULL, &nothing, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  for (int i = 0; i < 4; ++i) CHECK(gradient[i] == 0, "%g", gradient[i]);
  eigenpair_hermitian_rule empty = good;
  empty.batch = 0;
  CHECK(eigenpair_hermitian_apply_rule(NULL, &empty, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  int32_t refused[2] = {7, 7};
  empty.batch = 2;
  empty.n = 0;
  empty.refused = refused;
  CHECK(eigenpair_hermitian_apply_rule(NULL, &empty, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(refused[0] == 0 && refused[1] == 0, "%d %d", (int)refused[0], (int)refused[1]);
}
