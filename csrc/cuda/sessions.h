// cuSOLVER handles, kept for the next call on the same stream, because creating one takes milliseconds and device
// memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "cuda/libraries.h"

namespace eigenpair::cuda {

// How a problem is solved, and the workspace that cuSOLVER asks for.
struct Plan {
  int method = 0;
  int64_t together = 1;  // matrices in one call
  size_t device_bytes = 0;
  size_t host_bytes = 0;
  int elements = 0;  // the workspace of the 32-bit routines, in elements
};

// Everything that a plan depends on. The first number is the kind of problem.
using PlanKey = std::tuple<int, int32_t, int32_t, int32_t, int32_t, bool, int64_t, int64_t>;

// A cuSOLVER handle and everything that belongs to it. It serves one call at a time: on the device, calls on one stream
// run one after the other, but two host threads must not use a handle at the same time.
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
  Handle blas();  // created on first use

  // Binds the handles to the stream again, because a new stream may have the address of one that was destroyed.
  void bind();

  // Host workspace. It lives as long as the session, because cuSOLVER may still copy from it after the call has
  // returned.
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
  // If more sessions than this are idle, the one that has been idle longest is destroyed.
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

// Runs `body(session)`. If the body throws, the session is destroyed, because its handle may be unusable.
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
