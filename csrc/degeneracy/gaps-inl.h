// The decision about the gaps of a Hermitian problem, docs/derivations.md, "Degeneracy": which eigenvalues form a
// cluster, what replaces 1/(w_j - w_i), and which derivatives are refused. Kernels of every size and eigenpair_decide
// use this class.
#pragma once

#include <cstdint>

#include "degeneracy/thresholds-inl.h"
#include "eigenpair.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// The largest gap inside a cluster of eigenvalues of a matrix of this order, in units of the scale.
template <typename R>
inline R cluster_width(double parameter, int64_t order) {
  const R root = static_cast<R>(__builtin_sqrt(static_cast<double>(order)));
  return static_cast<R>(parameter) * (Precision<R>::kEpsilon * root);
}

// Ascending eigenvalues under a policy.
template <typename R>
class Gaps {
 public:
  // `first` has room for n numbers. The eigenvalues are those of a matrix of order `order`, all of them or a subset;
  // without a scale, it is the largest |w|.
  void open(const R* w, int64_t n, int64_t order, const R* scale, int32_t policy, double parameter, int32_t* first) {
    w_ = w;
    first_ = first;
    policy_ = policy;
    parameter_ = static_cast<R>(parameter);
    rounding_ = Precision<R>::kEpsilon * static_cast<R>(__builtin_sqrt(static_cast<double>(n)));
    scale_ = 0;
    if (scale != nullptr) {
      scale_ = *scale;
    } else {
      for (int64_t i = 0; i < n; ++i) scale_ = absolute(w[i]) > scale_ ? absolute(w[i]) : scale_;
    }
    all_far_ = policy == EIGENPAIR_POLICY_CHECK || policy == EIGENPAIR_POLICY_RAW;
    clustered_ = false;
    first[0] = 0;
    width_ = cluster_width<R>(parameter, order) * scale_;
    reach_ = width_ > near() ? width_ : near();
    for (int64_t i = 1; policy == EIGENPAIR_POLICY_CHECK && i < n; ++i) {
      const R gap = w[i] - w[i - 1];
      all_far_ &= gap > reach_;
      // `not >`, so that NaN joins the cluster.
      first[i] = gap > width_ ? static_cast<int32_t>(i) : first[i - 1];
      clustered_ |= first[i] != i;
    }
  }

  // Under `check`: whether there are clusters of two and more, and whether i <= j share one.
  bool clustered() const { return clustered_; }
  bool share_cluster(int64_t i, int64_t j) const { return first_[j] <= i; }

  // Whether every gap is so large that it is kept for every loss.
  bool all_far() const { return all_far_; }
  // Under `check`, the same for every gap between an eigenvalue up to i and one from j on.
  bool all_far(int64_t i, int64_t j) const { return w_[j] - w_[i] > reach_ && !share_cluster(i, j); }
  // Whether the decision about a gap depends on K, so that reason_reverse() is needed.
  bool depend_on_k() const { return !all_far_ && policy_ == EIGENPAIR_POLICY_CHECK; }

  // What replaces 1/(w_j - w_i), for i < j.
  R inverse(int64_t i, int64_t j) const {
    const R gap = w_[j] - w_[i];
    if (all_far_) return 1 / gap;
    if (policy_ == EIGENPAIR_POLICY_BROADEN) return gap == 0 ? 0 : 1 / (gap + parameter_ / gap);
    if (policy_ == EIGENPAIR_POLICY_MASK) return gap <= parameter_ ? 0 : 1 / gap;
    return policy_ == EIGENPAIR_POLICY_CHECK && share_cluster(i, j) ? 0 : 1 / gap;
  }
  // The same for i != j.
  R inverse_of(int64_t i, int64_t j) const { return i < j ? inverse(i, j) : -inverse(j, i); }

  R scale() const { return scale_; }
  R width() const { return width_; }
  // An entry up to this counts as a rounding error, if `size` is the size of the rounded terms.
  R rounding_limit(R size) const { return static_cast<R>(kRoundingLimit) * (rounding_ * size); }

  // Cotangents of the eigenvalues, or NULL.
  void set_dw(const R* dw, int64_t n) {
    dw_ = dw;
    R largest = 0;
    for (int64_t i = 0; dw != nullptr && i < n; ++i) largest = larger(largest, absolute(dw[i]));
    split_ = static_cast<R>(kRoundingLimit) * rounding_ * largest;
  }

  // Reverse mode under `check`: the reason why the gap between i < j is dropped or the loss is refused, one of
  // EIGENPAIR_REASON_.... `rotation` and `mixing` are the absolute values of the anti-Hermitian and the Hermitian part
  // of K at (i, j), and `size_of_rounding(i, j)` is the size of the rounded terms there.
  template <typename Size>
  int32_t reason_reverse(int64_t i, int64_t j, R rotation, R mixing, const Size& size_of_rounding) const {
    const bool inside = share_cluster(i, j), close = absolute(w_[j] - w_[i]) <= near();
    if (!inside && !close) return EIGENPAIR_REASON_NONE;
    const bool same = dw_ == nullptr || absolute(dw_[i] - dw_[j]) <= split_;
    const R size = size_of_rounding(i, j), limit = rounding_limit(size);
    if (inside) {
      if (depends_on_basis(rotation, limit)) return EIGENPAIR_REASON_BASIS;
      return depends_on_order(mixing, same, limit) ? EIGENPAIR_REASON_ORDER : EIGENPAIR_REASON_CLUSTER;
    }
    const R noise = static_cast<R>(kNoiseLimit) * (rounding_ * size);
    return is_noise(rotation, mixing, same, noise) ? EIGENPAIR_REASON_NOISE : EIGENPAIR_REASON_NONE;
  }

  // Forward mode under `check`: the same for the matrix that is divided by gaps, by absolute values of its entries.
  int32_t reason_forward(int64_t i, int64_t j, R here, R size_here, R across, R size_across) const {
    if (!share_cluster(i, j)) return EIGENPAIR_REASON_NONE;
    return is_coupled(here, rounding_limit(size_here), across, rounding_limit(size_across)) ? EIGENPAIR_REASON_COUPLED
                                                                                            : EIGENPAIR_REASON_CLUSTER;
  }

  static bool refuses(int32_t reason) { return reason != EIGENPAIR_REASON_NONE && reason < EIGENPAIR_REASON_CLUSTER; }

 private:
  R near() const { return static_cast<R>(kNear) * scale_; }

  const R* w_ = nullptr;
  const R* dw_ = nullptr;
  const int32_t* first_ = nullptr;
  int32_t policy_ = 0;
  R parameter_ = 0, rounding_ = 0, scale_ = 0, width_ = 0, reach_ = 0, split_ = 0;
  bool all_far_ = true, clustered_ = false;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
