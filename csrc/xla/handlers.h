// Code that the XLA FFI handlers share: the LAPACK, and running a job on XLA's thread pool.
#pragma once

#include <string>

#include "eigenpair.h"
#include "xla/ffi/api/ffi.h"

namespace eigenpair::xla {

namespace ffi = ::xla::ffi;

// The LAPACK of this process, set once at import. Null before.
const eigenpair_lapack* lapack();

#define EIGENPAIR_PROBLEM(name, Handler, description) XLA_FFI_DECLARE_HANDLER_SYMBOL(Handler);
#include "problems.inc"

inline ffi::Error error_of(eigenpair_status status) {
  if (status == EIGENPAIR_OK) return ffi::Error::Success();
  const auto code = status == EIGENPAIR_BAD_ARGUMENT    ? ffi::ErrorCode::kInvalidArgument
                    : status == EIGENPAIR_OUT_OF_MEMORY ? ffi::ErrorCode::kResourceExhausted
                                                        : ffi::ErrorCode::kInternal;
  return ffi::Error(code, std::string("eigenpair: ") + eigenpair_last_error());
}

// The code of an element type in the C ABI, or -1.
inline int32_t dtype_of(ffi::DataType type) {
  switch (type) {
    case ffi::F32: return EIGENPAIR_FLOAT32;
    case ffi::F64: return EIGENPAIR_FLOAT64;
    case ffi::C64: return EIGENPAIR_COMPLEX64;
    case ffi::C128: return EIGENPAIR_COMPLEX128;
    default: return -1;
  }
}

// The number of threads that could work on a job: the threads of XLA's pool, which may include the caller.
inline int32_t available_workers(const ffi::ThreadPool& pool) {
  const int64_t threads = pool.num_threads();
  return threads < 1 ? 1 : static_cast<int32_t>(threads < 4096 ? threads : 4096);
}

// Schedules other workers but does not wait for workers that have not begun: if all threads of the pool waited for
// queued work, none would run it. A worker that starts late finds no chunk left.
inline ffi::Error run(ffi::ThreadPool& pool, eigenpair_job* job) {
  for (int32_t extra = 1; extra < eigenpair_job_workers(job); ++extra) {
    eigenpair_job_retain(job);
    pool.Schedule([job] {
      eigenpair_job_work(job);
      eigenpair_job_release(job);
    });
  }
  return error_of(eigenpair_job_finish(job));
}

inline ffi::Error require_lapack() {
  if (lapack() != nullptr) return ffi::Error::Success();
  return ffi::Error(ffi::ErrorCode::kFailedPrecondition,
                    "eigenpair has no LAPACK: `import eigenpair` gives it SciPy's");
}

// Fills in what all descriptions have: element type, layout, number of rows, size of the batch.
template <typename Description>
ffi::Error describe(const ffi::AnyBuffer& matrices, const char* name, Description& problem) {
  const auto dims = matrices.dimensions();
  if (dims.size() < 2) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument,
                      std::string("eigenpair: ") + name + " must be a batch of matrices");
  }
  problem.struct_size = sizeof problem;
  problem.dtype = dtype_of(matrices.element_type());
  problem.layout = EIGENPAIR_ROW_MAJOR;
  problem.n = dims[dims.size() - 2];
  problem.batch = 1;
  for (size_t axis = 0; axis + 2 < dims.size(); ++axis) problem.batch *= dims[axis];
  return ffi::Error::Success();
}

// The same from the arguments (a) or (a, b), which are batches of one shape.
template <typename Description>
ffi::Error describe(const ffi::RemainingArgs& args, Description& problem) {
  if (args.size() < 1 || args.size() > 2) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, "eigenpair: wrong number of arguments");
  }
  const auto a = args.get<ffi::AnyBuffer>(0);
  if (a.has_error()) return a.error();
  if (ffi::Error error = describe(*a, "a", problem); error.failure()) return error;
  problem.a = a->untyped_data();
  problem.a_stride = problem.n * problem.n;
  if (args.size() == 2) {
    const auto b = args.get<ffi::AnyBuffer>(1);
    if (b.has_error()) return b.error();
    problem.b = b->untyped_data();
    problem.b_stride = problem.a_stride;
  }
  return ffi::Error::Success();
}

// The buffer of result `index`, or an error if there is none.
inline ffi::Error result_data(ffi::RemainingRets& rets, size_t index, void** data) {
  auto result = rets.get<ffi::AnyBuffer>(index);
  if (result.has_error()) return result.error();
  *data = (*result)->untyped_data();
  return ffi::Error::Success();
}

}  // namespace eigenpair::xla
