/* One core path, for callgrind: instructions LIBEIGENPAIR LAPACK PREFIX SUFFIX TYPE N BATCH. All libraries are loaded
 * by name, so the installed ones run. The instructions of the second call, in measured(), are counted. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/include/eigenpair.h"

typedef eigenpair_status (*solve_t)(const eigenpair_lapack*, const eigenpair_hermitian_problem*, int32_t);
typedef eigenpair_status (*create_t)(int32_t, eigenpair_lookup, void*, eigenpair_lapack**);

typedef struct {
  void* library;
  const char *prefix, *suffix;
} source;

static void* look_up(void* context, const char* routine) {
  const source* from = (const source*)context;
  char name[128];
  snprintf(name, sizeof name, "%s%s%s", from->prefix, routine, from->suffix);
  return dlsym(from->library, name);
}

/* Found by its name. */
__attribute__((noinline)) int measured(solve_t solve, const eigenpair_lapack* lapack,
                                       const eigenpair_hermitian_problem* problem) {
  return solve(lapack, problem, 1);
}

/* The same numbers everywhere, in [-1, 1). */
static double uniform(void) {
  static unsigned long long state = 1;
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (double)(state >> 11) / (double)(1ULL << 52) - 1;
}

int main(int count, char** arguments) {
  if (count != 8) return 2;
  void* core = dlopen(arguments[1], RTLD_NOW);
  source from = {dlopen(arguments[2], RTLD_NOW), arguments[3], arguments[4]};
  if (!core || !from.library) {
    fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  int type = atoi(arguments[5]);
  size_t n = (size_t)atoi(arguments[6]), batch = (size_t)atoi(arguments[7]), nn = n * n;
  double *a = malloc(batch * nn * sizeof *a), *b = malloc(batch * nn * sizeof *b);
  double *w = malloc(batch * n * sizeof *w), *v = malloc(batch * nn * sizeof *v);
  int32_t* info = malloc(batch * sizeof *info);
  for (size_t k = 0; k < batch; ++k)
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j <= i; ++j) {
        a[k * nn + i * n + j] = a[k * nn + j * n + i] = uniform();
        b[k * nn + i * n + j] = b[k * nn + j * n + i] = i == j ? (double)n : uniform() / 2;
      }
  /* The same arguments as the JAX frontend. */
  eigenpair_hermitian_problem problem;
  memset(&problem, 0, sizeof problem);
  problem.struct_size = sizeof problem;
  problem.dtype = EIGENPAIR_FLOAT64;
  problem.type = type;
  problem.triangle = EIGENPAIR_HERMITIAN_PART;
  problem.layout = EIGENPAIR_ROW_MAJOR;
  problem.n = (int64_t)n;
  problem.batch = (int64_t)batch;
  problem.a = a;
  problem.a_stride = problem.b_stride = (int64_t)nn;
  problem.b = type ? b : NULL;
  problem.w = w;
  problem.v = v;
  problem.info = info;
  eigenpair_lapack* lapack = NULL;
  solve_t solve = (solve_t)dlsym(core, "eigenpair_hermitian");
  create_t create = (create_t)dlsym(core, "eigenpair_lapack_create");
  if (!solve || !create || create(32, look_up, &from, &lapack)) return 4;
  int failed = solve(lapack, &problem, 1) || measured(solve, lapack, &problem);
  for (size_t k = 0; k < batch; ++k) failed |= info[k];
  printf("%g %g\n", w[0], w[batch * n - 1]);
  return failed;
}
