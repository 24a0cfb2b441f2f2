/* The core's CUDA entry points with a fake CUDA in host memory (fake_cuda.h). */
#ifndef EIGENPAIR_TESTS_CUDA_H
#define EIGENPAIR_TESTS_CUDA_H

#include "cuda/fake_cuda.h"
#include "eigenpair.h"
#include "support/check.h"
#include "support/problems.h"

/* A handle on the library at this path, and its state, all counts zero. */
typedef struct {
  eigenpair_cuda* cuda;
  fake_cuda_state* fake;
} test_cuda;

test_cuda open_cuda(const char* path);
/* Closes the handle. CHECKs that it has freed everything, and that every call was on the right stream. */
void close_cuda(test_cuda* opened);

/* Queries the scratch size, allocates exactly that, and calls. */
eigenpair_status solve_hermitian(const test_cuda* opened, const eigenpair_hermitian_problem* problem, void* stream);
eigenpair_status solve_general(const test_cuda* opened, const eigenpair_general_problem* problem, void* stream);

/* The storage that the core accepts on a device: column-major, one triangle. */
problem_data device_problem(problem_spec spec);

#endif
