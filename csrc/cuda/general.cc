// General problems on a CUDA device, by Xgeev, one matrix after the other.
#include "cuda/matrices.h"

namespace eigenpair::cuda {

namespace {

class Solver {
 public:
  Solver(Session& session, const eigenpair_general_problem& p)
      : session_(session),
        api_(session.libraries().api),
        p_(p),
        type_(element_type(p.dtype)),
        job_(p.v != nullptr ? kVectors : kNoVectors) {
    if (p.n == 0 || p.batch == 0) return;
    if (api_.cusolverDnXgeev == nullptr || api_.cusolverDnXgeev_bufferSize == nullptr) {
      throw Failure(EIGENPAIR_MISSING_ROUTINE,
                    "general problems need Xgeev of cuSOLVER 11.7.1 (CUDA 12.6 Update 2); this is " +
                        version_text(session.libraries().solver_version));
    }
    plan_ = session.plan({1, p.dtype, 0, 0, 0, p.v != nullptr, p.n, 1}, [this] { return plan(); });
    workspace_ = scratch_.add(static_cast<int64_t>(plan_.device_bytes));
    a_ = scratch_.add(p.n * p.n * type_.bytes);
  }

  static void check(const eigenpair_general_problem& p) {
    check_on_device(p);
    require(p.b == nullptr, "problem.b must be NULL on a device: cuSOLVER has no ggev");
    require(p.vl == nullptr && p.u == nullptr,
            "problem.vl and problem.u must be NULL on a device: Xgeev has right vectors only, invert V instead");
  }

  const Scratch& scratch() const { return scratch_; }

  void run(void* block) {
    char* base = Scratch::base(block);
    void* host = session_.host(plan_.host_bytes);
    const Libraries& libraries = session_.libraries();
    const int64_t n = p_.n;
    for (int64_t k = 0; k < p_.batch; ++k) {
      gather(session_, base + a_, p_.a, p_.a_stride, k, 1, n, type_.bytes);
      void* w = offset(p_.w, k * n * 2 * type_.real_bytes);
      void* v = offset(p_.v, k * n * n * type_.bytes);
      libraries.check_solver(
          api_.cusolverDnXgeev(session_.solver(), session_.parameters(), kNoVectors, job_, n, type_.code, base + a_, n,
                               type_.complex, w, type_.code, nullptr, n, type_.code, v, n, type_.code,
                               base + workspace_, plan_.device_bytes, host, plan_.host_bytes, p_.info + k),
          "cusolverDnXgeev");
    }
  }

 private:
  Plan plan() {
    Plan plan;
    const int64_t n = p_.n;
    session_.libraries().check_solver(
        api_.cusolverDnXgeev_bufferSize(session_.solver(), session_.parameters(), kNoVectors, job_, n, type_.code,
                                        nullptr, n, type_.complex, nullptr, type_.code, nullptr, n, type_.code, nullptr,
                                        n, type_.code, &plan.device_bytes, &plan.host_bytes),
        "cusolverDnXgeev_bufferSize");
    return plan;
  }

  Session& session_;
  const Api& api_;
  const eigenpair_general_problem& p_;
  ElementType type_;
  int job_;
  Plan plan_;
  Scratch scratch_;
  int64_t workspace_ = 0;
  int64_t a_ = 0;
};

}  // namespace

}  // namespace eigenpair::cuda

using namespace eigenpair;

extern "C" {

eigenpair_status eigenpair_cuda_general_scratch(eigenpair_cuda* cuda, const eigenpair_general_problem* problem,
                                                void* stream, int64_t* bytes) {
  return cuda::query_scratch<cuda::Solver>(cuda, problem, stream, bytes);
}

eigenpair_status eigenpair_cuda_general(eigenpair_cuda* cuda, const eigenpair_general_problem* problem, void* stream,
                                        void* scratch, int64_t scratch_bytes) {
  return cuda::enqueue<cuda::Solver>(cuda, problem, stream, scratch, scratch_bytes);
}

}  // extern "C"
