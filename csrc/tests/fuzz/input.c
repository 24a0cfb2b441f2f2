#include "fuzz/input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eigenpair.h"

static uint8_t byte(input* in) {
  if (in->size == 0) return 0;
  --in->size;
  return *in->data++;
}

int choose(input* in, int count) { return byte(in) % count; }

int32_t code(input* in, int count, int* valid) {
  static const int32_t kWrong[] = {-1, 4, 17, INT32_MAX, INT32_MIN};
  const uint8_t b = byte(in);
  if (b < 250) return b % count;
  const int32_t wrong = kWrong[b % 5] == 4 ? count : kWrong[b % 5];
  *valid = 0;
  return wrong;
}

double number(input* in) {
  static const double kExtremes[] = {0.0,    -0.0,   1e-300, -1e300,   1e300,     1e-30, 1e30,    1e38,
                                     4e-324, 1e-38f, 1e-45,  INFINITY, -INFINITY, NAN,   1.7e308, 1e-16};
  const uint8_t b = byte(in);
  if (b < 128) return (double)b - 64;
  if (b < 192) return ldexp(1.0, b - 160);
  if (b < 208) return kExtremes[b - 192];
  if (b < 240) return 1.0 + ldexp((double)(b - 224), -52);
  uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | byte(in);
  double any;
  memcpy(&any, &bits, sizeof any);
  return any;
}

size_t real_bytes_of(int32_t dtype) {
  return dtype == EIGENPAIR_FLOAT32 || dtype == EIGENPAIR_COMPLEX64 ? sizeof(float) : sizeof(double);
}

size_t bytes_of(int32_t dtype) {
  return real_bytes_of(dtype) * (dtype == EIGENPAIR_COMPLEX64 || dtype == EIGENPAIR_COMPLEX128 ? 2 : 1);
}

void* room(size_t bytes) {
  if (bytes == 0) return NULL;
  void* memory = malloc(bytes);
  if (memory == NULL) abort();
  memset(memory, 0x5a, bytes);
  return memory;
}

void* numbers(input* in, int32_t dtype, int64_t count) {
  const size_t each = real_bytes_of(dtype);
  const size_t reals = (size_t)count * (bytes_of(dtype) / each);
  void* memory = room(reals * each);
  for (size_t i = 0; i < reals; ++i) {
    const double x = number(in);
    /* A double beyond float's range has no defined conversion. */
    const float single = isfinite(x) && fabs(x) > 3.4e38 ? copysignf(3.4e38f, (float)copysign(1.0, x)) : (float)x;
    memcpy((char*)memory + i * each, each == sizeof(float) ? (const void*)&single : (const void*)&x, each);
  }
  return memory;
}
