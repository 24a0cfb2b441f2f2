// Spectral forms on XLA: arguments w, v, what is known of the function for this order, and the directions. The batch
// axes before and from `split` on are those of the directions and of the matrices, or with `matrices_first` the other
// way round. On the axes of directions, w, v and what is known of the function have size 1.
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

// How a batch is stored.
struct Batch {
  int64_t directions, matrices;  // how many
  int64_t outer, inner;          // how far apart two of them are; 0 where there is one
};

Batch batch_of(const ffi::AnyBuffer& buffer, size_t own_axes, int32_t split, bool matrices_first) {
  int64_t sizes[2] = {1, 1};
  const auto dims = buffer.dimensions();
  for (size_t axis = 0; axis + own_axes < dims.size(); ++axis) {
    sizes[axis < static_cast<size_t>(split) ? 0 : 1] *= dims[axis];
  }
  const int64_t first = sizes[0] == 1 ? 0 : sizes[1], second = sizes[1] == 1 ? 0 : 1;
  return matrices_first ? Batch{sizes[1], sizes[0], second, first} : Batch{sizes[0], sizes[1], first, second};
}

ffi::Error spectral_form(ffi::ThreadPool pool, int32_t order, int32_t step, int32_t split, int32_t matrices_first,
                         ffi::RemainingArgs args, ffi::Result<ffi::AnyBuffer> out) {
  const auto wrong = [](const char* what) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, std::string("eigenpair: ") + what);
  };
  eigenpair_spectral_form form{};
  if (ffi::Error error = describe(*out, "the result", form); error.failure()) return error;
  form.order = order;
  form.step = step;
  const void** places[7] = {&form.w, &form.v};
  size_t count = 2;
  if (order == 0) {
    places[count++] = &form.values;
  } else if (step >= 0) {
    places[count++] = &form.derivative;
  } else if (order == 1) {
    places[count++] = &form.derivative;
    places[count++] = &form.first;
  } else {
    places[count++] = &form.half_second;
    places[count++] = &form.left;
    places[count++] = &form.right;
  }
  const size_t direction = count;
  if (args.size() != direction + static_cast<size_t>(order)) return wrong("wrong number of arguments");
  const auto read = [&](size_t index, size_t own_axes, const void** data, Batch* batch) -> ffi::Error {
    const auto buffer = args.get<ffi::AnyBuffer>(index);
    if (buffer.has_error()) return buffer.error();
    *data = buffer->untyped_data();
    *batch = batch_of(*buffer, own_axes, split, matrices_first != 0);
    return ffi::Error::Success();
  };
  const Batch full = batch_of(*out, 2, split, matrices_first != 0);
  Batch batch{};
  form.shared = full.matrices;
  form.out_outer = full.outer;
  form.out_inner = full.inner;
  for (size_t i = 0; i < direction; ++i) {
    if (ffi::Error error = read(i, i == 1 ? 2 : 1, places[i], &batch); error.failure()) return error;
    if (batch.directions != 1 || batch.matrices != full.matrices) return wrong("batches of a spectral form differ");
  }
  for (size_t i = 0; i < static_cast<size_t>(order); ++i) {
    if (ffi::Error error = read(direction + i, 2, i == 0 ? &form.x : &form.y, &batch); error.failure()) return error;
    (i == 0 ? form.x_outer : form.y_outer) = batch.outer;
    (i == 0 ? form.x_inner : form.y_inner) = batch.inner;
    const bool fits = (batch.directions == 1 || batch.directions == full.directions) &&
                      (batch.matrices == 1 || batch.matrices == full.matrices);
    if (!fits) return wrong("batches of a spectral form differ");
  }
  form.out = out->untyped_data();
  eigenpair_job* job = nullptr;
  const eigenpair_status status = eigenpair_spectral_form_job(lapack(), &form, available_workers(pool), &job);
  return status == EIGENPAIR_OK ? run(pool, job) : error_of(status);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(SpectralForm, spectral_form,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int32_t>("order")
                                  .Attr<int32_t>("step")
                                  .Attr<int32_t>("split")
                                  .Attr<int32_t>("matrices_first")
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>());

}  // namespace eigenpair::xla
