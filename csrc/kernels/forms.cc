// Compiled once per instruction set, with EIGENPAIR_ISA naming the namespace and the symbols.
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/lane_form-inl.h"
#include "kernels/lanes-inl.h"
#include "kernels/orders-inl.h"
#include "kernels/padded_form-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// Numbers [first, last) are those of pairs (matrix, direction), all directions of a matrix after each other.
template <typename T, int N>
void run_order(const eigenpair_spectral_form& p, int64_t first, int64_t last, void* scratch) {
  const int64_t directions = p.batch / p.shared;
  if constexpr (N > 0) {
    // Chunks are whole matrices, see SmallForms.
    LaneForm<T, N> form(p);
    const int64_t end = last / directions;
    for (int64_t index = first / directions; index < end; index += kLanes<T>) {
      form.open(index, static_cast<int>(end - index < kLanes<T> ? end - index : kLanes<T>));
      for (int64_t direction = 0; direction < directions; ++direction) form.apply(direction);
    }
  } else {
    PaddedForm<T, N> form(p, scratch);
    for (int64_t at = first; at < last; ++at) {
      if (at == first || at % directions == 0) form.open(at / directions);
      form.apply(at % directions);
    }
  }
}

template <typename T>
void run(const eigenpair_spectral_form& p, int64_t first, int64_t last, void* scratch) {
  for_order<T>(p.n, [&](auto order) { run_order<T, decltype(order)::value>(p, first, last, scratch); });
}

template <typename T>
size_t scratch_bytes(int64_t n) {
  return PaddedForm<T, 0>::scratch_bytes(n);
}

template <typename T>
int32_t lanes(int64_t n) {
  int32_t count = 1;
  for_order<T>(n, [&](auto order) {
    if constexpr (decltype(order)::value > 0) count = kLanes<T>;
  });
  return count;
}

}  // namespace

extern const SmallForms forms;
const SmallForms forms = {
    {run<float>, run<double>, run<Complex<float>>, run<Complex<double>>},
    {scratch_bytes<float>, scratch_bytes<double>, scratch_bytes<Complex<float>>, scratch_bytes<Complex<double>>},
    {lanes<float>, lanes<double>, lanes<Complex<float>>, lanes<Complex<double>>}};

}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
