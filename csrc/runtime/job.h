// A batch under way: chunks that any thread may claim. See eigenpair.h for the life of a job.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "lapack/lapack.h"
#include "runtime/status.h"

namespace eigenpair {

// What a worker needs for itself, made when it claims its first chunk.
class Worker {
 public:
  virtual ~Worker() = default;
  // Solves matrices [first, last) of the batch. Must not throw: what fails becomes NaN and info.
  virtual void solve(int64_t first, int64_t last) noexcept = 0;
};

// A checked problem: knows its batch and makes workers.
class Problem {
 public:
  virtual ~Problem() = default;
  virtual int64_t batch() const = 0;
  // A rough time for one matrix, in nanoseconds on one core: decides chunk size and how many workers are worth waking.
  virtual double nanoseconds_each() const = 0;
  // How many matrices are solved together: chunks are multiples of it.
  virtual int64_t together() const { return 1; }
  // If it does, LAPACK keeps to one thread while several workers are at it.
  virtual bool calls_lapack() const { return true; }
  // Whether LAPACK would wake threads of its own for one such matrix and lose by it: then it keeps to one thread too.
  virtual bool threads_in_vain() const { return false; }
  virtual std::unique_ptr<Worker> worker() const = 0;
};

eigenpair_job* make_job(const eigenpair_lapack* lapack, std::unique_ptr<Problem> problem, int32_t max_workers);

int32_t hardware_threads();

// Finishes the job on the calling thread and new ones.
eigenpair_status run_on_threads(eigenpair_job* job);

}  // namespace eigenpair

struct eigenpair_job {
  std::unique_ptr<eigenpair::Problem> problem;
  int64_t chunk_size = 1;
  int64_t chunks = 0;
  int32_t workers = 1;
  std::optional<eigenpair::SingleThreadedLapack> single_threaded;

  std::atomic<int64_t> claimed{0};
  std::atomic<int64_t> references{1};

  std::mutex mutex;
  std::condition_variable all_done;
  int64_t done = 0;
  eigenpair_status status = EIGENPAIR_OK;
  std::string message;
};
