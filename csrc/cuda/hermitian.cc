// Hermitian problems on a CUDA device: standard problems in batches where cuSOLVER has a routine for that, pairs one by
// one.
#include <algorithm>

#include "cuda/matrices.h"

namespace eigenpair::cuda {

namespace {

enum Method : int { kEvd, kBatched, kJacobi, kPair };

// docs/gpu.md has the measurements behind these limits. Up to this order Jacobi's method runs inside one thread block
// and is faster than XsyevBatched.
constexpr int64_t kJacobiLimit = 32;
// Above this order one matrix keeps the device busy, and a batch would only cost memory.
constexpr int64_t kBatchedLimit = 512;
// XsyevBatched fails for batches of about 32,000 and more, which its documentation does not mention. syevjBatched
// counts its workspace in 32 bits.
constexpr int64_t kMostTogether = 16384;
// The workspace grows with the batch, so at most this many bytes of matrices are solved together.
constexpr int64_t kBytesTogether = int64_t{1} << 30;

class Solver {
 public:
  Solver(Session& session, const eigenpair_hermitian_problem& p)
      : session_(session),
        api_(session.libraries().api),
        p_(p),
        type_(element_type(p.dtype)),
        job_(p.v != nullptr ? kVectors : kNoVectors),
        fill_(p.triangle == EIGENPAIR_LOWER ? kLower : kUpper),
        square_(p.n * p.n * type_.bytes) {
    if (p.n == 0 || p.batch == 0) return;
    plan_ = session.plan({0, p.dtype, p.type, p.triangle, p.driver, p.v != nullptr, p.n, p.batch},
                         [this] { return plan(); });
    workspace_ = scratch_.add(static_cast<int64_t>(plan_.device_bytes));
    if (p.v == nullptr) a_ = scratch_.add(plan_.together * square_);
    if (p.type != 0) b_ = scratch_.add(square_);
    if (p.type == 3 && p.u != nullptr) ignored_ = scratch_.add(sizeof(int32_t));
  }

  static void check(const eigenpair_hermitian_problem& p) {
    check_on_device(p);
    require(p.type >= 0 && p.type <= 3, "problem.type must be 0, 1, 2 or 3");
    require(p.triangle == EIGENPAIR_LOWER || p.triangle == EIGENPAIR_UPPER,
            "problem.triangle must be EIGENPAIR_LOWER or EIGENPAIR_UPPER on a device: cuSOLVER reads one triangle");
    require(p.driver == EIGENPAIR_DRIVER_AUTO || p.driver == EIGENPAIR_DRIVER_EVD ||
                p.driver == EIGENPAIR_DRIVER_BATCHED || p.driver == EIGENPAIR_DRIVER_JACOBI,
            "problem.driver must be AUTO, EVD, BATCHED or JACOBI on a device");
    require(p.reserved == 0, "problem.reserved is not 0");
    require(p.u == nullptr || p.v != nullptr, "problem.u needs problem.v");
    if (p.n == 0 || p.batch == 0) return;
    require((p.b != nullptr) == (p.type != 0), "problem.b must be NULL for type 0 and a matrix for types 1 to 3");
  }

  const Scratch& scratch() const { return scratch_; }

  void run(void* block) {
    char* base = Scratch::base(block);
    void* host = session_.host(plan_.host_bytes);
    for (int64_t first = 0; first < p_.batch; first += plan_.together) {
      const int64_t count = std::min(plan_.together, p_.batch - first);
      void* a = p_.v != nullptr ? offset(p_.v, first * square_) : base + a_;
      gather(session_, a, p_.a, p_.a_stride, first, count, p_.n, type_.bytes);
      void* w = offset(p_.w, first * p_.n * type_.real_bytes);
      void* u = offset(p_.u, first * square_);
      int32_t* info = p_.info + first;
      if (plan_.method == kPair) {
        void* b = base + b_;
        gather(session_, b, p_.b, p_.b_stride, first, 1, p_.n, type_.bytes);
        solve_pair(a, b, w, base + workspace_, info);
        if (u != nullptr) dual_basis(a, b, u, reinterpret_cast<int*>(base + ignored_));
      } else {
        solve(count, a, w, base + workspace_, host, info);
        if (u != nullptr) copy(session_, u, a, count * square_);
      }
    }
  }

 private:
  // ---- choice of routine
  // -----------------------------------------------------------------------------------------------------

  int method() const {
    const bool has_batched =
        api_.cusolverDnXsyevBatched != nullptr && api_.cusolverDnXsyevBatched_bufferSize != nullptr;
    if (p_.type != 0) return kPair;
    if (p_.driver == EIGENPAIR_DRIVER_BATCHED && !has_batched) {
      throw Failure(EIGENPAIR_MISSING_ROUTINE, "XsyevBatched needs cuSOLVER 11.7.1 (CUDA 12.6 Update 2); this is " +
                                                   version_text(session_.libraries().solver_version));
    }
    if (p_.driver == EIGENPAIR_DRIVER_BATCHED) return kBatched;
    if (p_.driver == EIGENPAIR_DRIVER_JACOBI) return kJacobi;
    if (p_.driver == EIGENPAIR_DRIVER_EVD) return kEvd;
    // For a batch of complex128 with n = 32, XsyevBatched takes 1.5 ms and Jacobi's method 2.2 ms.
    const bool complex128_batch = p_.dtype == EIGENPAIR_COMPLEX128 && p_.batch > 1 && has_batched;
    const int64_t jacobi_limit = complex128_batch ? kJacobiLimit - 1 : kJacobiLimit;
    if (p_.n <= jacobi_limit) return kJacobi;
    // With the lower triangle, XsyevBatched of some versions fails on complex64 at random (CUDA.jl's tests found it).
    const bool reliable = !(p_.dtype == EIGENPAIR_COMPLEX64 && fill_ == kLower);
    return p_.batch > 1 && p_.n <= kBatchedLimit && has_batched && reliable ? kBatched : kEvd;
  }

  Plan plan() {
    Plan plan;
    plan.method = method();
    if (plan.method == kBatched || plan.method == kJacobi) {
      plan.together = std::min({p_.batch, kMostTogether, std::max<int64_t>(1, kBytesTogether / square_)});
    }
    query(plan, plan.together);
    // A smaller batch may need more workspace.
    const int64_t rest = p_.batch % plan.together;
    if (rest != 0) query(plan, rest);
    return plan;
  }

  void query(Plan& plan, int64_t count) {
    const Libraries& libraries = session_.libraries();
    const int64_t n = p_.n;
    size_t device = 0, host = 0;
    int elements = 0;
    if (plan.method == kEvd) {
      libraries.check_solver(
          api_.cusolverDnXsyevd_bufferSize(session_.solver(), session_.parameters(), job_, fill_, n, type_.code,
                                           nullptr, n, type_.real, nullptr, type_.code, &device, &host),
          "cusolverDnXsyevd_bufferSize");
    } else if (plan.method == kBatched) {
      libraries.check_solver(
          api_.cusolverDnXsyevBatched_bufferSize(session_.solver(), session_.parameters(), job_, fill_, n, type_.code,
                                                 nullptr, n, type_.real, nullptr, type_.code, &device, &host, count),
          "cusolverDnXsyevBatched_bufferSize");
    } else if (plan.method == kJacobi) {
      const auto bytes = choose(api_.cusolverDnSsyevjBatched_bufferSize, api_.cusolverDnDsyevjBatched_bufferSize,
                                api_.cusolverDnCheevjBatched_bufferSize, api_.cusolverDnZheevjBatched_bufferSize);
      libraries.check_solver(
          bytes(session_.solver(), job_, fill_, small(n, "syevjBatched"), nullptr, small(n, "syevjBatched"), nullptr,
                &elements, session_.jacobi(), static_cast<int>(count)),
          "syevjBatched_bufferSize");
    } else {
      const auto bytes = choose(api_.cusolverDnSsygvd_bufferSize, api_.cusolverDnDsygvd_bufferSize,
                                api_.cusolverDnChegvd_bufferSize, api_.cusolverDnZhegvd_bufferSize);
      const int size = small(n, "sygvd");
      const int status =
          bytes(session_.solver(), p_.type, job_, fill_, size, nullptr, size, nullptr, size, nullptr, &elements);
      if (status == kSolverInvalidValue) too_large("sygvd");
      libraries.check_solver(status, "sygvd_bufferSize");
    }
    if (elements < 0) too_large(plan.method == kPair ? "sygvd" : "syevjBatched");
    device = std::max(device, static_cast<size_t>(elements) * static_cast<size_t>(type_.bytes));
    plan.device_bytes = std::max(plan.device_bytes, device);
    plan.host_bytes = std::max(plan.host_bytes, host);
    plan.elements = std::max(plan.elements, elements);
  }

  // Checks that n² fits the 32-bit integers of the older routines.
  int small(int64_t n, const char* routine) const {
    if (n > 46340) too_large(routine);
    return static_cast<int>(n);
  }

  [[noreturn]] void too_large(const char* routine) const {
    throw Failure(EIGENPAIR_TOO_LARGE, "cuSOLVER's " + std::string(routine) +
                                           " counts its workspace in 32 bits, and n = " + std::to_string(p_.n) +
                                           " needs more; reduce a generalized problem by B = L L^H to a standard one");
  }

  // The routine for the element type. All four are called with one signature.
  template <typename Function>
  Function choose(Function s, Function d, Function c, Function z) const {
    const Function all[] = {s, d, c, z};
    return all[p_.dtype];
  }

  // ---- solution ----------------------------------------------------------------------------------------------------

  void solve(int64_t count, void* a, void* w, void* workspace, void* host, int32_t* info) {
    const Libraries& libraries = session_.libraries();
    const int64_t n = p_.n;
    if (plan_.method == kEvd) {
      libraries.check_solver(
          api_.cusolverDnXsyevd(session_.solver(), session_.parameters(), job_, fill_, n, type_.code, a, n, type_.real,
                                w, type_.code, workspace, plan_.device_bytes, host, plan_.host_bytes, info),
          "cusolverDnXsyevd");
    } else if (plan_.method == kBatched) {
      libraries.check_solver(api_.cusolverDnXsyevBatched(session_.solver(), session_.parameters(), job_, fill_, n,
                                                         type_.code, a, n, type_.real, w, type_.code, workspace,
                                                         plan_.device_bytes, host, plan_.host_bytes, info, count),
                             "cusolverDnXsyevBatched");
    } else {
      const auto routine = choose(api_.cusolverDnSsyevjBatched, api_.cusolverDnDsyevjBatched,
                                  api_.cusolverDnCheevjBatched, api_.cusolverDnZheevjBatched);
      libraries.check_solver(routine(session_.solver(), job_, fill_, static_cast<int>(n), a, static_cast<int>(n), w,
                                     workspace, plan_.elements, info, session_.jacobi(), static_cast<int>(count)),
                             "syevjBatched");
    }
  }

  // Replaces `a` by the eigenvectors and `b` by the Cholesky factor of B.
  void solve_pair(void* a, void* b, void* w, void* workspace, int32_t* info) {
    const auto routine =
        choose(api_.cusolverDnSsygvd, api_.cusolverDnDsygvd, api_.cusolverDnChegvd, api_.cusolverDnZhegvd);
    const int n = static_cast<int>(p_.n);
    session_.libraries().check_solver(
        routine(session_.solver(), p_.type, job_, fill_, n, a, n, b, n, w, workspace, plan_.elements, info), "sygvd");
  }

  // U = V^-H: B V for types 1 and 2, B^-1 V for type 3, from the triangular factor of B.
  void dual_basis(const void* v, const void* factor, void* u, int* ignored) {
    const Libraries& libraries = session_.libraries();
    const int64_t n = p_.n;
    if (p_.type == 3) {
      copy(session_, u, v, square_);
      libraries.check_solver(api_.cusolverDnXpotrs(session_.solver(), session_.parameters(), fill_, n, n, type_.code,
                                                   factor, n, type_.code, u, n, ignored),
                             "cusolverDnXpotrs");
      return;
    }
    const auto trmm = choose(api_.cublasStrmm_v2, api_.cublasDtrmm_v2, api_.cublasCtrmm_v2, api_.cublasZtrmm_v2);
    const double one64[] = {1, 0};
    const float one32[] = {1, 0};
    const void* one = type_.real_bytes == 8 ? static_cast<const void*>(one64) : one32;
    const int adjoint = type_.bytes == type_.real_bytes ? kTransposed : kAdjoint;
    const int size = static_cast<int>(n);
    // B is L L^H or U^H U. The right factor acts first.
    const int order[] = {fill_ == kLower ? adjoint : int{kPlain}, fill_ == kLower ? int{kPlain} : adjoint};
    const void* from = v;
    for (const int operation : order) {
      libraries.check_blas(
          trmm(session_.blas(), kLeft, fill_, operation, kNonUnit, size, size, one, factor, size, from, size, u, size),
          "trmm");
      from = u;
    }
  }

  Session& session_;
  const Api& api_;
  const eigenpair_hermitian_problem& p_;
  ElementType type_;
  int job_;
  int fill_;
  int64_t square_;
  Plan plan_;
  Scratch scratch_;
  int64_t workspace_ = 0;
  int64_t a_ = 0;
  int64_t b_ = 0;
  int64_t ignored_ = 0;
};

}  // namespace

}  // namespace eigenpair::cuda

using namespace eigenpair;

extern "C" {

eigenpair_status eigenpair_cuda_hermitian_scratch(eigenpair_cuda* cuda, const eigenpair_hermitian_problem* problem,
                                                  void* stream, int64_t* bytes) {
  return cuda::query_scratch<cuda::Solver>(cuda, problem, stream, bytes);
}

eigenpair_status eigenpair_cuda_hermitian(eigenpair_cuda* cuda, const eigenpair_hermitian_problem* problem,
                                          void* stream, void* scratch, int64_t scratch_bytes) {
  return cuda::enqueue<cuda::Solver>(cuda, problem, stream, scratch, scratch_bytes);
}

}  // extern "C"
