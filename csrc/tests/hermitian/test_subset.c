/* Subsets of the spectrum: all kinds of results, batches, and matrices that cannot be solved. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/lapacks.h"
#include "support/subsets.h"

static void all_solved(const subset_data* d) {
  for (int64_t k = 0; k < d->whole.spec.batch; ++k) {
    CHECK(d->problem.info[k] == EIGENPAIR_INFO_OK, "info[%lld] = %d (%s)", (long long)k, d->problem.info[k],
          describe_subset(d));
  }
  check_subset(d);
}

/* All eigenvalues of the same matrices, by the driver for whole spectra, which test_hermitian.c tests. */
static problem_data all_values(const eigenpair_lapack* lapack, const subset_data* d) {
  problem_data whole = d->whole;
  whole.problem.driver = EIGENPAIR_DRIVER_EVD;
  REQUIRE(eigenpair_hermitian(lapack, &whole.problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  return whole;
}

/* The 1-norm of B^-1, by Gaussian elimination. */
static double inverse_norm(const double complex* b, int64_t n) {
  double largest = 0;
  double complex* m = malloc((size_t)(n * (n + 1)) * sizeof *m);
  for (int64_t column = 0; column < n; ++column) {
    double complex* x = m + n * n;
    memcpy(m, b, (size_t)(n * n) * sizeof *m);
    for (int64_t i = 0; i < n; ++i) x[i] = i == column;
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t i = 0; i < n; ++i) {
        const double complex factor = i == k ? 0 : m[i + k * n] / m[k + k * n];
        for (int64_t j = k; j < n; ++j) m[i + j * n] -= factor * m[k + j * n];
        x[i] -= factor * x[k];
      }
    }
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += cabs(x[i] / m[i + i * n]);
    largest = fmax(largest, sum);
  }
  free(m);
  return largest;
}

static double frobenius(const double complex* a, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n * n; ++i) sum += creal(a[i] * conj(a[i]));
  return sqrt(sum);
}

/* CHECKs the eigenvalues and the edges. */
static void check_places(const eigenpair_lapack* lapack, const subset_data* d) {
  const problem_spec* spec = &d->whole.spec;
  const int64_t n = spec->n;
  const problem_data whole = all_values(lapack, d);
  for (int64_t k = 0; k < spec->batch; ++k) {
    double w[65];
    for (int64_t i = 0; i < n; ++i) w[i] = get_real(whole.problem.w, spec->dtype, k * n + i);
    const double most = fmax(fabs(w[0]), fabs(w[n - 1])), slack = 16 * (double)(n + 4) * epsilon(spec->dtype) * most;
    for (int64_t j = 0; j < d->count; ++j) {
      const double found = get_real(d->problem.w, spec->dtype, k * d->count + j);
      CHECK(fabs(found - w[d->first + j]) <= slack, "w[%lld] is off by %g (%s)", (long long)j, found - w[d->first + j],
            describe_subset(d));
    }
    if (d->problem.edges == NULL) continue;
    double edges[3];
    for (int i = 0; i < 3; ++i) edges[i] = get_real(d->problem.edges, spec->dtype, 3 * k + i);
    const int below = d->first > 0, above = d->first + d->count < n;
    CHECK(below ? fabs(edges[0] - w[d->first - 1]) <= slack : edges[0] == -INFINITY, "%g below (%s)", edges[0],
          describe_subset(d));
    CHECK(above ? fabs(edges[1] - w[d->first + d->count]) <= slack : edges[1] == INFINITY, "%g above (%s)", edges[1],
          describe_subset(d));
    double size = most;
    if (spec->type != 0) {
      const double complex* b = d->whole.b + k * n * n;
      size = (frobenius(d->whole.a + k * n * n, n) + most * frobenius(b, n)) * inverse_norm(b, n);
    }
    /* LAPACK's estimate is a lower bound of the norm of the inverse; for the smallest matrices it is exact. */
    const double least = spec->type != 0 && n > 2 ? 0.7 : 1 - 1e-5;
    CHECK(edges[2] >= least * size && edges[2] <= (1 + 1e-4) * size, "size %g, not %g (%s)", edges[2], size,
          describe_subset(d));
  }
}

static void every_problem_of_type(int32_t type) {
  const struct {
    int64_t n, first, count;
  } subsets[] = {{1, 0, 1}, {2, 0, 1}, {2, 1, 1}, {2, 0, 2}, {7, 0, 2}, {7, 3, 3}, {7, 5, 2}, {7, 0, 7}, {33, 14, 4}};
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 3 * 2 * 3 * 9; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = type, .batch = 3, .seed = (unsigned)code};
      spec.triangle = code / 4 % 3;
      spec.layout = code / 12 % 2;
      spec.want = code / 24 % 3;
      spec.n = subsets[code / 72].n;
      subset_data d = make_subset(spec, subsets[code / 72].first, subsets[code / 72].count);
      solve_subset(handle, &d, 1);
      all_solved(&d);
      check_places(handle, &d);
      free_subset(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(standard_problem) { every_problem_of_type(0); }
TEST(pairs) { every_problem_of_type(1); }

/* Block diagonal matrices, whose eigenvalues bisection returns block by block, some of them exactly equal. */
TEST(blocks_and_equal_eigenvalues) {
  enum { n = 12 };
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 4 * 4; ++code) {
      const int32_t dtype = code % 4;
      const int kind = code / 4 % 4;
      const int64_t first = code / 16 * 3;
      subset_data d = make_subset((problem_spec){.dtype = dtype, .n = n, .batch = 1, .want = WANT_DUAL}, first, 3);
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          const int beside = i / 2 == j / 2 && i != j;
          const double diagonal[] = {5 * i % n, -2, 0, i / 2 % 3};
          d.whole.a[i + j * n] = i == j ? diagonal[kind] : kind == 3 ? beside : 0;
        }
      }
      store_matrices(&d.whole);
      d.problem.a = d.whole.problem.a;
      solve_subset(handle, &d, 1);
      all_solved(&d);
      check_places(handle, &d);
      free_subset(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* Matrices are scaled to size one by a power of two. So for a multiple by a power of two, all bits are the same. */
TEST(at_any_scale) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2; ++code) {
      const int exponent = code % 2 == 0 ? 100 : 900;
      problem_spec spec = {.dtype = code % 4, .n = 9, .batch = 2, .want = WANT_DUAL, .seed = 4};
      for (int sign = -1; sign <= 1; sign += 2) {
        subset_data one = make_subset(spec, 2, 4), other = make_subset(spec, 2, 4);
        for (int64_t i = 0; i < 9 * 9 * 2; ++i) {
          const double complex x = get_element(other.whole.a_stored, spec.dtype, i);
          const double factor = ldexp(1, sign * exponent);
          set_element(other.whole.a_stored, spec.dtype, i, CMPLX(factor * creal(x), factor * cimag(x)));
        }
        solve_subset(handle, &one, 1);
        solve_subset(handle, &other, 1);
        solve_complement(handle, &one, 1);
        solve_complement(handle, &other, 1);
        CHECK(memcmp(one.problem.v, other.problem.v, 9 * 4 * 2 * element_bytes(spec.dtype)) == 0, "vectors (%s)",
              describe_subset(&other));
        for (int64_t i = 0; i < 2 * 4; ++i) {
          const double w = get_real(other.problem.w, spec.dtype, i);
          CHECK(ldexp(w, -sign * exponent) == get_real(one.problem.w, spec.dtype, i), "w[%d] = %g", (int)i, w);
        }
        for (int64_t i = 0; i < 2 * 3; ++i) {
          const double edge = get_real(other.problem.edges, spec.dtype, i);
          CHECK(ldexp(edge, -sign * exponent) == get_real(one.problem.edges, spec.dtype, i), "edge %g", edge);
        }
        for (int64_t i = 0; i < 2 * 4 * 9; ++i) {
          const double x = creal(get_element(other.complement.x, spec.dtype, i));
          CHECK(ldexp(x, sign * exponent) == creal(get_element(one.complement.x, spec.dtype, i)), "x[%d] = %g", (int)i,
                x);
        }
        free_subset(&one);
        free_subset(&other);
      }
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(shared_matrices_and_gaps) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = code / 8, .n = 6, .batch = 4, .want = WANT_VECTORS, .gap = 13};
      spec.layout = code / 4 % 2;
      subset_data apart = make_subset(spec, 1, 3);
      spec.gap = 0;
      subset_data tight = make_subset(spec, 1, 3);
      solve_subset(handle, &apart, 1);
      solve_subset(handle, &tight, 1);
      all_solved(&apart);
      for (int64_t k = 0; k < 4; ++k) {
        CHECK(same_subset_bits(&apart, k, &tight, k), "matrix %d (%s)", (int)k, describe_subset(&apart));
      }
      spec.shared_a = 1;
      spec.shared_b = code % 3 == 0;
      subset_data shared = make_subset(spec, 1, 3);
      solve_subset(handle, &shared, 1);
      all_solved(&shared);
      free_subset(&apart);
      free_subset(&tight);
      free_subset(&shared);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* One matrix of six has NaN or Inf among the entries read, or a B that is not definite. */
TEST(a_matrix_that_fails_leaves_its_neighbours_alone) {
  enum { n = 6, batch = 6 };
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 3 * 3 * 6; ++code) {
      problem_spec spec = {.dtype = code % 4, .triangle = code / 4 % 3, .n = n, .batch = batch};
      const int harm = code / 36;
      const int64_t bad = code % batch, last = n - 1, low = spec.triangle == EIGENPAIR_UPPER ? 0 : last;
      spec.want = code / 12 % 3;
      spec.type = harm >= 2 || code % 2;
      subset_data clean = make_subset(spec, 2, 2), spoiled = make_subset(spec, 2, 2);
      if (harm < 4) {
        const double value = harm % 2 == 0 ? NAN : -INFINITY;
        set_element(harm < 2 ? spoiled.whole.a_stored : spoiled.whole.b_stored, spec.dtype,
                    stored_index(&spec, 0, bad, low, last - low), is_complex(spec.dtype) ? CMPLX(0.5, value) : value);
      } else {
        set_element(spoiled.whole.b_stored, spec.dtype, stored_index(&spec, 0, bad, last, last), harm == 4 ? 0 : -1);
      }
      solve_subset(handle, &clean, 1);
      solve_subset(handle, &spoiled, 1);
      for (int64_t k = 0; k < batch; ++k) {
        const int32_t expected = k != bad   ? EIGENPAIR_INFO_OK
                                 : harm < 4 ? EIGENPAIR_INFO_NOT_FINITE
                                            : EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE;
        CHECK(spoiled.problem.info[k] == expected, "info[%d] = %d with harm %d to %d (%s)", (int)k,
              spoiled.problem.info[k], harm, (int)bad, describe_subset(&spoiled));
        CHECK(k == bad ? subset_is_nan(&spoiled, k) : same_subset_bits(&clean, k, &spoiled, k),
              "matrix %d with harm %d to %d (%s)", (int)k, harm, (int)bad, describe_subset(&spoiled));
      }
      free_subset(&clean);
      free_subset(&spoiled);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* Finite pairs whose reduction overflows. */
TEST(overflow_inside_a_pair) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2; ++code) {
      problem_spec spec = {.dtype = code % 4, .type = 1, .n = 4, .batch = 1, .want = code / 4};
      subset_data d = make_subset(spec, 1, 2);
      const double large = spec.dtype % 2 == 1 ? DBL_MAX / 8 : FLT_MAX / 8;
      for (int64_t i = 0; i < 16; ++i) {
        set_element(d.whole.a_stored, spec.dtype, i, i % 5 == 0 ? large : large / 4);
        set_element(d.whole.b_stored, spec.dtype, i, i % 5 == 0 ? 1 / large : 0);
      }
      solve_subset(handle, &d, 1);
      CHECK(d.problem.info[0] == EIGENPAIR_INFO_NO_CONVERGENCE && subset_is_nan(&d, 0), "info = %d (%s)",
            d.problem.info[0], describe_subset(&d));
      free_subset(&d);
    }
    eigenpair_lapack_destroy(handle);
  }
}
