#include "cuda/sessions.h"

#include <algorithm>

namespace eigenpair::cuda {

Session::Session(const Libraries& libraries, int device, Stream stream)
    : libraries_(libraries), device_(device), stream_(stream) {
  const Api& api = libraries_.api;
  try {
    libraries_.check_solver(api.cusolverDnCreate(&solver_), "cusolverDnCreate");
    libraries_.check_solver(api.cusolverDnCreateParams(&parameters_), "cusolverDnCreateParams");
    libraries_.check_solver(api.cusolverDnCreateSyevjInfo(&jacobi_), "cusolverDnCreateSyevjInfo");
  } catch (...) {
    release();
    throw;
  }
}

Session::~Session() {
  // The thread that closes the pool may have another current device.
  const Api& api = libraries_.api;
  int current = device_;
  const bool elsewhere = api.cudaGetDevice(&current) == kSuccess && current != device_;
  if (elsewhere) api.cudaSetDevice(device_);
  release();
  if (elsewhere) api.cudaSetDevice(current);
}

// Errors of these calls are ignored: the session is being destroyed.
void Session::release() {
  const Api& api = libraries_.api;
  if (blas_ != nullptr) api.cublasDestroy_v2(blas_);
  if (jacobi_ != nullptr) api.cusolverDnDestroySyevjInfo(jacobi_);
  if (parameters_ != nullptr) api.cusolverDnDestroyParams(parameters_);
  if (solver_ != nullptr) api.cusolverDnDestroy(solver_);
}

void Session::bind() {
  const Api& api = libraries_.api;
  libraries_.check_solver(api.cusolverDnSetStream(solver_, stream_), "cusolverDnSetStream");
  if (blas_ != nullptr) libraries_.check_blas(api.cublasSetStream_v2(blas_, stream_), "cublasSetStream");
}

Handle Session::blas() {
  if (blas_ == nullptr) {
    const Api& api = libraries_.api;
    libraries_.check_blas(api.cublasCreate_v2(&blas_), "cublasCreate");
    libraries_.check_blas(api.cublasSetStream_v2(blas_, stream_), "cublasSetStream");
  }
  return blas_;
}

void* Session::host(size_t bytes) {
  if (bytes > host_bytes_) {
    // Old blocks are kept because the device may still read them. The size doubles, so that all old blocks together are
    // not larger than the newest.
    const size_t size = std::max(bytes, 2 * host_bytes_);
    host_.push_back(std::make_unique<char[]>(size));
    host_bytes_ = size;
  }
  return host_.empty() ? nullptr : host_.back().get();
}

std::unique_ptr<Session> Pool::take(Stream stream) {
  const int device = libraries_.device();
  std::unique_ptr<Session> session;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto fits = [&](const std::unique_ptr<Session>& idle) {
      return idle->device() == device && idle->stream() == stream;
    };
    // Take the session used last: it has the plan if this is the second step of a call.
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(), fits);
    if (found != idle_.rend()) {
      session = std::move(*found);
      idle_.erase(std::next(found).base());
    }
  }
  if (session == nullptr) session = std::make_unique<Session>(libraries_, device, stream);
  session->bind();
  return session;
}

void Pool::give_back(std::unique_ptr<Session> session) {
  std::unique_ptr<Session> oldest;  // destroyed after the lock is released
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.size() >= kMostIdle) {
    oldest = std::move(idle_.front());
    idle_.erase(idle_.begin());
  }
  idle_.push_back(std::move(session));
}

int64_t Pool::idle() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(idle_.size());
}

}  // namespace eigenpair::cuda
