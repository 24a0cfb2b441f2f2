// The functions of this library that Python calls through ctypes. They are plain C, so one build works with every
// version of Python.
#pragma once

#include "eigenpair.h"

extern "C" {

typedef struct eigenpair_xla_handler {
  const char* target;    // the name that a computation calls it by
  const char* platform;  // as JAX names platforms
  void* address;
} eigenpair_xla_handler;

// All handlers, terminated by one whose target is NULL.
EIGENPAIR_API const eigenpair_xla_handler* eigenpair_xla_handlers(void);

// Version of XLA's FFI and of the C ABI of the core that this library was compiled with.
EIGENPAIR_API void eigenpair_xla_ffi_version(int32_t* major, int32_t* minor);
EIGENPAIR_API int32_t eigenpair_xla_abi_version(void);

// The LAPACK of the handlers, NULL until one is set. Handlers read it without a lock and may be running, so a LAPACK
// that was set must never be destroyed.
EIGENPAIR_API void eigenpair_xla_lend(const eigenpair_lapack* lapack);
EIGENPAIR_API const eigenpair_lapack* eigenpair_xla_lapack(void);

// Sets where to look for CUDA's libraries. For NULL or an empty path the loader's names are used. Opens nothing.
EIGENPAIR_API void eigenpair_xla_name_cuda(const char* cudart, const char* cublas, const char* cusolver);

// Opens CUDA's libraries at the first call, and tries again after a failure.
EIGENPAIR_API eigenpair_status eigenpair_xla_open_cuda(eigenpair_cuda** out);
}
