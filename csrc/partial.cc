// A few eigenpairs of a Hermitian matrix: reduction to tridiagonal form, bisection and inverse iteration. The reduction
// can be kept as a factor, for complement.cc.
#include "partial.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "partial_drivers.h"

namespace eigenpair {

namespace {

// Multiplies the lower triangle by a power of two that brings it to size one, and returns that power.
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
  // In the middle of the range both the power and its inverse are normal numbers.
  exponent =
      std::min(std::max(exponent, std::numeric_limits<R>::min_exponent + 2), std::numeric_limits<R>::max_exponent - 2);
  const R down = std::ldexp(R(1), -exponent);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) a[i + j * n] *= down;
  }
  return down;
}

template <typename T, typename Int>
class PartialProblem final : public Problem {
 public:
  using R = Real<T>;

  PartialProblem(const eigenpair_lapack& lapack, const eigenpair_partial_problem& problem)
      : p_(problem), driver_(lapack, problem.n, problem.count, problem.v != nullptr) {}

  static void check(const eigenpair_partial_problem& p) {
    require(p.struct_size == sizeof p, "problem.struct_size is not this library's: header and library differ");
    check_shape(p.n, p.batch, p.count, p.dtype, p.layout, p.reserved);
    require(p.triangle >= EIGENPAIR_HERMITIAN_PART && p.triangle <= EIGENPAIR_UPPER, "problem.triangle is unknown");
    require(p.first >= 0 && p.first <= p.n - p.count, "problem.first is negative, or first + count beyond n");
    require(p.a_stride >= 0, "a stride is negative");
    require(p.batch == 0 || (p.a != nullptr && p.w != nullptr), "problem.a or problem.w is NULL");
    require(p.factor == nullptr || p.v != nullptr, "problem.factor needs problem.v");
  }

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    return 1000 + 0.5 * n * n * n;
  }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<PartialWorker>(*this); }

 private:
  class PartialWorker final : public Worker {
   public:
    explicit PartialWorker(const PartialProblem& problem)
        : problem_(problem),
          scratch_(problem.driver_),
          a_(Factor<T>::size(problem.p_.n)),
          vectors_(problem.p_.v != nullptr ? problem.p_.n * problem.p_.count : 0) {}

    void solve(int64_t first, int64_t last) noexcept override {
      const eigenpair_partial_problem& p = problem_.p_;
      for (int64_t index = first; index < last; ++index) {
        R* w = at(static_cast<R*>(p.w), index, p.count);
        R* edges = at(static_cast<R*>(p.edges), index, 3);
        T* v = at(static_cast<T*>(p.v), index, p.n * p.count);
        T* factor = at(static_cast<T*>(p.factor), index, Factor<T>::size(p.n));
        const int32_t info = solve_one(at(static_cast<const T*>(p.a), index, p.a_stride), w, edges, v, factor);
        if (info != EIGENPAIR_INFO_OK) {
          fill_nan(w, p.count);
          fill_nan(edges, 3);
          fill_nan(v, p.n * p.count);
          fill_nan(factor, Factor<T>::size(p.n));
        }
        if (p.info != nullptr) p.info[index] = info;
      }
    }

   private:
    int32_t solve_one(const T* a_in, R* w, R* edges, T* v, T* factor) noexcept {
      const eigenpair_partial_problem& p = problem_.p_;
      const int64_t n = p.n;
      const Factor<T> parts(factor != nullptr ? factor : a_.get(), n);
      if (!load_hermitian(a_in, n, p.triangle, p.layout, parts.reflectors)) return EIGENPAIR_INFO_NOT_FINITE;
      const R down = bring_to_size_one(parts.reflectors, n);
      if (!problem_.driver_.reduce(parts.reflectors, parts.tau, scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
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
      if (v != nullptr) {
        // Inverse iteration wants them block by block, as bisection left them.
        std::vector<int64_t> kept(wanted);
        std::sort(kept.begin(), kept.end());
        if (!problem_.driver_.vectors(kept, parts.reflectors, parts.tau, vectors_.get(), scratch_)) {
          return EIGENPAIR_INFO_NO_CONVERGENCE;
        }
        store_sorted(kept, wanted, v);
      }
      if (factor != nullptr) {
        std::copy(scratch_.diagonal.get(), scratch_.diagonal.get() + n, parts.diagonal);
        std::copy(scratch_.beside.get(), scratch_.beside.get() + n, parts.beside);
        std::fill(parts.down, parts.down + n, T(down));
      }
      if (edges != nullptr) {
        R largest = 0;
        for (const int64_t end : {int64_t{0}, n - 1}) {
          if (problem_.driver_.bisect(end, 1, scratch_) != 1) return EIGENPAIR_INFO_NO_CONVERGENCE;
          largest = std::max(largest, std::abs(values[0]));
        }
        edges[2] = largest / down;
      }
      return EIGENPAIR_INFO_OK;
    }

    void store_sorted(const std::vector<int64_t>& kept, const std::vector<int64_t>& wanted, T* v) const {
      const eigenpair_partial_problem& p = problem_.p_;
      for (size_t j = 0; j < wanted.size(); ++j) {
        const auto from = std::find(kept.begin(), kept.end(), wanted[j]) - kept.begin();
        const T* column = vectors_.get() + from * p.n;
        const int64_t to = static_cast<int64_t>(j);
        for (int64_t i = 0; i < p.n; ++i) {
          v[p.layout == EIGENPAIR_ROW_MAJOR ? i * p.count + to : i + to * p.n] = column[i];
        }
      }
    }

    const PartialProblem& problem_;
    typename PartialDriver<T, Int>::Scratch scratch_;
    Buffer<T> a_;
    Buffer<T> vectors_;
  };

  eigenpair_partial_problem p_;
  PartialDriver<T, Int> driver_;
};

}  // namespace

}  // namespace eigenpair

using namespace eigenpair;

extern "C" {

eigenpair_status eigenpair_partial_job(const eigenpair_lapack* lapack, const eigenpair_partial_problem* problem,
                                       int32_t max_workers, eigenpair_job** out) {
  return create_job<PartialProblem>(lapack, problem, max_workers, out);
}

}  // extern "C"
