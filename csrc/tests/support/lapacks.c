#include "support/lapacks.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How libraries decorate Fortran's names: not at all, as in 64-bit builds, as in the wheels of SciPy and NumPy. */
typedef struct {
  const char* prefix;
  const char* suffix;
  int32_t integer_bits;
} decoration;
static const decoration kDecorations[] = {
    {"scipy_", "_", 32}, {"scipy_", "_64_", 64}, {"", "_64_", 64}, {"", "64_", 64}, {"", "_", 32},
};

typedef struct {
  void* library;
  const decoration* names;
  char path[1024];
} opened;

static opened libraries[8];
static int library_count = -1;

static void* symbol(const opened* library, const char* prefix, const char* name, const char* suffix) {
  char full[256];
  snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);
  return dlsym(library->library, full);
}

static void* lookup(void* context, const char* routine) {
  const opened* library = context;
  return symbol(library, library->names->prefix, routine, library->names->suffix);
}

static void fail(const char* what, const char* path) {
  fprintf(stderr, "EIGENPAIR_TEST_LAPACK: %s: %s\n", path, what);
  exit(1);
}

static void open_library(const char* path, size_t length, opened* out) {
  if (length >= sizeof out->path) fail("the path is too long", path);
  memcpy(out->path, path, length);
  out->path[length] = '\0';
  out->library = dlopen(out->path, RTLD_NOW | RTLD_LOCAL);
  if (out->library == NULL) fail(dlerror(), out->path);
  for (size_t i = 0; i < sizeof kDecorations / sizeof *kDecorations; ++i) {
    if (symbol(out, kDecorations[i].prefix, "dsyevd", kDecorations[i].suffix) == NULL) continue;
    out->names = &kDecorations[i];
    return;
  }
  fail("has no dsyevd under any name known here", out->path);
}

/* Converts a data pointer from dlsym to a function pointer, which ISO C does not do directly. */
typedef union {
  void* address;
  int32_t (*get)(void);
  void (*set)(int32_t);
} function;

int test_lapacks(test_lapack* out, int room) {
  if (library_count < 0) {
    library_count = 0;
    const char* paths = getenv("EIGENPAIR_TEST_LAPACK");
    while (paths != NULL && *paths != '\0') {
      const size_t length = strcspn(paths, ":");
      if (library_count == 8) fail("more than 8 libraries", paths);
      if (length > 0) open_library(paths, length, &libraries[library_count++]);
      paths += length + (paths[length] == ':');
    }
  }
  const int count = library_count < room ? library_count : room;
  for (int i = 0; i < count; ++i) {
    opened* library = &libraries[i];
    const char* prefix = library->names->prefix;
    const char* suffix = library->names->integer_bits == 64 ? "64_" : "";
    function get = {symbol(library, prefix, "openblas_get_num_threads", suffix)};
    function set = {symbol(library, prefix, "openblas_set_num_threads", suffix)};
    /* By default one thread: these matrices are small, and the threads of two test programs would disturb each other.
     */
    if (set.address != NULL) set.set(1);
    out[i] = (test_lapack){.name = library->path,
                           .integer_bits = library->names->integer_bits,
                           .lookup = lookup,
                           .context = library,
                           .get_threads = get.address != NULL ? get.get : NULL,
                           .set_threads = set.address != NULL ? set.set : NULL};
  }
  return count;
}

eigenpair_lapack* lend(const test_lapack* lapack, int threading) {
  eigenpair_lapack* handle = NULL;
  if (eigenpair_lapack_create(lapack->integer_bits, lapack->lookup, lapack->context, &handle) != EIGENPAIR_OK ||
      (threading && eigenpair_lapack_set_threading(handle, lapack->get_threads, lapack->set_threads) != EIGENPAIR_OK)) {
    fail(eigenpair_last_error(), lapack->name);
  }
  return handle;
}
