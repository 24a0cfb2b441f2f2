// eigh on XLA: arguments (a) or (a, b); results (w), (w, v) or (w, v, u).
#include "handlers.h"

namespace eigenpair::xla {

namespace {

ffi::Error hermitian(ffi::ThreadPool pool, int32_t type, int32_t triangle, ffi::RemainingArgs args,
                     ffi::RemainingRets rets) {
  if (lapack() == nullptr) {
    return ffi::Error(ffi::ErrorCode::kFailedPrecondition,
                      "eigenpair has no LAPACK: `import eigenpair` lends it SciPy's");
  }
  const size_t expected = type == 0 ? 1 : 2;
  if (args.size() != expected || rets.size() < 1 || rets.size() > 3) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, "eigenpair: wrong number of arguments or results");
  }
  const auto a = args.get<ffi::AnyBuffer>(0);
  if (a.has_error()) return a.error();
  const auto dims = a->dimensions();
  if (dims.size() < 2) return ffi::Error(ffi::ErrorCode::kInvalidArgument, "eigenpair: a must be a batch of matrices");

  eigenpair_hermitian_problem problem{};
  problem.struct_size = sizeof problem;
  problem.dtype = dtype_of(a->element_type());
  problem.type = type;
  problem.triangle = triangle;
  problem.layout = EIGENPAIR_ROW_MAJOR;
  problem.n = dims[dims.size() - 1];
  problem.batch = 1;
  for (size_t axis = 0; axis + 2 < dims.size(); ++axis) problem.batch *= dims[axis];
  problem.a = a->untyped_data();
  problem.a_stride = problem.n * problem.n;
  if (type != 0) {
    const auto b = args.get<ffi::AnyBuffer>(1);
    if (b.has_error()) return b.error();
    problem.b = b->untyped_data();
    problem.b_stride = problem.a_stride;
  }
  void** outputs[] = {&problem.w, &problem.v, &problem.u};
  for (size_t i = 0; i < rets.size(); ++i) {
    auto result = rets.get<ffi::AnyBuffer>(i);
    if (result.has_error()) return result.error();
    *outputs[i] = (*result)->untyped_data();
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
