// CUDA's libraries, opened at run time, and the errors they report.
#pragma once

#include <string>

#include "cuda/api.h"
#include "runtime/status.h"

namespace eigenpair::cuda {

// cuSOLVER's number for 11.1.2 (CUDA 11.3 Update 1). Before it, syevjBatched returns wrong eigenvalues for some
// matrices.
inline constexpr int kOldestSolver = 11102;

// "11.7.1" from 11701.
std::string version_text(int version);

struct Libraries {
  // Each path may be NULL. If a library cannot be opened by its path, the loader's names are tried. Throws
  // Failure(EIGENPAIR_NO_LIBRARY).
  Libraries(const char* cudart, const char* cublas, const char* cusolver);

  Api api;
  int solver_version = 0;
  std::string description;  // one line about versions and paths

  // Throw Failure if the status is an error. `what` is the name of the call.
  void check_runtime(int status, const char* what) const;
  void check_solver(int status, const char* what) const;
  void check_blas(int status, const char* what) const;

  int device() const;
};

}  // namespace eigenpair::cuda
