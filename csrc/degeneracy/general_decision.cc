// eigenpair_decide for general problems, docs/derivations.md, "The general problem". Eigenvalues are in homogeneous
// form (alpha, beta): (w, 1), or (1, 0) where infinite.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "degeneracy/decision.h"
#include "degeneracy/decision_arrays-inl.h"
#include "degeneracy/gaps-inl.h"
#include "degeneracy/rounding-inl.h"
#include "degeneracy/thresholds-inl.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// Sets of eigenvalues that are connected by close ones.
class Clusters {
 public:
  void open(int64_t n) {
    parent_.resize(static_cast<size_t>(n));
    for (size_t i = 0; i < parent_.size(); ++i) parent_[i] = static_cast<int64_t>(i);
  }
  void join(int64_t i, int64_t j) {
    const int64_t x = root(i), y = root(j);
    parent(std::max(x, y)) = std::min(x, y);
  }
  bool share(int64_t i, int64_t j) { return root(i) == root(j); }

 private:
  int64_t& parent(int64_t i) { return parent_[static_cast<size_t>(i)]; }
  int64_t root(int64_t i) {
    while (parent(i) != i) i = parent(i) = parent(parent(i));
    return i;
  }
  std::vector<int64_t> parent_;
};

template <typename R>
class GeneralDecision {
 public:
  using T = Complex<R>;

  explicit GeneralDecision(const eigenpair_decision& p)
      : p_(p),
        n_(p.n),
        rounding_(cluster_width<R>(1, n_)),
        norms_(RoundingOfK<T>::kNorms * size_t(n_)),
        computed_(2 * size_t(n_)) {}

  void run(int64_t index) {
    DecisionArrays arrays(p_, index);
    w_ = arrays.input<T>(p_.w, n_);
    dw_ = p_.mode == EIGENPAIR_DECIDE_REVERSE ? arrays.input<T>(p_.dw, n_) : nullptr;
    k_ = p_.mode == EIGENPAIR_DECIDE_SECOND ? nullptr : arrays.input<T>(p_.k, n_ * n_);
    if (p_.policy == EIGENPAIR_POLICY_CHECK) {
      measure(arrays);
      decide_by_check(arrays);
    } else {
      arrays.write([&](int64_t i, int64_t j) {
        const bool dropped = p_.policy == EIGENPAIR_POLICY_MASK      ? gap(i, j) <= static_cast<R>(p_.parameter)
                             : p_.policy == EIGENPAIR_POLICY_BROADEN ? gap(i, j) == 0
                                                                     : false;
        return dropped ? EIGENPAIR_REASON_POLICY : EIGENPAIR_REASON_NONE;
      });
    }
    // A pencil with an infinite eigenvalue has no second derivatives, under any policy.
    for (int64_t i = 0; p_.mode == EIGENPAIR_DECIDE_SECOND && i < n_; ++i) {
      if (is_infinite(i)) arrays.refuse(i, EIGENPAIR_REASON_SECOND);
    }
    arrays.finish();
  }

 private:
  void decide_by_check(DecisionArrays& arrays) {
    clusters_.open(n_);
    for (int64_t j = 1; j < n_; ++j) {
      for (int64_t i = 0; i < j; ++i) {
        if (is_close(i, j, width_)) clusters_.join(i, j);
      }
    }
    switch (p_.mode) {
      case EIGENPAIR_DECIDE_SECOND: {
        const bool vectors = (p_.options & EIGENPAIR_DECIDE_VECTORS) != 0;
        const R width = vectors ? std::max(width_, std::sqrt(width_)) : width_;
        return arrays.write([&](int64_t i, int64_t j) {
          return is_close(i, j, width) ? EIGENPAIR_REASON_SECOND : EIGENPAIR_REASON_NONE;
        });
      }
      case EIGENPAIR_DECIDE_FORWARD: return decide_forward(arrays);
      default: return decide_reverse(arrays);
    }
  }

  // How far a rounding error of size 1 moves each eigenvalue, and its condition number.
  void measure(const DecisionArrays& arrays) {
    reach_ = arrays.input<R>(p_.reach, n_);
    condition_ = arrays.input<R>(p_.condition, n_);
    if (reach_ == nullptr) {
      const R* size = arrays.input<R>(p_.norms, 2);
      const R of_b = p_.type == 0 ? R(0) : size[1];
      R *reach = computed_.data(), *condition = reach + n_;
      column_norms(arrays.input<T>(p_.u, n_ * n_), n_, n_, arrays.by_rows(), reach);
      column_norms(arrays.input<T>(p_.v, n_ * n_), n_, n_, arrays.by_rows(), condition);
      for (int64_t i = 0; i < n_; ++i) {
        const R length = reach[i] * condition[i];
        reach[i] = (size[0] + (is_infinite(i) ? R(0) : absolute(w_[i]) * of_b)) * length;
        condition[i] = p_.type == 0 ? length : length * of_b;
      }
      reach_ = reach;
      condition_ = condition;
    }
    width_ = cluster_width<R>(p_.parameter, n_);
    scale_ = 0;
    for (int64_t i = 0; i < n_; ++i) scale_ = std::max(scale_, reach_[i]);
    R largest = 0;
    for (int64_t i = 0; dw_ != nullptr && i < n_; ++i) largest = larger(largest, absolute(dw_[i]));
    split_ = limit(largest);
  }

  bool is_infinite(int64_t i) const { return std::isinf(w_[i].re) || std::isinf(w_[i].im); }
  // |alpha| and |beta|
  R alpha(int64_t i) const { return is_infinite(i) ? R(1) : absolute(w_[i]); }
  R beta(int64_t i) const { return is_infinite(i) ? R(0) : R(1); }

  // |alpha_j beta_i - beta_j alpha_i|
  R gap(int64_t i, int64_t j) const {
    if (is_infinite(i) || is_infinite(j)) return is_infinite(i) == is_infinite(j) ? R(0) : R(1);
    return absolute(minus(w_[j], w_[i]));
  }

  // `not >` rather than `<=`: NaN is close to everything.
  bool is_close(int64_t i, int64_t j, R width) const {
    if (is_infinite(i) != is_infinite(j)) return false;
    return !(gap(i, j) > std::max(width * reach_[i], width * reach_[j]));
  }

  // NaN is defective.
  bool is_defective(int64_t i, int64_t j) const {
    if (std::isnan(condition_[i]) || std::isnan(condition_[j])) return true;
    const R worst = std::max(condition_[i], condition_[j]);
    return !(static_cast<R>(kNearlyParallel) * width_ * worst * worst < 1);
  }

  R limit(R size) const { return static_cast<R>(kRoundingLimit) * (rounding_ * size); }
  R noise_limit(R size) const { return static_cast<R>(kNoiseLimit) * (rounding_ * size); }

  bool has_same_dw(int64_t i, int64_t j) const { return dw_ == nullptr || absolute(minus(dw_[i], dw_[j])) <= split_; }

  // ---- reverse ----

  // Unlike in Hermitian problems, K_ij and K_ji are tested separately.
  void decide_reverse(DecisionArrays& arrays) {
    const R* sizes = arrays.input<R>(p_.sizes, n_ * n_);
    RoundingOfK<T> rounding;
    if (k_ != nullptr && sizes == nullptr) {
      rounding.open(arrays.input<T>(p_.v, n_ * n_), arrays.input<T>(p_.dv, n_ * n_), arrays.input<T>(p_.u, n_ * n_),
                    arrays.input<T>(p_.du, n_ * n_), n_, n_, arrays.by_rows(), norms_.data());
    }
    const auto size = [&](int64_t i, int64_t j) {
      return sizes != nullptr ? sizes[arrays.at(i, j)] : finite_or_nan(rounding(i, j));
    };
    const auto entry = [&](int64_t i, int64_t j) { return absolute(k_[arrays.at(i, j)]); };
    arrays.write([&](int64_t i, int64_t j) {
      const bool same = has_same_dw(i, j), vectors = k_ != nullptr;
      if (clusters_.share(i, j)) {
        if ((vectors || !same) && is_defective(i, j)) return EIGENPAIR_REASON_DEFECTIVE;
        if (vectors &&
            (depends_on_basis(entry(i, j), limit(size(i, j))) || depends_on_basis(entry(j, i), limit(size(j, i))))) {
          return EIGENPAIR_REASON_BASIS;
        }
        return same ? EIGENPAIR_REASON_CLUSTER : EIGENPAIR_REASON_ORDER;
      }
      if (!vectors || !(gap(i, j) <= static_cast<R>(kNear) * scale_)) return EIGENPAIR_REASON_NONE;
      const R worst = std::max(condition_[i], condition_[j]);
      if (!(worst < static_cast<R>(kWellConditioned))) return EIGENPAIR_REASON_NONE;
      const auto negligible = [&](int64_t a, int64_t b) {
        return is_noise(entry(a, b), entry(a, b), same, noise_limit(size(a, b)));
      };
      return negligible(i, j) && negligible(j, i) ? EIGENPAIR_REASON_NOISE : EIGENPAIR_REASON_NONE;
    });
  }

  // ---- forward ----

  void decide_forward(DecisionArrays& arrays) {
    const bool asks = k_ != nullptr && (p_.options & EIGENPAIR_RULE_MASK_COUPLED) == 0;
    const R* sizes = arrays.input<R>(p_.sizes, n_ * n_);
    std::vector<R> computed;
    if (asks && sizes == nullptr && has_cluster()) {
      computed = tangent_sizes(arrays);
      sizes = computed.data();
    }
    arrays.write([&](int64_t i, int64_t j) {
      if (!clusters_.share(i, j)) return EIGENPAIR_REASON_NONE;
      if (!asks) return EIGENPAIR_REASON_CLUSTER;
      if (is_defective(i, j)) return EIGENPAIR_REASON_DEFECTIVE;
      const int64_t here = arrays.at(i, j), across = arrays.at(j, i);
      return is_coupled(absolute(k_[here]), limit(sizes[here]), absolute(k_[across]), limit(sizes[across]))
                 ? EIGENPAIR_REASON_COUPLED
                 : EIGENPAIR_REASON_CLUSTER;
    });
  }

  bool has_cluster() {
    for (int64_t j = 1; j < n_; ++j) {
      for (int64_t i = 0; i < j; ++i) {
        if (clusters_.share(i, j)) return true;
      }
    }
    return false;
  }

  // docs/derivations.md, "Forward mode"; inside clusters, other entries are 0.
  std::vector<R> tangent_sizes(const DecisionArrays& arrays) {
    std::vector<R> sizes(static_cast<size_t>(n_ * n_)), row(static_cast<size_t>(n_));
    const auto add_form = [&](const void* tangent, const auto& weight) {
      const T* a = arrays.input<T>(tangent, n_ * n_);
      if (a == nullptr) return;
      const T *u = arrays.input<T>(p_.u, n_ * n_), *v = arrays.input<T>(p_.v, n_ * n_);
      const auto size_of = [&](const T* x) {
        return [&arrays, x](int64_t k, int64_t l) { return absolute(x[arrays.at(k, l)]); };
      };
      const auto wanted = [&](int64_t i, int64_t j) { return clusters_.share(i, j); };
      const auto add = [&](int64_t i, int64_t j, R sum) { sizes[size_t(arrays.at(i, j))] += weight(j) * sum; };
      add_rounding_of_form<R>(n_, n_, size_of(u), size_of(a), size_of(v), wanted, add, row.data());
    };
    add_form(p_.da, [&](int64_t j) { return beta(j); });
    add_form(p_.db, [&](int64_t j) { return alpha(j); });
    const auto turn = [&](int64_t i, int64_t j) {
      return i == j || clusters_.share(i, j) ? R(0) : absolute(k_[arrays.at(i, j)]) / gap(i, j);
    };
    for (int64_t i = 0; i < n_; ++i) {
      // Errors in the right vectors, then in the left ones.
      const R right = norm_of<R>(n_, [&](int64_t j) { return turn(i, j) * reach_[j]; });
      const R left = norm_of<R>(n_, [&](int64_t k) { return turn(k, i); });
      for (int64_t j = 0; j < n_; ++j) {
        sizes[size_t(arrays.at(i, j))] += right;
        sizes[size_t(arrays.at(j, i))] += reach_[j] * left;
      }
    }
    for (R& size : sizes) size = finite_or_nan(size);
    return sizes;
  }

  const eigenpair_decision& p_;
  const int64_t n_;
  const R rounding_;
  std::vector<R> norms_, computed_;
  Clusters clusters_;
  const T *w_ = nullptr, *dw_ = nullptr, *k_ = nullptr;
  const R *reach_ = nullptr, *condition_ = nullptr;
  R width_ = 0, scale_ = 0, split_ = 0;
};

template <typename R>
void decide(const eigenpair_decision& p) {
  GeneralDecision<R> decision(p);
  for (int64_t index = 0; index < p.batch; ++index) decision.run(index);
}

}  // namespace
}  // namespace EIGENPAIR_ISA

void decide_general(const eigenpair_decision& p) {
  using namespace EIGENPAIR_ISA;
  return p.dtype == EIGENPAIR_COMPLEX64 ? decide<float>(p) : decide<double>(p);
}

}  // namespace eigenpair
