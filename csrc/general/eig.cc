// General eigenproblems A v = w v and A v = w B v by geev and ggev. Eigenvalues and vectors are put in a fixed order
// and gauge.
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "general/gauge.h"
#include "lapack/general_drivers.h"
#include "runtime/matrix.h"
#include "runtime/problem.h"

namespace eigenpair {

namespace {

template <typename T, typename Int>
class GeneralProblem final : public Problem {
 public:
  using R = Real<T>;
  using C = std::complex<R>;

  GeneralProblem(const eigenpair_lapack& lapack, const eigenpair_general_problem& problem)
      : p_(problem),
        lapack_(&lapack),
        driver_(lapack, problem.n, problem.b != nullptr, problem.vl != nullptr || problem.u != nullptr,
                problem.v != nullptr || problem.u != nullptr),
        gemm_(problem.u != nullptr ? find_routine(lapack, routine_name<C>("gemm")) : nullptr),
        gesv_(problem.u != nullptr ? find_routine(lapack, routine_name<C>("gesv")) : nullptr) {}

  static void check(const eigenpair_general_problem& p) { check_batch(p); }

  int64_t batch() const override { return p_.batch; }

  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    return (is_complex<T> ? 2.0 : 1.0) * (1500 + 500 * n + 8 * n * n * n);
  }

  bool slower_with_threads() const override {
    return are_threads_slower(p_.n, p_.b != nullptr ? kThreadedPair : kThreadedBasis);
  }

  std::unique_ptr<Worker> worker() const override { return std::make_unique<GeneralWorker>(*this); }

 private:
  // From these orders on, a second thread makes one solve faster. Measured on two idle processors. For real matrices,
  // the QR iteration is slower with two threads than with one (0.67 of the speed at n = 384, 0.84 at 512). Products and
  // solves of the dual basis become faster, but for small matrices they gain less than the iteration loses. The QZ
  // iteration uses no threads and takes nearly all of the time.
  static constexpr int64_t kThreadedQr = is_complex<T> ? 144 : 640, kThreadedBasis = is_complex<T> ? 144 : 384;
  static constexpr int64_t kThreadedPair = 1024;

  bool iterates_slower_with_threads() const {
    return are_threads_slower(p_.n, p_.b != nullptr ? kThreadedPair : kThreadedQr);
  }

  class GeneralWorker final : public Worker {
   public:
    explicit GeneralWorker(const GeneralProblem& problem)
        : problem_(problem),
          n_(problem.p_.n),
          a_(square()),
          b_(problem.p_.b != nullptr ? square() : 0),
          vl_(problem.driver_.left() ? square() : 0),
          vr_(problem.driver_.right() ? square() : 0),
          left_(problem.driver_.left() ? square() : 0),
          right_(problem.driver_.right() ? square() : 0),
          gram_(problem.p_.u != nullptr ? square() : 0),
          product_(problem.p_.u != nullptr ? square() : 0),
          values_(n_),
          scratch_(problem.driver_) {}

    void solve(int64_t first, int64_t last) noexcept override {
      for (int64_t index = first; index < last; ++index) solve_one(index);
    }

   private:
    void solve_one(int64_t index) noexcept {
      const eigenpair_general_problem& p = problem_.p_;
      C* w = at(static_cast<C*>(p.w), index, n_);
      C* outputs[] = {at(static_cast<C*>(p.v), index, square()), at(static_cast<C*>(p.vl), index, square()),
                      at(static_cast<C*>(p.u), index, square())};
      int32_t info = EIGENPAIR_INFO_NO_CONVERGENCE;
      try {
        info = solve(at(static_cast<const T*>(p.a), index, p.a_stride),
                     at(static_cast<const T*>(p.b), index, p.b_stride), w, outputs);
      } catch (...) {  // out of memory while sorting
      }
      if (info != EIGENPAIR_INFO_OK) {
        fill_nan(w, n_);
        for (C* output : outputs) fill_nan(output, square());
      }
      if (p.info != nullptr) p.info[index] = info;
    }

    int64_t square() const { return problem_.p_.n * problem_.p_.n; }

    int32_t solve(const T* a_in, const T* b_in, C* w, C* const* outputs) {
      const eigenpair_general_problem& p = problem_.p_;
      if (!load_general(a_in, n_, p.layout, a_.get())) return EIGENPAIR_INFO_NOT_FINITE;
      if (b_in != nullptr && !load_general(b_in, n_, p.layout, b_.get())) return EIGENPAIR_INFO_NOT_FINITE;
      const R size = b_in == nullptr ? bring_to_size_one() : R(1);
      if (!decompose()) return EIGENPAIR_INFO_NO_CONVERGENCE;
      for (int64_t j = 0; j < n_; ++j) values_.get()[j] *= size;
      const std::vector<int64_t> order = sorted_order(values_.get(), n_);
      for (int64_t j = 0; j < n_; ++j) w[j] = values_.get()[order[static_cast<size_t>(j)]];
      if (b_in == nullptr && !all_finite(w, n_)) return EIGENPAIR_INFO_NO_CONVERGENCE;
      if (right_.get() != nullptr) unpack(vr_.get(), order, right_.get());
      if (left_.get() != nullptr) unpack(vl_.get(), order, left_.get());
      if (outputs[2] != nullptr) dual_basis(a_in, b_in, w, outputs[2]);
      if (outputs[0] != nullptr) store(right_.get(), outputs[0]);
      if (outputs[1] != nullptr) store(left_.get(), outputs[1]);
      return EIGENPAIR_INFO_OK;
    }

    bool decompose() {
      std::optional<SingleThreadedLapack> single_threaded;
      if (problem_.iterates_slower_with_threads()) single_threaded.emplace(problem_.lapack_);
      return problem_.driver_(a_.get(), b_.get(), values_.get(), vl_.get(), vr_.get(), scratch_);
    }

    // Scales a very large or small matrix by a power of two. Returns the factor by which its eigenvalues must be
    // multiplied. geev also scales, but some builds of OpenBLAS 0.3.30 do not scale the results back.
    R bring_to_size_one() {
      R largest = 0;
      for (int64_t i = 0; i < square(); ++i) largest = std::max(largest, std::abs(a_.get()[i]));
      int exponent = 0;
      std::frexp(largest, &exponent);
      if (!(largest > 0) || std::abs(exponent) < 30) return 1;
      // Clamped so that both factors are normal numbers.
      exponent = std::min(std::max(exponent, std::numeric_limits<R>::min_exponent + 2),
                          std::numeric_limits<R>::max_exponent - 2);
      const R down = std::ldexp(R(1), -exponent);
      for (int64_t i = 0; i < square(); ++i) a_.get()[i] *= down;
      return std::ldexp(R(1), exponent);
    }

    // Writes the vectors as complex columns, sorted and normalized. For two conjugate eigenvalues, real LAPACK returns
    // the real and the imaginary part of one vector.
    void unpack(const T* packed, const std::vector<int64_t>& order, C* vectors) const {
      for (int64_t j = 0; j < n_; ++j) {
        const int64_t from = order[static_cast<size_t>(j)];
        C* x = vectors + j * n_;
        if constexpr (is_complex<T>) {
          std::copy(packed + from * n_, packed + (from + 1) * n_, x);
        } else {
          const int32_t pair = scratch_.pairs()[from];
          const T* re = packed + (pair < 0 ? from - 1 : from) * n_;
          const T* im = re + n_;
          for (int64_t i = 0; i < n_; ++i) x[i] = pair == 0 ? C(re[i]) : C(re[i], pair > 0 ? im[i] : -im[i]);
        }
        normalize(x, n_);
      }
    }

    void store(const C* vectors, C* output) const {
      std::copy(vectors, vectors + square(), output);
      if (problem_.p_.layout == EIGENPAIR_ROW_MAJOR) transpose_in_place(output, n_);
    }

    // Computes U = W (W^H B V)^-H from the left vectors W. For distinct eigenvalues the Gram matrix W^H B V is diagonal
    // up to rounding, so each column is as accurate as its own condition number allows. For repeated eigenvalues it
    // makes the left and right bases of a cluster dual to each other; LAPACK computes them independently.
    void dual_basis(const T* a_in, const T* b_in, const C* w, C* u) {
      load_general(a_in, n_, problem_.p_.layout, a_.get());
      if (b_in != nullptr) load_general(b_in, n_, problem_.p_.layout, b_.get());
      bool good = true;
      const bool regular = b_in == nullptr || all_finite(w, n_);
      if (regular) {
        good = solve_gram(b_in != nullptr);
      } else {
        scale_one_by_one(w);
      }
      const R norm_a = norm_of(a_.get()), norm_b = b_in != nullptr ? norm_of(b_.get()) : R(1);
      const R limit = 1 / (10 * std::sqrt(static_cast<R>(n_)) * std::numeric_limits<R>::epsilon());
      for (int64_t j = 0; j < n_ && good; ++j) {
        // The condition number of the eigenvalue (alpha, beta). For B = I it is the norm of u.
        const R alpha = std::isfinite(w[j].real()) ? std::abs(w[j]) : R(1);
        const R beta = std::isfinite(w[j].real()) ? R(1) : R(0);
        const R weight = std::max(norm_a > 0 ? alpha / norm_a : R(0), norm_b > 0 ? beta / norm_b : R(0));
        good = norm2(product_.get() + j * n_, n_) < limit * weight;
      }
      if (!good) return fill_nan(u, square());
      store(product_.get(), u);
    }

    R norm_of(const T* matrix) const {
      R largest = 0, sum = 0;
      for (int64_t i = 0; i < square(); ++i) largest = std::max(largest, std::abs(matrix[i]));
      if (!(largest > 0)) return 0;
      for (int64_t i = 0; i < square(); ++i) sum += std::norm(matrix[i] / largest);
      return largest * std::sqrt(sum);
    }

    // Computes U into product_. False if the Gram matrix is singular.
    bool solve_gram(bool with_b) {
      const Int n = static_cast<Int>(n_);
      const C unit = 1, zero = 0;
      const Length one = 1;
      const C* right = right_.get();
      if (with_b) {
        C* wide = gram_.get();
        std::copy(b_.get(), b_.get() + square(), wide);
        fortran(problem_.gemm_, "N", "N", &n, &n, &n, &unit, static_cast<const C*>(wide), &n, right, &n, &zero,
                product_.get(), &n, one, one);
        right = product_.get();
      }
      fortran(problem_.gemm_, "C", "N", &n, &n, &n, &unit, static_cast<const C*>(left_.get()), &n, right, &n, &zero,
              gram_.get(), &n, one, one);
      C* x = product_.get();  // W^H, then U^H
      for (int64_t j = 0; j < n_; ++j) {
        for (int64_t i = 0; i < n_; ++i) x[i + j * n_] = std::conj(left_.get()[j + i * n_]);
      }
      Int info = 0;
      fortran(problem_.gesv_, &n, &n, gram_.get(), &n, scratch_.pivots(), x, &n, &info);
      if (info != 0 || !all_finite(x, square())) return false;
      transpose_in_place(x, n_);
      for (int64_t i = 0; i < square(); ++i) x[i] = std::conj(x[i]);
      return true;
    }

    // With infinite eigenvalues W^H B V is singular. So each column is scaled on its own, by B, or by A where B v = 0.
    void scale_one_by_one(const C* w) {
      for (int64_t j = 0; j < n_; ++j) {
        const C* y = left_.get() + j * n_;
        const C* x = right_.get() + j * n_;
        const bool finite = std::isfinite(w[j].real());
        const C size = std::conj(form(y, finite ? b_.get() : a_.get(), x, n_));
        for (int64_t i = 0; i < n_; ++i) product_.get()[i + j * n_] = y[i] / size;
      }
    }

    const GeneralProblem& problem_;
    int64_t n_;
    Buffer<T> a_;
    Buffer<T> b_;
    Buffer<T> vl_;
    Buffer<T> vr_;
    Buffer<C> left_;
    Buffer<C> right_;
    Buffer<C> gram_;
    Buffer<C> product_;
    Buffer<C> values_;
    typename GeneralDriver<T, Int>::Scratch scratch_;
  };

  eigenpair_general_problem p_;
  const eigenpair_lapack* lapack_;
  GeneralDriver<T, Int> driver_;
  void* gemm_;
  void* gesv_;
};

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_general_problem& p) {
  return make<GeneralProblem>(lapack, p);
}

}  // namespace eigenpair
