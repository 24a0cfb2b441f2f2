/* First derivatives of problems that the kernels for small matrices have solved, with random tangents and cotangents.
 */
#ifndef EIGENPAIR_TESTS_RULES_H
#define EIGENPAIR_TESTS_RULES_H

#include "support/problems.h"

typedef struct {
  problem_data solved;
  eigenpair_hermitian_rule rule;
  void *tangents[2], *of_values, *of_vectors[2]; /* da, db; dw; dv, du */
  int32_t* refused;
} rule_data;

/* Eigenvalues are well separated, except in every third matrix of a `mixed` batch, which has two eigenvalues, each
 * several times. All arrays are filled with numbers, which a rule overwrites. */
rule_data make_rule(problem_spec spec, int mixed);
void free_rule(rule_data* data);
void apply_rule(const rule_data* data, int32_t threads);
/* Applies the rule only to the matrices from `first` on. */
void apply_rule_from(const rule_data* data, int64_t first, int32_t threads);

/* The k-th matrix has the same results, bit for bit, in both. */
int same_rule_bits(const rule_data* x, const rule_data* y, int64_t k);

#endif
