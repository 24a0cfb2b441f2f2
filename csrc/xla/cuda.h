// The handlers for CUDA, and the process's handle on its libraries.
#pragma once

#include <string>

#include "eigenpair.h"
#include "xla/ffi/api/ffi.h"

namespace eigenpair::xla {

#define EIGENPAIR_CUDA_PROBLEM(name, Handler, description) XLA_FFI_DECLARE_HANDLER_SYMBOL(Handler);
#include "problems.inc"

// Where to look; an empty path leaves it to the loader's names. Opens nothing.
void name_cuda_libraries(const std::string& cudart, const std::string& cublas, const std::string& cusolver);

// Opens the libraries when first asked for, and again after a failure.
eigenpair_status open_cuda(eigenpair_cuda** out);

}  // namespace eigenpair::xla
