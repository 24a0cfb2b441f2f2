/* A fake LAPACK that computes nothing. It records its calls, and returns the workspace sizes and info that a test sets.
 * It behaves in ways that a real LAPACK cannot be made to behave. */
#ifndef EIGENPAIR_TESTS_FAKE_LAPACK_H
#define EIGENPAIR_TESTS_FAKE_LAPACK_H

#include <stddef.h>
#include <stdint.h>

#include "eigenpair.h"

typedef struct {
  const char* routine; /* without prefix or suffix */
  int32_t dtype, integer_bits;
  int64_t type, n, lda, lwork, lrwork, liwork;
  char job, range, uplo;
  void *a, *b, *w, *z, *work, *rwork, *iwork, *isuppz;
  int32_t threads;   /* what the function of fake_lapack_watch returned */
  size_t lengths[4]; /* of the character arguments, which Fortran passes after all others */
} fake_call;

typedef struct {
  double work, rwork; /* the optima that a query returns, rounded to the routine's precision */
  int64_t iwork;
  int64_t query_info, info;
  double first_value; /* eigenvalues are first_value, first_value + 1, ... */
  double pivot;       /* with info = n + i: what the Cholesky factorization leaves as the i-th diagonal entry of B */
} fake_behaviour;

/* Sets what it does on this thread from now on. */
void fake_lapack_behave(fake_behaviour behaviour);

/* This thread's last workspace query, solution and computation of a dual basis; all zero until there is one. */
typedef struct {
  fake_call query, solution, dual;
  int duals;
} fake_record;
const fake_record* fake_lapack_record(void);

/* How many matrices it was asked to solve, on all threads together, since the handle was made. */
int64_t fake_lapack_solutions(void);

/* From now on, every call records what this function returns; NULL: nothing. It holds for all threads, so it must not
 * be called while jobs are running. */
void fake_lapack_watch(int32_t (*threads)(void));

/* A handle of it, with no calls recorded and the default behaviour: small workspaces, success. */
eigenpair_lapack* fake_lapack_lend(int32_t integer_bits);

#endif
