// The tests behind `check`, for two eigenvalues at a time: is an entry of K rounding noise, and does the loss need a
// gap that rounding hides? docs/derivations.md, "Degeneracy", has the reasons.
#pragma once

#include "kernels/isa.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// Tolerances in units of sqrt(n) epsilon times the size of what was rounded. An entry of K below the first is no
// evidence against a loss; one below the second is dropped, at gaps below kNear times the scale. The same numbers
// stand in python/eigenpair/degeneracy.py.
constexpr double kRoundingOfCotangent = 64, kNoiseOfCotangent = 8, kNear = 1e-3;

// `rotation` is |K_ij - conj(K_ji)|/2: the loss turns the two vectors into each other. `mixing` is |K_ij +
// conj(K_ji)|/2. `same_dw` says that the cotangents of the two eigenvalues agree up to rounding. The tests are `not <=`
// rather than `>`, so that NaN fails them.

// Inside a cluster: the loss depends on the choice of the eigenvectors.
template <typename R>
inline bool depends_on_basis(R rotation, R limit) {
  return !(rotation <= limit);
}

// Inside a cluster: the loss tells the eigenvalues apart by their order alone.
template <typename R>
inline bool depends_on_order(R mixing, bool same_dw, R limit) {
  return !(same_dw || mixing <= limit);
}

// The entry is rounding noise, of a loss that is symmetric in the two eigenvalues.
template <typename R>
inline bool is_noise(R rotation, R mixing, bool same_dw, R limit) {
  return rotation <= limit && (same_dw || mixing <= limit);
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
