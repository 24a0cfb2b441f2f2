// A few eigenpairs of a Hermitian matrix or definite pair: reduction to tridiagonal form, bisection and inverse
// iteration. The reduction can be stored as a factor, for complement.cc.
#include "hermitian/subset.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "lapack/pair_drivers.h"
#include "lapack/subset_drivers.h"

namespace eigenpair {

namespace {

// Scales the lower triangle by a power of two, so that its largest entry is about 1. Returns the power.
template <typename T>
Real<T> bring_to_size_one(T* a, int64_t n) {
  using R = Real<T>;
  R largest = 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) {
      const R size = std::max(std::abs(std::real(a[i + j * n])), std::abs(std::imag(a[i + j * n])));
      largest = std::max(largest, size);
    }
  }
  int exponent = 0;
  std::frexp(largest, &exponent);
  if (!(largest > 0)) return 1;
  // Clamped so that both the power and its inverse are normal numbers.
  exponent =
      std::min(std::max(exponent, std::numeric_limits<R>::min_exponent + 2), std::numeric_limits<R>::max_exponent - 2);
  const R down = std::ldexp(R(1), -exponent);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) a[i + j * n] *= down;
  }
  return down;
}

// Frobenius norm of the Hermitian matrix in the lower triangle.
template <typename T>
Real<T> norm_of_lower(const T* a, int64_t n) {
  using R = Real<T>;
  R largest = 0, sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) largest = std::max(largest, std::abs(a[i + j * n]));
  }
  if (!(largest > 0)) return 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) {
      const R size = std::abs(a[i + j * n]) / largest;
      sum += (i == j ? 1 : 2) * size * size;
    }
  }
  return largest * std::sqrt(sum);
}

template <typename T, typename Int>
class SubsetProblem final : public Problem {
 public:
  using R = Real<T>;

  SubsetProblem(const eigenpair_lapack& lapack, const eigenpair_subset_problem& problem)
      : p_(problem), driver_(lapack, problem.n, problem.count, problem.v != nullptr) {
    if (is_pair()) pair_ = std::make_unique<PairDriver<T, Int>>(lapack, problem.n);
  }

  static void check(const eigenpair_subset_problem& p) {
    require(p.struct_size == sizeof p, "problem.struct_size is not this library's: header and library differ");
    check_shape(p.n, p.batch, p.count, p.dtype, p.layout, p.reserved);
    require(p.triangle >= EIGENPAIR_HERMITIAN_PART && p.triangle <= EIGENPAIR_UPPER, "problem.triangle is unknown");
    require(p.first >= 0 && p.first <= p.n - p.count, "problem.first is negative, or first + count beyond n");
    require(p.a_stride >= 0 && p.b_stride >= 0, "a stride is negative");
    require(p.batch == 0 || (p.a != nullptr && p.w != nullptr), "problem.a or problem.w is NULL");
    require(p.v != nullptr || (p.edges == nullptr && p.factor == nullptr), "problem.edges and factor need problem.v");
  }

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    return 1000 + (is_pair() ? 0.8 : 0.5) * n * n * n;
  }
  // Below these orders a second thread gains less than 5 %. Measured on two idle processors.
  bool slower_with_threads() const override { return are_threads_slower(p_.n, is_pair() ? 128 : 256); }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<SubsetWorker>(*this); }

 private:
  bool is_pair() const { return p_.b != nullptr; }
  int64_t factor_size() const { return Factor<T>::size(p_.n, is_pair()); }

  class SubsetWorker final : public Worker {
   public:
    explicit SubsetWorker(const SubsetProblem& problem)
        : problem_(problem),
          scratch_(problem.driver_),
          factor_(problem.p_.factor == nullptr ? problem.factor_size() : 0),
          vectors_(problem.p_.v != nullptr ? problem.p_.n * problem.p_.count : 0) {
      if (problem.is_pair()) pair_scratch_ = std::make_unique<typename PairDriver<T, Int>::Scratch>(*problem.pair_);
    }

    void solve(int64_t first, int64_t last) noexcept override {
      const eigenpair_subset_problem& p = problem_.p_;
      for (int64_t index = first; index < last; ++index) {
        R* w = at(static_cast<R*>(p.w), index, p.count);
        R* edges = at(static_cast<R*>(p.edges), index, 3);
        T* v = at(static_cast<T*>(p.v), index, p.n * p.count);
        T* factor = at(static_cast<T*>(p.factor), index, problem_.factor_size());
        const int32_t info = solve_one(at(static_cast<const T*>(p.a), index, p.a_stride),
                                       at(static_cast<const T*>(p.b), index, p.b_stride), w, edges, v, factor);
        if (info != EIGENPAIR_INFO_OK) {
          fill_nan(w, p.count);
          fill_nan(edges, 3);
          fill_nan(v, p.n * p.count);
          fill_nan(factor, problem_.factor_size());
        }
        if (p.info != nullptr) p.info[index] = info;
      }
    }

   private:
    // Norms of A, B and B⁻¹.
    struct Norms {
      R a = 0, b = 0, inverse = 0;
    };

    int32_t solve_one(const T* a_in, const T* b_in, R* w, R* edges, T* v, T* factor) noexcept {
      const eigenpair_subset_problem& p = problem_.p_;
      const int64_t n = p.n;
      const Factor<T> parts(factor != nullptr ? factor : factor_.get(), n);
      if (!load_hermitian(a_in, n, p.triangle, p.layout, parts.reflectors)) return EIGENPAIR_INFO_NOT_FINITE;
      Norms norms;
      if (b_in != nullptr) {
        const int32_t info = reduce_pair(b_in, parts, norms);
        if (info != EIGENPAIR_INFO_OK) return info;
      }
      const R down = bring_to_size_one(parts.reflectors, n);
      if (!problem_.driver_.reduce(parts.reflectors, parts.tau, scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      if (v == nullptr) return values_alone(down, w);
      const int64_t below = p.first > 0 ? 1 : 0, above = p.first + p.count < n ? 1 : 0;
      const int64_t found = problem_.driver_.bisect(p.first - below, p.count + below + above, scratch_);
      if (found != p.count + below + above) return EIGENPAIR_INFO_NO_CONVERGENCE;
      std::vector<int64_t>& order = scratch_.order;
      std::iota(order.begin(), order.begin() + found, int64_t{0});
      const R* values = scratch_.values.get();
      std::sort(order.begin(), order.begin() + found, [values](int64_t i, int64_t j) { return values[i] < values[j]; });
      if (edges != nullptr) {
        const R infinity = std::numeric_limits<R>::infinity();
        edges[0] = below > 0 ? values[order[0]] / down : -infinity;
        edges[1] = above > 0 ? values[order[static_cast<size_t>(found - 1)]] / down : infinity;
      }
      std::vector<int64_t> wanted(order.begin() + below, order.begin() + below + p.count);
      for (int64_t j = 0; j < p.count; ++j) w[j] = values[wanted[static_cast<size_t>(j)]] / down;
      // stein needs the eigenvalues block by block, as stebz returns them.
      std::vector<int64_t> kept(wanted);
      std::sort(kept.begin(), kept.end());
      if (!problem_.driver_.vectors(kept, parts.reflectors, parts.tau, vectors_.get(), scratch_)) {
        return EIGENPAIR_INFO_NO_CONVERGENCE;
      }
      if (b_in != nullptr) {
        problem_.pair_->solve(true, static_cast<Int>(p.count), parts.cholesky, vectors_.get());
        if (!all_finite(vectors_.get(), n * p.count)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      }
      store_sorted(kept, wanted, v);
      if (factor != nullptr) {
        std::copy(scratch_.diagonal.get(), scratch_.diagonal.get() + n, parts.diagonal);
        std::copy(scratch_.beside.get(), scratch_.beside.get() + n, parts.beside);
        std::fill(parts.down, parts.down + n, T(down));
        // Clear entries that are never read, because `jax_debug_nans` looks for NaN in the whole array.
        parts.tau[n - 1] = parts.beside[n - 1] = T(0);
        clear_above(parts.reflectors, n);
        if (b_in != nullptr) clear_above(parts.cholesky, n);
      }
      if (edges != nullptr) {
        R largest = 0;
        for (const int64_t end : {int64_t{0}, n - 1}) {
          const bool alone = problem_.driver_.bisect(end, 1, scratch_) == 1;
          if (!alone && !problem_.driver_.all_values(scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
          largest = std::max(largest, std::abs(values[alone ? 0 : end]));
        }
        edges[2] = b_in == nullptr ? largest / down : (norms.a + largest / down * norms.b) * norms.inverse;
      }
      return EIGENPAIR_INFO_OK;
    }

    int32_t values_alone(R down, R* w) noexcept {
      const eigenpair_subset_problem& p = problem_.p_;
      const SubsetDriver<T, Int>& driver = problem_.driver_;
      R* values = scratch_.values.get();
      // Among equal eigenvalues, bisection may return another number of them.
      if (driver.bisection_is_faster() && driver.bisect(p.first, p.count, scratch_) == p.count) {
        std::sort(values, values + p.count);
      } else {
        if (!driver.all_values(scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
        values += p.first;
      }
      for (int64_t j = 0; j < p.count; ++j) w[j] = values[j] / down;
      return EIGENPAIR_INFO_OK;
    }

    // A becomes C, and B its factor.
    int32_t reduce_pair(const T* b_in, const Factor<T>& parts, Norms& norms) noexcept {
      const eigenpair_subset_problem& p = problem_.p_;
      const PairDriver<T, Int>& pair = *problem_.pair_;
      if (!load_hermitian(b_in, p.n, p.triangle, p.layout, parts.cholesky)) return EIGENPAIR_INFO_NOT_FINITE;
      if (p.edges != nullptr) {
        norms.a = norm_of_lower(parts.reflectors, p.n);
        norms.b = norm_of_lower(parts.cholesky, p.n);
      }
      if (!pair.factorize(parts.cholesky)) return EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE;
      // If B is nearly singular, C may overflow.
      if (!pair.reduce(1, parts.reflectors, parts.cholesky)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      if (p.edges != nullptr) norms.inverse = pair.inverse_norm(parts.cholesky, *pair_scratch_);
      return EIGENPAIR_INFO_OK;
    }

    void store_sorted(const std::vector<int64_t>& kept, const std::vector<int64_t>& wanted, T* v) const {
      const eigenpair_subset_problem& p = problem_.p_;
      for (size_t j = 0; j < wanted.size(); ++j) {
        const auto from = std::find(kept.begin(), kept.end(), wanted[j]) - kept.begin();
        const T* column = vectors_.get() + from * p.n;
        const int64_t to = static_cast<int64_t>(j);
        for (int64_t i = 0; i < p.n; ++i) {
          v[p.layout == EIGENPAIR_ROW_MAJOR ? i * p.count + to : i + to * p.n] = column[i];
        }
      }
    }

    const SubsetProblem& problem_;
    typename SubsetDriver<T, Int>::Scratch scratch_;
    std::unique_ptr<typename PairDriver<T, Int>::Scratch> pair_scratch_;
    Buffer<T> factor_;
    Buffer<T> vectors_;
  };

  eigenpair_subset_problem p_;
  SubsetDriver<T, Int> driver_;
  std::unique_ptr<PairDriver<T, Int>> pair_;
};

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_subset_problem& p) {
  return make<SubsetProblem>(lapack, p);
}

}  // namespace eigenpair
