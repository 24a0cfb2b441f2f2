// The order of the eigenvalues of a general problem and the gauge of its eigenvectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace eigenpair {

// Positions of the eigenvalues in sorted order: finite ones by (Re, Im), then infinite ones, then NaN.
template <typename R>
std::vector<int64_t> sorted_order(const std::complex<R>* w, int64_t n) {
  const auto rank = [](std::complex<R> x) {
    return std::isnan(x.real()) || std::isnan(x.imag()) ? 2 : (std::isinf(x.real()) ? 1 : 0);
  };
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    if (rank(w[i]) != rank(w[j])) return rank(w[i]) < rank(w[j]);
    if (rank(w[i]) != 0) return false;
    if (w[i].real() != w[j].real()) return w[i].real() < w[j].real();
    return w[i].imag() < w[j].imag();
  });
  return order;
}

// Scales x to unit 2-norm and makes its largest component real and positive. Of components within a factor 1 - √ε of
// the largest, the first is taken, so that rounding does not decide which.
template <typename R>
void normalize(std::complex<R>* x, int64_t n) {
  R largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  if (!(largest > 0)) return;
  R sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::norm(x[i] / largest);
  const R enough = largest * (1 - std::sqrt(std::numeric_limits<R>::epsilon()));
  int64_t k = 0;
  while (std::abs(x[k]) < enough) ++k;
  const std::complex<R> factor = std::conj(x[k]) / std::abs(x[k]) / (largest * std::sqrt(sum));
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
  x[k] = std::complex<R>(x[k].real());
}

template <typename R>
R norm2(const std::complex<R>* x, int64_t n) {
  R largest = 0, sum = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  if (!(largest > 0) || !std::isfinite(largest)) return largest;
  for (int64_t i = 0; i < n; ++i) sum += std::norm(x[i] / largest);
  return largest * std::sqrt(sum);
}

// y^H M x for a column-major M, or for the identity.
template <typename T, typename R>
std::complex<R> form(const std::complex<R>* y, const T* m, const std::complex<R>* x, int64_t n) {
  std::complex<R> sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < n; ++i) sum += std::conj(y[i]) * (m[i + j * n] * x[j]);
  }
  return sum;
}

}  // namespace eigenpair
