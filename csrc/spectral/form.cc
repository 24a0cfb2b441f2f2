// The job that computes functions of Hermitian matrices and their derivatives, from the divided differences of the
// function.
#include "kernels/kernels.h"
#include "kernels/worker.h"
#include "runtime/problem.h"

namespace eigenpair {

namespace {

class FormProblem final : public Problem {
 public:
  FormProblem(const SmallForms& forms, const eigenpair_spectral_form& form) : forms_(forms), p_(form) {}

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    const bool complex = p_.dtype >= EIGENPAIR_COMPLEX64;
    if (p_.n <= 4 && !complex) return 1 + 0.2 * (p_.order + 1) * n * n * n;
    const double products = p_.order == 0 ? 1 : (p_.order == 1 ? 4 : 10);
    return (complex ? 2.5 : 1.0) * (30 + n * n * (3 + 0.03 * products * n));
  }
  int64_t group_size() const override {
    const int32_t lanes = forms_.lanes[p_.dtype](p_.n);
    return lanes == 1 ? 1 : lanes * (p_.batch / p_.shared);
  }
  bool calls_lapack() const override { return false; }
  std::unique_ptr<Worker> worker() const override {
    return std::make_unique<KernelWorker<SmallForms, eigenpair_spectral_form>>(forms_, p_);
  }

 private:
  const SmallForms& forms_;
  eigenpair_spectral_form p_;
};

void check(const eigenpair_spectral_form& p) {
  require(p.struct_size == sizeof p, "form.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "form.dtype is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "form.layout is unknown");
  require(p.order >= 0 && p.order <= 2, "form.order must be 0, 1 or 2");
  require(p.reserved == 0, "form.reserved must be 0");
  require(p.n >= 0 && p.n <= (int64_t{1} << 20), "form.n is negative or too large");
  require(p.step >= -1 && p.step <= p.n, "form.step must be at least -1 and at most n");
  require(p.batch >= 0, "form.batch is negative");
  for (const int64_t stride : {p.x_outer, p.x_inner, p.y_outer, p.y_inner, p.out_outer, p.out_inner}) {
    require(stride >= 0, "a stride is negative");
  }
  if (p.n == 0 || p.batch == 0) return;
  require(p.shared >= 1 && p.batch % p.shared == 0, "form.shared must be a divisor of form.batch");
  require(p.w != nullptr && p.v != nullptr, "form.w or form.v is NULL");
  require(p.out != nullptr, "form.out is NULL");
  require(p.order < 1 || p.x != nullptr, "form.x is NULL");
  require(p.order < 2 || p.y != nullptr, "form.y is NULL");
  if (p.order == 0) {
    require(p.values != nullptr, "form.values is NULL");
  } else if (p.order == 1 || p.step >= 0) {
    require(p.derivative != nullptr, "form.derivative is NULL");
    require(p.first != nullptr || p.step >= 0 || p.n == 1, "form.first is NULL");
  } else {
    require(p.half_second != nullptr, "form.half_second is NULL");
    require((p.left != nullptr && p.right != nullptr) || p.n == 1, "form.left or form.right is NULL");
  }
}

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack*, const eigenpair_spectral_form& form) {
  check(form);
  const SmallKernels* kernels = small_kernels();
  if (kernels == nullptr) throw Failure(EIGENPAIR_MISSING_ROUTINE, "this library has no kernels of its own");
  if (form.n == 0 || form.batch == 0) return std::make_unique<EmptyProblem>();
  return std::make_unique<FormProblem>(*kernels->forms, form);
}

}  // namespace eigenpair
