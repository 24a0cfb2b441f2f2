// What the policies of docs/degeneracy.md make of gaps, and what `check` refuses. Included inside a namespace per
// instruction set.

// These numbers are shared with python/eigenpair/degeneracy.py and julia/src/degeneracy.jl.
constexpr double kRoundingOfCotangent = 64, kNoiseOfCotangent = 8, kNear = 1e-3;

// Of ascending eigenvalues.
template <typename R>
class Gaps {
 public:
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
    first[0] = 0;
    const R width = parameter_ * rounding_ * scale_;
    reach_ = width > near() ? width : near();
    for (int64_t i = 1; policy == EIGENPAIR_POLICY_CHECK && i < n; ++i) {
      const R gap = w[i] - w[i - 1];
      far_ &= gap > reach_;
      // `not >`: a NaN joins everything.
      first[i] = gap > width ? static_cast<int32_t>(i) : first[i - 1];
    }
  }

  // No gap needs a second look.
  bool far() const { return far_; }
  // Nor, for `check`, does any between what is at or before i and what is at or after j.
  bool far(int64_t i, int64_t j) const { return w_[j] - w_[i] > reach_ && !in_cluster(i, j); }
  bool judges() const { return !far_ && policy_ == EIGENPAIR_POLICY_CHECK; }

  // i < j
  R inverse(int64_t i, int64_t j) const {
    const R gap = w_[j] - w_[i];
    if (far_) return 1 / gap;
    if (policy_ == EIGENPAIR_POLICY_BROADEN) return gap == 0 ? 0 : 1 / (gap + parameter_ / gap);
    if (policy_ == EIGENPAIR_POLICY_MASK) return gap <= parameter_ ? 0 : 1 / gap;
    return policy_ == EIGENPAIR_POLICY_CHECK && in_cluster(i, j) ? 0 : 1 / gap;
  }

  // What the judgement measures by: `kappa` is the source of rounding in K, and dw the cotangent of the eigenvalues.
  void measure(R kappa, const R* dw, int64_t n) {
    dw_ = dw;
    const R largest = dw == nullptr ? R(0) : largest_of(dw, n);
    limit_ = static_cast<R>(kRoundingOfCotangent) * rounding_ * kappa;
    noise_ = static_cast<R>(kNoiseOfCotangent) * rounding_ * kappa;
    split_ = static_cast<R>(kRoundingOfCotangent) * rounding_ * largest;
  }

  // i < j, by the sizes of the anti-Hermitian and of the Hermitian part of K there. `not <=` rather than `>`: a NaN in
  // the cotangent fails the test.
  Judgement judge(int64_t i, int64_t j, R rotation, R mixing) const {
    const bool same = dw_ == nullptr || absolute(dw_[i] - dw_[j]) <= split_;
    if (in_cluster(i, j) && (!(rotation <= limit_) || !(same || mixing <= limit_))) return kRefused;
    if (!(absolute(w_[j] - w_[i]) <= near())) return kCounts;
    return rotation <= noise_ && (same || mixing <= noise_) ? kNoise : kCounts;
  }

 private:
  R near() const { return static_cast<R>(kNear) * scale_; }
  bool in_cluster(int64_t i, int64_t j) const { return first_[j] <= i; }

  static R largest_of(const R* x, int64_t n) {
    R largest = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (largest == largest && !(absolute(x[i]) <= largest)) largest = absolute(x[i]);
    }
    return largest;
  }

  const R* w_ = nullptr;
  const R* dw_ = nullptr;
  const int32_t* first_ = nullptr;
  int32_t policy_ = 0;
  R parameter_ = 0, rounding_ = 0, scale_ = 0, reach_ = 0, limit_ = 0, noise_ = 0, split_ = 0;
  bool far_ = true;
};

// The largest 2-norm of a column of an n x n matrix; NaN if there is one in it.
template <typename T>
auto largest_column(const T* matrix, int64_t n, bool rows) {
  using R = typename RealPart<T>::type;
  constexpr int64_t kParts = sizeof(T) / sizeof(R), kBlock = 64;
  const R* x = reinterpret_cast<const R*>(matrix);
  R top = 0;
  for (int64_t i = 0; i < n * n * kParts; ++i) {
    const R size = absolute(x[i]);
    top = size <= top || top != top ? top : size;
  }
  if (!(top > 0) || top - top != 0) return top;
  R largest = 0;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t last = first + kBlock < n ? first + kBlock : n;
    R sums[kBlock] = {};
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = first; j < last; ++j) {
        const R* entry = x + (rows ? i * n + j : j * n + i) * kParts;
        for (int64_t part = 0; part < kParts; ++part) sums[j - first] += entry[part] / top * (entry[part] / top);
      }
    }
    for (R sum : sums) largest = sum > largest ? sum : largest;
  }
  return static_cast<R>(top * __builtin_sqrt(largest));
}

// Where rounding in K = V* dV - dU* U comes from.
template <typename T>
auto rounding_source(const eigenpair_hermitian_rule& p, int64_t index) {
  const auto size = [&](const void* base) {
    return largest_column(static_cast<const T*>(base) + index * p.n * p.n, p.n, p.layout == EIGENPAIR_ROW_MAJOR);
  };
  typename RealPart<T>::type sum = 0;
  if (p.dv != nullptr) sum += size(p.v) * size(p.dv);
  if (p.du != nullptr) sum += size(p.u) * size(p.du);
  return sum;
}
