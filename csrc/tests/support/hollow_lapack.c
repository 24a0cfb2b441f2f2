#include "support/hollow_lapack.h"

#include <string.h>

#include "support/check.h"

static void routine(void) {}

typedef union {
  void (*function)(void);
  void* address;
} address_of;

static void* lookup(void* missing, const char* name) {
  if (missing != NULL && strcmp(name, missing) == 0) return NULL;
  return (address_of){.function = routine}.address;
}

eigenpair_lapack* hollow_lapack(const char* missing) {
  char name[16] = "";
  if (missing != NULL) strncpy(name, missing, sizeof name - 1);
  eigenpair_lapack* lapack = NULL;
  REQUIRE(eigenpair_lapack_create(32, lookup, missing != NULL ? name : NULL, &lapack) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  return lapack;
}

void expect_status(eigenpair_status status, eigenpair_status expected, const char* word) {
  CHECK(status == expected, "status %d instead of %d; %s", status, expected, eigenpair_last_error());
  CHECK(strstr(eigenpair_last_error(), word) != NULL, "'%s' does not name '%s'", eigenpair_last_error(), word);
}
