// eig on XLA: arguments (a) or (a, b); results w, then v, vl and u if requested.
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

ffi::Error general(ffi::ThreadPool pool, bool right, bool left, bool dual, ffi::RemainingArgs args,
                   ffi::RemainingRets rets) {
  eigenpair_general_problem problem{};
  if (ffi::Error error = require_lapack(); error.failure()) return error;
  if (ffi::Error error = describe(args, problem); error.failure()) return error;
  size_t index = 0;
  if (ffi::Error error = result_data(rets, index++, &problem.w); error.failure()) return error;
  const bool wanted[] = {right, left, dual};
  void** outputs[] = {&problem.v, &problem.vl, &problem.u};
  for (size_t i = 0; i < 3; ++i) {
    if (!wanted[i]) continue;
    if (ffi::Error error = result_data(rets, index++, outputs[i]); error.failure()) return error;
  }
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_general_job(lapack(), &problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(General, general,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<bool>("right")
                                  .Attr<bool>("left")
                                  .Attr<bool>("dual")
                                  .RemainingArgs()
                                  .RemainingRets());

}  // namespace eigenpair::xla
