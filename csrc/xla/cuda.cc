// eigh and eig on XLA for CUDA: arguments (a) or (a, b), column-major, and Hermitian for eigh; results w, then v and u
// if requested, then info.
#include "xla/cuda.h"

#include <atomic>
#include <mutex>

#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

std::mutex opening;
std::string named[3];
// These libraries are never closed, because handlers may be running.
std::atomic<eigenpair_cuda*> opened{nullptr};

// The scratch memory comes from XLA's allocator, which may reuse it for work enqueued later on the stream.
template <typename Problem, typename Query, typename Solve>
ffi::Error solve(void* stream, ffi::ScratchAllocator& scratch, const Problem& problem, Query&& query,
                 Solve&& solve_on) {
  eigenpair_cuda* cuda = nullptr;
  if (const eigenpair_status status = open_cuda(&cuda); status != EIGENPAIR_OK) return error_of(status);
  int64_t bytes = 0;
  if (const eigenpair_status status = query(cuda, &problem, stream, &bytes); status != EIGENPAIR_OK) {
    return error_of(status);
  }
  void* memory = nullptr;
  if (bytes > 0) {
    const std::optional<void*> allocated = scratch.Allocate(static_cast<size_t>(bytes));
    if (!allocated.has_value()) {
      return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                        "eigenpair: no " + std::to_string(bytes) + " bytes of device memory for cuSOLVER's workspace");
    }
    memory = *allocated;
  }
  return error_of(solve_on(cuda, &problem, stream, memory, bytes));
}

// The frontend passes the whole Hermitian matrix, so either triangle can be read.
ffi::Error hermitian(void* stream, ffi::ScratchAllocator scratch, int32_t type, int32_t driver, bool lower,
                     bool vectors, bool dual, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  eigenpair_hermitian_problem problem{};
  if (ffi::Error error = describe(args, problem); error.failure()) return error;
  problem.layout = EIGENPAIR_COLUMN_MAJOR;
  problem.triangle = lower ? EIGENPAIR_LOWER : EIGENPAIR_UPPER;
  problem.type = type;
  problem.driver = driver;
  size_t index = 0;
  void* info = nullptr;
  const bool wanted[] = {true, vectors, dual, true};
  void** outputs[] = {&problem.w, &problem.v, &problem.u, &info};
  for (size_t i = 0; i < 4; ++i) {
    if (!wanted[i]) continue;
    if (ffi::Error error = result_data(rets, index++, outputs[i]); error.failure()) return error;
  }
  problem.info = static_cast<int32_t*>(info);
  return solve(stream, scratch, problem, eigenpair_cuda_hermitian_scratch, eigenpair_cuda_hermitian);
}

ffi::Error general(void* stream, ffi::ScratchAllocator scratch, bool vectors, ffi::RemainingArgs args,
                   ffi::RemainingRets rets) {
  eigenpair_general_problem problem{};
  if (ffi::Error error = describe(args, problem); error.failure()) return error;
  problem.layout = EIGENPAIR_COLUMN_MAJOR;
  size_t index = 0;
  void* info = nullptr;
  if (ffi::Error error = result_data(rets, index++, &problem.w); error.failure()) return error;
  if (vectors) {
    if (ffi::Error error = result_data(rets, index++, &problem.v); error.failure()) return error;
  }
  if (ffi::Error error = result_data(rets, index++, &info); error.failure()) return error;
  problem.info = static_cast<int32_t*>(info);
  return solve(stream, scratch, problem, eigenpair_cuda_general_scratch, eigenpair_cuda_general);
}

}  // namespace

void name_cuda_libraries(const std::string& cudart, const std::string& cublas, const std::string& cusolver) {
  const std::lock_guard<std::mutex> lock(opening);
  named[0] = cudart;
  named[1] = cublas;
  named[2] = cusolver;
}

eigenpair_status open_cuda(eigenpair_cuda** out) {
  *out = opened.load();
  if (*out != nullptr) return EIGENPAIR_OK;
  const std::lock_guard<std::mutex> lock(opening);
  *out = opened.load();
  if (*out != nullptr) return EIGENPAIR_OK;
  const auto path = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  const eigenpair_status status = eigenpair_cuda_open(path(named[0]), path(named[1]), path(named[2]), out);
  if (status == EIGENPAIR_OK) opened.store(*out);
  return status;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(CudaHermitian, hermitian,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::PlatformStream<void*>>()
                                  .Ctx<ffi::ScratchAllocator>()
                                  .Attr<int32_t>("type")
                                  .Attr<int32_t>("driver")
                                  .Attr<bool>("lower")
                                  .Attr<bool>("vectors")
                                  .Attr<bool>("dual")
                                  .RemainingArgs()
                                  .RemainingRets());

XLA_FFI_DEFINE_HANDLER_SYMBOL(CudaGeneral, general,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::PlatformStream<void*>>()
                                  .Ctx<ffi::ScratchAllocator>()
                                  .Attr<bool>("vectors")
                                  .RemainingArgs()
                                  .RemainingRets());

}  // namespace eigenpair::xla
