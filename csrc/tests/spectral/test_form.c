/* Spectral forms: the cube of a matrix against products of matrices, the projector against the equations that its
 * derivatives satisfy, and that results do not depend on how directions are stored or on the other matrices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/dense.h"
#include "support/rules.h"

enum { kLargest = 17, kTables = 6 };

typedef struct {
  rule_data rule; /* eigenvalues and vectors; two arrays of directions, as many as matrices */
  eigenpair_spectral_form form;
  void* tables[kTables];
} form_data;

static int have_kernels(void) {
  if (eigenpair_has_small_kernels()) return 1;
  check_skip("no kernels for small matrices");
  return 0;
}

/* Of every third matrix, the eigenvalues are 1 and 2, each several times. The function is x³, or a step between the two
 * halves of the spectrum. */
static form_data make_form(int code, int64_t n, int64_t batch, int32_t order, int with_step) {
  const problem_spec spec = {.dtype = code % 4,
                             .triangle = EIGENPAIR_HERMITIAN_PART,
                             .layout = code / 4 % 2,
                             .n = n,
                             .batch = batch,
                             .seed = (unsigned)(code + n)};
  form_data d = {.rule = make_rule(spec, !with_step)};
  const eigenpair_hermitian_rule* rule = &d.rule.rule;
  const int32_t real = spec.dtype % 2;
  for (int i = 0; i < kTables; ++i) d.tables[i] = make_output(batch * n, real_bytes(spec.dtype));
  for (int64_t k = 0; k < batch; ++k) {
    for (int64_t i = 0; i < n; ++i) {
      const double x = get_real(rule->w, spec.dtype, k * n + i);
      set_element(d.tables[0], real, k * n + i, with_step ? i < n / 2 : x * x * x);
      set_element(d.tables[1], real, k * n + i, with_step ? 1 : 3 * x * x);
      set_element(d.tables[2], real, k * n + i, 3 * x);
      if (i == n - 1) continue;
      const int64_t at = k * (n - 1) + i;
      const double y = get_real(rule->w, spec.dtype, k * n + i + 1);
      set_element(d.tables[3], real, at, x * x + x * y + y * y);
      set_element(d.tables[4], real, at, 2 * x + y);
      set_element(d.tables[5], real, at, x + 2 * y);
    }
  }
  d.form = (eigenpair_spectral_form){.struct_size = sizeof d.form,
                                     .dtype = spec.dtype,
                                     .layout = spec.layout,
                                     .order = order,
                                     .step = with_step ? n / 2 : -1,
                                     .n = n,
                                     .batch = batch,
                                     .shared = batch,
                                     .w = rule->w,
                                     .v = rule->v,
                                     .values = d.tables[0],
                                     .derivative = d.tables[1],
                                     .half_second = d.tables[2],
                                     .first = d.tables[3],
                                     .left = d.tables[4],
                                     .right = d.tables[5],
                                     .x = d.rule.tangents[0],
                                     .x_inner = 1,
                                     .y = d.rule.tangents[1],
                                     .y_inner = 1,
                                     .out = make_output(batch * n * n, element_bytes(spec.dtype)),
                                     .out_inner = 1};
  return d;
}

static void free_form(form_data* d) {
  for (int i = 0; i < kTables; ++i) free(d->tables[i]);
  free(d->form.out);
  free_rule(&d->rule);
}

/* With more workers there are more chunks; this thread computes them all. */
static void apply(const eigenpair_spectral_form* form, int32_t workers) {
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_spectral_form_job(NULL, form, workers, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  REQUIRE(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(is_intact(form->out, form->batch * form->n * form->n, element_bytes(form->dtype)), "written past the end");
}

/* The k-th matrix of an array, column-major. */
static Z* load(const form_data* d, const void* from, int64_t k) {
  const int64_t n = d->form.n;
  Z* m = malloc((size_t)(n * n) * sizeof *m);
  for (int64_t i = 0; i < n * n; ++i) {
    const int64_t row = i % n, column = i / n;
    const int64_t at = d->form.layout == EIGENPAIR_ROW_MAJOR ? row * n + column : i;
    m[i] = get_element(from, d->form.dtype, k * n * n + at);
  }
  return m;
}

/* total += sign M X Y; X or Y may be NULL, for the identity. */
static void add(Z* total, double sign, const Z* m, const Z* x, const Z* y, int64_t n) {
  Z* first = x == NULL ? product(NULL, m, n, n, 0) : product(m, x, n, n, 0);
  Z* all = y == NULL ? product(NULL, first, n, n, 0) : product(first, y, n, n, 0);
  for (int64_t i = 0; i < n * n; ++i) total[i] += sign * all[i];
  free(first);
  free(all);
}

static void judge_sum(const Z* sum, double size, const form_data* d, const char* what) {
  const double error = largest(sum, d->form.n * d->form.n);
  const double allowed = 64 * (double)(d->form.n + 4) * epsilon(d->form.dtype) * size;
  CHECK(error <= allowed, "%s is off by %g, allowed %g (order %d; %s)", what, error, allowed, d->form.order,
        describe(&d->rule.solved.spec));
}

static void judge_cube(const form_data* d, int64_t k) {
  const int64_t n = d->form.n, square = n * n;
  const Z* a = d->rule.solved.a + k * square;
  Z *x = load(d, d->form.x, k), *y = load(d, d->form.y, k), *sum = load(d, d->form.out, k);
  const double of_a = (double)n * (1 + largest(a, square)), of_x = (double)n * largest(x, square);
  if (d->form.order == 0) {
    add(sum, -1, a, a, a, n);
    judge_sum(sum, of_a * of_a * of_a, d, "the cube");
  } else if (d->form.order == 1) {
    add(sum, -1, a, a, x, n);
    add(sum, -1, a, x, a, n);
    add(sum, -1, x, a, a, n);
    judge_sum(sum, of_a * of_a * of_x, d, "its derivative");
  } else {
    const Z* both[] = {x, y, x};
    for (int i = 0; i < 2; ++i) {
      add(sum, -1, a, both[i], both[i + 1], n);
      add(sum, -1, both[i], a, both[i + 1], n);
      add(sum, -1, both[i], both[i + 1], a, n);
    }
    judge_sum(sum, of_a * of_x * (double)n * largest(y, square), d, "its second derivative");
  }
  Z* all[] = {x, y, sum};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
}

TEST(the_cube_and_its_derivatives) {
  if (!have_kernels()) return;
  for (int64_t n = 1; n <= kLargest; ++n) {
    for (int code = 0; code < 8 * 3; ++code) {
      form_data d = make_form(code % 8, n, 19, code / 8, 0);
      apply(&d.form, 1);
      for (int64_t k = 0; k < 19; k += 3 - k % 2) judge_cube(&d, k);
      free_form(&d);
    }
  }
}

/* P² = P and AP = PA, and their derivatives along x, and along x and y. */
TEST(the_projector_and_its_derivatives) {
  if (!have_kernels()) return;
  for (int64_t n = 2; n <= kLargest; ++n) {
    for (int code = 0; code < 8; ++code) {
      form_data d = make_form(code, n, 5, 0, 1);
      const int64_t square = n * n;
      Z* p[4]; /* P, its derivatives along x and y, and the second one */
      for (int i = 0; i < 4; ++i) {
        eigenpair_spectral_form form = d.form;
        form.order = i == 3 ? 2 : i > 0;
        if (i == 2) form.x = d.form.y;
        apply(&form, 1);
        p[i] = load(&d, form.out, 3);
      }
      const Z* a = d.rule.solved.a + 3 * square;
      Z *x = load(&d, d.form.x, 3), *y = load(&d, d.form.y, 3), *zero = calloc((size_t)square, sizeof *zero);
      double size = 1 + largest(a, square);
      for (int i = 0; i < 4; ++i) size += largest(p[i], square);
      size = (double)n * size * size;
      Z* sums[6];
      for (int i = 0; i < 6; ++i) sums[i] = product(NULL, i < 3 ? p[i == 2 ? 3 : i] : zero, n, n, 0);
      add(sums[0], -1, p[0], p[0], NULL, n);
      add(sums[1], -1, p[0], p[1], NULL, n);
      add(sums[1], -1, p[1], p[0], NULL, n);
      add(sums[2], -1, p[0], p[3], NULL, n);
      add(sums[2], -1, p[3], p[0], NULL, n);
      add(sums[2], -1, p[1], p[2], NULL, n);
      add(sums[2], -1, p[2], p[1], NULL, n);
      for (int sign = -1; sign <= 1; sign += 2) {
        const Z *left[] = {a, x, a, x, y, a}, *right[] = {p[0], p[0], p[1], p[2], p[1], p[3]};
        const int to[] = {3, 4, 4, 5, 5, 5};
        for (int i = 0; i < 6; ++i) {
          add(sums[to[i]], sign, sign > 0 ? left[i] : right[i], sign > 0 ? right[i] : left[i], NULL, n);
        }
      }
      for (int i = 0; i < 6; ++i) {
        judge_sum(sums[i], size, &d, "an equation of the projector");
        free(sums[i]);
      }
      for (int i = 0; i < 4; ++i) free(p[i]);
      free(x);
      free(y);
      free(zero);
      free_form(&d);
    }
  }
}

/* Directions of each matrix, where y is the same for all directions, and x for all matrices or for none. */
TEST(directions_may_be_shared) {
  if (!have_kernels()) return;
  enum { kDirections = 3 };
  for (int64_t n = 1; n <= kLargest; ++n) {
    for (int code = 0; code < 4 * 3; ++code) {
      const int64_t matrices = 17, square = n * n;
      form_data d = make_form(code % 4, n, matrices + 2 * kDirections, 2, code / 4 == 2);
      const size_t bytes = (size_t)square * element_bytes(d.form.dtype);
      eigenpair_spectral_form form = d.form, alone = d.form;
      form.order = alone.order = code / 4 == 0 ? 1 : 2;
      form.shared = alone.shared = alone.batch = matrices;
      form.batch = kDirections * matrices;
      form.out = make_output(form.batch * square, element_bytes(form.dtype));
      alone.out = make_output(alone.batch * square, element_bytes(form.dtype));
      const int matrices_first = code / 2 % 2;
      form.out_outer = matrices_first ? 1 : matrices;
      form.out_inner = matrices_first ? kDirections : 1;
      form.x_outer = 2; /* overlapping arrays of directions */
      form.x_inner = alone.x_inner = code % 2;
      apply(&form, 7);
      for (int64_t direction = 0; direction < kDirections; ++direction) {
        alone.x = (const char*)form.x + (size_t)(direction * form.x_outer) * bytes;
        apply(&alone, 1);
        for (int64_t k = 0; k < matrices; ++k) {
          const char* found = (const char*)form.out + (size_t)(direction * form.out_outer + k * form.out_inner) * bytes;
          CHECK(memcmp(found, (const char*)alone.out + (size_t)k * bytes, bytes) == 0,
                "direction %d of matrix %d differs (order %d; %s)", (int)direction, (int)k, form.order,
                describe(&d.rule.solved.spec));
        }
      }
      free(form.out);
      free(alone.out);
      free_form(&d);
    }
  }
}

TEST(a_nan_stays_in_its_matrix) {
  if (!have_kernels()) return;
  for (int64_t n = 1; n <= kLargest; ++n) {
    for (int code = 0; code < 4 * 3; ++code) {
      const int64_t batch = 9, bad = 4;
      form_data d = make_form(code % 4, n, batch, code / 4, 0);
      const size_t bytes = (size_t)(n * n) * element_bytes(d.form.dtype);
      apply(&d.form, 1);
      char* before = malloc((size_t)batch * bytes);
      memcpy(before, d.form.out, (size_t)batch * bytes);
      for (int i = 0; i < 3; ++i) set_element(d.tables[i], d.form.dtype % 2, bad * n, NAN);
      apply(&d.form, 3);
      const Z* out = load(&d, d.form.out, bad);
      CHECK(isnan(largest(out, n * n)), "there is no NaN (%s)", describe(&d.rule.solved.spec));
      for (int64_t k = 0; k < batch; ++k) {
        const size_t at = (size_t)k * bytes;
        CHECK(k == bad || memcmp(before + at, (const char*)d.form.out + at, bytes) == 0, "matrix %d differs (%s)",
              (int)k, describe(&d.rule.solved.spec));
      }
      free((void*)out);
      free(before);
      free_form(&d);
    }
  }
}

TEST(bad_forms_are_refused) {
  if (!have_kernels()) return;
  form_data d = make_form(1, 3, 4, 2, 0);
  struct {
    const char* word;
    eigenpair_spectral_form form;
  } cases[12];
  int count = 0;
#define BAD(text, change)       \
  do {                          \
    cases[count].word = text;   \
    cases[count].form = d.form; \
    cases[count].form.change;   \
    ++count;                    \
  } while (0)
  BAD("struct_size", struct_size = 8);
  BAD("dtype", dtype = 4);
  BAD("layout", layout = 2);
  BAD("order", order = 3);
  BAD("form.n", n = -1);
  BAD("step", step = 4);
  BAD("shared", shared = 3);
  BAD("form.w", w = NULL);
  BAD("form.x", x = NULL);
  BAD("form.y", y = NULL);
  BAD("left", left = NULL);
  BAD("form.out", out = NULL);
  for (int i = 0; i < count; ++i) {
    eigenpair_job* job = NULL;
    CHECK(eigenpair_spectral_form_job(NULL, &cases[i].form, 1, &job) == EIGENPAIR_BAD_ARGUMENT, "%s", cases[i].word);
    CHECK(strstr(eigenpair_last_error(), cases[i].word) != NULL, "%s", eigenpair_last_error());
  }
  d.form.batch = 0;
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_spectral_form_job(NULL, &d.form, 1, &job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  free_form(&d);
}
