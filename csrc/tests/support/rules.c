#include "support/rules.h"

#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/hollow_lapack.h"

static void* random_numbers(int64_t count, int32_t dtype, unsigned seed) {
  void* x = make_output(count, element_bytes(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const double re = next_random(&seed);
    set_element(x, dtype, i, CMPLX(re, next_random(&seed)));
  }
  return x;
}

rule_data make_rule(problem_spec spec, int mixed) {
  const int64_t n = spec.n, batch = spec.batch, square = n * n;
  spec.want = WANT_DUAL;
  rule_data d = {.solved = make_problem(spec)};
  for (int64_t k = 0; k < batch; ++k) {
    for (int64_t i = 0; i < square; ++i) {
      const int diagonal = i % (n + 1) == 0;
      if (mixed && k % 3 == 0) {
        d.solved.a[k * square + i] = diagonal ? 1 + i / n % 2 : 0;
        if (spec.type != 0) d.solved.b[k * square + i] = diagonal ? 2 : 0;
      } else if (diagonal) {
        d.solved.a[k * square + i] += 3 * (double)(i / n);
      }
    }
  }
  store_matrices(&d.solved);
  eigenpair_lapack* none = hollow_lapack("");
  REQUIRE(eigenpair_hermitian(none, &d.solved.problem, 1) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  eigenpair_lapack_destroy(none);
  for (int i = 0; i < 2; ++i) {
    d.tangents[i] = random_numbers(batch * square, spec.dtype, spec.seed + 1 + (unsigned)i);
    d.of_vectors[i] = random_numbers(batch * square, spec.dtype, spec.seed + 3 + (unsigned)i);
  }
  d.of_values = random_numbers(batch * n, spec.dtype % 2, spec.seed + 5);
  d.refused = make_output(batch, sizeof(int32_t));
  d.rule = (eigenpair_hermitian_rule){.struct_size = sizeof d.rule,
                                      .dtype = spec.dtype,
                                      .type = spec.type,
                                      .triangle = spec.triangle,
                                      .layout = spec.layout,
                                      .policy = EIGENPAIR_POLICY_CHECK,
                                      .parameter = 10,
                                      .n = n,
                                      .batch = batch,
                                      .w = d.solved.problem.w,
                                      .v = d.solved.problem.v,
                                      .u = spec.type >= 2 ? d.solved.problem.u : NULL,
                                      .da = d.tangents[0],
                                      .db = spec.type != 0 ? d.tangents[1] : NULL,
                                      .dw = d.of_values,
                                      .dv = d.of_vectors[0],
                                      .du = spec.type >= 2 ? d.of_vectors[1] : NULL,
                                      .refused = d.refused};
  return d;
}

void free_rule(rule_data* d) {
  void* all[] = {d->tangents[0], d->tangents[1], d->of_values, d->of_vectors[0], d->of_vectors[1], d->refused};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
  free_problem(&d->solved);
}

void apply_rule(const rule_data* d, int32_t threads) { apply_rule_from(d, 0, threads); }

static void* from(const void* array, int64_t elements, size_t each) {
  return array == NULL ? NULL : (char*)(uintptr_t)array + (size_t)elements * each;
}

void apply_rule_from(const rule_data* d, int64_t first, int32_t threads) {
  eigenpair_hermitian_rule rule = d->rule;
  const int64_t square = first * rule.n * rule.n;
  const size_t element = element_bytes(rule.dtype), real = real_bytes(rule.dtype);
  rule.batch -= first;
  rule.w = from(rule.w, first * rule.n, real);
  rule.v = from(rule.v, square, element);
  rule.u = from(rule.u, square, element);
  rule.da = from(rule.da, square, element);
  rule.db = from(rule.db, square, element);
  rule.dw = from(rule.dw, first * rule.n, real);
  rule.dv = from(rule.dv, square, element);
  rule.du = from(rule.du, square, element);
  rule.refused += first;
  REQUIRE(eigenpair_hermitian_apply_rule(NULL, &rule, threads) == EIGENPAIR_OK, "%s", eigenpair_last_error());
}

int same_rule_bits(const rule_data* x, const rule_data* y, int64_t k) {
  const size_t n = (size_t)x->rule.n, square = n * n * element_bytes(x->rule.dtype);
  const size_t bytes[] = {square, square, n * real_bytes(x->rule.dtype), square, square};
  const void* first[] = {x->rule.da, x->rule.db, x->rule.dw, x->rule.dv, x->rule.du};
  const void* second[] = {y->rule.da, y->rule.db, y->rule.dw, y->rule.dv, y->rule.du};
  int equal = x->refused[k] == y->refused[k];
  for (int i = 0; i < 5; ++i) {
    equal &= first[i] == NULL || memcmp((const char*)first[i] + (size_t)k * bytes[i],
                                        (const char*)second[i] + (size_t)k * bytes[i], bytes[i]) == 0;
  }
  return equal;
}
