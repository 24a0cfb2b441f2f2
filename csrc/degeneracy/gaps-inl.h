// What the policies of docs/degeneracy.md make of gaps, and what `check` refuses.
#pragma once

#include <cstdint>

#include "degeneracy/decision-inl.h"
#include "degeneracy/rounding-inl.h"
#include "eigenpair.h"
#include "kernels/lanes-inl.h"
#include "kernels/storage-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// Of ascending eigenvalues, and of a K of type T.
template <typename T>
class Gaps {
 public:
  using R = typename RealPart<T>::type;
  enum Judgement { kCounts, kNoise, kRefused };

  // `first` has room for n numbers; without a scale, it is the largest |w|.
  void open(const R* w, int64_t n, const R* scale, int32_t policy, double parameter, int32_t* first) {
    w_ = w;
    first_ = first;
    policy_ = policy;
    parameter_ = static_cast<R>(parameter);
    rounding_ = LaneTypes<R>::kEpsilon * static_cast<R>(__builtin_sqrt(static_cast<double>(n)));
    scale_ = 0;
    if (scale != nullptr) {
      scale_ = *scale;
    } else {
      for (int64_t i = 0; i < n; ++i) scale_ = absolute(w[i]) > scale_ ? absolute(w[i]) : scale_;
    }
    far_ = policy == EIGENPAIR_POLICY_CHECK || policy == EIGENPAIR_POLICY_RAW;
    clustered_ = false;
    first[0] = 0;
    const R width = parameter_ * rounding_ * scale_;
    reach_ = width > near() ? width : near();
    for (int64_t i = 1; policy == EIGENPAIR_POLICY_CHECK && i < n; ++i) {
      const R gap = w[i] - w[i - 1];
      far_ &= gap > reach_;
      // `not >`: a NaN joins everything.
      first[i] = gap > width ? static_cast<int32_t>(i) : first[i - 1];
      clustered_ |= first[i] != i;
    }
  }

  // Under `check`: whether there are clusters of two and more, and whether i <= j share one.
  bool clustered() const { return clustered_; }
  bool together(int64_t i, int64_t j) const { return first_[j] <= i; }

  // No gap needs a second look.
  bool far() const { return far_; }
  // Nor, for `check`, does any between what is at or before i and what is at or after j.
  bool far(int64_t i, int64_t j) const { return w_[j] - w_[i] > reach_ && !together(i, j); }
  bool judges() const { return !far_ && policy_ == EIGENPAIR_POLICY_CHECK; }

  // i < j
  R inverse(int64_t i, int64_t j) const {
    const R gap = w_[j] - w_[i];
    if (far_) return 1 / gap;
    if (policy_ == EIGENPAIR_POLICY_BROADEN) return gap == 0 ? 0 : 1 / (gap + parameter_ / gap);
    if (policy_ == EIGENPAIR_POLICY_MASK) return gap <= parameter_ ? 0 : 1 / gap;
    return policy_ == EIGENPAIR_POLICY_CHECK && together(i, j) ? 0 : 1 / gap;
  }

  // i != j
  R inverse_of(int64_t i, int64_t j) const { return i < j ? inverse(i, j) : -inverse(j, i); }

  R scale() const { return scale_; }

  // What the judgement measures by: K, by its largest entry, and the cotangent of the eigenvalues. `norms` has room for
  // RoundingOfK::kNorms times n numbers.
  void measure(const eigenpair_hermitian_rule& p, int64_t index, R of_k, R* norms) {
    kappa_.open(p, index, of_k, norms);
    dw_ = p.dw == nullptr ? nullptr : static_cast<const R*>(p.dw) + index * p.n;
    R largest = 0;
    for (int64_t i = 0; dw_ != nullptr && i < p.n; ++i) largest = larger(largest, absolute(dw_[i]));
    split_ = static_cast<R>(kRoundingOfCotangent) * rounding_ * largest;
  }

  // i < j, by the sizes of the anti-Hermitian and of the Hermitian part of K there. `not <=` rather than `>`: a NaN in
  // the cotangent fails the test.
  Judgement judge(int64_t i, int64_t j, R rotation, R mixing) const {
    const bool inside = together(i, j), close = absolute(w_[j] - w_[i]) <= near();
    if (!inside && !close) return kCounts;
    const bool same = dw_ == nullptr || absolute(dw_[i] - dw_[j]) <= split_;
    const R rounding = rounding_ * kappa_(i, j);
    const R limit = static_cast<R>(kRoundingOfCotangent) * rounding;
    const R noise = static_cast<R>(kNoiseOfCotangent) * rounding;
    if (inside && (depends_on_basis(rotation, limit) || depends_on_order(mixing, same, limit))) return kRefused;
    return close && is_noise(rotation, mixing, same, noise) ? kNoise : kCounts;
  }

  // What of an entry of a form is rounding, if its parts are of that size and the largest entry is `largest`; NaN where
  // it is not known.
  R rounding_of_form(R parts, R largest) const {
    return kRoundingOfCotangent * rounding_ * at_most_of<R>(parts, largest);
  }

 private:
  R near() const { return static_cast<R>(kNear) * scale_; }

  const R* w_ = nullptr;
  const R* dw_ = nullptr;
  const int32_t* first_ = nullptr;
  int32_t policy_ = 0;
  R parameter_ = 0, rounding_ = 0, scale_ = 0, reach_ = 0, split_ = 0;
  RoundingOfK<T> kappa_;
  bool far_ = true, clustered_ = false;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
