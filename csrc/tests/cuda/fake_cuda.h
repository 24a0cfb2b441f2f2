/* A fake CUDA in host memory: one shared library with the functions that the core looks up in cudart, cuBLAS and
 * cuSOLVER. It solves by simple loops, counts calls, and fails if told to. Tests open it at run time. */
#ifndef EIGENPAIR_TESTS_FAKE_CUDA_H
#define EIGENPAIR_TESTS_FAKE_CUDA_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct {
  /* The numbers of existing and of created handles. */
  atomic_int solvers, blases, parameters, jacobis, solvers_made;
  /* Calls. */
  atomic_int evd, batched, jacobi, pairs, general, trmm, potrs, queries, copies;
  atomic_llong largest_batch;
  /* Calls on another stream or device than the one the test expects. */
  atomic_int strays;
  void* expected_stream; /* NULL: any */
  atomic_int device;     /* the current device, for all threads */
  /* The routine with this name fails with this status; NULL: none fails. */
  const char* failing;
  int status;
} fake_cuda_state;

/* Exported under this name. */
typedef fake_cuda_state* (*fake_cuda_function)(void);

/* ---- inside of the library: dense matrices of complex double, column-major ------------------------------ */

#include "support/complex_numbers.h"

typedef double complex Z;

/* Eigenvalues ascending into w and vectors into a. */
void fake_hermitian(int n, Z* a, double* w);
/* B = L L^H, the strict upper triangle zeroed; 0, or the order of the first minor that is not positive. */
int fake_cholesky(int n, Z* b);
/* op(T) X for the lower triangular T, in place; op is the adjoint or nothing. */
void fake_multiply(int n, const Z* t, int adjoint, Z* x);
/* op(T)^-1 X. */
void fake_divide(int n, const Z* t, int adjoint, Z* x);
/* Eigenvectors of an upper triangular matrix with distinct diagonal entries. */
void fake_triangular_vectors(int n, const Z* a, Z* v);

#endif
