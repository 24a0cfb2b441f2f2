// The decision of a policy about every two eigenvalues: eigenpair_decide of the C ABI.
#include "degeneracy/decision.h"

#include <cstdint>

#include "eigenpair.h"
#include "runtime/problem.h"

namespace eigenpair {

namespace {

// Checks the arrays from which `sizes`, `reach` and `condition` are computed where these are NULL.
void check_sources(const eigenpair_decision& p) {
  const bool forward = p.mode == EIGENPAIR_DECIDE_FORWARD;
  if (p.general != 0 && p.reach == nullptr) {
    require(p.condition == nullptr, "decision.condition needs decision.reach");
    require(p.norms != nullptr && p.v != nullptr && p.u != nullptr,
            "decision.reach is NULL, and decision.norms, .v or .u is too");
  }
  require(p.reach == nullptr || p.condition != nullptr, "decision.reach needs decision.condition");
  const bool pair_scale = p.general == 0 && p.scale == nullptr && p.norms != nullptr;
  require(!pair_scale || p.v != nullptr, "decision.norms needs decision.v");
  const bool sizes_needed = p.k != nullptr && p.sizes == nullptr && p.mode != EIGENPAIR_DECIDE_SECOND &&
                            !(forward && (p.options & EIGENPAIR_RULE_MASK_COUPLED) != 0);
  if (sizes_needed) {
    const void *first = forward ? p.da : p.dv, *second = forward ? p.db : p.du;
    require(first != nullptr || second != nullptr, forward ? "decision.sizes is NULL, and decision.da and .db are too"
                                                           : "decision.sizes is NULL, and decision.dv and .du are too");
    require(p.v != nullptr || (!forward && p.dv == nullptr), "decision.v is NULL");
    require(p.u != nullptr || (forward ? p.general == 0 : p.du == nullptr), "decision.u is NULL");
  }
  const bool bases = sizes_needed || pair_scale;
  require(!bases || p.general != 0 || p.type < 2 || p.u != nullptr || (!forward && !pair_scale), "decision.u is NULL");
}

void check(const eigenpair_decision& p) {
  require(p.struct_size == sizeof p, "decision.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "decision.dtype is unknown");
  require(p.general == 0 || p.general == 1, "decision.general must be 0 or 1");
  require(p.general == 0 || p.dtype >= EIGENPAIR_COMPLEX64, "decision.dtype must be complex for a general problem");
  require(p.type >= 0 && p.type <= (p.general != 0 ? 1 : 3), "decision.type is unknown");
  require(p.mode >= EIGENPAIR_DECIDE_FORWARD && p.mode <= EIGENPAIR_DECIDE_SECOND, "decision.mode is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "decision.layout is unknown");
  require(p.policy >= EIGENPAIR_POLICY_CHECK && p.policy <= EIGENPAIR_POLICY_RAW, "decision.policy is unknown");
  require((p.options & ~(EIGENPAIR_RULE_MASK_COUPLED | EIGENPAIR_DECIDE_VECTORS)) == 0, "decision.options are unknown");
  require(p.parameter >= 0, "decision.parameter is negative");
  require(p.n >= 0 && p.n <= (int64_t{1} << 20), "decision.n is negative or too large");
  require(p.order >= p.n && p.order <= (int64_t{1} << 29), "decision.order is less than decision.n or too large");
  require(p.general == 0 || p.order == p.n, "decision.order is not decision.n, for a general problem");
  require(p.batch >= 0, "decision.batch is negative");
  if (p.n == 0 || p.batch == 0) return;
  require(p.w != nullptr, "decision.w is NULL");
  if (p.policy == EIGENPAIR_POLICY_CHECK) check_sources(p);
}

const char* text_of(int32_t reason) {
  switch (reason) {
    case EIGENPAIR_REASON_BASIS:
      return "they are one cluster, and the loss depends on the choice of its eigenvectors, which is arbitrary";
    case EIGENPAIR_REASON_ORDER:
      return "they are one cluster, and the loss uses them differently, which has no derivative unless the loss as a "
             "whole is a function of the matrix";
    case EIGENPAIR_REASON_COUPLED:
      return "they are one cluster, and the perturbation couples their eigenvectors: a small perturbation rotates them "
             "by a finite angle, so their tangents do not exist";
    case EIGENPAIR_REASON_DEFECTIVE:
      return "they are one cluster, and their eigenvectors nearly coincide: the matrix is defective, or too close to "
             "one that is. Its eigenvalues move like a root of the perturbation";
    case EIGENPAIR_REASON_SECOND:
      return "they are too close for a second derivative, which divides by their distance twice or depends on how they "
             "split";
    case EIGENPAIR_REASON_CUT: return "they are one cluster, so no projector separates them";
    case EIGENPAIR_REASON_EDGE:
      return "they are one cluster, the subset contains only a part of it, and the loss uses its eigenvectors";
    default: return nullptr;
  }
}

}  // namespace

}  // namespace eigenpair

using namespace eigenpair;

extern "C" {

eigenpair_status eigenpair_decide(const eigenpair_decision* decision) {
  return guarded([&] {
    require(decision != nullptr, "decision is NULL");
    check(*decision);
    if (decision->batch == 0) return;
    if (decision->n == 0) {
      for (int64_t i = 0; decision->refused != nullptr && i < decision->batch; ++i) decision->refused[i] = 0;
      return;
    }
    return decision->general != 0 ? decide_general(*decision) : decide_hermitian(*decision);
  });
}

const char* eigenpair_reason_text(int32_t reason) { return text_of(reason); }

}  // extern "C"
