#include "xla/entry_points.h"

#include <atomic>

#include "xla/cuda.h"
#include "xla/handlers.h"

namespace eigenpair::xla {

namespace {

std::atomic<const eigenpair_lapack*> lent{nullptr};

template <typename Handler>
void* address(Handler* handler) {
  return reinterpret_cast<void*>(handler);
}

const eigenpair_xla_handler kHandlers[] = {
#define EIGENPAIR_PROBLEM(name, Handler, description) {"eigenpair_" #name, "cpu", address(Handler)},
#define EIGENPAIR_CUDA_PROBLEM(name, Handler, description) {"eigenpair_cuda_" #name, "CUDA", address(Handler)},
#include "problems.inc"
    {nullptr, nullptr, nullptr},
};

}  // namespace

const eigenpair_lapack* lapack() { return lent.load(); }

}  // namespace eigenpair::xla

using namespace eigenpair::xla;

const eigenpair_xla_handler* eigenpair_xla_handlers(void) { return kHandlers; }

void eigenpair_xla_ffi_version(int32_t* major, int32_t* minor) {
  *major = XLA_FFI_API_MAJOR;
  *minor = XLA_FFI_API_MINOR;
}

int32_t eigenpair_xla_abi_version(void) { return EIGENPAIR_ABI_VERSION; }

void eigenpair_xla_lend(const eigenpair_lapack* lapack) { lent.store(lapack); }

const eigenpair_lapack* eigenpair_xla_lapack(void) { return lapack(); }

void eigenpair_xla_name_cuda(const char* cudart, const char* cublas, const char* cusolver) {
  const auto text = [](const char* path) { return path == nullptr ? "" : path; };
  name_cuda_libraries(text(cudart), text(cublas), text(cusolver));
}

eigenpair_status eigenpair_xla_open_cuda(eigenpair_cuda** out) { return open_cuda(out); }
