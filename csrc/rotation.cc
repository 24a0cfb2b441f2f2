// What is not products in the derivatives of large Hermitian problems, as jobs: each matrix in strips.
#include "matrix.h"
#include "problem.h"
#include "small_hermitian.h"

namespace eigenpair {

namespace {

void check(const eigenpair_rotation& p) {
  require(p.struct_size == sizeof p, "rotation.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "rotation.dtype is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "rotation.layout is unknown");
  require(p.policy >= EIGENPAIR_POLICY_CHECK && p.policy <= EIGENPAIR_POLICY_RAW, "rotation.policy is unknown");
  require(p.parameter >= 0, "rotation.parameter is negative");
  require(p.reserved == 0, "rotation.reserved is not 0");
  require(p.n >= 0 && p.n < (int64_t{1} << 29), "rotation.n is negative or too large");
  require(p.batch >= 0, "rotation.batch is negative");
  if (p.n == 0 || p.batch == 0) return;
  require(p.w != nullptr && p.k != nullptr && p.m != nullptr, "rotation.w, k or m is NULL");
  require(p.kappa != nullptr || p.policy != EIGENPAIR_POLICY_CHECK, "rotation.kappa is NULL");
}

void check(const eigenpair_gradient& p) {
  require(p.struct_size == sizeof p, "gradient.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "gradient.dtype is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "gradient.layout is unknown");
  require(p.triangle >= EIGENPAIR_HERMITIAN_PART && p.triangle <= EIGENPAIR_UPPER, "gradient.triangle is unknown");
  require(p.n >= 0 && p.n < (int64_t{1} << 29), "gradient.n is negative or too large");
  require(p.batch >= 0, "gradient.batch is negative");
  if (p.n == 0 || p.batch == 0) return;
  require(p.whole != nullptr && p.gradient != nullptr, "gradient.whole or gradient.gradient is NULL");
}

void run(const LargeRules& rules, const eigenpair_rotation& p, int64_t index, int64_t strip, void* scratch) {
  rules.rotate[p.dtype](p, index, strip, scratch);
}
void run(const LargeRules& rules, const eigenpair_gradient& p, int64_t index, int64_t strip, void*) {
  rules.gather[p.dtype](p, index, strip);
}

template <typename Description>
class StripProblem final : public Problem {
 public:
  StripProblem(const LargeRules& rules, const Description& description)
      : rules_(rules), p_(description), strips_(rules.strips(description.n)) {}

  int64_t batch() const override { return p_.batch * strips_; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    return (p_.dtype >= EIGENPAIR_COMPLEX64 ? 3.0 : 1.5) * n * n / static_cast<double>(strips_);
  }
  std::unique_ptr<Worker> worker() const override { return std::make_unique<StripWorker>(*this); }

 private:
  class StripWorker final : public Worker {
   public:
    explicit StripWorker(const StripProblem& problem) : problem_(problem), scratch_(problem.p_.n) {}
    void solve(int64_t first, int64_t last) noexcept override {
      const int64_t strips = problem_.strips_;
      for (int64_t unit = first; unit < last; ++unit) {
        run(problem_.rules_, problem_.p_, unit / strips, unit % strips, scratch_.get());
      }
    }

   private:
    const StripProblem& problem_;
    Buffer<int32_t> scratch_;
  };

  const LargeRules& rules_;
  Description p_;
  int64_t strips_;
};

template <typename Description>
eigenpair_status create(const Description* description, int32_t max_workers, eigenpair_job** out) {
  return guarded([&] {
    require(out != nullptr, "out is NULL");
    *out = nullptr;
    require(description != nullptr, "the description is NULL");
    check(*description);
    const SmallKernels* kernels = small_kernels();
    if (kernels == nullptr) throw Failure(EIGENPAIR_MISSING_ROUTINE, "this library has no kernels of its own");
    if (description->n == 0 || description->batch == 0) {
      *out = make_job(nullptr, std::make_unique<EmptyProblem>(), max_workers);
    } else {
      using Strips = StripProblem<Description>;
      *out = make_job(nullptr, std::make_unique<Strips>(*kernels->large, *description), max_workers);
    }
  });
}

}  // namespace

}  // namespace eigenpair

extern "C" {

eigenpair_status eigenpair_rotation_job(const eigenpair_rotation* rotation, int32_t max_workers, eigenpair_job** out) {
  const eigenpair_status status = eigenpair::create(rotation, max_workers, out);
  if (status == EIGENPAIR_OK && rotation->refused != nullptr) {
    std::fill(rotation->refused, rotation->refused + rotation->batch, 0);
  }
  return status;
}

eigenpair_status eigenpair_gradient_job(const eigenpair_gradient* gradient, int32_t max_workers, eigenpair_job** out) {
  return eigenpair::create(gradient, max_workers, out);
}

}  // extern "C"
