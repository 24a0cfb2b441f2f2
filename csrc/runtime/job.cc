#include "runtime/job.h"

#include <algorithm>
#include <thread>
#include <vector>

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace eigenpair {

namespace {

// Handing out a chunk that takes less time than this costs more than computing it. Waking a thread takes about as long.
constexpr double kChunkNanoseconds = 30e3;
// Enough chunks per worker for all workers to finish at nearly the same time.
constexpr int64_t kChunksPerWorker = 8;

// Turns off flushing of denormal numbers to zero during its lifetime. XLA's threads flush and Julia's do not, but both
// must get the same results.
class ExactDenormals {
 public:
#if defined(__SSE2__) || defined(_M_X64)
  ExactDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ & ~kFlush); }
  ~ExactDenormals() { _mm_setcsr(before_); }

 private:
  static constexpr unsigned kFlush = 0x8040;  // flush to zero, and denormals are zero
  unsigned before_;
#else
  ExactDenormals() {}
  ~ExactDenormals() {}
#endif
};

void run_chunk(eigenpair_job* job, Worker& worker, int64_t chunk) noexcept {
  const int64_t first = chunk * job->chunk_size;
  const int64_t last = std::min(first + job->chunk_size, job->problem->batch());
  worker.solve(first, last);
}

}  // namespace

eigenpair_job* make_job(const eigenpair_lapack* lapack, std::unique_ptr<Problem> problem, int32_t max_workers) {
  if (max_workers < 1) throw Failure(EIGENPAIR_BAD_ARGUMENT, "max_workers must be at least 1");
  auto job = std::make_unique<eigenpair_job>();
  const int64_t batch = problem->batch();
  const double each = std::max(problem->nanoseconds_each(), 1.0);
  const int64_t group = problem->group_size();
  const bool calls_lapack = lapack != nullptr && problem->calls_lapack();
  const bool slower = problem->slower_with_threads();
  job->problem = std::move(problem);
  if (batch > 0) {
    const auto worth_a_chunk = static_cast<int64_t>(std::min(std::max(kChunkNanoseconds / each, 1.0), 1e12));
    const int64_t balanced = std::max<int64_t>(batch / (max_workers * kChunksPerWorker), 1);
    job->chunk_size = std::min((std::max(worth_a_chunk, balanced) + group - 1) / group * group, batch);
    job->chunks = (batch + job->chunk_size - 1) / job->chunk_size;
    job->workers = static_cast<int32_t>(std::min<int64_t>(max_workers, job->chunks));
  }
  if (batch > 0 && calls_lapack && (job->workers > 1 || slower)) job->single_threaded.emplace(lapack);
  return job.release();
}

}  // namespace eigenpair

using eigenpair::Failure;
using eigenpair::guarded;

extern "C" {

int32_t eigenpair_job_workers(const eigenpair_job* job) { return job == nullptr ? 0 : job->workers; }

void eigenpair_job_work(eigenpair_job* job) {
  if (job == nullptr) return;
  const eigenpair::ExactDenormals exact;
  std::unique_ptr<eigenpair::Worker> worker;
  int64_t finished = 0;
  eigenpair_status status = EIGENPAIR_OK;
  std::string message;
  for (;;) {
    const int64_t chunk = job->claimed.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= job->chunks) break;
    // After a failure this worker still claims and counts the remaining chunks; otherwise eigenpair_job_finish would
    // wait forever.
    if (status == EIGENPAIR_OK) {
      if (!worker) status = guarded([&] { worker = job->problem->worker(); });
      if (status == EIGENPAIR_OK) {
        eigenpair::run_chunk(job, *worker, chunk);
      } else {
        message = eigenpair_last_error();
      }
    }
    ++finished;
  }
  if (finished == 0) return;
  // Notify under the lock: the waiting thread may free the job as soon as it sees the last chunk.
  const std::lock_guard<std::mutex> lock(job->mutex);
  job->done += finished;
  if (status != EIGENPAIR_OK && job->status == EIGENPAIR_OK) {
    job->status = status;
    job->message = message;
  }
  if (job->done == job->chunks) job->all_done.notify_all();
}

void eigenpair_job_retain(eigenpair_job* job) {
  if (job != nullptr) job->references.fetch_add(1, std::memory_order_relaxed);
}

void eigenpair_job_release(eigenpair_job* job) {
  if (job != nullptr && job->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete job;
}

eigenpair_status eigenpair_job_finish(eigenpair_job* job) {
  if (job == nullptr) {
    return guarded([] { throw Failure(EIGENPAIR_BAD_ARGUMENT, "job is NULL"); });
  }
  eigenpair_job_work(job);
  eigenpair_status status = EIGENPAIR_OK;
  {
    std::unique_lock<std::mutex> lock(job->mutex);
    job->all_done.wait(lock, [job] { return job->done == job->chunks; });
    status = job->status;
    if (status != EIGENPAIR_OK) eigenpair::set_last_error(job->message.c_str());
    // Not in the destructor, because a late worker may run it when LAPACK and the caller's arrays no longer exist.
    job->single_threaded.reset();
  }
  eigenpair_job_release(job);
  return status;
}

}  // extern "C"

namespace eigenpair {

int32_t hardware_threads() { return static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency())); }

eigenpair_status run_on_threads(eigenpair_job* job) {
  std::vector<std::thread> threads;
  for (int32_t extra = 1; extra < job->workers; ++extra) {
    eigenpair_job_retain(job);
    try {
      threads.emplace_back([job] {
        eigenpair_job_work(job);
        eigenpair_job_release(job);
      });
    } catch (...) {  // no more threads are available: go on with those we have
      eigenpair_job_release(job);
      break;
    }
  }
  const eigenpair_status status = eigenpair_job_finish(job);
  for (std::thread& thread : threads) thread.join();
  return status;
}

}  // namespace eigenpair
