// The thresholds of `check`, and the tests that use them, for two eigenvalues at a time: is an entry of K rounding
// noise, and does the loss need a gap that rounding hides? docs/derivations.md, "Degeneracy", has the reasons.
//
// A test is written `not <=` rather than `>` so that NaN fails it.
#pragma once

#include "kernels/isa.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// In units of √n ε times the size of the rounded terms. An entry of K up to the first limit counts as zero inside a
// cluster. An entry up to the second limit is dropped at gaps of at most kNear times the scale. The same numbers are in
// python/eigenpair/degeneracy/.
constexpr double kRoundingLimit = 64, kNoiseLimit = 8, kNear = 1e-3;

// General problems. In a cluster, eigenvectors whose condition number is so large that 10 c √n ε condition² reaches 1
// are nearly parallel, and no coupling is small enough to be rounding.
constexpr double kNearlyParallel = 10;
// Up to this condition number a small coupling has a small effect, so that noise may be dropped.
constexpr double kWellConditioned = 1e3;

// `rotation` is |K_ij - conj(K_ji)|/2, the part of K that rotates the two vectors into each other. `mixing` is |K_ij +
// conj(K_ji)|/2. `same_dw`: the cotangents of the two eigenvalues agree up to rounding errors.

// Inside a cluster: the loss depends on the choice of the eigenvectors.
template <typename R>
inline bool depends_on_basis(R rotation, R limit) {
  return !(rotation <= limit);
}

// Inside a cluster: the loss distinguishes the eigenvalues by their order alone.
template <typename R>
inline bool depends_on_order(R mixing, bool same_dw, R limit) {
  return !(same_dw || mixing <= limit);
}

// The entry is rounding noise, of a loss that is symmetric in the two eigenvalues.
template <typename R>
inline bool is_noise(R rotation, R mixing, bool same_dw, R limit) {
  return rotation <= limit && (same_dw || mixing <= limit);
}

// Inside a cluster: the perturbation couples the two eigenvectors, by entries of these sizes.
template <typename R>
inline bool is_coupled(R here, R limit_here, R across, R limit_across) {
  return !(here <= limit_here && across <= limit_across);
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
