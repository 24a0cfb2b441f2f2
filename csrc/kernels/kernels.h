// Our own kernels for Hermitian problems and their rules, in three builds of one source: baseline, AVX2, AVX-512.
#pragma once

#include <cstddef>
#include <cstdint>

#include "eigenpair.h"

namespace eigenpair {

// Orders up to which matrices are solved one per lane, with most of the lanes filled or a single one: of pairs, by rows
// only the standard problem in between is solved.
inline constexpr int kSmallLimit = 64, kSingleLimit = 2, kSinglePairLimit = 8;
// And up to which solving by rows beats LAPACK.
inline constexpr int kRowLimit = 128;

// One function for each dtype of the C ABI; `scratch` holds `scratch_bytes` and is aligned to 64 bytes.
struct SmallSolvers {
  // Solves matrices [first, last) of the batch: results, NaN where it failed, and info.
  void (*solve[4])(const eigenpair_hermitian_problem& problem, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
  int32_t lanes[4];
};

// One matrix at a time, as LAPACK's drivers take it: the lower triangle of column-major `a`, all finite, becomes the
// eigenvectors. False where it does not converge.
struct RowSolvers {
  bool (*solve[4])(int64_t n, void* a, void* w, bool vectors, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
};

// Derivatives of the same problems, one matrix after the other.
struct SmallRules {
  void (*run[4])(const eigenpair_hermitian_rule& rule, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
};

// How much scratch memory `compute_m` below takes, in units of n real numbers.
inline constexpr int64_t kRuleScratch = 5;

// The reverse rule of larger ones but for its products, for matrix `index` of the batch: see tiled_rule-inl.h.
struct LargeRule {
  bool (*compute_m)(const eigenpair_hermitian_rule& rule, int64_t index, const void* k, void* m, void* scratch);
  void (*compute_n)(const eigenpair_hermitian_rule& rule, int64_t index, const void* m, void* k);
  void (*share_gradient)(const eigenpair_hermitian_rule& rule, void* gradient);
  void (*scale_columns)(const eigenpair_hermitian_rule& rule, int64_t index, bool of_b, const void* x, void* scaled);
};

struct SmallKernels {
  const SmallSolvers* solvers;
  const RowSolvers* rows;
  const SmallRules* rules;
  const LargeRule* large;  // one for each dtype of the C ABI
};

// The best for this processor, chosen once; EIGENPAIR_ISA=baseline|avx2 in the environment asks for less. Null where
// the compiler has no vector types.
const SmallKernels* small_kernels();

}  // namespace eigenpair
