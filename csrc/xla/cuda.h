// The handlers for CUDA, and the libraries of CUDA that the process has opened.
#pragma once

#include <string>

#include "eigenpair.h"
#include "xla/ffi/api/ffi.h"

namespace eigenpair::xla {

#define EIGENPAIR_CUDA_PROBLEM(name, Handler, description) XLA_FFI_DECLARE_HANDLER_SYMBOL(Handler);
#include "problems.inc"

// Sets where to look for the libraries. For an empty path the loader's names are used. Opens nothing.
void name_cuda_libraries(const std::string& cudart, const std::string& cublas, const std::string& cusolver);

// Opens the libraries at the first call, and tries again after a failure.
eigenpair_status open_cuda(eigenpair_cuda** out);

}  // namespace eigenpair::xla
