/* A LAPACK that computes nothing: it answers workspace queries as told, records what it is called with, and returns the
 * info it is told to. For what no real LAPACK can be made to do. */
#ifndef EIGENPAIR_TESTS_FAKE_LAPACK_H
#define EIGENPAIR_TESTS_FAKE_LAPACK_H

#include <stddef.h>
#include <stdint.h>

#include "eigenpair.h"

typedef struct {
  const char* routine; /* the plain name */
  int32_t dtype, integer_bits;
  int64_t type, n, lda, lwork, lrwork, liwork;
  char job, range, uplo;
  void *a, *b, *w, *z, *work, *rwork, *iwork, *isuppz;
  int32_t threads;   /* what the watched count of threads was, see fake_lapack_watch */
  size_t lengths[4]; /* of the character arguments, as Fortran passes them behind all others */
} fake_call;

typedef struct {
  double work, rwork; /* the optima that a query returns, rounded to the routine's precision */
  int64_t iwork;
  int64_t query_info, info;
  double first_value; /* eigenvalues are first_value, first_value + 1, ... */
  double pivot;       /* with info = n + i: what the Cholesky factorization leaves as the i-th diagonal entry of B */
} fake_behaviour;

/* What it does on this thread from now on. */
void fake_lapack_behave(fake_behaviour behaviour);

/* This thread's last workspace query, solution and computation of a dual basis; all zero until there is one. */
typedef struct {
  fake_call query, solution, dual;
  int duals;
} fake_record;
const fake_record* fake_lapack_record(void);

/* How many matrices it was asked to solve, on all threads together, since it was lent. */
int64_t fake_lapack_solutions(void);

/* Records with every call what this function returns; NULL: nothing. For all threads, so not while jobs are running. */
void fake_lapack_watch(int32_t (*threads)(void));

/* A handle on it, with nothing recorded and the default behaviour: small optima, success. */
eigenpair_lapack* fake_lapack_lend(int32_t integer_bits);

#endif
