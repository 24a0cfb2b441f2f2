/* General problems: residuals, order, gauge and dual basis. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/complex_numbers.h"
#include "support/lapacks.h"
#include "support/problems.h"

typedef double complex Z;
enum { kGap = 3 }; /* elements between the matrices of a batch */

typedef struct {
  int32_t dtype, out; /* of inputs and outputs */
  int64_t n, batch;
  size_t in_bytes;
  void *a_before, *b_before;
  eigenpair_general_problem problem;
} general;

static void* copy_of(const void* data, size_t bytes) { return memcpy(malloc(bytes), data, bytes); }

static int64_t at(const general* g, int64_t k, int64_t i, int64_t j) {
  return k * g->problem.a_stride + (g->problem.layout == EIGENPAIR_ROW_MAJOR ? i * g->n + j : i + j * g->n);
}

static Z entry(const general* g, const void* matrix, int64_t k, int64_t i, int64_t j) {
  return get_element(matrix, g->dtype, at(g, k, i, j));
}

/* Entry i of column j of an output. */
static Z component(const general* g, const void* vectors, int64_t k, int64_t i, int64_t j) {
  const int64_t inside = g->problem.layout == EIGENPAIR_ROW_MAJOR ? i * g->n + j : i + j * g->n;
  return get_element(vectors, g->out, k * g->n * g->n + inside);
}

static Z eigenvalue(const general* g, int64_t k, int64_t j) { return get_element(g->problem.w, g->out, k * g->n + j); }

enum { RIGHT = 1, LEFT = 2, DUAL = 4 };

static general make_general(int32_t dtype, int generalized, int32_t layout, int wants, int64_t n, int64_t batch) {
  general g = {.dtype = dtype, .out = dtype | 2, .n = n, .batch = batch};
  g.problem = (eigenpair_general_problem){
      .struct_size = sizeof g.problem, .dtype = dtype, .layout = layout, .n = n, .batch = batch};
  g.problem.a_stride = g.problem.b_stride = n * n + kGap;
  g.in_bytes = (size_t)(batch * (n * n + kGap)) * element_bytes(dtype);
  unsigned state = (unsigned)(17 * n + dtype);
  for (int which = 0; which <= generalized; ++which) {
    void* stored = malloc(g.in_bytes);
    for (int64_t i = 0; i < batch * (n * n + kGap); ++i) {
      set_element(stored, dtype, i, CMPLX(next_random(&state), next_random(&state)));
    }
    for (int64_t k = 0; k < batch; ++k) {
      for (int64_t i = 0; which == 1 && i < n; ++i) {
        set_element(stored, dtype, at(&g, k, i, i), entry(&g, stored, k, i, i) + 2 * (double)n);
      }
      for (int64_t i = 0; i < kGap; ++i) set_element(stored, dtype, k * (n * n + kGap) + n * n + i, NAN);
    }
    *(which == 0 ? &g.problem.a : &g.problem.b) = stored;
    *(which == 0 ? &g.a_before : &g.b_before) = copy_of(stored, g.in_bytes);
  }
  const size_t square = (size_t)(batch * n * n) * element_bytes(g.out);
  g.problem.w = malloc((size_t)(batch * n) * element_bytes(g.out));
  if (wants & RIGHT) g.problem.v = malloc(square);
  if (wants & LEFT) g.problem.vl = malloc(square);
  if (wants & DUAL) g.problem.u = malloc(square);
  g.problem.info = malloc((size_t)batch * sizeof(int32_t));
  return g;
}

static void free_general(general* g) {
  void* all[] = {(void*)g->problem.a, (void*)g->problem.b, g->a_before,  g->b_before,    g->problem.w,
                 g->problem.v,        g->problem.vl,       g->problem.u, g->problem.info};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
}

static const char* name(const general* g) {
  static _Thread_local char text[128];
  snprintf(text, sizeof text, "dtype %d, %s, layout %d, n = %lld", g->dtype, g->problem.b ? "A - w B" : "A - w",
           g->problem.layout, (long long)g->n);
  return text;
}

static void run(const eigenpair_lapack* lapack, const general* g, int32_t threads) {
  CHECK(eigenpair_general(lapack, &g->problem, threads) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(memcmp(g->problem.a, g->a_before, g->in_bytes) == 0, "A was modified (%s)", name(g));
  CHECK(!g->problem.b || memcmp(g->problem.b, g->b_before, g->in_bytes) == 0, "B was modified (%s)", name(g));
}

/* (B x)_i, or (B^H x)_i, of column j of x; B may be the identity. */
static Z times(const general* g, const void* matrix, const void* x, int adjoint, int64_t k, int64_t i, int64_t j) {
  if (matrix == NULL) return component(g, x, k, i, j);
  Z sum = 0;
  for (int64_t m = 0; m < g->n; ++m) {
    sum += (adjoint ? conj(entry(g, matrix, k, m, i)) : entry(g, matrix, k, i, m)) * component(g, x, k, m, j);
  }
  return sum;
}

/* Residual, unit norm, and the gauge, of one set of vectors. */
static void check_vectors(const general* g, const void* x, int adjoint, int64_t k, int64_t j) {
  const double tolerance = 100 * (double)g->n * (double)g->n * epsilon(g->dtype);
  const Z w = adjoint ? conj(eigenvalue(g, k, j)) : eigenvalue(g, k, j);
  double norm = 0, largest = 0;
  for (int64_t i = 0; i < g->n; ++i) {
    const Z left = times(g, g->problem.a, x, adjoint, k, i, j), right = times(g, g->problem.b, x, adjoint, k, i, j);
    CHECK(cabs(left - w * right) <= tolerance, "residual %g of %s vector %lld (%s)", cabs(left - w * right),
          adjoint ? "left" : "right", (long long)j, name(g));
    const Z c = component(g, x, k, i, j);
    norm += creal(c * conj(c));
    largest = fmax(largest, cabs(c));
  }
  CHECK(fabs(norm - 1) <= tolerance, "norm^2 %g (%s)", norm, name(g));
  int real = 0;
  for (int64_t i = 0; i < g->n; ++i) {
    const Z c = component(g, x, k, i, j);
    real |= cabs(c) >= largest * (1 - 2 * sqrt(epsilon(g->dtype))) && cimag(c) == 0 && creal(c) > 0;
  }
  CHECK(real, "no largest component of %s vector %lld is real and positive (%s)", adjoint ? "left" : "right",
        (long long)j, name(g));
}

static void check_general(const general* g) {
  for (int64_t k = 0; k < g->batch; ++k) {
    CHECK(g->problem.info[k] == EIGENPAIR_INFO_OK, "info[%lld] = %d (%s)", (long long)k, g->problem.info[k], name(g));
    for (int64_t j = 0; j < g->n; ++j) {
      const Z w = eigenvalue(g, k, j), before = j > 0 ? eigenvalue(g, k, j - 1) : -INFINITY;
      CHECK(creal(before) < creal(w) || (creal(before) == creal(w) && cimag(before) <= cimag(w)),
            "w[%lld] is out of order (%s)", (long long)j, name(g));
      if (!is_complex(g->dtype) && cimag(w) != 0) {
        const Z partner = eigenvalue(g, k, cimag(w) < 0 ? j + 1 : j - 1);
        CHECK(partner == conj(w), "w[%lld] of a real matrix has no conjugate beside it (%s)", (long long)j, name(g));
      }
      if (g->problem.v) check_vectors(g, g->problem.v, 0, k, j);
      if (g->problem.vl) check_vectors(g, g->problem.vl, 1, k, j);
      for (int64_t m = 0; g->problem.u && m < g->n; ++m) {
        Z product = 0;
        double size = 1;
        for (int64_t i = 0; i < g->n; ++i) {
          const Z u = component(g, g->problem.u, k, i, j), bv = times(g, g->problem.b, g->problem.v, 0, k, i, m);
          product += conj(u) * bv;
          size += cabs(u) * cabs(bv);
        }
        CHECK(cabs(product - (j == m)) <= 100 * (double)g->n * epsilon(g->dtype) * size, "U^H B V[%lld, %lld] (%s)",
              (long long)j, (long long)m, name(g));
      }
    }
  }
}

static int same_matrix(const general* x, const general* y, int64_t k) {
  const size_t values = (size_t)x->n * element_bytes(x->out), square = (size_t)x->n * values;
  const void* outputs[][2] = {{x->problem.w, y->problem.w},
                              {x->problem.v, y->problem.v},
                              {x->problem.vl, y->problem.vl},
                              {x->problem.u, y->problem.u}};
  int same = 1;
  for (int i = 0; i < 4; ++i) {
    const size_t bytes = i == 0 ? values : square, start = (size_t)k * bytes;
    if (outputs[i][0] && outputs[i][1]) {
      same &= memcmp((const char*)outputs[i][0] + start, (const char*)outputs[i][1] + start, bytes) == 0;
    }
  }
  return same;
}

TEST(every_general_problem) {
  const int64_t sizes[] = {1, 2, 5, 34};
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2 * 4; ++code) {
      general all = make_general(code % 4, code / 4 % 2, code / 8 % 2, RIGHT | LEFT | DUAL, sizes[code / 16], 2);
      run(handle, &all, 1);
      check_general(&all);
      for (int wants = 0; wants < 4; ++wants) {
        general less = make_general(code % 4, code / 4 % 2, code / 8 % 2, wants, sizes[code / 16], 2);
        run(handle, &less, 1);
        check_general(&less);
        free_general(&less);
      }
      free_general(&all);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(same_bits_on_1_and_5_threads) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 1);
    general alone = make_general(EIGENPAIR_FLOAT64, 1, EIGENPAIR_ROW_MAJOR, RIGHT | LEFT | DUAL, 9, 60);
    general together = make_general(EIGENPAIR_FLOAT64, 1, EIGENPAIR_ROW_MAJOR, RIGHT | LEFT | DUAL, 9, 60);
    run(handle, &alone, 1);
    run(handle, &together, 5);
    for (int64_t k = 0; k < 60; ++k) CHECK(same_matrix(&alone, &together, k), "matrix %lld differs", (long long)k);
    free_general(&alone);
    free_general(&together);
    eigenpair_lapack_destroy(handle);
  }
}

TEST(a_matrix_that_fails_leaves_its_neighbours_alone) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int code = 0; code < 4 * 2 * 2 * 2; ++code) {
      const int generalized = code / 4 % 2, in_b = generalized && code / 8 % 2;
      general clean = make_general(code % 4, generalized, 0, RIGHT | LEFT | DUAL, 5, 3);
      general spoiled = make_general(code % 4, generalized, 0, RIGHT | LEFT | DUAL, 5, 3);
      void* stored = (void*)(in_b ? spoiled.problem.b : spoiled.problem.a);
      set_element(stored, code % 4, at(&spoiled, 1, 4, 0), code / 16 ? NAN : INFINITY);
      memcpy(in_b ? spoiled.b_before : spoiled.a_before, stored, spoiled.in_bytes);
      run(handle, &clean, 1);
      run(handle, &spoiled, 1);
      for (int64_t k = 0; k < 3; ++k) {
        const int32_t info = spoiled.problem.info[k];
        CHECK(info == (k == 1 ? EIGENPAIR_INFO_NOT_FINITE : EIGENPAIR_INFO_OK), "info[%lld] = %d (%s)", (long long)k,
              info, name(&spoiled));
        if (k != 1) CHECK(same_matrix(&clean, &spoiled, k), "matrix %lld changed (%s)", (long long)k, name(&spoiled));
      }
      for (int64_t i = 0; i < 25; ++i) {
        const Z w = eigenvalue(&spoiled, 1, i % 5), v = get_element(spoiled.problem.v, spoiled.out, 25 + i);
        const Z u = get_element(spoiled.problem.u, spoiled.out, 25 + i);
        CHECK(isnan(creal(w)) && isnan(cimag(w)) && isnan(creal(v)) && isnan(creal(u)), "a number (%s)",
              name(&spoiled));
      }
      free_general(&clean);
      free_general(&spoiled);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* diag(2, 1, 0) - w diag(0, 1, 0): infinite, one, undetermined. */
TEST(infinite_and_undetermined_eigenvalues) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      general g = make_general(dtype, 1, 0, RIGHT | LEFT, 3, 1);
      for (int64_t i = 0; i < 9; ++i) {
        set_element((void*)g.problem.a, dtype, i, i == 0 ? 2 : i == 4 ? 1 : 0);
        set_element((void*)g.problem.b, dtype, i, i == 4 ? 1 : 0);
      }
      memcpy(g.a_before, g.problem.a, g.in_bytes);
      memcpy(g.b_before, g.problem.b, g.in_bytes);
      run(handle, &g, 1);
      CHECK(g.problem.info[0] == EIGENPAIR_INFO_OK, "info %d (%s)", g.problem.info[0], name(&g));
      const Z w[] = {eigenvalue(&g, 0, 0), eigenvalue(&g, 0, 1), eigenvalue(&g, 0, 2)};
      CHECK(cabs(w[0] - 1) < 10 * epsilon(dtype), "the finite one is %g (%s)", creal(w[0]), name(&g));
      CHECK(creal(w[1]) == INFINITY && cimag(w[1]) == 0, "the infinite one is %g (%s)", creal(w[1]), name(&g));
      CHECK(isnan(creal(w[2])), "the undetermined one is %g (%s)", creal(w[2]), name(&g));
      free_general(&g);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* A Jordan block has no dual basis; all other results are computed. */
TEST(a_defective_matrix) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int32_t dtype = 0; dtype < 4; ++dtype) {
      general g = make_general(dtype, 0, 0, RIGHT | LEFT | DUAL, 3, 1);
      for (int64_t i = 0; i < 9; ++i) set_element((void*)g.problem.a, dtype, i, i % 4 == 0 ? 2 : i % 4 == 3 ? 1 : 0);
      memcpy(g.a_before, g.problem.a, g.in_bytes);
      run(handle, &g, 1);
      CHECK(g.problem.info[0] == EIGENPAIR_INFO_OK, "info %d (%s)", g.problem.info[0], name(&g));
      for (int64_t i = 0; i < 9; ++i) {
        CHECK(cabs(eigenvalue(&g, 0, i % 3) - 2) < 10 * cbrt(epsilon(dtype)), "w (%s)", name(&g));
        CHECK(isfinite(creal(get_element(g.problem.v, g.out, i))), "v is not finite (%s)", name(&g));
        CHECK(isnan(creal(get_element(g.problem.u, g.out, i))), "u is a number (%s)", name(&g));
      }
      free_general(&g);
    }
    eigenpair_lapack_destroy(handle);
  }
}

TEST(bad_general_problems) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    general g = make_general(EIGENPAIR_FLOAT64, 1, 0, RIGHT, 2, 1);
    eigenpair_general_problem bad;
    eigenpair_job* job = NULL;
#define REFUSE(word, field, value)                                                                              \
  bad = g.problem;                                                                                              \
  bad.field = value;                                                                                            \
  CHECK(eigenpair_general(handle, &bad, 1) == EIGENPAIR_BAD_ARGUMENT && strstr(eigenpair_last_error(), word) && \
            eigenpair_general_job(handle, &bad, 1, &job) && job == NULL,                                        \
        "%s: %s", #field, eigenpair_last_error())
    REFUSE("struct_size", struct_size, 8);
    REFUSE("dtype", dtype, 4);
    REFUSE("layout", layout, 2);
    REFUSE("negative", n, -1);
    REFUSE("negative", batch, -1);
    REFUSE("stride", a_stride, -1);
    REFUSE("problem.a", a, NULL);
    REFUSE("problem.w", w, NULL);
#undef REFUSE
    CHECK(eigenpair_general(handle, NULL, 1) == EIGENPAIR_BAD_ARGUMENT, "NULL");
    CHECK(eigenpair_general(handle, &g.problem, -1) == EIGENPAIR_BAD_ARGUMENT, "-1 threads");
    bad = (eigenpair_general_problem){.struct_size = sizeof bad};
    CHECK(eigenpair_general(handle, &bad, 1) == EIGENPAIR_OK, "an empty problem: %s", eigenpair_last_error());
    free_general(&g);
    eigenpair_lapack_destroy(handle);
  }
}
