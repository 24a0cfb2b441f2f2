// A job: a batch of problems, cut into chunks that any thread may claim. eigenpair.h describes the life of a job.
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

// The scratch memory of one worker, created when it claims its first chunk.
class Worker {
 public:
  virtual ~Worker() = default;
  // Solves matrices [first, last) of the batch. Must not throw: a matrix that fails gets NaN and an error code in
  // `info`.
  virtual void solve(int64_t first, int64_t last) noexcept = 0;
};

// A batch of problems whose description has been checked.
class Problem {
 public:
  virtual ~Problem() = default;
  virtual int64_t batch() const = 0;
  // A rough time for one matrix on one core, in nanoseconds. It decides the size of chunks and the number of workers.
  virtual double nanoseconds_each() const = 0;
  // How many matrices are solved together. The size of a chunk is a multiple of this number.
  virtual int64_t group_size() const { return 1; }
  // Whether LAPACK is called. If so, it is limited to one thread while several workers run.
  virtual bool calls_lapack() const { return true; }
  // Whether several threads would make LAPACK slower for one such matrix. If so, it is limited to one thread.
  virtual bool slower_with_threads() const { return false; }
  virtual std::unique_ptr<Worker> worker() const = 0;
};

eigenpair_job* make_job(const eigenpair_lapack* lapack, std::unique_ptr<Problem> problem, int32_t max_workers);

int32_t hardware_threads();

// Finishes the job on the calling thread and on new threads.
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
