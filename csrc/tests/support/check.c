#include "support/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most failures that are printed for one test; a broken core fails thousands of times. */
enum { kMaxPrinted = 10 };
enum { kSkipped = 77 }; /* CTest's SKIP_RETURN_CODE */

static check_test* first;
static check_test** last = &first;
static atomic_int failures;
static const char* skip_reason;

void check_register(check_test* test) {
  *last = test;
  last = &test->next;
}

void check_failed(const char* file, int line, const char* condition, const char* format, ...) {
  if (atomic_fetch_add(&failures, 1) >= kMaxPrinted) return;
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, condition, message);
}

void check_give_up(void) { exit(1); }

void check_skip(const char* reason) { skip_reason = reason; }

int main(int argc, char** argv) {
  int ran = 0, failed = 0, skipped = 0;
  for (check_test* test = first; test != NULL; test = test->next) {
    int named = argc == 1;
    for (int i = 1; i < argc; ++i) named |= strcmp(argv[i], test->name) == 0;
    if (!named) continue;
    ++ran;
    atomic_store(&failures, 0);
    skip_reason = NULL;
    test->run();
    const int count = atomic_load(&failures);
    failed += count != 0;
    skipped += skip_reason != NULL;
    printf("%s: %s", test->name, skip_reason != NULL ? skip_reason : count == 0 ? "ok" : "FAILED");
    if (count > kMaxPrinted) printf(" (%d failures, the first %d are shown)", count, kMaxPrinted);
    putchar('\n');
  }
  if (ran == 0) fputs("no test has this name\n", stderr);
  if (ran == 0 || failed != 0) return 1;
  return skipped == ran ? kSkipped : 0;
}
