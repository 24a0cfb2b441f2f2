// Solves (A - w_j) x_j = y_j on the complement of the eigenvectors of a subset. With the factor of
// eigenpair_subset_job this takes O(n²) per column and needs no other eigenvectors.
#include <memory>

#include "hermitian/subset.h"
#include "lapack/pair_drivers.h"
#include "lapack/subset_drivers.h"

namespace eigenpair {

namespace {

template <typename T, typename Int>
class ComplementProblem final : public Problem {
 public:
  using R = Real<T>;

  ComplementProblem(const eigenpair_lapack& lapack, const eigenpair_complement_problem& problem)
      : p_(problem), driver_(lapack, problem.n, problem.count) {
    if (is_pair()) pair_ = std::make_unique<PairDriver<T, Int>>(lapack, problem.n);
  }

  static void check(const eigenpair_complement_problem& p) {
    require(p.struct_size == sizeof p, "problem.struct_size is not this library's: header and library differ");
    check_shape(p.n, p.batch, p.count, p.dtype, p.layout, p.reserved);
    require(p.type == 0 || p.type == 1, "problem.type must be 0 or 1");
    require(p.batch == 0 || (p.factor && p.w && p.v && p.y && p.x), "problem.factor, w, v, y or x is NULL");
  }

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    return 1000 + 4.0 * static_cast<double>(p_.n) * static_cast<double>(p_.n) * static_cast<double>(p_.count);
  }
  // As in the forward pass.
  bool slower_with_threads() const override { return are_threads_slower(p_.n, is_pair() ? 128 : 256); }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<ComplementWorker>(*this); }

 private:
  bool is_pair() const { return p_.type == 1; }
  int64_t factor_size() const { return Factor<T>::size(p_.n, is_pair()); }

  class ComplementWorker final : public Worker {
   public:
    explicit ComplementWorker(const ComplementProblem& problem)
        : problem_(problem),
          scratch_(problem.driver_),
          factor_(Factor<T>::size(problem.p_.n, false)),
          v_(problem.p_.n * problem.p_.count),
          y_(problem.p_.n * problem.p_.count),
          overlap_(problem.p_.count * problem.p_.count) {}

    void solve(int64_t first, int64_t last) noexcept override {
      const eigenpair_complement_problem& p = problem_.p_;
      const int64_t each = p.n * p.count;
      for (int64_t index = first; index < last; ++index) {
        T* x = at(static_cast<T*>(p.x), index, each);
        const bool good =
            solve_one(at(static_cast<const T*>(p.factor), index, problem_.factor_size()),
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
    // Components along the eigenvectors are removed before the solve, because they do not belong to the result, and
    // again after it, because rounding errors introduce new ones.
    bool solve_one(const T* factor, const R* w, const T* v, const T* y) noexcept {
      const eigenpair_complement_problem& p = problem_.p_;
      // Work on a copy: ormtr temporarily overwrites entries between the reflectors while another worker may be reading
      // them.
      std::copy(factor, factor + Factor<T>::size(p.n, false), factor_.get());
      const Factor<const T> parts(factor_.get(), p.n);
      const T* cholesky = Factor<const T>(factor, p.n).cholesky;
      columns_from(v, p.n, p.count, p.layout, v_.get());
      columns_from(y, p.n, p.count, p.layout, y_.get());
      if (!all_finite(w, p.count) || !all_finite(v_.get(), p.n * p.count) || !all_finite(y_.get(), p.n * p.count))
        return false;
      const ComplementDriver<T, Int>& driver = problem_.driver_;
      const PairDriver<T, Int>* pair = problem_.pair_.get();
      const Int count = static_cast<Int>(p.count);
      if (pair != nullptr) {
        pair->multiply(true, count, cholesky, v_.get());
        pair->solve(false, count, cholesky, y_.get());
      }
      driver.project(v_.get(), y_.get(), overlap_.get());
      const R down = std::real(parts.down[0]);
      if (!driver.solve(parts.reflectors, parts.tau, parts.diagonal, parts.beside, down, w, y_.get(), scratch_))
        return false;
      driver.project(v_.get(), y_.get(), overlap_.get());
      if (pair != nullptr) pair->solve(true, count, cholesky, y_.get());
      return true;
    }

    const ComplementProblem& problem_;
    typename ComplementDriver<T, Int>::Scratch scratch_;
    Buffer<T> factor_;
    Buffer<T> v_;
    Buffer<T> y_;
    Buffer<T> overlap_;
  };

  eigenpair_complement_problem p_;
  ComplementDriver<T, Int> driver_;
  std::unique_ptr<PairDriver<T, Int>> pair_;
};

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_complement_problem& p) {
  return make<ComplementProblem>(lapack, p);
}

}  // namespace eigenpair
