#include "cuda/cuda.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* Converts a data pointer from dlsym to a function pointer, which ISO C does not do directly. */
typedef union {
  void* address;
  fake_cuda_function get;
} state_function;

test_cuda open_cuda(const char* path) {
  test_cuda opened = {NULL, NULL};
  REQUIRE(eigenpair_cuda_open(path, path, path, &opened.cuda) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  const state_function function = {dlsym(dlopen(path, RTLD_NOW | RTLD_NOLOAD), "fake_cuda")};
  REQUIRE(function.address != NULL, "%s has no fake_cuda", path);
  opened.fake = function.get();
  memset(opened.fake, 0, sizeof *opened.fake);
  return opened;
}

void close_cuda(test_cuda* opened) {
  const fake_cuda_state* fake = opened->fake;
  eigenpair_cuda_close(opened->cuda);
  const int left = atomic_load(&fake->solvers) + atomic_load(&fake->blases) + atomic_load(&fake->parameters) +
                   atomic_load(&fake->jacobis);
  CHECK(left == 0, "%d handles are left", left);
  CHECK(atomic_load(&fake->strays) == 0, "%d calls on another stream or device", atomic_load(&fake->strays));
}

/* Not aligned, unlike malloc's memory, to test that the core aligns the scratch memory itself. */
static char* odd_address(int64_t bytes) { return (char*)malloc((size_t)bytes + 8) + 8; }
static void free_odd(char* memory) { free(memory - 8); }

#define DEFINE_SOLVE(kind)                                                                                          \
  eigenpair_status solve_##kind(const test_cuda* opened, const eigenpair_##kind##_problem* problem, void* stream) { \
    int64_t bytes = -1;                                                                                             \
    eigenpair_status status = eigenpair_cuda_##kind##_scratch(opened->cuda, problem, stream, &bytes);               \
    if (status != EIGENPAIR_OK) return status;                                                                      \
    char* scratch = odd_address(bytes);                                                                             \
    status = eigenpair_cuda_##kind(opened->cuda, problem, stream, scratch, bytes);                                  \
    free_odd(scratch);                                                                                              \
    return status;                                                                                                  \
  }
DEFINE_SOLVE(hermitian)
DEFINE_SOLVE(general)

problem_data device_problem(problem_spec spec) {
  spec.layout = EIGENPAIR_COLUMN_MAJOR;
  if (spec.triangle == EIGENPAIR_HERMITIAN_PART) spec.triangle = EIGENPAIR_UPPER;
  return make_problem(spec);
}
