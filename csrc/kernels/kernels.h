// Kernels for small Hermitian problems and for their rules. The same source is compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "eigenpair.h"

namespace eigenpair {

// Up to these orders, matrices are solved one per lane: if most lanes are filled, for a single matrix, and for a single
// pair.
inline constexpr int kSmallLimit = 64, kSingleLimit = 2, kSinglePairLimit = 8;
// Up to this order, the row solver is faster than LAPACK.
inline constexpr int kRowLimit = 128;

// One function for each dtype of the C ABI. `scratch` has `scratch_bytes` and is aligned to 64 bytes.
struct SmallSolvers {
  // Solves matrices [first, last) of the batch. Writes results, or NaN for a matrix that failed, and info.
  void (*solve[4])(const eigenpair_hermitian_problem& problem, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
  int32_t lanes[4];
};

// Solves one matrix, like a LAPACK driver: the lower triangle of column-major `a`, which must be finite, is replaced by
// the eigenvectors. False if it does not converge.
struct RowSolvers {
  bool (*solve[4])(int64_t n, void* a, void* w, bool vectors, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
};

// First derivatives of matrices [first, last) of the batch.
struct SmallRules {
  void (*run[4])(const eigenpair_hermitian_rule& rule, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
};

// How much scratch memory `compute_m` below takes, in units of n real numbers.
inline constexpr int64_t kRuleScratch = 5;

// The parts of the reverse rule that are not products, for matrix `index` of a batch of larger matrices. See
// tiled_rule-inl.h.
struct LargeRule {
  bool (*compute_m)(const eigenpair_hermitian_rule& rule, int64_t index, const void* k, void* m, void* scratch);
  void (*compute_n)(const eigenpair_hermitian_rule& rule, int64_t index, const void* m, void* k);
  void (*share_gradient)(const eigenpair_hermitian_rule& rule, void* gradient);
  void (*scale_columns)(const eigenpair_hermitian_rule& rule, int64_t index, bool of_b, const void* x, void* scaled);
};

// Spectral forms [first, last), counted as in forms.cc. Where `lanes` of an order is above 1, `first` and `last` are
// multiples of it and of the number of directions, or the end.
struct SmallForms {
  void (*run[4])(const eigenpair_spectral_form& form, int64_t first, int64_t last, void* scratch);
  size_t (*scratch_bytes[4])(int64_t n);
  int32_t (*lanes[4])(int64_t n);
};

struct SmallKernels {
  const SmallSolvers* solvers;
  const RowSolvers* rows;
  const SmallRules* rules;
  const LargeRule* large;  // one for each dtype of the C ABI
  const SmallForms* forms;
};

// The best kernels for this processor, chosen once. The environment variable EIGENPAIR_ISA=baseline, avx2 or none can
// choose lesser ones or none. Null if there are none, as with compilers that have no vector types.
const SmallKernels* small_kernels();

}  // namespace eigenpair
