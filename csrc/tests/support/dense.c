#include "support/dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Z* product(const Z* m, const Z* x, int64_t n, int64_t columns, int adjoint) {
  Z* result = calloc((size_t)(n * columns) + 1, sizeof *result);
  if (m == NULL) memcpy(result, x, (size_t)(n * columns) * sizeof *result);
  for (int64_t j = 0; m != NULL && j < columns; ++j) {
    for (int64_t l = 0; l < n; ++l) {
      for (int64_t i = 0; i < n; ++i) {
        result[i + j * n] += times(adjoint ? conj(m[l + i * n]) : m[i + l * n], x[l + j * n]);
      }
    }
  }
  return result;
}

double largest(const Z* x, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count && !isnan(most); ++i) {
    const double size = cabs(x[i]);
    if (!(size <= most)) most = size;
  }
  return most;
}

double distance(const Z* x, const Z* y, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count && !isnan(most); ++i) {
    const double size = cabs(x[i] - y[i]);
    if (!(size <= most)) most = size;
  }
  return most;
}
