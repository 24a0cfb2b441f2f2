// eigenpair_decide for Hermitian problems: computes the sizes that a decision needs. The decision itself is gaps-inl.h.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "degeneracy/decision.h"
#include "degeneracy/decision_arrays-inl.h"
#include "degeneracy/gaps-inl.h"
#include "degeneracy/rounding-inl.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T>
class HermitianDecision {
 public:
  using R = typename RealPart<T>::type;

  explicit HermitianDecision(const eigenpair_decision& p)
      : p_(p), n_(p.n), order_(p.order), first_(static_cast<size_t>(n_)), norms_(RoundingOfK<T>::kNorms * size_t(n_)) {}

  void run(int64_t index) {
    DecisionArrays arrays(p_, index);
    open(arrays);
    if (p_.policy == EIGENPAIR_POLICY_CHECK) {
      if (p_.mode == EIGENPAIR_DECIDE_REVERSE) {
        decide_reverse(arrays);
      } else if (p_.mode == EIGENPAIR_DECIDE_FORWARD) {
        decide_forward(arrays);
      } else {
        arrays.write([&](int64_t i, int64_t j) {
          return too_close_for_second_order(i, j) ? EIGENPAIR_REASON_SECOND : EIGENPAIR_REASON_NONE;
        });
      }
      refuse_edges(arrays);
    } else {
      arrays.write([&](int64_t i, int64_t j) {
        const bool dropped = p_.policy == EIGENPAIR_POLICY_MASK      ? w_[j] - w_[i] <= static_cast<R>(p_.parameter)
                             : p_.policy == EIGENPAIR_POLICY_BROADEN ? w_[j] == w_[i]
                                                                     : false;
        return dropped ? EIGENPAIR_REASON_POLICY : EIGENPAIR_REASON_NONE;
      });
    }
    arrays.finish();
  }

 private:
  const T* basis(const DecisionArrays& arrays, bool dual) const {
    return arrays.input<T>(dual ? p_.u : p_.v, order_ * n_);
  }

  void open(const DecisionArrays& arrays) {
    w_ = arrays.input<R>(p_.w, n_);
    const R* scale = arrays.input<R>(p_.scale, 1);
    R of_norms = 0;
    // Other policies need no scale, and v may be NULL.
    if (scale == nullptr && p_.norms != nullptr && p_.policy == EIGENPAIR_POLICY_CHECK) {
      of_norms = scale_of_pair(arrays);
      scale = &of_norms;
    }
    gaps_.open(w_, n_, order_, scale, p_.policy, p_.parameter, first_.data());
    if (R* used = arrays.output<R>(p_.scales, 1)) *used = gaps_.scale();
    k_ = p_.mode == EIGENPAIR_DECIDE_SECOND ? nullptr : arrays.input<T>(p_.k, n_ * n_);
  }

  // The largest |A| |x|² + |w| |B| |y|², with x and y as in the table of docs/derivations.md.
  R scale_of_pair(const DecisionArrays& arrays) {
    const R* size = arrays.input<R>(p_.norms, 2);
    R *x = norms_.data(), *y = x + n_, largest = 0;
    column_norms(basis(arrays, p_.type == 2), order_, n_, arrays.by_rows(), x);
    column_norms(basis(arrays, p_.type == 3), order_, n_, arrays.by_rows(), y);
    // In this order: |x|² alone may overflow where the product does not.
    for (int64_t i = 0; i < n_; ++i) {
      largest = larger(largest, size[0] * x[i] * x[i] + absolute(w_[i]) * (size[1] * y[i] * y[i]));
    }
    return largest;
  }

  // The largest entry, as far as known, of the matrix of the whole problem that is divided by gaps.
  R largest_entry(const DecisionArrays& arrays) const {
    const R* known = arrays.input<R>(p_.largest, 1);
    R largest = known == nullptr ? R(0) : *known;
    for (int64_t i = 0; i < n_ * n_; ++i) largest = larger(largest, absolute(k_[i]));
    return largest;
  }

  // ---- reverse ----

  void decide_reverse(DecisionArrays& arrays) {
    gaps_.set_dw(arrays.input<R>(p_.dw, n_), n_);
    if (k_ == nullptr) return write_clusters(arrays);
    const R* sizes = arrays.input<R>(p_.sizes, n_ * n_);
    const R largest = sizes == nullptr ? largest_entry(arrays) : R(0);
    RoundingOfK<T> rounding;
    if (sizes == nullptr) {
      rounding.open(basis(arrays, false), arrays.input<T>(p_.dv, order_ * n_), basis(arrays, true),
                    arrays.input<T>(p_.du, order_ * n_), order_, n_, arrays.by_rows(), norms_.data());
    }
    const auto size = [&](int64_t i, int64_t j) {
      return sizes != nullptr ? sizes[arrays.at(i, j)] : at_most_half_of_digits(rounding(i, j), largest);
    };
    arrays.write([&](int64_t i, int64_t j) {
      const T x = scaled(k_[arrays.at(i, j)], R(0.5)), y = scaled(conj_(k_[arrays.at(j, i)]), R(0.5));
      return gaps_.reason_reverse(i, j, absolute(minus(x, y)), absolute(plus(x, y)), size);
    });
  }

  void write_clusters(DecisionArrays& arrays) const {
    arrays.write([&](int64_t i, int64_t j) {
      return gaps_.share_cluster(i, j) ? EIGENPAIR_REASON_CLUSTER : EIGENPAIR_REASON_NONE;
    });
  }

  // ---- forward ----

  void decide_forward(DecisionArrays& arrays) {
    const bool asks = k_ != nullptr && gaps_.clustered() && (p_.options & EIGENPAIR_RULE_MASK_COUPLED) == 0;
    if (!asks) return write_clusters(arrays);
    const R* sizes = arrays.input<R>(p_.sizes, n_ * n_);
    std::vector<R> computed;
    if (sizes == nullptr) {
      computed = tangent_sizes(arrays);
      sizes = computed.data();
    }
    arrays.write([&](int64_t i, int64_t j) {
      const int64_t here = arrays.at(i, j), across = arrays.at(j, i);
      return gaps_.reason_forward(i, j, absolute(k_[here]), sizes[here], absolute(k_[across]), sizes[across]);
    });
  }

  // docs/derivations.md, "Forward mode"; inside clusters, other entries are 0.
  std::vector<R> tangent_sizes(const DecisionArrays& arrays) const {
    std::vector<R> sizes(static_cast<size_t>(n_ * n_)), row(static_cast<size_t>(order_)), turns(first_.size());
    const auto add_form = [&](const void* tangent, bool dual, bool by_mean) {
      const T* a = arrays.input<T>(tangent, order_ * order_);
      const T* x = basis(arrays, dual);
      if (a == nullptr) return;
      const auto of_a = [&](int64_t k, int64_t l) { return absolute(a[arrays.at(k, l, order_, order_)]); };
      const auto of_x = [&](int64_t k, int64_t j) { return absolute(x[arrays.at(k, j, order_, n_)]); };
      const auto wanted = [&](int64_t i, int64_t j) { return i < j && gaps_.share_cluster(i, j); };
      const auto add = [&](int64_t i, int64_t j, R sum) {
        sizes[size_t(arrays.at(i, j))] += by_mean ? absolute(R(0.5) * w_[i] + R(0.5) * w_[j]) * sum : sum;
      };
      add_rounding_of_form<R>(order_, n_, of_x, of_a, of_x, wanted, add, row.data());
    };
    add_form(p_.da, p_.type == 2, false);
    add_form(p_.db, p_.type == 3, true);
    const R* outside = arrays.input<R>(p_.outside, n_);
    for (int64_t j = 0; j < n_; ++j) {
      const auto turn = [&](int64_t i) {
        return i == j ? R(0) : absolute(gaps_.inverse_of(i, j)) * absolute(k_[arrays.at(i, j)]);
      };
      turns[size_t(j)] = norm_of<R>(n_, turn) + (outside == nullptr ? R(0) : outside[j]);
    }
    const R largest = largest_entry(arrays);
    // Sizes are in units of √n ε, with n the number of eigenvalues; the rounded sums have `order` terms.
    const R factor = static_cast<R>(std::sqrt(static_cast<double>(order_) / static_cast<double>(n_)));
    for (int64_t j = 1; j < n_; ++j) {
      for (int64_t i = 0; i < j; ++i) {
        R& size = sizes[size_t(arrays.at(i, j))];
        size = at_most_half_of_digits((size + gaps_.scale() * (turns[size_t(i)] + turns[size_t(j)])) * factor, largest);
        sizes[size_t(arrays.at(j, i))] = size;
      }
    }
    return sizes;
  }

  // ---- second order, subsets ----

  // Second derivatives through eigenvectors divide by gaps twice, so rounding errors matter at larger gaps.
  R second_order_width() const {
    const R width = cluster_width<R>(p_.parameter, order_);
    return ((p_.options & EIGENPAIR_DECIDE_VECTORS) != 0 ? std::max(width, std::sqrt(width)) : width) * gaps_.scale();
  }

  bool too_close_for_second_order(int64_t i, int64_t j) const { return !(w_[j] - w_[i] > second_order_width()); }

  // Vectors of a subset that share a cluster with an eigenvalue outside of it.
  void refuse_edges(DecisionArrays& arrays) const {
    const R* edges = arrays.input<R>(p_.edges, 2);
    const bool second = p_.mode == EIGENPAIR_DECIDE_SECOND;
    if (edges == nullptr || (!second && k_ == nullptr)) return;
    const R width = second ? second_order_width() : gaps_.width();
    const bool below = !(w_[0] - edges[0] > width), above = !(edges[1] - w_[n_ - 1] > width);
    for (int64_t i = 0; i < n_; ++i) {
      const bool open = second ? (i == 0 && below) || (i == n_ - 1 && above)
                               : (below && gaps_.share_cluster(0, i)) || (above && gaps_.share_cluster(i, n_ - 1));
      if (open && is_used(arrays, i)) arrays.refuse(i, second ? EIGENPAIR_REASON_SECOND : EIGENPAIR_REASON_EDGE);
    }
  }

  // Whether the loss uses eigenvector j; in forward mode, all have tangents.
  bool is_used(const DecisionArrays& arrays, int64_t j) const {
    if (p_.mode != EIGENPAIR_DECIDE_REVERSE) return true;
    if (p_.used != nullptr) return arrays.input<int32_t>(p_.used, n_)[j] != 0;
    const T* dv = arrays.input<T>(p_.dv, order_ * n_);
    if (dv == nullptr) return true;
    for (int64_t k = 0; k < order_; ++k) {
      if (!(absolute(dv[arrays.at(k, j, order_, n_)]) == 0)) return true;
    }
    return false;
  }

  const eigenpair_decision& p_;
  const int64_t n_, order_;
  std::vector<int32_t> first_;
  std::vector<R> norms_;
  Gaps<R> gaps_;
  const R* w_ = nullptr;
  const T* k_ = nullptr;
};

template <typename T>
void decide(const eigenpair_decision& p) {
  HermitianDecision<T> decision(p);
  for (int64_t index = 0; index < p.batch; ++index) decision.run(index);
}

}  // namespace
}  // namespace EIGENPAIR_ISA

void decide_hermitian(const eigenpair_decision& p) {
  using namespace EIGENPAIR_ISA;
  switch (p.dtype) {
    case EIGENPAIR_FLOAT32: return decide<float>(p);
    case EIGENPAIR_FLOAT64: return decide<double>(p);
    case EIGENPAIR_COMPLEX64: return decide<Complex<float>>(p);
    default: return decide<Complex<double>>(p);
  }
}

}  // namespace eigenpair
