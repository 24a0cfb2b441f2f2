/* The core's CUDA entry points on a CUDA of host memory (fake_cuda.h). */
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
/* Closes the handle; CHECKs that nothing is left of what it made, and that every call was on the right stream. */
void close_cuda(test_cuda* opened);

/* Query, scratch of exactly the size it names, and the call. */
eigenpair_status solve_hermitian(const test_cuda* opened, const eigenpair_hermitian_problem* problem, void* stream);
eigenpair_status solve_general(const test_cuda* opened, const eigenpair_general_problem* problem, void* stream);

/* What the core accepts on a device: column-major, one triangle. */
problem_data device_problem(problem_spec spec);

#endif
