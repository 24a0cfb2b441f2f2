// cuSOLVER handles, kept for the next call on the same stream: to make one takes milliseconds and device memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "cuda/libraries.h"

namespace eigenpair::cuda {

// How a problem is solved and what that needs, as cuSOLVER answers it.
struct Plan {
  int method = 0;
  int64_t together = 1;  // matrices in one call
  size_t device_bytes = 0;
  size_t host_bytes = 0;
  int elements = 0;  // the workspace as the 32-bit routines count it
};

// What a plan depends on, with the kind of problem first.
using PlanKey = std::tuple<int, int32_t, int32_t, int32_t, int32_t, bool, int64_t, int64_t>;

// A cuSOLVER handle and what hangs on it. Used by one call at a time: calls on one stream follow each other on the
// device, but the host parts of two threads may not share a handle.
class Session {
 public:
  Session(const Libraries& libraries, int device, Stream stream);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Libraries& libraries() const { return libraries_; }
  int device() const { return device_; }
  Stream stream() const { return stream_; }
  Handle solver() const { return solver_; }
  Parameters parameters() const { return parameters_; }
  Jacobi jacobi() const { return jacobi_; }
  Handle blas();  // made when first asked for

  // Binds the handles anew: of a stream that was destroyed, another may have got the address.
  void bind();

  // Host workspace. It lives as long as the session, for cuSOLVER may still copy from it when the call has returned.
  void* host(size_t bytes);

  template <typename Query>
  const Plan& plan(const PlanKey& key, Query&& query) {
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    constexpr size_t kMostPlans = 64;
    if (plans_.size() >= kMostPlans) plans_.clear();
    return plans_.emplace(key, query()).first->second;
  }

 private:
  void release();

  const Libraries& libraries_;
  int device_;
  Stream stream_;
  Handle solver_ = nullptr;
  Parameters parameters_ = nullptr;
  Jacobi jacobi_ = nullptr;
  Handle blas_ = nullptr;
  std::vector<std::unique_ptr<char[]>> host_;
  size_t host_bytes_ = 0;
  std::map<PlanKey, Plan> plans_;
};

class Pool {
 public:
  // Idle sessions beyond this are destroyed, the longest idle first.
  static constexpr size_t kMostIdle = 32;

  explicit Pool(const Libraries& libraries) : libraries_(libraries) {}

  std::unique_ptr<Session> take(Stream stream);
  void give_back(std::unique_ptr<Session> session);
  int64_t idle() const;

 private:
  const Libraries& libraries_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_;
};

// Runs `body(session)`. A session in which something failed is destroyed: its handle may be unusable from then on.
template <typename Body>
void with_session(Pool& pool, Stream stream, Body&& body) {
  std::unique_ptr<Session> session = pool.take(stream);
  body(*session);
  pool.give_back(std::move(session));
}

}  // namespace eigenpair::cuda

struct eigenpair_cuda {
  eigenpair_cuda(const char* cudart, const char* cublas, const char* cusolver)
      : libraries(cudart, cublas, cusolver), pool(libraries) {}
  eigenpair::cuda::Libraries libraries;
  eigenpair::cuda::Pool pool;
};
