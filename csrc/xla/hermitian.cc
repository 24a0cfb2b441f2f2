// eigh on XLA: arguments (a) or (a, b); results (w), (w, v) or (w, v, u).
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

ffi::Error hermitian(ffi::ThreadPool pool, int32_t type, int32_t triangle, ffi::RemainingArgs args,
                     ffi::RemainingRets rets) {
  eigenpair_hermitian_problem problem{};
  if (ffi::Error error = require_lapack(); error.failure()) return error;
  if (ffi::Error error = describe(args, problem); error.failure()) return error;
  problem.type = type;
  problem.triangle = triangle;
  void** outputs[] = {&problem.w, &problem.v, &problem.u};
  for (size_t i = 0; i < rets.size() && i < 3; ++i) {
    if (ffi::Error error = result_data(rets, i, outputs[i]); error.failure()) return error;
  }
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_hermitian_job(lapack(), &problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(Hermitian, hermitian,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("type")
                                  .Attr<int32_t>("triangle")
                                  .RemainingArgs()
                                  .RemainingRets());

}  // namespace eigenpair::xla
