// Code that the jobs for band matrices share: checks, and reading a band.
#pragma once

#include <algorithm>

#include "hermitian/subset.h"

namespace eigenpair {

template <typename Description>
void check_band(const Description& p) {
  require(p.struct_size == sizeof p, "problem.struct_size is not this library's: header and library differ");
  check_shape(p.n, p.batch, p.count, p.dtype, p.layout, 0);
  require(p.bandwidth >= 0 && p.bandwidth < p.n, "problem.bandwidth is negative, or not less than n");
}

// Copies a band to LAPACK's order, with zeros for entries that are not read and a real diagonal. Returns whether all
// entries are finite.
template <typename T>
bool load_band(const T* source, int64_t n, int64_t bandwidth, int32_t layout, T* target) {
  const int64_t each = bandwidth + 1;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t m = 0; m < each; ++m) {
      const T entry = layout == EIGENPAIR_ROW_MAJOR ? source[m * n + j] : source[m + j * each];
      target[m + j * each] = j + m >= n ? T(0) : m == 0 ? T(std::real(entry)) : entry;
    }
  }
  return all_finite(target, each * n);
}

}  // namespace eigenpair
