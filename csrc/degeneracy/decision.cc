// What a policy decides about each two eigenvalues: eigenpair_decide of the C ABI.
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "degeneracy/decision-inl.h"
#include "eigenpair.h"
#include "runtime/problem.h"

namespace eigenpair {

namespace {

using namespace EIGENPAIR_ISA;

template <typename T>
struct RealOf {
  using type = T;
};
template <typename R>
struct RealOf<std::complex<R>> {
  using type = R;
};

// In a cluster, vectors with condition numbers so large that 10 c sqrt(n) epsilon condition^2 reaches 1 are nearly
// parallel: no coupling is small enough to be rounding.
constexpr double kNearlyParallel = 10;
// Up to this condition number a small coupling has a small effect, so that noise may be dropped.
constexpr double kWellConditioned = 1e3;

// Sets of eigenvalues that are connected by close ones.
class Clusters {
 public:
  explicit Clusters(int64_t n) : parent_(static_cast<size_t>(n)) {
    for (size_t i = 0; i < parent_.size(); ++i) parent_[i] = static_cast<int64_t>(i);
  }
  void join(int64_t i, int64_t j) {
    const int64_t x = root(i), y = root(j);
    at(std::max(x, y)) = std::min(x, y);
  }
  bool together(int64_t i, int64_t j) { return root(i) == root(j); }

 private:
  int64_t& at(int64_t i) { return parent_[static_cast<size_t>(i)]; }
  int64_t root(int64_t i) {
    while (at(i) != i) i = at(i) = at(at(i));
    return i;
  }
  std::vector<int64_t> parent_;
};

// The decisions about one matrix. K has entries of type T; eigenvalues are of type W.
template <typename T, typename W>
class Decider {
 public:
  using R = typename RealOf<T>::type;
  static constexpr bool kGeneral = !std::is_same_v<W, R>;

  Decider(const eigenpair_decision& p, int64_t index)
      : p_(p),
        n_(p.n),
        index_(index),
        w_(of_vector<W>(p.w)),
        dw_(p.mode == EIGENPAIR_DECIDE_REVERSE ? of_vector<W>(p.dw) : nullptr),
        reach_(of_vector<R>(p.reach)),
        condition_(of_vector<R>(p.condition)),
        k_(p.mode == EIGENPAIR_DECIDE_SECOND ? nullptr : of_matrix<T>(p.k)),
        sizes_(of_matrix<R>(p.sizes)),
        clusters_(p.n) {}

  void run() {
    measure();
    if (p_.policy == EIGENPAIR_POLICY_CHECK) find_clusters();
    for (int64_t i = 0; i < n_; ++i) {
      write(i, i, EIGENPAIR_REASON_NONE);
      write_limit(i, i);
      if (p_.lost != nullptr) p_.lost[index_ * n_ + i] = EIGENPAIR_REASON_NONE;
    }
    for (int64_t j = 1; j < n_; ++j) {
      for (int64_t i = 0; i < j; ++i) {
        const int32_t reason = reason_of(i, j);
        write(i, j, reason);
        write(j, i, reason);
        write_limit(i, j);
        write_limit(j, i);
        if (is_refusal(reason)) {
          lose(i, reason);
          lose(j, reason);
        }
      }
    }
    if (p_.policy == EIGENPAIR_POLICY_CHECK) refuse_edges();
    if (p_.mode == EIGENPAIR_DECIDE_SECOND) refuse_infinite();
    if (p_.refused != nullptr) p_.refused[index_] = refused_ ? 1 : 0;
  }

 private:
  template <typename X>
  const X* of_vector(const void* base) const {
    return base == nullptr ? nullptr : static_cast<const X*>(base) + index_ * n_;
  }
  template <typename X>
  const X* of_matrix(const void* base) const {
    return base == nullptr ? nullptr : static_cast<const X*>(base) + index_ * n_ * n_;
  }
  int64_t place(int64_t i, int64_t j) const { return p_.layout == EIGENPAIR_ROW_MAJOR ? i * n_ + j : i + j * n_; }

  static bool is_refusal(int32_t reason) {
    return reason != EIGENPAIR_REASON_NONE && reason < EIGENPAIR_REASON_CLUSTER;
  }

  void measure() {
    const R epsilon = std::numeric_limits<R>::epsilon();
    rounding_ = epsilon * static_cast<R>(std::sqrt(static_cast<double>(n_)));
    // A subset has clusters as wide as the whole problem.
    width_ = static_cast<R>(p_.parameter) * epsilon * static_cast<R>(std::sqrt(static_cast<double>(p_.order)));
    if (kGeneral) {
      for (int64_t i = 0; reach_ != nullptr && i < n_; ++i) scale_ = std::max(scale_, reach_[i]);
    } else if (p_.scale != nullptr) {
      scale_ = static_cast<const R*>(p_.scale)[index_];
    } else {
      for (int64_t i = 0; i < n_; ++i) scale_ = std::max(scale_, std::abs(w_[i]));
    }
    R largest = 0;
    // A NaN stays the largest.
    for (int64_t i = 0; dw_ != nullptr && i < n_; ++i) {
      const R x = std::abs(dw_[i]);
      largest = x <= largest || std::isnan(largest) ? largest : x;
    }
    split_ = static_cast<R>(kRoundingOfCotangent) * rounding_ * largest;
    if (p_.mode == EIGENPAIR_DECIDE_SECOND && (p_.options & EIGENPAIR_DECIDE_VECTORS) != 0) {
      width_ = std::max(width_, std::sqrt(width_));
    }
  }

  static bool is_infinite(W x) { return std::isinf(std::real(x)) || std::isinf(std::imag(x)); }

  // |w_j - w_i|; of a general problem in homogeneous form, where infinity is (1, 0).
  R gap(int64_t i, int64_t j) const {
    if constexpr (kGeneral) {
      const W zero(0), one(1);
      const W alpha_i = is_infinite(w_[i]) ? one : w_[i], beta_i = is_infinite(w_[i]) ? zero : one;
      const W alpha_j = is_infinite(w_[j]) ? one : w_[j], beta_j = is_infinite(w_[j]) ? zero : one;
      return std::abs(alpha_j * beta_i - beta_j * alpha_i);
    } else {
      return std::abs(w_[j] - w_[i]);
    }
  }

  // `not >` rather than `<=`: NaN is close to everything.
  bool is_close(int64_t i, int64_t j) const {
    if constexpr (kGeneral) {
      if (is_infinite(w_[i]) != is_infinite(w_[j])) return false;
      return !(gap(i, j) > std::max(width_ * reach_[i], width_ * reach_[j]));
    } else {
      return !(w_[j] - w_[i] > width_ * scale_);
    }
  }

  void find_clusters() {
    for (int64_t j = 1; j < n_; ++j) {
      for (int64_t i = kGeneral ? 0 : j - 1; i < j; ++i) {
        if (is_close(i, j)) clusters_.join(i, j);
      }
    }
  }

  R worst_condition(int64_t i, int64_t j) const { return std::max(condition_[i], condition_[j]); }

  // NaN is defective.
  bool is_defective(int64_t i, int64_t j) const {
    if constexpr (!kGeneral) return false;
    const R worst = worst_condition(i, j);
    if (std::isnan(condition_[i]) || std::isnan(condition_[j])) return true;
    return !(static_cast<R>(kNearlyParallel) * width_ * worst * worst < 1);
  }

  bool has_same_dw(int64_t i, int64_t j) const { return dw_ == nullptr || std::abs(dw_[i] - dw_[j]) <= split_; }

  int32_t reason_of(int64_t i, int64_t j) {
    switch (p_.policy) {
      case EIGENPAIR_POLICY_RAW: return EIGENPAIR_REASON_NONE;
      case EIGENPAIR_POLICY_MASK:
        return gap(i, j) <= static_cast<R>(p_.parameter) ? EIGENPAIR_REASON_POLICY : EIGENPAIR_REASON_NONE;
      case EIGENPAIR_POLICY_BROADEN: return gap(i, j) == 0 ? EIGENPAIR_REASON_POLICY : EIGENPAIR_REASON_NONE;
      default: break;
    }
    const bool inside = clusters_.together(i, j);
    switch (p_.mode) {
      case EIGENPAIR_DECIDE_SECOND: return is_close(i, j) ? EIGENPAIR_REASON_SECOND : EIGENPAIR_REASON_NONE;
      case EIGENPAIR_DECIDE_FORWARD: return inside ? reason_forward(i, j) : EIGENPAIR_REASON_NONE;
      default: return kGeneral ? reason_general(i, j, inside) : reason_hermitian(i, j, inside);
    }
  }

  // Of the perturbation: whether it couples two vectors of a cluster.
  int32_t reason_forward(int64_t i, int64_t j) const {
    if (k_ == nullptr || (p_.options & EIGENPAIR_RULE_MASK_COUPLED) != 0) return EIGENPAIR_REASON_CLUSTER;
    if (is_defective(i, j)) return EIGENPAIR_REASON_DEFECTIVE;
    const auto is_rounding = [&](int64_t at) { return std::abs(k_[at]) <= limit(at); };
    return is_rounding(place(i, j)) && is_rounding(place(j, i)) ? EIGENPAIR_REASON_CLUSTER : EIGENPAIR_REASON_COUPLED;
  }

  // Of the cotangent in a Hermitian problem.
  int32_t reason_hermitian(int64_t i, int64_t j, bool inside) const {
    if (k_ == nullptr) return inside ? EIGENPAIR_REASON_CLUSTER : EIGENPAIR_REASON_NONE;
    const T x = k_[place(i, j)], y = adjoint(k_[place(j, i)]);
    const R rotation = std::abs(R(0.5) * x - R(0.5) * y), mixing = std::abs(R(0.5) * x + R(0.5) * y);
    const int64_t at = place(i, j);
    const bool same = has_same_dw(i, j);
    if (inside) {
      if (depends_on_basis(rotation, limit(at))) return EIGENPAIR_REASON_BASIS;
      return depends_on_order(mixing, same, limit(at)) ? EIGENPAIR_REASON_ORDER : EIGENPAIR_REASON_CLUSTER;
    }
    const bool dropped =
        gap(i, j) <= static_cast<R>(kNear) * scale_ && is_noise(rotation, mixing, same, noise_limit(at));
    return dropped ? EIGENPAIR_REASON_NOISE : EIGENPAIR_REASON_NONE;
  }

  // Of the cotangent in a general problem, where each entry of K stands for itself.
  int32_t reason_general(int64_t i, int64_t j, bool inside) const {
    const bool same = has_same_dw(i, j);
    const int64_t here = place(i, j), across = place(j, i);
    if (inside) {
      const bool vectors = k_ != nullptr;
      if ((vectors || !same) && is_defective(i, j)) return EIGENPAIR_REASON_DEFECTIVE;
      const auto rotates = [&](int64_t at) { return depends_on_basis(std::abs(k_[at]), limit(at)); };
      if (vectors && (rotates(here) || rotates(across))) return EIGENPAIR_REASON_BASIS;
      return same ? EIGENPAIR_REASON_CLUSTER : EIGENPAIR_REASON_ORDER;
    }
    if (k_ == nullptr || !(gap(i, j) <= static_cast<R>(kNear) * scale_)) return EIGENPAIR_REASON_NONE;
    if (!(worst_condition(i, j) < static_cast<R>(kWellConditioned))) return EIGENPAIR_REASON_NONE;
    const auto negligible = [&](int64_t at) {
      return is_noise(std::abs(k_[at]), std::abs(k_[at]), same, noise_limit(at));
    };
    return negligible(here) && negligible(across) ? EIGENPAIR_REASON_NOISE : EIGENPAIR_REASON_NONE;
  }

  static T adjoint(T x) {
    if constexpr (std::is_same_v<T, R>) {
      return x;
    } else {
      return std::conj(x);
    }
  }

  R limit(int64_t at) const { return static_cast<R>(kRoundingOfCotangent) * (rounding_ * sizes_[at]); }
  R noise_limit(int64_t at) const { return static_cast<R>(kNoiseOfCotangent) * (rounding_ * sizes_[at]); }

  void write(int64_t i, int64_t j, int32_t reason) {
    const int64_t at = index_ * n_ * n_ + place(i, j);
    if (p_.reasons != nullptr) p_.reasons[at] = reason;
    if (p_.gaps == nullptr) return;
    p_.gaps[at] = reason == EIGENPAIR_REASON_NONE ? EIGENPAIR_GAP_KEPT
                  : is_refusal(reason)            ? EIGENPAIR_GAP_REFUSED
                                                  : EIGENPAIR_GAP_DROPPED;
  }

  void write_limit(int64_t i, int64_t j) {
    if (p_.limits == nullptr) return;
    static_cast<R*>(p_.limits)[index_ * n_ * n_ + place(i, j)] =
        sizes_ == nullptr ? std::numeric_limits<R>::quiet_NaN() : limit(place(i, j));
  }

  // Keeps the first reason.
  void lose(int64_t i, int32_t reason) {
    refused_ = true;
    if (p_.lost == nullptr) return;
    int32_t& mine = p_.lost[index_ * n_ + i];
    if (mine == EIGENPAIR_REASON_NONE) mine = reason;
  }

  // Vectors of a subset that share a cluster with an eigenvalue outside of it.
  void refuse_edges() {
    if (kGeneral || p_.edges == nullptr) return;
    const bool second = p_.mode == EIGENPAIR_DECIDE_SECOND;
    if (!second && k_ == nullptr) return;
    const R* edges = static_cast<const R*>(p_.edges) + index_ * 2;
    const R reach = width_ * scale_;
    const W first = w_[0], last = w_[n_ - 1];
    const bool below = !(std::real(first) - edges[0] > reach), above = !(edges[1] - std::real(last) > reach);
    for (int64_t i = 0; i < n_; ++i) {
      const bool open = second ? (i == 0 && below) || (i == n_ - 1 && above)
                               : (below && clusters_.together(0, i)) || (above && clusters_.together(i, n_ - 1));
      const bool used = p_.mode != EIGENPAIR_DECIDE_REVERSE || p_.used == nullptr || p_.used[index_ * n_ + i] != 0;
      if (open && used) lose(i, second ? EIGENPAIR_REASON_SECOND : EIGENPAIR_REASON_EDGE);
    }
  }

  // A pencil with an infinite eigenvalue has no second derivatives, whatever the policy.
  void refuse_infinite() {
    for (int64_t i = 0; kGeneral && i < n_; ++i) {
      if (is_infinite(w_[i])) lose(i, EIGENPAIR_REASON_SECOND);
    }
  }

  const eigenpair_decision& p_;
  const int64_t n_, index_;
  const W *w_, *dw_;
  const R *reach_, *condition_;
  const T* k_;
  const R* sizes_;
  Clusters clusters_;
  R rounding_ = 0, width_ = 0, scale_ = 0, split_ = 0;
  bool refused_ = false;
};

template <typename T, typename W>
void decide(const eigenpair_decision& p) {
  for (int64_t index = 0; index < p.batch; ++index) Decider<T, W>(p, index).run();
}

void check(const eigenpair_decision& p) {
  require(p.struct_size == sizeof p, "decision.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "decision.dtype is unknown");
  require(p.general == 0 || p.general == 1, "decision.general must be 0 or 1");
  require(p.general == 0 || p.dtype >= EIGENPAIR_COMPLEX64, "decision.dtype must be complex for a general problem");
  require(p.mode >= EIGENPAIR_DECIDE_FORWARD && p.mode <= EIGENPAIR_DECIDE_SECOND, "decision.mode is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "decision.layout is unknown");
  require(p.policy >= EIGENPAIR_POLICY_CHECK && p.policy <= EIGENPAIR_POLICY_RAW, "decision.policy is unknown");
  require((p.options & ~(EIGENPAIR_RULE_MASK_COUPLED | EIGENPAIR_DECIDE_VECTORS)) == 0, "decision.options are unknown");
  require(p.parameter >= 0, "decision.parameter is negative");
  require(p.n >= 0 && p.n <= (int64_t{1} << 20), "decision.n is negative or too large");
  require(p.order >= p.n, "decision.order is less than decision.n");
  require(p.batch >= 0, "decision.batch is negative");
  if (p.n == 0 || p.batch == 0) return;
  require(p.w != nullptr, "decision.w is NULL");
  if (p.policy != EIGENPAIR_POLICY_CHECK) return;
  require(p.k == nullptr || p.sizes != nullptr || p.mode == EIGENPAIR_DECIDE_SECOND, "decision.sizes is NULL");
  require(p.general == 0 || (p.reach != nullptr && p.condition != nullptr), "decision.reach or .condition is NULL");
}

}  // namespace

}  // namespace eigenpair

using namespace eigenpair;

extern "C" {

eigenpair_status eigenpair_decide(const eigenpair_decision* decision) {
  return guarded([&] {
    require(decision != nullptr, "decision is NULL");
    check(*decision);
    if (decision->n == 0) {
      for (int64_t i = 0; decision->refused != nullptr && i < decision->batch; ++i) decision->refused[i] = 0;
      return;
    }
    const bool general = decision->general != 0;
    switch (decision->dtype) {
      case EIGENPAIR_FLOAT32: return decide<float, float>(*decision);
      case EIGENPAIR_FLOAT64: return decide<double, double>(*decision);
      case EIGENPAIR_COMPLEX64:
        return general ? decide<std::complex<float>, std::complex<float>>(*decision)
                       : decide<std::complex<float>, float>(*decision);
      default:
        return general ? decide<std::complex<double>, std::complex<double>>(*decision)
                       : decide<std::complex<double>, double>(*decision);
    }
  });
}

}  // extern "C"
