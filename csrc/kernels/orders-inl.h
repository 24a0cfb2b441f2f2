// The orders for which kernels are unrolled. A new one needs a line in for_order(), kLargestUnrolled below, rows long
// enough for it (kRow in kernels/padded_matrices-inl.h) and its tests (csrc/tests/kernels).
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// N is the order, or 0 where it is not known at compile time.
template <int N>
struct Order {
  static constexpr int value = N;
};

constexpr int kLargestUnrolled = 4;

// Calls `kernel(Order<N>())` for order n. Only real matrices of the smallest orders are unrolled, where it matters
// most: each instance costs compile time and about 10 kB.
template <typename T, typename Kernel>
void for_order(int64_t n, const Kernel& kernel) {
  if constexpr (std::is_same_v<T, typename RealPart<T>::type>) {
    if (n == 2) return kernel(Order<2>());
    if (n == 3) return kernel(Order<3>());
    if (n == 4) return kernel(Order<4>());
  }
  kernel(Order<0>());
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
