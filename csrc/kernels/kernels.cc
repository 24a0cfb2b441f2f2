#include "kernels/kernels.h"

#include <cstdlib>
#include <string>

namespace eigenpair {

#if defined(EIGENPAIR_SMALL_KERNELS)
namespace baseline {
extern const SmallSolvers solvers;
extern const RowSolvers row_solvers;
extern const SmallRules rules;
extern const LargeRule large_rules[4];
extern const SmallForms forms;
static const SmallKernels kernels = {&solvers, &row_solvers, &rules, large_rules, &forms};
}  // namespace baseline
#if defined(EIGENPAIR_SMALL_KERNELS_X86)
namespace avx2 {
extern const SmallSolvers solvers;
extern const RowSolvers row_solvers;
extern const SmallRules rules;
extern const LargeRule large_rules[4];
extern const SmallForms forms;
static const SmallKernels kernels = {&solvers, &row_solvers, &rules, large_rules, &forms};
}  // namespace avx2
namespace avx512 {
extern const SmallSolvers solvers;
extern const RowSolvers row_solvers;
extern const SmallRules rules;
extern const LargeRule large_rules[4];
extern const SmallForms forms;
static const SmallKernels kernels = {&solvers, &row_solvers, &rules, large_rules, &forms};
}  // namespace avx512
#endif
#endif

namespace {

const SmallKernels* choose() {
#if defined(EIGENPAIR_SMALL_KERNELS)
  const char* asked = std::getenv("EIGENPAIR_ISA");
  const std::string most = asked != nullptr ? asked : "";
  if (most == "none") return nullptr;
#if defined(EIGENPAIR_SMALL_KERNELS_X86)
  __builtin_cpu_init();
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512 && most != "baseline" && most != "avx2") return &avx512::kernels;
  if (has_avx2 && most != "baseline") return &avx2::kernels;
#endif
  return &baseline::kernels;
#else
  return nullptr;
#endif
}

}  // namespace

const SmallKernels* small_kernels() {
  static const SmallKernels* const chosen = choose();
  return chosen;
}

}  // namespace eigenpair
