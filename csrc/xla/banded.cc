// Band matrices on XLA: argument (a), which has the lower half of the band in its rows, results (w) or (w, v, edges).
// Their complement: arguments (a, w, v, y), result (x).
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

// The rows of `a` are the diagonals of the matrix.
template <typename Description>
ffi::Error describe_band(const ffi::AnyBuffer& a, Description& problem) {
  if (ffi::Error error = describe(a, "a", problem); error.failure()) return error;
  problem.bandwidth = problem.n - 1;
  problem.n = a.dimensions().back();
  problem.a = a.untyped_data();
  return ffi::Error::Success();
}

ffi::Error banded(ffi::ThreadPool pool, int64_t first, int64_t count, ffi::AnyBuffer a, ffi::RemainingRets rets) {
  eigenpair_banded_problem problem{};
  if (ffi::Error error = describe_band(a, problem); error.failure()) return error;
  problem.first = first;
  problem.count = count;
  void** outputs[] = {&problem.w, &problem.v, &problem.edges};
  for (size_t i = 0; i < rets.size() && i < 3; ++i) {
    if (ffi::Error error = result_data(rets, i, outputs[i]); error.failure()) return error;
  }
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_banded_job(lapack(), &problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

ffi::Error banded_complement(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer w, ffi::AnyBuffer v,
                             ffi::AnyBuffer y, ffi::Result<ffi::AnyBuffer> x) {
  eigenpair_banded_complement_problem problem{};
  if (ffi::Error error = describe_band(a, problem); error.failure()) return error;
  problem.count = v.dimensions().back();
  problem.w = w.untyped_data();
  problem.v = v.untyped_data();
  problem.y = y.untyped_data();
  problem.x = x->untyped_data();
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_banded_complement_job(lapack(), &problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(Banded, banded,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int64_t>("first")
                                  .Attr<int64_t>("count")
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingRets());

XLA_FFI_DEFINE_HANDLER_SYMBOL(BandedComplement, banded_complement,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

}  // namespace eigenpair::xla
