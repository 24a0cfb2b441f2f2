#include "support/fake_lapack.h"

#include <stdatomic.h>
#include <string.h>

#include "support/check.h"
#include "support/problems.h"

static _Thread_local fake_behaviour behaviour;
static _Thread_local fake_record record;

static atomic_llong solutions;
static int32_t (*watched)(void);

int64_t fake_lapack_solutions(void) { return atomic_load(&solutions); }
void fake_lapack_watch(int32_t (*threads)(void)) { watched = threads; }
void fake_lapack_behave(fake_behaviour what) { behaviour = what; }
const fake_record* fake_lapack_record(void) { return &record; }

static void set_integer(void* data, int32_t bits, int64_t index, int64_t value) {
  if (bits == 64) {
    ((int64_t*)data)[index] = value;
  } else {
    ((int32_t*)data)[index] = (int32_t)value;
  }
}

/* Writes the last element of every work array, so that a sanitizer notices arrays that are shorter than announced. */
static void touch(const fake_call* call) {
  set_element(call->work, call->dtype, call->lwork - 1, 0);
  if (call->lrwork > 0) memset((char*)call->rwork + (size_t)(call->lrwork - 1) * real_bytes(call->dtype), 0, 4);
  if (call->liwork > 0) set_integer(call->iwork, call->integer_bits, call->liwork - 1, 0);
  if (call->isuppz != NULL && call->job == 'V') {
    set_integer(call->isuppz, call->integer_bits, 2 * call->n - 1, 0);
    set_element(call->z, call->dtype, call->n * call->n - 1, 0);
  }
}

/* Performs a driver's call; returns its info. */
static int64_t answer(fake_call call) {
  const int32_t real = call.dtype % 2; /* float32 or float64 */
  if (call.lwork == -1) {
    record.query = call;
    set_element(call.work, call.dtype, 0, behaviour.work);
    if (call.lrwork == -1) set_element(call.rwork, real, 0, behaviour.rwork);
    if (call.liwork == -1) set_integer(call.iwork, call.integer_bits, 0, behaviour.iwork);
    return behaviour.query_info;
  }
  if (watched != NULL) call.threads = watched();
  record.solution = call;
  atomic_fetch_add(&solutions, 1);
  touch(&call);
  for (int64_t i = 0; i < call.n; ++i) set_element(call.w, real, i, behaviour.first_value + (double)i);
  const int64_t pivot = behaviour.info - call.n - 1;
  if (call.b != NULL && pivot >= 0 && pivot < call.n) {
    set_element(call.b, call.dtype, pivot * (call.n + 1), behaviour.pivot);
  }
  return behaviour.info;
}

/* The same for the general drivers, which may return real and imaginary parts separately, and denominators. */
static int64_t answer_general(fake_call call, void* w, void* imaginary, void* denominators) {
  if (call.lwork == -1) {
    record.query = call;
    set_element(call.work, call.dtype, 0, behaviour.work);
    return behaviour.query_info;
  }
  if (watched != NULL) call.threads = watched();
  record.solution = call;
  atomic_fetch_add(&solutions, 1);
  touch(&call);
  for (int64_t i = 0; i < call.n; ++i) {
    set_element(w, call.dtype, i, behaviour.first_value + (double)i);
    if (imaginary != NULL) set_element(imaginary, call.dtype, i, 0);
    if (denominators != NULL) set_element(denominators, call.dtype, i, 1);
  }
  return behaviour.info;
}

static void answer_dual(fake_call call) {
  record.dual = call;
  ++record.duals;
}

#define INT int32_t
#define BITS 32
#define NAME(routine) routine##_32
#include "support/fake_routines.inc"
#undef INT
#undef BITS
#undef NAME
#define INT int64_t
#define BITS 64
#define NAME(routine) routine##_64
#include "support/fake_routines.inc"

static void* lookup(void* context, const char* routine) {
  const int32_t bits = *(const int32_t*)context;
  for (size_t i = 0; i < sizeof routines_32 / sizeof *routines_32; ++i) {
    const named_routine* found = bits == 64 ? &routines_64[i] : &routines_32[i];
    if (strcmp(found->name, routine) == 0) return found->routine.address;
  }
  return NULL;
}

eigenpair_lapack* fake_lapack_lend(int32_t integer_bits) {
  eigenpair_lapack* lapack = NULL;
  REQUIRE(eigenpair_lapack_create(integer_bits, lookup, &integer_bits, &lapack) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  fake_lapack_watch(NULL);
  fake_lapack_behave((fake_behaviour){.work = 1, .rwork = 1, .iwork = 1});
  record = (fake_record){0};
  atomic_store(&solutions, 0);
  return lapack;
}
