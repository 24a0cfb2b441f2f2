#include "cuda/libraries.h"

#include <initializer_list>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace eigenpair::cuda {

namespace {

// The libraries are never closed, because they keep threads and contexts that need them.
struct Library {
  void* handle = nullptr;
  std::string name;
  std::string why_not;
};

#if defined(_WIN32)
void* open_by_name(const char*, std::string& why_not) {
  why_not += "not looked for on Windows";
  return nullptr;
}
void* find_symbol(void*, const char*) { return nullptr; }
#else
void* open_by_name(const char* name, std::string& why_not) {
  void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* message = dlerror();
    why_not += (why_not.empty() ? "" : "; ") + std::string(message != nullptr ? message : name);
  }
  return handle;
}
void* find_symbol(void* library, const char* name) { return dlsym(library, name); }
#endif

Library open_library(const char* title, const char* path, std::initializer_list<const char*> names) {
  Library library;
  if (path != nullptr && *path != '\0') {
    library.name = path;
    library.handle = open_by_name(path, library.why_not);
  }
  for (const char* name : names) {
    if (library.handle != nullptr) return library;
    library.name = name;
    library.handle = open_by_name(name, library.why_not);
  }
  if (library.handle != nullptr) return library;
  throw Failure(EIGENPAIR_NO_LIBRARY, std::string("no ") + title + " was found: " + library.why_not);
}

template <typename Function>
void bind(const Library& library, const char* name, bool required, Function*& out) {
  out = reinterpret_cast<Function*>(find_symbol(library.handle, name));
  if (out != nullptr || !required) return;
  throw Failure(EIGENPAIR_NO_LIBRARY, library.name + " has no " + name + "; eigenpair needs cuSOLVER " +
                                          version_text(kOldestSolver) + " or later and its companions");
}

// Check the version before looking up functions, so that an old library is reported as old and not as incomplete.
int version_of_solver(const Library& solver) {
  int (*get_version)(int*) = nullptr;
  bind(solver, "cusolverGetVersion", true, get_version);
  int version = 0;
  if (get_version(&version) != kSuccess || version >= kOldestSolver) return version;
  throw Failure(EIGENPAIR_NO_LIBRARY, solver.name + " is cuSOLVER " + version_text(version) + ", and eigenpair needs " +
                                          version_text(kOldestSolver) + " (CUDA 11.3 Update 1) or later");
}

}  // namespace

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version / 100 % 10) + "." +
         std::to_string(version % 100);
}

Libraries::Libraries(const char* cudart, const char* cublas, const char* cusolver) {
  // Newest first; cuSOLVER 11 belongs to CUDA 12 and cuSOLVER 12 to CUDA 13.
  const Library solver =
      open_library("cuSOLVER", cusolver, {"libcusolver.so.12", "libcusolver.so.11", "libcusolver.so"});
  solver_version = version_of_solver(solver);
  const bool newer = solver_version >= 12000;
  const Library blas = newer ? open_library("cuBLAS", cublas, {"libcublas.so.13", "libcublas.so"})
                             : open_library("cuBLAS", cublas, {"libcublas.so.12", "libcublas.so.11", "libcublas.so"});
  const Library runtime =
      newer ? open_library("CUDA runtime", cudart, {"libcudart.so.13", "libcudart.so"})
            : open_library("CUDA runtime", cudart, {"libcudart.so.12", "libcudart.so.11.0", "libcudart.so"});
#define EIGENPAIR_BIND_RUNTIME(result, name, parameters) bind(runtime, #name, true, api.name);
#define EIGENPAIR_BIND_BLAS(result, name, parameters) bind(blas, #name, true, api.name);
#define EIGENPAIR_BIND_SOLVER(result, name, parameters) bind(solver, #name, true, api.name);
#define EIGENPAIR_BIND_NEWER(result, name, parameters) bind(solver, #name, false, api.name);
  EIGENPAIR_CUDART_FUNCTIONS(EIGENPAIR_BIND_RUNTIME)
  EIGENPAIR_CUBLAS_FUNCTIONS(EIGENPAIR_BIND_BLAS)
  EIGENPAIR_CUSOLVER_FUNCTIONS(EIGENPAIR_BIND_SOLVER)
  EIGENPAIR_CUSOLVER_NEWER_FUNCTIONS(EIGENPAIR_BIND_NEWER)
  int runtime_version = 0;
  check_runtime(api.cudaRuntimeGetVersion(&runtime_version), "cudaRuntimeGetVersion");
  description = "cuSOLVER " + version_text(solver_version) + ", CUDA " + std::to_string(runtime_version / 1000) + "." +
                std::to_string(runtime_version / 10 % 100) + "  (" + solver.name + ")";
}

void Libraries::check_runtime(int status, const char* what) const {
  if (status == kSuccess) return;
  const char* text = api.cudaGetErrorString(status);
  throw Failure(EIGENPAIR_DEVICE_ERROR, std::string(what) + " failed: " + (text != nullptr ? text : "unknown error") +
                                            " (CUDA error " + std::to_string(status) + ")");
}

void Libraries::check_solver(int status, const char* what) const {
  if (status == kSuccess) return;
  const char* reason = status == kSolverNotInitialized ? "not initialized; is there a CUDA device?"
                       : status == kSolverAllocFailed  ? "out of memory"
                       : status == kSolverInvalidValue ? "it refuses an argument or the size"
                                                       : "see cusolverStatus_t";
  throw Failure(status == kSolverAllocFailed ? EIGENPAIR_OUT_OF_MEMORY : EIGENPAIR_DEVICE_ERROR,
                std::string(what) + " of cuSOLVER " + version_text(solver_version) + " failed with status " +
                    std::to_string(status) + ": " + reason);
}

void Libraries::check_blas(int status, const char* what) const {
  if (status == kSuccess) return;
  throw Failure(EIGENPAIR_DEVICE_ERROR, std::string(what) + " of cuBLAS failed with status " + std::to_string(status));
}

int Libraries::device() const {
  int device = 0;
  check_runtime(api.cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

}  // namespace eigenpair::cuda
