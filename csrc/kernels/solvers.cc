// Compiled once per instruction set, with EIGENPAIR_ISA naming the namespace and the symbols.
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/kernels.h"
#include "kernels/lane_group-inl.h"
#include "kernels/lanes-inl.h"
#include "kernels/orders-inl.h"
#include "kernels/row_solver-inl.h"
#include "kernels/storage-inl.h"
#include "kernels/two_by_two-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T>
void solve(const eigenpair_hermitian_problem& p, int64_t first, int64_t last, void* scratch) {
  if constexpr (std::is_same_v<T, typename RealPart<T>::type>) {
    if (p.n == 2 && p.type == 0 && p.u == nullptr) return TwoByTwo<T>::solve(p, first, last);
  }
  for_order<T>(p.n, [&](auto order) { solve_order<T, decltype(order)::value>(p, first, last, scratch); });
}

template <typename T>
size_t scratch_bytes(int64_t n) {
  using R = typename RealPart<T>::type;
  using Any = LanePair<T, R, 0>;
  const size_t groups = groups_in_turns(n, false);
  // The unrolled kernels need less.
  return groups * (sizeof(Any) + Any::squares_bytes(n));
}

template <typename T>
bool solve_by_rows(int64_t n, void* a, void* w, bool vectors, void* scratch) {
  RowSolver<T> solver(n, scratch);
  return solver.solve(static_cast<T*>(a), static_cast<typename RealPart<T>::type*>(w), vectors);
}

}  // namespace

extern const RowSolvers row_solvers;
const RowSolvers row_solvers = {
    {solve_by_rows<float>, solve_by_rows<double>, solve_by_rows<Complex<float>>, solve_by_rows<Complex<double>>},
    {RowSolver<float>::scratch_bytes, RowSolver<double>::scratch_bytes, RowSolver<Complex<float>>::scratch_bytes,
     RowSolver<Complex<double>>::scratch_bytes}};

extern const SmallSolvers solvers;
const SmallSolvers solvers = {
    {solve<float>, solve<double>, solve<Complex<float>>, solve<Complex<double>>},
    {scratch_bytes<float>, scratch_bytes<double>, scratch_bytes<Complex<float>>, scratch_bytes<Complex<double>>},
    {kLanes<float>, kLanes<double>, kLanes<float>, kLanes<double>}};

}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
