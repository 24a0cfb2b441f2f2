/* Subsets of the spectrum, solves on their complement, and checks of both that use neither LAPACK nor the core. */
#ifndef EIGENPAIR_TESTS_SUBSETS_H
#define EIGENPAIR_TESTS_SUBSETS_H

#include "support/problems.h"

typedef struct {
  problem_data whole; /* the matrices; its own outputs are not used */
  int64_t first, count;
  eigenpair_subset_problem problem;        /* ready for the core, with all outputs that `whole.spec.want` allows */
  eigenpair_complement_problem complement; /* with the results of `problem`, and random y */
  void* y;                                 /* where complement.y points */
} subset_data;

/* Types 0 and 1. WANT_VALUES: w alone; WANT_VECTORS: edges and v too; WANT_DUAL: the factor too, and a complement. */
subset_data make_subset(problem_spec spec, int64_t first, int64_t count);
/* Like make_reordered, with the columns of y too. */
subset_data make_reordered_subset(const subset_data* source, const int64_t* order);
void free_subset(subset_data* data);

/* On that many threads; CHECKs the status. */
void solve_subset(const eigenpair_lapack* lapack, const subset_data* data, int32_t threads);
void solve_complement(const eigenpair_lapack* lapack, const subset_data* data, int32_t threads);

/* CHECK memory as `check_solutions` does, and the results of matrices whose info is OK: residual, normalization and
 * order; for the complement, the equation of each column and that it is orthogonal to the eigenvectors. */
void check_subset(const subset_data* data);
void check_complement(const subset_data* data);

/* The k-th matrix has the same outputs, bit for bit, as the m-th of another solution, except for the factor. */
int same_subset_bits(const subset_data* x, int64_t k, const subset_data* y, int64_t m);
int same_complement_bits(const subset_data* x, int64_t k, const subset_data* y, int64_t m);
/* All outputs of the k-th matrix are NaN. */
int subset_is_nan(const subset_data* data, int64_t k);
int complement_is_nan(const subset_data* data, int64_t k);

/* One line of description for messages. Overwritten by the next call on the thread. */
const char* describe_subset(const subset_data* data);

#endif
