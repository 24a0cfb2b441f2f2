/* Derivatives of small problems at every size: the equations that they satisfy, forward against reverse, and that
 * results do not depend on the other matrices or on the number of threads, bit for bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/dense.h"
#include "support/rules.h"

enum { kLargest = 17 };

static int have_kernels(void) {
  if (eigenpair_has_small_kernels()) return 1;
  check_skip("no kernels for small matrices");
  return 0;
}

static problem_spec spec_for(int code, int64_t n) {
  return (problem_spec){.dtype = code % 4,
                        .type = code / 4 % 4,
                        .triangle = (code / 16 + (int32_t)n) % 3,
                        .layout = (code + (int)n) % 2,
                        .n = n,
                        .batch = 8, /* with fewer, LAPACK would solve the larger ones */
                        .seed = (unsigned)code + (unsigned)n};
}

/* The first matrix, column-major; for a tangent, the Hermitian matrix that it represents. */
static Z* load(const problem_spec* spec, const void* from, int tangent) {
  const int64_t n = spec->n;
  Z* m = malloc((size_t)(n * n) * sizeof *m);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) m[i + j * n] = get_element(from, spec->dtype, stored_index(spec, 0, 0, i, j));
  }
  for (int64_t j = 0; tangent && j < n; ++j) {
    m[j + j * n] = creal(m[j + j * n]);
    for (int64_t i = j + 1; i < n; ++i) {
      const Z below = m[i + j * n], above = conj(m[j + i * n]);
      const Z meant = spec->triangle == EIGENPAIR_HERMITIAN_PART ? (below + above) / 2
                      : spec->triangle == EIGENPAIR_LOWER        ? below
                                                                 : above;
      m[i + j * n] = meant;
      m[j + i * n] = conj(meant);
    }
  }
  return m;
}

/* M X + N Y */
static Z* sum_of_products(const Z* m, const Z* x, const Z* other, const Z* y, int64_t n) {
  Z *first = product(m, x, n, n, 0), *second = product(other, y, n, n, 0);
  for (int64_t i = 0; i < n * n; ++i) first[i] += second[i];
  free(second);
  return first;
}

/* The derivatives of A x = y w, of the definition of the dual basis, and of U^H V = I, with the phase of parallel
 * transport. Together they determine the tangents. */
static void check_forward(const rule_data* d) {
  const problem_spec* spec = &d->solved.spec;
  const int64_t n = spec->n, square = n * n;
  const int type = spec->type;
  const Z *a = d->solved.a, *b = d->solved.b;
  Z *da = load(spec, d->tangents[0], 1), *db = load(spec, d->tangents[1], 1);
  Z *v = load(spec, d->solved.problem.v, 0), *u = load(spec, d->solved.problem.u, 0);
  Z *dv = load(spec, d->of_vectors[0], 0), *du;
  if (type == 0) {
    du = product(NULL, dv, n, n, 0);
  } else if (type == 1) {
    du = sum_of_products(db, v, b, dv, n);
  } else {
    du = load(spec, d->of_vectors[1], 0);
  }
  double nearest = INFINITY, most = 0, w[kLargest], dw[kLargest];
  for (int64_t i = 0; i < n; ++i) {
    w[i] = get_real(d->solved.problem.w, spec->dtype, i);
    dw[i] = get_real(d->of_values, spec->dtype, i);
    most = fmax(most, fabs(w[i]));
    if (i > 0) nearest = fmin(nearest, w[i] - w[i - 1]);
  }
  const double amplified = 32 * (double)(n + 4) * (double)n * epsilon(spec->dtype) * (1 + most / nearest);
  const double size_x = largest(type == 2 ? u : v, square), size_y = largest(type == 1 || type == 3 ? u : v, square);
  const double size_dx = largest(type == 2 ? du : dv, square), size_dy = largest(type & 1 ? du : dv, square);

  Z* left = sum_of_products(da, type == 2 ? u : v, a, type == 2 ? du : dv, n);
  Z *y = type == 1 || type == 3 ? u : v, *dy = type == 1 || type == 3 ? du : dv, *right = product(NULL, y, n, n, 0);
  for (int64_t i = 0; i < square; ++i) right[i] = y[i] * dw[i / n] + dy[i] * w[i / n];
  const double scale =
      largest(da, square) * size_x + largest(a, square) * size_dx + most * size_dy + largest(right, square) + size_y;
  double error = distance(left, right, square);
  CHECK(error <= amplified * scale, "the equation is off by %g, allowed %g (%s)", error, amplified * scale,
        describe(spec));

  if (type >= 2) {
    Z* expected = sum_of_products(db, type == 2 ? v : u, b, type == 2 ? dv : du, n);
    const Z* found = type == 2 ? du : dv;
    error = distance(expected, found, square);
    const double allowed = amplified * (largest(expected, square) + largest(b, square) * (size_dx + size_dy));
    CHECK(error <= allowed, "the dual basis is off by %g, allowed %g (%s)", error, allowed, describe(spec));
    free(expected);
  }
  Z *gram = product(du, v, n, n, 1), *other = product(u, dv, n, n, 1);
  const double size = amplified * (largest(du, square) * largest(v, square) + largest(u, square) * largest(dv, square));
  for (int64_t i = 0; i < square; ++i) {
    CHECK(cabs(gram[i] + other[i]) <= size, "the normalization is off by %g, allowed %g (%s)", cabs(gram[i] + other[i]),
          size, describe(spec));
    CHECK(i % (n + 1) != 0 || fabs(cimag(other[i])) <= size, "a phase turns by %g (%s)", cimag(other[i]),
          describe(spec));
  }
  Z* all[] = {da, db, v, u, dv, du, left, right, gram, other};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
}

TEST(forward_satisfies_the_equations) {
  if (!have_kernels()) return;
  for (int64_t n = 1; n <= kLargest; ++n) {
    for (int code = 0; code < 4 * 4 * 3; ++code) {
      rule_data d = make_rule(spec_for(code, n), 0);
      apply_rule(&d, 1);
      CHECK(d.refused[0] == 0, "refused (%s)", describe(&d.solved.spec));
      check_forward(&d);
      free_rule(&d);
    }
  }
}

/* Re sum conj(x) y */
static double pairing(const void* x, const void* y, int32_t dtype, int64_t count, int conjugated) {
  double sum = 0;
  for (int64_t i = 0; i < count && x != NULL && y != NULL; ++i) {
    const Z left = get_element(x, dtype, i), right = get_element(y, dtype, i);
    sum += creal(left) * creal(right) + (conjugated ? -1 : 1) * cimag(left) * cimag(right);
  }
  return sum;
}

TEST(reverse_is_the_transpose) {
  if (!have_kernels()) return;
  for (int64_t n = 1; n <= kLargest; ++n) {
    for (int code = 0; code < 4 * 4 * 3 * 2; ++code) {
      const problem_spec spec = spec_for(code, n);
      const int64_t values = spec.batch * n, square = values * n;
      const int conjugated = code / 48;
      rule_data forward = make_rule(spec, 0), reverse = make_rule(spec, 0);
      /* Inputs are the same in both; outputs are overwritten. */
      apply_rule(&forward, 1);
      reverse.rule.reverse = 1;
      reverse.rule.conjugated = conjugated;
      rule_data given = make_rule(spec, 0);
      apply_rule(&reverse, 1);
      CHECK(reverse.refused[0] == 0, "refused (%s)", describe(&spec));
      const double there = pairing(given.of_values, forward.rule.dw, spec.dtype % 2, values, 0) +
                           pairing(given.of_vectors[0], forward.rule.dv, spec.dtype, square, conjugated) +
                           pairing(given.of_vectors[1], forward.rule.du, spec.dtype, square, conjugated);
      const double back = pairing(given.tangents[0], reverse.rule.da, spec.dtype, square, conjugated) +
                          pairing(given.tangents[1], reverse.rule.db, spec.dtype, square, conjugated);
      const double scale = (double)square * (largest((Z[]){there}, 1) + largest((Z[]){back}, 1) + 10);
      CHECK(fabs(there - back) <= 8 * epsilon(spec.dtype) * scale, "%.9g there, %.9g back (%s)", there, back,
            describe(&spec));
      free_rule(&forward);
      free_rule(&reverse);
      free_rule(&given);
    }
  }
}

/* Enough for three chunks, by the core's estimate of the time. */
static int64_t batch_for(int64_t n) { return 7 + 70000 / (n <= 4 ? 1 + n * n * n / 6 : 30 + 3 * n * n); }

TEST(same_bits_on_any_thread_at_any_place) {
  if (!have_kernels()) return;
  for (int64_t n = 1; n <= kLargest; ++n) {
    for (int code = 0; code < 4 * 4 * 2; ++code) {
      problem_spec spec = spec_for(code % 16, n);
      spec.batch = batch_for(n);
      rule_data alone = make_rule(spec, 1);
      const int reverse = code / 16;
      const int64_t bad = spec.batch / 2;
      alone.rule.reverse = reverse;
      apply_rule(&alone, 1);
      CHECK(n == 1 || !reverse || (alone.refused[3] == (n > 2) && alone.refused[4] == 0), "%d (%s)", alone.refused[3],
            describe(&spec));
      for (int nan = 0; nan <= 1; ++nan) {
        rule_data other = make_rule(spec, 1);
        other.rule.reverse = reverse;
        if (nan) {
          set_element(other.solved.problem.w, spec.dtype % 2, bad * n, NAN);
          set_element(other.solved.problem.v, spec.dtype, bad * n * n, NAN);
        }
        const int64_t first = nan ? 0 : 5;
        const int32_t threads = nan ? 2 : 7;
        apply_rule_from(&other, first, threads);
        for (int64_t k = first; k < spec.batch; ++k) {
          CHECK((nan && k == bad) || same_rule_bits(&alone, &other, k),
                "matrix %lld differs %s on %d threads (reverse %d; %s)", (long long)k,
                nan ? "beside one that is NaN" : "elsewhere in the batch", threads, reverse, describe(&spec));
        }
        free_rule(&other);
      }
      free_rule(&alone);
    }
  }
}
