// The reverse rule for matrices larger than the cache. Products use the frontend's BLAS. Its threads still wait in a
// busy loop after the forward solve and would slow down threads of our own. Everything else uses the core's kernels.
#pragma once

#include <memory>
#include <string>

#include "hermitian/rule-inl.h"
#include "kernels/kernels.h"
#include "lapack/lapack.h"
#include "runtime/matrix.h"
#include "runtime/problem.h"

namespace eigenpair {

using EIGENPAIR_ISA::pull_back;

// Products of n x n matrices, in the caller's layout.
template <typename T, typename Int>
class Products {
 public:
  Products(const eigenpair_lapack& lapack, int64_t n, int32_t layout)
      : gemm_(find_routine(lapack, routine_name<T>("gemm"))),
        n_(checked<Int>(n)),
        rows_(layout == EIGENPAIR_ROW_MAJOR) {}

  // C = alpha A^H B + beta C
  void adjoint_times(T alpha, const T* a, const T* b, T beta, T* c) const {
    if (rows_) {
      call("N", "C", n_, n_, alpha, b, a, beta, c);
    } else {
      call("C", "N", n_, n_, alpha, a, b, beta, c);
    }
  }

  // C = A B
  void times(const T* a, const T* b, T* c) const {
    call("N", "N", n_, n_, T(1), rows_ ? b : a, rows_ ? a : b, T(0), c);
  }

  // C = A B^H where the result is known to be Hermitian. Only entries on and below the diagonal (of the rows in memory)
  // are sure to be computed.
  void times_adjoint(const T* a, const T* b, T* c) const {
    const Int block = std::max<Int>(kNarrowest, n_ / kBlocks);
    for (Int first = 0; first < n_; first += block) {
      const Int count = std::min<Int>(block, n_ - first);
      const int64_t row = static_cast<int64_t>(first), down = row * n_;
      if (rows_) {
        call("C", "N", first + count, count, T(1), b, a + down, T(0), c + down);
      } else {
        call("N", "C", first + count, count, T(1), a, b + row, T(0), c + down);
      }
    }
  }

 private:
  static constexpr Int kNarrowest = 64, kBlocks = 8;

  // The m x k matrix C = alpha op(A) op(B) + beta C, column-major.
  void call(const char* op_a, const char* op_b, Int m, Int k, T alpha, const T* a, const T* b, T beta, T* c) const {
    const Length one = 1;
    fortran(gemm_, op_a, op_b, &m, &k, &n_, &alpha, a, &n_, b, &n_, &beta, c, &n_, one, one);
  }

  void* gemm_;
  Int n_;
  bool rows_;
};

template <typename T, typename Int>
class LargeRuleProblem final : public Problem {
 public:
  LargeRuleProblem(const eigenpair_lapack& lapack, const LargeRule& kernels, const eigenpair_hermitian_rule& rule)
      : products_(lapack, rule.n, rule.layout), kernels_(kernels), p_(rule) {}

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    return (is_complex<T> ? 4.0 : 1.0) * n * n * (4 + 0.05 * n);
  }
  // From these orders on, a second thread makes value and gradient at least 5 % faster. Measured on two idle
  // processors.
  bool slower_with_threads() const override { return are_threads_slower(p_.n, is_complex<T> ? 72 : 112); }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<RuleWorker>(*this); }

 private:
  bool uses_vectors() const { return p_.dv != nullptr || p_.du != nullptr; }
  bool conjugates() const { return is_complex<T> && p_.conjugated && uses_vectors(); }

  class RuleWorker final : public Worker {
   public:
    explicit RuleWorker(const LargeRuleProblem& problem)
        : problem_(problem),
          moved_(problem.p_.n * problem.p_.n),
          rotation_(problem.uses_vectors() && problem.p_.da == nullptr ? problem.p_.n * problem.p_.n : 0),
          scratch_(kRuleScratch * problem.p_.n) {}

    void solve(int64_t first, int64_t last) noexcept override {
      const eigenpair_hermitian_rule& p = problem_.p_;
      for (int64_t index = first; index < last; ++index) {
        const bool good = solve_one(index);
        if (p.refused != nullptr) p.refused[index] = good ? 0 : 1;
      }
    }

    // ---- see pull_back of rule-inl.h ----

    bool compute_m() {
      const eigenpair_hermitian_rule& p = problem_.p_;
      const Products<T, Int>& products = problem_.products_;
      const T *v = of_matrix(p.v), *u = of_matrix(p.u);
      if (p.dv != nullptr) products.adjoint_times(T(1), v, plain(p.dv), T(0), k_);
      if (p.du != nullptr) products.adjoint_times(T(-1), plain(p.du), u, T(p.dv != nullptr ? 1 : 0), k_);
      return problem_.kernels_.compute_m(p, index_, k_, m_, scratch_.get());
    }
    void compute_n() { problem_.kernels_.compute_n(problem_.p_, index_, m_, k_); }
    void pull_back_a(bool x_is_u) {
      multiply_around(of_matrix(x_is_u ? problem_.p_.u : problem_.p_.v), m_, false, da_);
    }
    void pull_back_b(bool y_is_u) { multiply_around(of_matrix(y_is_u ? problem_.p_.u : problem_.p_.v), k_, true, db_); }

   private:
    T* of_matrix(const void* base) const {
      const int64_t square = problem_.p_.n * problem_.p_.n;
      return base == nullptr ? nullptr : const_cast<T*>(static_cast<const T*>(base)) + index_ * square;
    }

    bool solve_one(int64_t index) noexcept {
      const eigenpair_hermitian_rule& p = problem_.p_;
      index_ = index;
      da_ = of_matrix(p.da);
      db_ = of_matrix(p.db);
      // The gradients serve as scratch memory: K is computed where the last gradient will be, and M where dA will be.
      k_ = db_ != nullptr ? db_ : da_;
      m_ = da_ != nullptr ? da_ : rotation_.get();
      if (pull_back(p, *this)) return true;
      fill_nan(da_, p.n * p.n);
      fill_nan(db_, p.n * p.n);
      return false;
    }

    void multiply_around(const T* x, const T* m, bool of_b, T* gradient) {
      const eigenpair_hermitian_rule& p = problem_.p_;
      if (problem_.uses_vectors()) {
        problem_.products_.times(x, m, moved_.get());
      } else {
        problem_.kernels_.scale_columns(p, index_, of_b, x, moved_.get());
      }
      problem_.products_.times_adjoint(moved_.get(), x, gradient);
      problem_.kernels_.share_gradient(p, gradient);
    }

    // The cotangent in our convention: conjugated if the caller uses the other one. A conjugated copy is valid until
    // the next call.
    const T* plain(const void* cotangent) noexcept {
      const T* x = of_matrix(cotangent);
      if (!problem_.conjugates()) return x;
      const int64_t square = problem_.p_.n * problem_.p_.n;
      for (int64_t i = 0; i < square; ++i) moved_.get()[i] = conjugate(x[i]);
      return moved_.get();
    }

    const LargeRuleProblem& problem_;
    Buffer<T> moved_, rotation_;
    int64_t index_ = 0;
    T *da_ = nullptr, *db_ = nullptr, *k_ = nullptr, *m_ = nullptr;
    Buffer<Real<T>> scratch_;
  };

  Products<T, Int> products_;
  const LargeRule& kernels_;
  eigenpair_hermitian_rule p_;
};

template <typename T>
std::unique_ptr<Problem> make_large(const eigenpair_lapack& lapack, const LargeRule& kernels,
                                    const eigenpair_hermitian_rule& p) {
  if (lapack.integer_bits == 64) return std::make_unique<LargeRuleProblem<T, int64_t>>(lapack, kernels, p);
  return std::make_unique<LargeRuleProblem<T, int32_t>>(lapack, kernels, p);
}

// Up to this order, the core's own products are faster.
inline constexpr int64_t kOwnProducts = 64;

inline bool is_large(const eigenpair_lapack* lapack, const eigenpair_hermitian_rule& p) {
  static constexpr const char* kGemm[] = {"sgemm", "dgemm", "cgemm", "zgemm"};
  const bool useful = p.reverse && p.n > kOwnProducts && (p.da != nullptr || p.db != nullptr);
  return useful && (p.dw != nullptr || p.dv != nullptr || p.du != nullptr) &&
         eigenpair_lapack_has(lapack, kGemm[p.dtype]);
}

inline std::unique_ptr<Problem> make_large(const eigenpair_lapack& lapack, const LargeRule* kernels,
                                           const eigenpair_hermitian_rule& p) {
  switch (p.dtype) {
    case EIGENPAIR_FLOAT32: return make_large<float>(lapack, kernels[p.dtype], p);
    case EIGENPAIR_FLOAT64: return make_large<double>(lapack, kernels[p.dtype], p);
    case EIGENPAIR_COMPLEX64: return make_large<std::complex<float>>(lapack, kernels[p.dtype], p);
    default: return make_large<std::complex<double>>(lapack, kernels[p.dtype], p);
  }
}

}  // namespace eigenpair
