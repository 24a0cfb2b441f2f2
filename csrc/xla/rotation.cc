// What is not products in the reverse rule of large matrices, on XLA: (w, k, kappa, [dw], [scale]) to (m, refused), and
// (whole, [refused]) to (gradient).
#include "handlers.h"

namespace eigenpair::xla {

namespace {

ffi::Error rotation(ffi::ThreadPool pool, int32_t policy, double parameter, bool has_dw, bool has_scale,
                    ffi::RemainingArgs args, ffi::Result<ffi::AnyBuffer> m,
                    ffi::Result<ffi::Buffer<ffi::S32>> refused) {
  eigenpair_rotation problem{};
  const void** places[] = {&problem.w, &problem.k, &problem.kappa, has_dw ? &problem.dw : &problem.scale,
                           &problem.scale};
  const size_t count = 3 + (has_dw ? 1 : 0) + (has_scale ? 1 : 0);
  for (size_t i = 0; i < count; ++i) {
    const auto buffer = args.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    *places[i] = buffer->untyped_data();
  }
  if (ffi::Error error = describe(*m, "m", problem); error.failure()) return error;
  problem.policy = policy;
  problem.parameter = parameter;
  problem.m = m->untyped_data();
  problem.refused = refused->typed_data();
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_rotation_job(&problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

ffi::Error gradient(ffi::ThreadPool pool, int32_t triangle, bool conjugated, ffi::RemainingArgs args,
                    ffi::Result<ffi::AnyBuffer> out) {
  eigenpair_gradient problem{};
  if (ffi::Error error = describe(*out, "the gradient", problem); error.failure()) return error;
  const auto whole = args.get<ffi::AnyBuffer>(0);
  if (whole.has_error()) return whole.error();
  if (args.size() > 1) {
    const auto refused = args.get<ffi::Buffer<ffi::S32>>(1);
    if (refused.has_error()) return refused.error();
    problem.refused = refused->typed_data();
  }
  problem.triangle = triangle;
  problem.conjugated = conjugated;
  problem.whole = whole->untyped_data();
  problem.gradient = out->untyped_data();
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_gradient_job(&problem, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(Rotation, rotation,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("policy")
                                  .Attr<double>("parameter")
                                  .Attr<bool>("has_dw")
                                  .Attr<bool>("has_scale")
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::Buffer<ffi::S32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(Gradient, gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("triangle")
                                  .Attr<bool>("conjugated")
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>());

}  // namespace eigenpair::xla
