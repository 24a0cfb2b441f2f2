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
    {"eigenpair_hermitian", "cpu", address(Hermitian)},
    {"eigenpair_general", "cpu", address(General)},
    {"eigenpair_hermitian_rule", "cpu", address(HermitianRule)},
    {"eigenpair_partial", "cpu", address(Partial)},
    {"eigenpair_complement", "cpu", address(Complement)},
    {"eigenpair_cuda_hermitian", "CUDA", address(CudaHermitian)},
    {"eigenpair_cuda_general", "CUDA", address(CudaGeneral)},
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
