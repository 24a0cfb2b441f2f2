// The entry points generated from problems.inc, and those that run a whole job on new threads.
#include "runtime/job.h"
#include "runtime/problem.h"

using namespace eigenpair;

namespace {

template <typename Description>
eigenpair_status create_job(const eigenpair_lapack* lapack, const Description* problem, int32_t max_workers,
                            eigenpair_job** out) {
  return guarded([&] {
    require(out != nullptr, "out is NULL");
    *out = nullptr;
    require(problem != nullptr, "problem is NULL");
    *out = make_job(lapack, make_problem(lapack, *problem), max_workers);
  });
}

template <typename Description>
eigenpair_status run(const eigenpair_lapack* lapack, const Description* problem, int32_t threads) {
  if (threads < 0) return guarded([] { require(false, "threads is negative"); });
  eigenpair_job* job = nullptr;
  const eigenpair_status status = create_job(lapack, problem, threads > 0 ? threads : hardware_threads(), &job);
  return status == EIGENPAIR_OK ? run_on_threads(job) : status;
}

}  // namespace

extern "C" {

#define EIGENPAIR_PROBLEM(name, handler, description)                                                 \
  eigenpair_status eigenpair_##name##_job(const eigenpair_lapack* lapack, const description* problem, \
                                          int32_t max_workers, eigenpair_job** out) {                 \
    return create_job(lapack, problem, max_workers, out);                                             \
  }
#include "problems.inc"

eigenpair_status eigenpair_hermitian(const eigenpair_lapack* lapack, const eigenpair_hermitian_problem* problem,
                                     int32_t threads) {
  return run(lapack, problem, threads);
}

eigenpair_status eigenpair_general(const eigenpair_lapack* lapack, const eigenpair_general_problem* problem,
                                   int32_t threads) {
  return run(lapack, problem, threads);
}

eigenpair_status eigenpair_hermitian_apply_rule(const eigenpair_lapack* lapack, const eigenpair_hermitian_rule* rule,
                                                int32_t threads) {
  return run(lapack, rule, threads);
}

}  // extern "C"
