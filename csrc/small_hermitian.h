// Small Hermitian problems, one matrix per SIMD lane, in three builds of one source: baseline, AVX2, AVX-512.
#pragma once

#include <cstddef>
#include <cstdint>

#include "include/eigenpair.h"

namespace eigenpair {

// Orders up to which lanes beat LAPACK: with most of them filled, and with a single one.
inline constexpr int kSmallLimit = 32;
inline constexpr int kSingleLimit = 8;

// One function for each dtype of the C ABI; `scratch` holds `scratch_bytes` and is aligned to 64 bytes.
struct SmallSolvers {
  // Solves matrices [first, last) of the batch: results, NaN where it failed, and info.
  void (*solve[4])(const eigenpair_hermitian_problem& problem, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])();
  int32_t lanes[4];
};

// Derivatives of the same problems, one matrix after the other.
struct SmallRules {
  void (*run[4])(const eigenpair_hermitian_rule& rule, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
};

// What is not products in the derivatives of larger ones: strip `strip` of matrix `index`, of `strips(n)`. Scratch for
// n 32-bit integers.
struct LargeRules {
  void (*rotate[4])(const eigenpair_rotation& rotation, int64_t index, int64_t strip, void* scratch);
  void (*gather[4])(const eigenpair_gradient& gradient, int64_t index, int64_t strip);
  int64_t (*strips)(int64_t n);
};

struct SmallKernels {
  const SmallSolvers* solvers;
  const SmallRules* rules;
  const LargeRules* large;
};

// The best for this processor, chosen once; EIGENPAIR_ISA=baseline|avx2 in the environment asks for less. Null where
// the compiler has no vector types.
const SmallKernels* small_kernels();

}  // namespace eigenpair
