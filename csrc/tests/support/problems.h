/* Problems with known matrices, stored as a test specifies, and checks of their solutions that use neither LAPACK nor
 * the core. */
#ifndef EIGENPAIR_TESTS_PROBLEMS_H
#define EIGENPAIR_TESTS_PROBLEMS_H

#include <stddef.h>
#include <stdint.h>

#include "eigenpair.h"
#include "support/complex_numbers.h"

enum { WANT_VALUES, WANT_VECTORS, WANT_DUAL };

/* These follow every output, to detect writes past its end. */
enum { kCanaryBytes = 64, kCanary = 0xA5 };

typedef struct {
  int32_t dtype, type, triangle, layout, driver;
  int want;
  int64_t n, batch;
  int64_t gap;            /* elements between the matrices of a batch, all NaN */
  int shared_a, shared_b; /* stride 0 */
  unsigned seed;
} problem_spec;

typedef struct {
  problem_spec spec;
  eigenpair_hermitian_problem problem; /* ready for the core; info included */
  double complex* a;                   /* the whole Hermitian matrices, column-major */
  double complex* b;
  void* a_stored;
  void* b_stored; /* what `problem.a` and `problem.b` point to */
  void* a_before;
  void* b_before; /* copies of it */
  size_t a_bytes, b_bytes;
} problem_data;

/* Entries that must not be read are NaN: the other triangle, the diagonal's imaginary part, gaps. */
problem_data make_problem(problem_spec spec);
/* A copy whose k-th matrices are the order[k]-th matrices of the original, bit for bit. */
problem_data make_reordered(const problem_data* source, const int64_t* order);
void free_problem(problem_data* data);
/* Stores `a` and `b` again, after a test has changed them. */
void store_matrices(problem_data* data);

/* CHECKs that the inputs have not changed, that nothing was written past the outputs, and the results of matrices whose
 * info is OK: residual, normalization, order, dual basis. */
void check_solutions(const problem_data* data);

/* The k-th matrix has the same outputs, bit for bit, as in another solution of the same size and wants. */
int same_bits(const problem_data* x, int64_t k, const problem_data* y, int64_t m);
/* All outputs of the k-th matrix are NaN. */
int all_nan(const problem_data* data, int64_t k);

/* An output filled with numbers, to detect where the core has not written NaN, and followed by a canary. */
void* make_output(int64_t count, size_t each);
int is_intact(const void* output, int64_t count, size_t each);

size_t element_bytes(int32_t dtype);
size_t real_bytes(int32_t dtype);
int is_complex(int32_t dtype);
double epsilon(int32_t dtype);
double complex get_element(const void* data, int32_t dtype, int64_t index);
void set_element(void* data, int32_t dtype, int64_t index, double complex value);
double get_real(const void* data, int32_t dtype, int64_t index);
/* Multiples of 1/64 between -1 and 1: sums and means of a few are exact, in single precision too. */
double next_random(unsigned* state);
/* The position of entry (i, j) of the k-th stored matrix. */
int64_t stored_index(const problem_spec* spec, int shared, int64_t k, int64_t i, int64_t j);
/* One line with the specification, for messages. Overwritten by the next call on the thread. */
const char* describe(const problem_spec* spec);

#endif
