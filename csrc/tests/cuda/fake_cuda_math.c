/* The mathematics of fake_cuda.c, by simple loops: Jacobi's method and triangular matrices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/fake_cuda.h"

/* Written out, because C's complex product checks for NaN, which is slow. */
static Z times(Z x, Z y) {
  return CMPLX(creal(x) * creal(y) - cimag(x) * cimag(y), creal(x) * cimag(y) + cimag(x) * creal(y));
}

/* Columns p and q of x become (c x_p - s e* x_q, s x_p + c e* x_q). */
static void rotate_columns(int n, Z* x, int p, int q, double c, double s, Z e) {
  for (int i = 0; i < n; ++i) {
    const Z left = x[i + p * n], right = times(conj(e), x[i + q * n]);
    x[i + p * n] = c * left - s * right;
    x[i + q * n] = s * left + c * right;
  }
}

static void rotate_rows(int n, Z* x, int p, int q, double c, double s, Z e) {
  for (int j = 0; j < n; ++j) {
    const Z upper = x[p + j * n], lower = times(e, x[q + j * n]);
    x[p + j * n] = c * upper - s * lower;
    x[q + j * n] = s * upper + c * lower;
  }
}

void fake_hermitian(int n, Z* a, double* w) {
  Z* v = calloc((size_t)n * (size_t)n + 1, sizeof *v);
  double norm = 0;
  for (int i = 0; i < n * n; ++i) norm = fmax(norm, cabs(a[i]));
  for (int i = 0; i < n; ++i) v[i + i * n] = 1;
  for (int sweep = 0, changed = 1; changed && sweep < 60; ++sweep) {
    changed = 0;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        const double size = cabs(a[p + q * n]);
        if (!(size > 1e-17 * norm)) continue;
        changed = 1;
        const Z phase = a[p + q * n] / size;
        const double tau = (creal(a[q + q * n]) - creal(a[p + p * n])) / (2 * size);
        const double t = (tau < 0 ? -1 : 1) / (fabs(tau) + sqrt(1 + tau * tau));
        const double c = 1 / sqrt(1 + t * t);
        rotate_columns(n, a, p, q, c, t * c, phase);
        rotate_rows(n, a, p, q, c, t * c, phase);
        rotate_columns(n, v, p, q, c, t * c, phase);
        a[p + q * n] = a[q + p * n] = 0;
      }
    }
  }
  int* order = malloc((size_t)(n + 1) * sizeof *order);
  for (int j = 0; j < n; ++j) {
    int at = j;
    for (; at > 0 && creal(a[order[at - 1] * (n + 1)]) > creal(a[j * (n + 1)]); --at) order[at] = order[at - 1];
    order[at] = j;
  }
  for (int j = 0; j < n; ++j) w[j] = creal(a[order[j] * (n + 1)]);
  for (int j = 0; j < n; ++j) memcpy(a + j * n, v + order[j] * n, (size_t)n * sizeof *a);
  free(order);
  free(v);
}

int fake_cholesky(int n, Z* b) {
  for (int j = 0; j < n; ++j) {
    double pivot = creal(b[j + j * n]);
    for (int k = 0; k < j; ++k)
      pivot -= creal(b[j + k * n]) * creal(b[j + k * n]) + cimag(b[j + k * n]) * cimag(b[j + k * n]);
    if (!(pivot > 0)) return j + 1;
    b[j + j * n] = sqrt(pivot);
    for (int i = j + 1; i < n; ++i) {
      Z sum = b[i + j * n];
      for (int k = 0; k < j; ++k) sum -= times(b[i + k * n], conj(b[j + k * n]));
      b[i + j * n] = sum / creal(b[j + j * n]);
    }
    for (int i = 0; i < j; ++i) b[i + j * n] = 0;
  }
  return 0;
}

static Z entry(const Z* t, int n, int adjoint, int i, int j) { return adjoint ? conj(t[j + i * n]) : t[i + j * n]; }

void fake_multiply(int n, const Z* t, int adjoint, Z* x) {
  for (int column = 0; column < n; ++column) {
    Z* y = x + column * n;
    for (int step = 0; step < n; ++step) {
      /* In this order, each entry is computed from entries that have not been overwritten. */
      const int i = adjoint ? step : n - 1 - step;
      Z sum = 0;
      for (int j = adjoint ? i : 0; j <= (adjoint ? n - 1 : i); ++j) sum += times(entry(t, n, adjoint, i, j), y[j]);
      y[i] = sum;
    }
  }
}

void fake_divide(int n, const Z* t, int adjoint, Z* x) {
  for (int column = 0; column < n; ++column) {
    Z* y = x + column * n;
    for (int step = 0; step < n; ++step) {
      const int i = adjoint ? n - 1 - step : step;
      Z sum = y[i];
      for (int j = adjoint ? i + 1 : 0; j < (adjoint ? n : i); ++j) sum -= times(entry(t, n, adjoint, i, j), y[j]);
      y[i] = sum / creal(t[i + i * n]);
    }
  }
}

void fake_triangular_vectors(int n, const Z* a, Z* v) {
  for (int k = 0; k < n; ++k) {
    for (int i = n - 1; i >= 0; --i) {
      Z sum = 0;
      for (int j = i + 1; j <= k; ++j) sum += times(a[i + j * n], v[j + k * n]);
      v[i + k * n] = i > k ? 0 : i == k ? 1 : sum / (a[k + k * n] - a[i + i * n]);
    }
  }
}
