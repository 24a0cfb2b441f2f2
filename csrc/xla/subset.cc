// Subsets of the spectrum on XLA: arguments (a) or (a, b), results (w) or (w, v, edges, factor). Their complement:
// arguments (factor, w, v, y), result (x).
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

ffi::Error subset(ffi::ThreadPool pool, int32_t triangle, int64_t first, int64_t count, ffi::RemainingArgs args,
                  ffi::RemainingRets rets) {
  eigenpair_subset_problem problem{};
  if (ffi::Error error = describe(args, problem); error.failure()) return error;
  problem.triangle = triangle;
  problem.first = first;
  problem.count = count;
  void** outputs[] = {&problem.w, &problem.v, &problem.edges, &problem.factor};
  for (size_t i = 0; i < rets.size() && i < 4; ++i) {
    if (ffi::Error error = result_data(rets, i, outputs[i]); error.failure()) return error;
  }
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_subset_job(lapack(), &problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

ffi::Error complement(ffi::ThreadPool pool, int32_t type, ffi::AnyBuffer factor, ffi::AnyBuffer w, ffi::AnyBuffer v,
                      ffi::AnyBuffer y, ffi::Result<ffi::AnyBuffer> x) {
  eigenpair_complement_problem problem{};
  if (ffi::Error error = describe(v, "v", problem); error.failure()) return error;
  problem.type = type;
  problem.count = v.dimensions().back();
  problem.factor = factor.untyped_data();
  problem.w = w.untyped_data();
  problem.v = v.untyped_data();
  problem.y = y.untyped_data();
  problem.x = x->untyped_data();
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_complement_job(lapack(), &problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(Subset, subset,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("triangle")
                                  .Attr<int64_t>("first")
                                  .Attr<int64_t>("count")
                                  .RemainingArgs()
                                  .RemainingRets());

XLA_FFI_DEFINE_HANDLER_SYMBOL(Complement, complement,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("type")
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

}  // namespace eigenpair::xla
