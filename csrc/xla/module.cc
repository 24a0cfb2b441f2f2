// eigenpair._native: FFI handlers as capsules, and the door through which Python lends its LAPACK.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <atomic>
#include <stdexcept>
#include <utility>

#include "xla/cuda.h"
#include "xla/handlers.h"

namespace nb = nanobind;

namespace eigenpair::xla {

namespace {

std::atomic<eigenpair_lapack*> lent{nullptr};

// Handlers read the pointer without a lock and a computation may be running, so a handle once lent is never freed.
void lend_lapack(const nb::dict& routines, int integer_bits, uintptr_t get_threads, uintptr_t set_threads) {
  const auto lookup = [](void* context, const char* name) -> void* {
    PyObject* capsule = PyDict_GetItemString(static_cast<PyObject*>(context), name);
    if (capsule == nullptr || !PyCapsule_CheckExact(capsule)) return nullptr;
    return PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
  };
  eigenpair_lapack* lapack = nullptr;
  if (eigenpair_lapack_create(integer_bits, lookup, routines.ptr(), &lapack) != EIGENPAIR_OK) {
    throw std::runtime_error(eigenpair_last_error());
  }
  if (get_threads != 0 && set_threads != 0) {
    eigenpair_lapack_set_threading(lapack, reinterpret_cast<int32_t (*)()>(get_threads),
                                   reinterpret_cast<void (*)(int32_t)>(set_threads));
  }
  lent.store(lapack);
}

eigenpair_cuda* cuda() {
  eigenpair_cuda* handle = nullptr;
  if (open_cuda(&handle) != EIGENPAIR_OK) throw std::runtime_error(eigenpair_last_error());
  return handle;
}

template <typename Handler>
nb::capsule capsule(Handler* handler) {
  return nb::capsule(reinterpret_cast<void*>(handler));
}

}  // namespace

const eigenpair_lapack* lapack() { return lent.load(); }

}  // namespace eigenpair::xla

NB_MODULE(_native, module) {
  using namespace eigenpair::xla;
  module.def("lend_lapack", &lend_lapack, nb::arg("routines"), nb::arg("integer_bits"), nb::arg("get_threads") = 0,
             nb::arg("set_threads") = 0);
  module.def("lapack_has", [](const std::string& name) { return eigenpair_lapack_has(lapack(), name.c_str()) != 0; });
  module.def("abi_version", &eigenpair_abi_version);
  module.def("expected_abi_version", [] { return EIGENPAIR_ABI_VERSION; });
  module.def("ffi_api_version", [] { return std::pair<int, int>(XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR); });
  module.def("version", [] { return std::string(eigenpair_version()); });
  module.def("has_small_kernels", &eigenpair_has_small_kernels);
  module.def("registrations", [] {
    nb::dict handlers;
    handlers["eigenpair_hermitian"] = capsule(Hermitian);
    handlers["eigenpair_general"] = capsule(General);
    handlers["eigenpair_hermitian_rule"] = capsule(HermitianRule);
    handlers["eigenpair_partial"] = capsule(Partial);
    handlers["eigenpair_complement"] = capsule(Complement);
    return handlers;
  });
  module.def("cuda_registrations", [] {
    nb::dict handlers;
    handlers["eigenpair_cuda_hermitian"] = capsule(CudaHermitian);
    handlers["eigenpair_cuda_general"] = capsule(CudaGeneral);
    return handlers;
  });
  module.def("name_cuda_libraries", &name_cuda_libraries, nb::arg("cudart"), nb::arg("cublas"), nb::arg("cusolver"));
  module.def("open_cuda", [] { return std::string(eigenpair_cuda_description(cuda())); });
  module.def("cuda_has", [](const std::string& routine) { return eigenpair_cuda_has(cuda(), routine.c_str()) != 0; });
}
