// Eigenpairs of Hermitian band matrices: reduction to a real tridiagonal matrix, which tridiagonal matrices do not
// need, and all or some of its eigenpairs.
#include "hermitian/banded.h"

#include <cmath>
#include <new>

#include "lapack/banded_drivers.h"

namespace eigenpair {

namespace {

// Scales by a power of two, so that the largest entry is about 1. Returns the power.
template <typename T>
Real<T> bring_band_to_size_one(T* band, int64_t entries) {
  using R = Real<T>;
  R largest = 0;
  for (int64_t i = 0; i < entries; ++i) {
    largest = std::max({largest, std::abs(std::real(band[i])), std::abs(std::imag(band[i]))});
  }
  if (!(largest > 0)) return 1;
  int exponent = 0;
  std::frexp(largest, &exponent);
  // Clamped so that both the power and its inverse are normal numbers.
  exponent =
      std::min(std::max(exponent, std::numeric_limits<R>::min_exponent + 2), std::numeric_limits<R>::max_exponent - 2);
  const R down = std::ldexp(R(1), -exponent);
  for (int64_t i = 0; i < entries; ++i) band[i] *= down;
  return down;
}

template <typename T, typename Int>
class BandedProblem final : public Problem {
 public:
  using R = Real<T>;

  BandedProblem(const eigenpair_lapack& lapack, const eigenpair_banded_problem& p)
      : p_(p),
        below_(p.first > 0 ? 1 : 0),
        above_(p.first + p.count < p.n ? 1 : 0),
        driver_(lapack, p.n, p.bandwidth, p.v != nullptr ? below_ + p.count + above_ : 0,
                p.v != nullptr ? p.count < p.n : kFew * p.count <= p.n) {}

  static void check(const eigenpair_banded_problem& p) {
    check_band(p);
    require(p.first >= 0 && p.first <= p.n - p.count, "problem.first is negative, or first + count beyond n");
    require(p.batch == 0 || (p.a != nullptr && p.w != nullptr), "problem.a or problem.w is NULL");
    require(p.v != nullptr || p.edges == nullptr, "problem.edges needs problem.v");
  }

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n), columns = static_cast<double>(p_.v != nullptr ? p_.count : 1);
    const double reduction = driver_.reduces() ? n * n * (p_.v != nullptr ? n : static_cast<double>(p_.bandwidth)) : 0;
    return 1000 + 20 * n * std::min(n, 10 * columns) + 0.5 * reduction;
  }
  bool slower_with_threads() const override { return are_threads_slower(p_.n, 256); }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<BandedWorker>(*this); }

 private:
  // Bisection is faster than QL for up to n/kFew eigenvalues.
  static constexpr int64_t kFew = 24;

  class BandedWorker final : public Worker {
   public:
    explicit BandedWorker(const BandedProblem& problem)
        : problem_(problem),
          scratch_(problem.driver_),
          band_((problem.p_.bandwidth + 1) * problem.p_.n),
          vectors_(problem.p_.v != nullptr ? problem.p_.n * problem.p_.count : 0) {}

    void solve(int64_t first, int64_t last) noexcept override {
      const eigenpair_banded_problem& p = problem_.p_;
      for (int64_t index = first; index < last; ++index) {
        R* w = at(static_cast<R*>(p.w), index, p.count);
        R* edges = at(static_cast<R*>(p.edges), index, 3);
        T* v = at(static_cast<T*>(p.v), index, p.n * p.count);
        const T* a = at(static_cast<const T*>(p.a), index, (p.bandwidth + 1) * p.n);
        int32_t info = EIGENPAIR_INFO_NO_CONVERGENCE;
        try {
          info = solve_one(a, w, edges, v);
        } catch (const std::bad_alloc&) {
        }
        if (info != EIGENPAIR_INFO_OK) {
          fill_nan(w, p.count);
          fill_nan(edges, 3);
          fill_nan(v, p.n * p.count);
        }
        if (p.info != nullptr) p.info[index] = info;
      }
    }

   private:
    int32_t solve_one(const T* a, R* w, R* edges, T* v) {
      const eigenpair_banded_problem& p = problem_.p_;
      const BandedDriver<T, Int>& driver = problem_.driver_;
      if (!load_band(a, p.n, p.bandwidth, p.layout, band_.get())) return EIGENPAIR_INFO_NOT_FINITE;
      const R down = bring_band_to_size_one(band_.get(), (p.bandwidth + 1) * p.n);
      if (!driver.reduce(band_.get(), scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      const R* values = scratch_.values.get();
      if (v == nullptr) {
        if (!driver.some_values(p.first, p.count, scratch_)) {
          if (!driver.all_values(scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
          values += p.first;
        }
        for (int64_t j = 0; j < p.count; ++j) w[j] = values[j] / down;
        return EIGENPAIR_INFO_OK;
      }
      const int64_t below = problem_.below_, above = problem_.above_;
      if (!driver.pairs(p.first - below, scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      for (int64_t j = 0; j < p.count; ++j) w[j] = values[below + j] / down;
      driver.back(below, p.count, scratch_, vectors_.get());
      columns_to(vectors_.get(), p.n, p.count, p.layout, v);
      if (edges == nullptr) return EIGENPAIR_INFO_OK;
      const R infinity = std::numeric_limits<R>::infinity();
      edges[0] = below > 0 ? values[0] / down : -infinity;
      edges[1] = above > 0 ? values[below + p.count] / down : infinity;
      R largest = 0;
      for (const int64_t end : {int64_t{0}, p.n - 1}) {
        R value;
        if (p.count == p.n || driver.some_values(end, 1, scratch_)) {
          value = values[p.count == p.n ? end : 0];
        } else {
          if (!driver.all_values(scratch_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
          value = values[end];
        }
        largest = std::max(largest, std::abs(value));
      }
      edges[2] = largest / down;
      return EIGENPAIR_INFO_OK;
    }

    const BandedProblem& problem_;
    typename BandedDriver<T, Int>::Scratch scratch_;
    Buffer<T> band_;
    Buffer<T> vectors_;
  };

  eigenpair_banded_problem p_;
  int64_t below_, above_;
  BandedDriver<T, Int> driver_;
};

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_banded_problem& p) {
  return make<BandedProblem>(lapack, p);
}

}  // namespace eigenpair
