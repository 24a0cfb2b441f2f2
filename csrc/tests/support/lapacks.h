/* Real LAPACKs for tests: those named in the environment variable EIGENPAIR_TEST_LAPACK, paths of shared libraries
 * separated by colons. */
#ifndef EIGENPAIR_TESTS_LAPACKS_H
#define EIGENPAIR_TESTS_LAPACKS_H

#include "eigenpair.h"
#include "support/check.h"

typedef struct {
  const char* name; /* for messages */
  int32_t integer_bits;
  eigenpair_lookup lookup;
  void* context;
  int32_t (*get_threads)(void); /* NULL if the library has none that we know */
  void (*set_threads)(int32_t);
} test_lapack;

/* Returns how many there are, at most `room`. Ends the program if one of them cannot be used. */
int test_lapacks(test_lapack* out, int room);

/* A handle of it; with `threading`, it includes the thread functions. */
eigenpair_lapack* lend(const test_lapack* lapack, int threading);

/* Runs the body once per LAPACK, with `lapack` its description; marks the test as skipped if there is none. */
#define FOR_EACH_LAPACK(lapack)                                                 \
  test_lapack lapack##_all[8];                                                  \
  const int lapack##_count = test_lapacks(lapack##_all, 8);                     \
  if (lapack##_count == 0) check_skip("EIGENPAIR_TEST_LAPACK names no LAPACK"); \
  for (const test_lapack* lapack = lapack##_all; lapack < lapack##_all + lapack##_count; ++lapack)

#endif
