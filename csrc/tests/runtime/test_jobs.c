/* Jobs on many threads: results have the same bits for any number of workers, also if some start late. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/lapacks.h"
#include "support/problems.h"

enum { kMaxThreads = 7 };

static void* work_and_release(void* job) {
  eigenpair_job_work(job);
  eigenpair_job_release(job);
  return NULL;
}

static pthread_t start(void* (*function)(void*), void* argument) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, function, argument) == 0, "no thread to be had");
  return thread;
}

static eigenpair_job* make_job(const eigenpair_lapack* lapack, const problem_data* data, int32_t max_workers) {
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_hermitian_job(lapack, &data->problem, max_workers, &job) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  return job;
}

/* Works like a frontend: `threads - 1` helpers and the caller. */
static void run_on(const eigenpair_lapack* lapack, const problem_data* data, int32_t threads) {
  eigenpair_job* job = make_job(lapack, data, threads);
  CHECK(eigenpair_job_workers(job) >= 1 && eigenpair_job_workers(job) <= threads, "%d workers of %d",
        eigenpair_job_workers(job), threads);
  pthread_t helpers[kMaxThreads];
  for (int32_t i = 1; i < threads; ++i) {
    eigenpair_job_retain(job);
    helpers[i] = start(work_and_release, job);
  }
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  for (int32_t i = 1; i < threads; ++i) pthread_join(helpers[i], NULL);
}

static void same_batch(const problem_data* x, const problem_data* y, const char* how) {
  for (int64_t k = 0; k < x->spec.batch; ++k) {
    CHECK(x->problem.info[k] == EIGENPAIR_INFO_OK && y->problem.info[k] == EIGENPAIR_INFO_OK && same_bits(x, k, y, k),
          "matrix %lld differs %s (%s)", (long long)k, how, describe(&x->spec));
  }
}

/* Enough matrices for each of 7 threads. LAPACK itself runs on one thread, because with more its results vary. */
static const problem_spec kBatches[] = {
    {.dtype = EIGENPAIR_FLOAT64, .n = 4, .batch = 700, .want = WANT_VECTORS},
    {.dtype = EIGENPAIR_COMPLEX64, .type = 1, .n = 12, .batch = 150, .want = WANT_DUAL},
    {.dtype = EIGENPAIR_COMPLEX128, .type = 3, .n = 40, .batch = 9, .want = WANT_DUAL},
    {.dtype = EIGENPAIR_FLOAT32, .n = 25, .batch = 60, .want = WANT_VALUES, .layout = EIGENPAIR_ROW_MAJOR},
};
enum { kBatchCount = sizeof kBatches / sizeof *kBatches };

TEST(same_bits_on_1_2_and_7_threads) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    for (int i = 0; i < kBatchCount; ++i) {
      problem_data alone = make_problem(kBatches[i]);
      run_on(handle, &alone, 1);
      check_solutions(&alone);
      for (int32_t threads = 2; threads <= kMaxThreads; threads += 5) {
        problem_data together = make_problem(kBatches[i]), by_core = make_problem(kBatches[i]);
        run_on(handle, &together, threads);
        same_batch(&alone, &together, threads == 2 ? "on 2 threads" : "on 7 threads");
        CHECK(eigenpair_hermitian(handle, &by_core.problem, threads) == EIGENPAIR_OK, "%s", eigenpair_last_error());
        same_batch(&alone, &by_core, "on the core's own threads");
        free_problem(&together);
        free_problem(&by_core);
      }
      problem_data as_many_as_there_are = make_problem(kBatches[i]);
      CHECK(eigenpair_hermitian(handle, &as_many_as_there_are.problem, 0) == EIGENPAIR_OK, "%s",
            eigenpair_last_error());
      same_batch(&alone, &as_many_as_there_are, "on all threads");
      free_problem(&as_many_as_there_are);
      free_problem(&alone);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* After finish, late workers must need neither the arrays nor the LAPACK handle. */
TEST(workers_that_come_after_finish) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 1);
    if (lapack->set_threads != NULL) lapack->set_threads(2);
    problem_data data = make_problem(kBatches[0]);
    eigenpair_job* job = make_job(handle, &data, kMaxThreads);
    for (int i = 0; i < 3; ++i) eigenpair_job_retain(job);
    CHECK(lapack->get_threads == NULL || lapack->get_threads() == 1, "LAPACK has %d threads", lapack->get_threads());
    CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
    CHECK(lapack->get_threads == NULL || lapack->get_threads() == 2, "LAPACK has %d threads", lapack->get_threads());
    check_solutions(&data);
    free_problem(&data);
    eigenpair_lapack_destroy(handle);
    pthread_t late[2];
    for (int i = 0; i < 2; ++i) late[i] = start(work_and_release, job);
    eigenpair_job_release(job); /* of a worker that never started */
    for (int i = 0; i < 2; ++i) pthread_join(late[i], NULL);
  }
}

/* Helpers that are working when the caller finishes, and may end later. The arrays are freed immediately. */
TEST(finish_waits_for_chunks_under_way) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 1);
    for (int repeat = 0; repeat < 40; ++repeat) {
      problem_spec spec = kBatches[repeat % kBatchCount];
      spec.batch = spec.batch / 4 + 1;
      problem_data data = make_problem(spec);
      eigenpair_job* job = make_job(handle, &data, 3);
      pthread_t helpers[2];
      for (int i = 0; i < 2; ++i) {
        eigenpair_job_retain(job);
        helpers[i] = start(work_and_release, job);
      }
      CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      for (int64_t k = 0; k < spec.batch; ++k) CHECK(data.problem.info[k] == EIGENPAIR_INFO_OK, "not waited for");
      free_problem(&data);
      for (int i = 0; i < 2; ++i) pthread_join(helpers[i], NULL);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* The caller may come last, when others have done all the work. */
TEST(helpers_alone) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 1);
    problem_data data = make_problem(kBatches[1]);
    eigenpair_job* job = make_job(handle, &data, 2);
    eigenpair_job_retain(job);
    pthread_join(start(work_and_release, job), NULL);
    CHECK(data.problem.info[data.spec.batch - 1] == EIGENPAIR_INFO_OK, "work() left chunks unclaimed");
    CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
    check_solutions(&data);
    free_problem(&data);
    eigenpair_lapack_destroy(handle);
  }
}

TEST(no_more_workers_than_are_worth_it) {
  FOR_EACH_LAPACK(lapack) {
    eigenpair_lapack* handle = lend(lapack, 0);
    const struct {
      problem_spec spec;
      int32_t least, most;
    } cases[] = {
        {{.dtype = EIGENPAIR_FLOAT64, .n = 4, .batch = 2}, 1, 1},      /* cheaper than waking a thread */
        {{.dtype = EIGENPAIR_FLOAT64, .n = 100, .batch = 1}, 1, 1},    /* for one matrix only LAPACK may use threads */
        {{.dtype = EIGENPAIR_FLOAT64, .n = 100, .batch = 3}, 2, 3},    /* never more workers than matrices */
        {{.dtype = EIGENPAIR_FLOAT64, .n = 20, .batch = 400}, 64, 64}, /* all workers offered */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
      problem_data data = make_problem(cases[i].spec);
      eigenpair_job* job = make_job(handle, &data, 64);
      const int32_t workers = eigenpair_job_workers(job);
      CHECK(workers >= cases[i].least && workers <= cases[i].most, "%d workers (%s)", workers, describe(&data.spec));
      CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      free_problem(&data);
    }
    eigenpair_lapack_destroy(handle);
  }
}

/* Several callers, each with its own jobs, on handles of every available LAPACK: there is no global state. */
typedef struct {
  eigenpair_lapack* lapack;
  const problem_data* expected;
} caller;

static void* solve_repeatedly(void* argument) {
  const caller* self = argument;
  for (int repeat = 0; repeat < 5; ++repeat) {
    problem_data data = make_problem(self->expected->spec);
    run_on(self->lapack, &data, 3);
    same_batch(self->expected, &data, "beside other jobs");
    free_problem(&data);
  }
  return NULL;
}

TEST(many_jobs_and_lapacks_at_once) {
  test_lapack lapacks[8];
  const int count = test_lapacks(lapacks, 8);
  if (count == 0) check_skip("EIGENPAIR_TEST_LAPACK names no LAPACK");
  eigenpair_lapack* handles[8];
  problem_data expected[8][2];
  caller callers[8][2];
  pthread_t threads[8][2];
  for (int i = 0; i < count; ++i) {
    handles[i] = lend(&lapacks[i], 1);
    for (int c = 0; c < 2; ++c) {
      expected[i][c] = make_problem(kBatches[c]);
      run_on(handles[i], &expected[i][c], 1);
    }
  }
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < 2; ++c) {
      callers[i][c] = (caller){handles[i], &expected[i][c]};
      threads[i][c] = start(solve_repeatedly, &callers[i][c]);
    }
  }
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < 2; ++c) {
      pthread_join(threads[i][c], NULL);
      free_problem(&expected[i][c]);
    }
    eigenpair_lapack_destroy(handles[i]);
  }
}
