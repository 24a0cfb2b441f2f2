// The entry points of the C ABI that open and close CUDA's libraries.
#include "cuda/sessions.h"

using namespace eigenpair;

extern "C" {

eigenpair_status eigenpair_cuda_open(const char* cudart, const char* cublas, const char* cusolver,
                                     eigenpair_cuda** out) {
  return guarded([&] {
    if (out == nullptr) throw Failure(EIGENPAIR_BAD_ARGUMENT, "out is NULL");
    *out = nullptr;
    *out = std::make_unique<eigenpair_cuda>(cudart, cublas, cusolver).release();
  });
}

const char* eigenpair_cuda_description(const eigenpair_cuda* cuda) {
  return cuda == nullptr ? "" : cuda->libraries.description.c_str();
}

int32_t eigenpair_cuda_has(const eigenpair_cuda* cuda, const char* routine) {
  int32_t found = 0;
  guarded([&] {
    if (cuda == nullptr || routine == nullptr) return;
    const std::string name = std::string("cusolverDn") + routine;
#define EIGENPAIR_FIND(result, function, parameters) \
  if (name == #function && cuda->libraries.api.function != nullptr) found = 1;
    EIGENPAIR_CUSOLVER_FUNCTIONS(EIGENPAIR_FIND)
    EIGENPAIR_CUSOLVER_NEWER_FUNCTIONS(EIGENPAIR_FIND)
  });
  return found;
}

int64_t eigenpair_cuda_idle_handles(const eigenpair_cuda* cuda) { return cuda == nullptr ? 0 : cuda->pool.idle(); }

void eigenpair_cuda_close(eigenpair_cuda* cuda) { delete cuda; }

}  // extern "C"
