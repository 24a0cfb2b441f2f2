// Compiled once per instruction set, with EIGENPAIR_ISA naming the namespace and the symbols.
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/lane_rule-inl.h"
#include "kernels/lanes-inl.h"
#include "kernels/orders-inl.h"
#include "kernels/padded_rule-inl.h"
#include "kernels/storage-inl.h"
#include "kernels/tiled_rule-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T, int N>
void run_order(const eigenpair_hermitian_rule& p, int64_t first, int64_t last, void* scratch) {
  PaddedRule<T, N> rule(p, scratch);
  if constexpr (N > 0) {
    if (LaneRule<T, N>::fits(p)) {
      for (; first < last; first += kLanes<T>) {
        const int count = static_cast<int>(last - first < kLanes<T> ? last - first : kLanes<T>);
        const auto done = LaneRule<T, N>::run(p, first, count);
        for (int lane = 0; any(~done) && lane < count; ++lane) {
          if (done[lane] == 0) rule.solve(first + lane);
        }
      }
      return;
    }
  }
  for (int64_t index = first; index < last; ++index) rule.solve(index);
}

template <typename T>
void run(const eigenpair_hermitian_rule& p, int64_t first, int64_t last, void* scratch) {
  for_order<T>(p.n, [&](auto order) { run_order<T, decltype(order)::value>(p, first, last, scratch); });
}

template <typename T>
size_t scratch_bytes(int64_t n) {
  // The unrolled kernels may use more padding.
  return PaddedRule<T, 0>::scratch_bytes(n) + PaddedRule<T, kLargestUnrolled>::scratch_bytes(kLargestUnrolled);
}

}  // namespace

extern const SmallRules rules;
const SmallRules rules = {
    {run<float>, run<double>, run<Complex<float>>, run<Complex<double>>},
    {scratch_bytes<float>, scratch_bytes<double>, scratch_bytes<Complex<float>>, scratch_bytes<Complex<double>>}};

template <typename T>
constexpr LargeRule large_rule() {
  return {compute_m<T>, compute_n<T>, share_gradient<T>, scale_columns<T>};
}
extern const LargeRule large_rules[4];
const LargeRule large_rules[4] = {large_rule<float>(), large_rule<double>(), large_rule<Complex<float>>(),
                                  large_rule<Complex<double>>()};

}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
