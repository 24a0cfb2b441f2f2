// The rule for a batch: checks of its description, the kernel for the size, and what a matrix costs.
#include <algorithm>

#include "hermitian/large_rule.h"
#include "kernels/kernels.h"
#include "kernels/worker.h"
#include "runtime/problem.h"

namespace eigenpair {

namespace {

class RuleProblem final : public Problem {
 public:
  RuleProblem(const SmallRules& rules, const eigenpair_hermitian_rule& rule) : rules_(rules), p_(rule) {}

  int64_t batch() const override { return p_.batch; }
  double nanoseconds_each() const override {
    const double n = static_cast<double>(p_.n);
    const bool complex = p_.dtype >= EIGENPAIR_COMPLEX64;
    if (p_.n <= 4 && !complex) return 1 + 0.17 * n * n * n;
    return (complex ? 2.5 : 1.0) * (30 + n * n * (2.5 + 0.06 * n));
  }
  bool calls_lapack() const override { return false; }
  std::unique_ptr<Worker> worker() const override {
    return std::make_unique<KernelWorker<SmallRules, eigenpair_hermitian_rule>>(rules_, p_);
  }

 private:
  const SmallRules& rules_;
  eigenpair_hermitian_rule p_;
};

void check(const eigenpair_hermitian_rule& p) {
  require(p.struct_size == sizeof p, "rule.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "rule.dtype is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "rule.layout is unknown");
  require(p.type >= 0 && p.type <= 3, "rule.type must be 0, 1, 2 or 3");
  require(p.triangle >= EIGENPAIR_HERMITIAN_PART && p.triangle <= EIGENPAIR_UPPER, "rule.triangle is unknown");
  require(p.policy >= EIGENPAIR_POLICY_CHECK && p.policy <= EIGENPAIR_POLICY_RAW, "rule.policy is unknown");
  require(p.parameter >= 0, "rule.parameter is negative");
  require((p.options & ~EIGENPAIR_RULE_MASK_COUPLED) == 0, "rule.options are unknown");
  require(p.n >= 0 && p.n <= (int64_t{1} << 20), "rule.n is negative or too large");
  require(p.batch >= 0, "rule.batch is negative");
  if (p.n == 0 || p.batch == 0) return;
  require(p.w != nullptr && p.v != nullptr, "rule.w or rule.v is NULL");
  require(p.u != nullptr || (p.type < 2 && p.du == nullptr), "rule.u is NULL");
  require(p.type != 0 || p.db == nullptr, "rule.db must be NULL for type 0");
}

}  // namespace

std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const eigenpair_hermitian_rule& rule) {
  check(rule);
  const SmallKernels* kernels = small_kernels();
  if (kernels == nullptr) throw Failure(EIGENPAIR_MISSING_ROUTINE, "this library has no kernels of its own");
  if (rule.n == 0 || rule.batch == 0) {
    if (rule.refused != nullptr) std::fill_n(rule.refused, rule.batch, 0);
    return std::make_unique<EmptyProblem>();
  }
  if (is_large(lapack, rule)) return make_large(*lapack, kernels->large, rule);
  return std::make_unique<RuleProblem>(*kernels->rules, rule);
}

}  // namespace eigenpair

extern "C" int32_t eigenpair_has_small_kernels(void) { return eigenpair::small_kernels() != nullptr ? 1 : 0; }
