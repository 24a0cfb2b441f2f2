// Solves (A - w_j) x_j = y_j on the complement of some eigenvectors of a band matrix, in O(n bandwidth²) per column.
#include <memory>

#include "hermitian/banded.h"
#include "lapack/banded_drivers.h"

namespace eigenpair {

namespace {

template <typename T, typename Int>
class BandedComplementProblem final : public Problem {
 public:
  using R = Real<T>;

  BandedComplementProblem(const eigenpair_lapack& lapack, const eigenpair_banded_complement_problem& problem)
      : p_(problem),
        driver_(lapack, problem.n, problem.bandwidth),
        gemm_(find_routine(lapack, routine_name<T>("gemm"))),
        n_(checked<Int>(problem.n)),
        count_(checked<Int>(problem.count)) {}

  static void check(const eigenpair_banded_complement_problem& p) {
    check_band(p);
    require(p.batch == 0 || (p.a && p.w && p.v && p.y && p.x), "problem.a, w, v, y or x is NULL");
  }

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double width = 1 + static_cast<double>(p_.bandwidth), n = static_cast<double>(p_.n);
    return 1000 + n * static_cast<double>(p_.count) * (20 * width * width + static_cast<double>(p_.count));
  }
  bool slower_with_threads() const override { return are_threads_slower(p_.n, 256); }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<BandedComplementWorker>(*this); }

 private:
  class BandedComplementWorker final : public Worker {
   public:
    explicit BandedComplementWorker(const BandedComplementProblem& problem)
        : problem_(problem),
          scratch_(problem.driver_),
          band_((problem.p_.bandwidth + 1) * problem.p_.n),
          v_(problem.p_.n * problem.p_.count),
          y_(problem.p_.n * problem.p_.count),
          overlap_(problem.p_.count * problem.p_.count) {}

    void solve(int64_t first, int64_t last) noexcept override {
      const eigenpair_banded_complement_problem& p = problem_.p_;
      const int64_t each = p.n * p.count;
      for (int64_t index = first; index < last; ++index) {
        T* x = at(static_cast<T*>(p.x), index, each);
        const bool good =
            solve_one(at(static_cast<const T*>(p.a), index, (p.bandwidth + 1) * p.n),
                      at(static_cast<const R*>(p.w), index, p.count), at(static_cast<const T*>(p.v), index, each),
                      at(static_cast<const T*>(p.y), index, each));
        if (good) {
          columns_to(y_.get(), p.n, p.count, p.layout, x);
        } else {
          fill_nan(x, each);
        }
      }
    }

   private:
    // Components along the eigenvectors are removed before and after the solve, as in complement.cc.
    bool solve_one(const T* a, const R* w, const T* v, const T* y) noexcept {
      const eigenpair_banded_complement_problem& p = problem_.p_;
      const bool finite = load_band(a, p.n, p.bandwidth, p.layout, band_.get());
      columns_from(v, p.n, p.count, p.layout, v_.get());
      columns_from(y, p.n, p.count, p.layout, y_.get());
      if (!finite || !all_finite(w, p.count) || !all_finite(v_.get(), p.n * p.count) ||
          !all_finite(y_.get(), p.n * p.count))
        return false;
      project();
      for (int64_t j = 0; j < p.count; ++j) {
        if (!problem_.driver_.solve_column(band_.get(), w[j], y_.get() + j * p.n, scratch_)) return false;
      }
      project();
      return true;
    }

    void project() const {
      project_out<T, Int>(problem_.gemm_, problem_.n_, problem_.count_, v_.get(), y_.get(), overlap_.get());
    }

    const BandedComplementProblem& problem_;
    typename BandedComplementDriver<T, Int>::Scratch scratch_;
    Buffer<T> band_, v_, y_, overlap_;
  };

  eigenpair_banded_complement_problem p_;
  BandedComplementDriver<T, Int> driver_;
  void* gemm_;
  Int n_, count_;
};

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_banded_complement_problem& p) {
  return make<BandedComplementProblem>(lapack, p);
}

}  // namespace eigenpair
