// First derivatives of eigh on XLA: arguments w, v, [u], [scale], then tangents or cotangents; results are tangents or
// gradients. `given` and `wanted` say which of (da, db) and (dw, dv, du) are present.
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

ffi::Error hermitian_rule(ffi::ThreadPool pool, int32_t type, int32_t triangle, int32_t policy, double parameter,
                          int32_t options, int32_t reverse, uint32_t residuals, uint32_t given, uint32_t wanted,
                          ffi::RemainingArgs args, ffi::RemainingRets rets) {
  eigenpair_hermitian_rule rule{};
  const auto v = args.get<ffi::AnyBuffer>(1);
  if (v.has_error()) return v.error();
  if (ffi::Error error = describe(*v, "v", rule); error.failure()) return error;
  rule.type = type;
  rule.triangle = triangle;
  rule.policy = policy;
  rule.parameter = parameter;
  rule.options = options;
  rule.reverse = reverse;
  rule.conjugated = 1;  // JAX's convention

  size_t next = 0;
  void *w = nullptr, *vectors = nullptr, *u = nullptr, *scale = nullptr;
  void** const kept[] = {&w, &vectors, &u, &scale};
  void** const inputs[] = {&rule.da, &rule.db};
  void** const outputs[] = {&rule.dw, &rule.dv, &rule.du};
  const auto read = [&](uint32_t present, void** const* places, size_t count) -> ffi::Error {
    for (size_t i = 0; i < count; ++i) {
      if ((present >> i & 1) == 0) continue;
      const auto buffer = args.get<ffi::AnyBuffer>(next++);
      if (buffer.has_error()) return buffer.error();
      *places[i] = buffer->untyped_data();
    }
    return ffi::Error::Success();
  };
  if (ffi::Error error = read(residuals, kept, 4); error.failure()) return error;
  const ffi::Error error = reverse ? read(given, outputs, 3) : read(given, inputs, 2);
  if (error.failure()) return error;
  rule.w = w;
  rule.v = vectors;
  rule.u = u;
  rule.scale = scale;
  size_t result = 0;
  for (size_t i = 0; i < 3; ++i) {
    if ((wanted >> i & 1) == 0) continue;
    void** const place = reverse ? inputs[i] : outputs[i];
    if (ffi::Error failed = result_data(rets, result++, place); failed.failure()) return failed;
  }
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_hermitian_rule_job(lapack(), &rule, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(HermitianRule, hermitian_rule,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("type")
                                  .Attr<int32_t>("triangle")
                                  .Attr<int32_t>("policy")
                                  .Attr<double>("parameter")
                                  .Attr<int32_t>("options")
                                  .Attr<int32_t>("reverse")
                                  .Attr<uint32_t>("residuals")
                                  .Attr<uint32_t>("given")
                                  .Attr<uint32_t>("wanted")
                                  .RemainingArgs()
                                  .RemainingRets());

}  // namespace eigenpair::xla
