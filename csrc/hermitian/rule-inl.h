// First derivatives of Hermitian problems, as in docs/derivations.md. In the core, the rule and its signs are only in
// this file. Storage and products of matrices of different sizes are in kernels/lane_rule-inl.h (one per SIMD lane),
// kernels/padded_rule-inl.h (up to 64 x 64), and kernels/tiled_rule-inl.h with hermitian/large_rule.h (larger ones).
//
// With the bases X and Y and the signs s and t of the type, L_ij = (w_i + w_j)/2 and F the inverse gaps:
//
//   reverse:  K = Vᴴ dV - dUᴴ U,  M = Diag(dw) + F∘(K - Kᴴ)/2,  N = s L∘M + (t/2) (K + Kᴴ)/2,
//             dA = X M Xᴴ,  dB = Y N Yᴴ;  without dv and du, M = Diag(dw) and N = Diag(s w dw).
//   forward:  N = Yᴴ dB Y,  M = Xᴴ dA X + s L∘N,  K = F∘M + (t/2) N,
//             dw = diag(M),  dV = V K,  dU = -U Kᴴ.
#pragma once

#include <cstdint>

#include "eigenpair.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

struct RuleOfType {
  bool x_is_u, y_is_u;  // else they are V
  int s, t;
};

constexpr RuleOfType kRuleOfType[] = {
    {false, false, 0, 0},    // A v = w v
    {false, false, -1, -1},  // A v = w B v
    {true, false, 1, -1},    // A B v = w v
    {false, true, 1, 1},     // B A v = w v
};

// ---- entry by entry: S is a number or a Complex one, V its real part ----

// (K - Kᴴ)/2, from K_ij and K_ji: the part that rotates vectors i and j into each other.
template <typename S>
inline S rotation_part(S here, S across) {
  using V = typename RealPart<S>::type;
  const V half = V{} + 0.5f;
  return minus(scaled(here, half), scaled(conj_(across), half));
}

// (K + Kᴴ)/2: the part that changes their inner products.
template <typename S>
inline S mixing_part(S here, S across) {
  using V = typename RealPart<S>::type;
  const V half = V{} + 0.5f;
  return plus(scaled(here, half), scaled(conj_(across), half));
}

// L_ij
template <typename R>
inline R mean_of(R w_i, R w_j) {
  return R(0.5) * w_i + R(0.5) * w_j;
}

// N of the reverse rule, from M and the mixing part of K.
template <typename S, typename R>
inline S n_of_m(const RuleOfType& type, R mean, S m, S mixing) {
  return plus(scaled(m, R(type.s) * mean), scaled(mixing, R(0.5) * R(type.t)));
}

// The diagonal of N, without cotangents of vectors.
template <typename R>
inline R n_of_dw(const RuleOfType& type, R w, R dw) {
  return R(type.s) * w * dw;
}

// M of the forward rule, from Xᴴ dA X and N.
template <typename S, typename R>
inline S m_of_n(const RuleOfType& type, R mean, S of_a, S n) {
  return plus(of_a, scaled(n, R(type.s) * mean));
}

// K of the forward rule, from M and N, with the inverse gap f.
template <typename S, typename R>
inline S k_of_m(const RuleOfType& type, R f, S m, S n) {
  return plus(scaled(m, f), scaled(n, R(0.5) * R(type.t)));
}

// ---- the whole rule ----

// The reverse rule for one matrix. `Matrices` implements these steps for its storage:
//   bool compute_m()              K and M; false if the policy refuses the loss
//   void compute_n()              N, which may overwrite K
//   void pull_back_a(bool x_is_u) dA = X M Xᴴ
//   void pull_back_b(bool y_is_u) dB = Y N Yᴴ
// Without cotangents of vectors M and N are diagonal and not computed. Returns false if the policy refuses the loss.
template <typename Matrices>
bool pull_back(const eigenpair_hermitian_rule& p, Matrices& matrices) {
  const RuleOfType& type = kRuleOfType[p.type];
  const bool vectors = p.dv != nullptr || p.du != nullptr;
  if (vectors && !matrices.compute_m()) return false;
  if (p.db != nullptr) {
    if (vectors) matrices.compute_n();
    matrices.pull_back_b(type.y_is_u);
  }
  if (p.da != nullptr) matrices.pull_back_a(type.x_is_u);
  return true;
}

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
