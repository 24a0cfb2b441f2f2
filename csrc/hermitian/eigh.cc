// Hermitian eigenproblems of all four types: one matrix at a time by LAPACK or by the row solver, or one per SIMD lane.
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "kernels/kernels.h"
#include "lapack/hermitian_drivers.h"
#include "lapack/pair_drivers.h"
#include "runtime/matrix.h"
#include "runtime/problem.h"

namespace eigenpair {

namespace {

template <typename T, typename Int>
class HermitianProblem final : public Problem {
 public:
  using R = Real<T>;

  HermitianProblem(const eigenpair_lapack& lapack, const eigenpair_hermitian_problem& problem)
      : p_(problem),
        pair_(by_triangles(lapack) ? std::make_unique<PairDriver<T, Int>>(lapack, problem.n) : nullptr),
        rows_(by_rows() ? small_kernels()->rows : nullptr),
        trmm_(dual_by_product() ? find_routine(lapack, routine_name<T>("trmm")) : nullptr),
        potrs_(dual_by_solve() ? find_routine(lapack, routine_name<T>("potrs")) : nullptr) {
    if (rows_ != nullptr) return;
    driver_.emplace(lapack, problem.n, pair_ ? 0 : problem.type, problem.v != nullptr, problem.driver);
  }

  static void check(const eigenpair_hermitian_problem& p) {
    check_batch(p);
    require(p.type >= 0 && p.type <= 3, "problem.type must be 0, 1, 2 or 3");
    require(p.triangle >= EIGENPAIR_HERMITIAN_PART && p.triangle <= EIGENPAIR_UPPER, "problem.triangle is unknown");
    require(p.driver >= EIGENPAIR_DRIVER_AUTO && p.driver <= EIGENPAIR_DRIVER_EVR, "problem.driver is unknown");
    require(p.reserved == 0, "problem.reserved is not 0");
    require(p.u == nullptr || p.v != nullptr, "problem.u needs problem.v");
    if (p.n == 0 || p.batch == 0) return;
    require((p.b != nullptr) == (p.type != 0), "problem.b must be NULL for type 0 and a matrix for types 1 to 3");
  }

  int64_t batch() const override { return p_.batch; }

  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    return (p_.v != nullptr ? 2.0 : 0.8) * (is_complex<T> ? 2.0 : 1.0) * (500 + 120 * n + n * n * n);
  }

  bool calls_lapack() const override { return pair_ || driver_; }
  bool slower_with_threads() const override {
    return are_threads_slower(p_.n, pair_ ? kThreadedPair : kThreadedDriver);
  }

  std::unique_ptr<Worker> worker() const override { return std::make_unique<HermitianWorker>(*this); }

 private:
  // From these orders on, a second thread makes one solve at least 5 % faster. Measured on two idle processors.
  static constexpr int64_t kThreadedDriver = 112, kThreadedPair = 72;

  // sygvd is slow for small matrices because of its reductions before and after the standard problem.
  bool by_triangles(const eigenpair_lapack& lapack) const {
    using Pair = PairDriver<T, Int>;
    return p_.type != 0 && p_.driver == EIGENPAIR_DRIVER_AUTO && p_.n <= Pair::kByTriangles && Pair::is_lent(lapack);
  }
  bool by_rows() const {
    const bool standard = p_.type == 0 || pair_ != nullptr;
    return standard && p_.driver == EIGENPAIR_DRIVER_AUTO && p_.n <= kRowLimit && small_kernels() != nullptr;
  }
  bool dual_by_product() const { return p_.u != nullptr && (p_.type == 1 || p_.type == 2); }
  bool dual_by_solve() const { return p_.u != nullptr && p_.type == 3; }

  class HermitianWorker final : public Worker {
   public:
    explicit HermitianWorker(const HermitianProblem& problem)
        : problem_(problem),
          a_(problem.p_.v == nullptr || problem.needs_second_matrix() ? square() : 0),
          b_(problem.p_.type != 0 ? square() : 0),
          work_(problem.workspace().work),
          rwork_(problem.workspace().rwork),
          iwork_(problem.workspace().iwork),
          scratch_(problem.rows_ != nullptr ? problem.row_scratch() : 0) {}

    void solve(int64_t first, int64_t last) noexcept override {
      for (int64_t index = first; index < last; ++index) solve_one(index);
    }

   private:
    void solve_one(int64_t index) noexcept {
      const eigenpair_hermitian_problem& p = problem_.p_;
      R* w = at(static_cast<R*>(p.w), index, p.n);
      T* v = at(static_cast<T*>(p.v), index, square());
      T* u = at(static_cast<T*>(p.u), index, square());
      const int32_t info = solve(at(static_cast<const T*>(p.a), index, p.a_stride),
                                 at(static_cast<const T*>(p.b), index, p.b_stride), w, v, u);
      if (info != EIGENPAIR_INFO_OK) {
        fill_nan(w, p.n);
        fill_nan(v, square());
        fill_nan(u, square());
      }
      if (p.info != nullptr) p.info[index] = info;
    }

    int64_t square() const { return problem_.p_.n * problem_.p_.n; }

    int32_t solve(const T* a_in, const T* b_in, R* w, T* v, T* u) noexcept {
      const eigenpair_hermitian_problem& p = problem_.p_;
      T* a = a_.get() != nullptr ? a_.get() : v;
      T* b = b_.get();
      // Never call LAPACK with NaN: for some such inputs it returns finite numbers.
      if (!load_hermitian(a_in, p.n, p.triangle, p.layout, a)) return EIGENPAIR_INFO_NOT_FINITE;
      if (b != nullptr && !load_hermitian(b_in, p.n, p.triangle, p.layout, b)) return EIGENPAIR_INFO_NOT_FINITE;
      const PairDriver<T, Int>* pair = problem_.pair_.get();
      if (pair != nullptr && !pair->factorize(b)) return EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE;
      if (pair != nullptr && !pair->reduce(p.type, a, b)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      int64_t info = 0;
      if (problem_.rows_ != nullptr) {
        info = problem_.rows_->solve[p.dtype](p.n, a, w, v != nullptr, scratch_.get()) ? 0 : 1;
      } else {
        info = (*problem_.driver_)(a, b, w, v, work_.get(), rwork_.get(), iwork_.get());
      }
      if (pair == nullptr && b != nullptr && cholesky_failed(b, info)) return EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE;
      if (pair != nullptr && v != nullptr) {
        const Int n = static_cast<Int>(p.n);
        p.type == 3 ? pair->multiply(false, n, b, v) : pair->solve(true, n, b, v);
      }
      // If the reduction of a pair overflows, some eigenvalues are Inf or NaN.
      if (info != 0 || !all_finite(w, p.n)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      if (u != nullptr && !dual_basis(v, b, u)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      if (p.layout == EIGENPAIR_ROW_MAJOR) {
        if (v != nullptr) transpose_in_place(v, p.n);
        if (u != nullptr) transpose_in_place(u, p.n);
      }
      return EIGENPAIR_INFO_OK;
    }

    // info = n + i means that the i-th leading minor of B is not positive. But divide and conquer may also return
    // values up to n(n + 2) if it fails. To tell the two apart, look at the pivot where Cholesky stopped.
    bool cholesky_failed(const T* b, int64_t info) const {
      const int64_t n = problem_.p_.n, i = info - n - 1;
      return i >= 0 && i < n && !(std::real(b[i + i * n]) > 0);
    }

    // U = V^-H from B = L L^H: V itself for type 0, L (L^H V) for types 1 and 2, L^-H (L^-1 V) for type 3.
    bool dual_basis(const T* v, const T* factor, T* u) noexcept {
      std::memcpy(u, v, static_cast<size_t>(square()) * sizeof(T));
      const Int n = static_cast<Int>(problem_.p_.n);
      const T unit = T(1);
      const Length one = 1;
      Int info = 0;
      if (problem_.trmm_ != nullptr) {
        for (const char* transposed : {"C", "N"}) {
          fortran(problem_.trmm_, "L", "L", transposed, "N", &n, &n, &unit, factor, &n, u, &n, one, one, one, one);
        }
      } else if (problem_.potrs_ != nullptr) {
        fortran(problem_.potrs_, "L", &n, &n, factor, &n, u, &n, &info, one);
      }
      return info == 0;
    }

    const HermitianProblem& problem_;
    Buffer<T> a_;
    Buffer<T> b_;
    Buffer<T> work_;
    Buffer<R> rwork_;
    Buffer<Int> iwork_;
    Buffer<char> scratch_;
  };

  bool needs_second_matrix() const { return driver_ && driver_->needs_second_matrix(); }
  Workspace workspace() const { return driver_ ? driver_->workspace() : Workspace(); }
  int64_t row_scratch() const { return static_cast<int64_t>(rows_->scratch_bytes[p_.dtype](p_.n)); }

  eigenpair_hermitian_problem p_;
  std::unique_ptr<PairDriver<T, Int>> pair_;
  const RowSolvers* rows_;
  std::optional<HermitianDriver<T, Int>> driver_;
  void* trmm_;
  void* potrs_;
};

// Small matrices, one per SIMD lane, without LAPACK.
class SmallProblem final : public Problem {
 public:
  SmallProblem(const SmallKernels& kernels, const eigenpair_hermitian_problem& problem)
      : kernels_(kernels), p_(problem) {}

  static bool fits(const SmallKernels& kernels, const eigenpair_hermitian_problem& p) {
    const int single = p.type == 0 ? kSingleLimit : kSinglePairLimit;
    const int limit = 2 * p.batch >= kernels.solvers->lanes[p.dtype] ? kSmallLimit : single;
    return p.driver == EIGENPAIR_DRIVER_AUTO && p.n > 0 && p.n <= limit && p.batch > 0;
  }

  int64_t batch() const override { return p_.batch; }
  int64_t group_size() const override { return kernels_.solvers->lanes[p_.dtype]; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    const bool complex = p_.dtype >= EIGENPAIR_COMPLEX64;
    if (p_.n == 2 && p_.type == 0 && !complex) return 3;
    return (p_.v != nullptr ? 1.0 : 0.6) * (complex ? 1.5 : 1.0) * (5 + n * n * (3 + 0.3 * n));
  }
  bool calls_lapack() const override { return false; }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<SmallWorker>(*this); }

 private:
  class SmallWorker final : public Worker {
   public:
    explicit SmallWorker(const SmallProblem& problem)
        : problem_(problem),
          scratch_(static_cast<int64_t>(problem.kernels_.solvers->scratch_bytes[problem.p_.dtype](problem.p_.n))) {}
    void solve(int64_t first, int64_t last) noexcept override {
      problem_.kernels_.solvers->solve[problem_.p_.dtype](problem_.p_, first, last, scratch_.get());
    }

   private:
    const SmallProblem& problem_;
    Buffer<char> scratch_;
  };

  const SmallKernels& kernels_;
  eigenpair_hermitian_problem p_;
};

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_hermitian_problem& p) {
  require(lapack != nullptr, "lapack is NULL");
  HermitianProblem<double, int32_t>::check(p);
  const SmallKernels* kernels = small_kernels();
  if (kernels != nullptr && SmallProblem::fits(*kernels, p)) return std::make_unique<SmallProblem>(*kernels, p);
  return make<HermitianProblem>(lapack, p);
}

}  // namespace eigenpair
