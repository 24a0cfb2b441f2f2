/* A batch on several threads: every matrix is solved once, and LAPACK is limited to one thread and restored after. */
#include <pthread.h>
#include <stdatomic.h>

#include "support/check.h"
#include "support/fake_lapack.h"
#include "support/problems.h"

static atomic_int lapack_threads, calls_to_set;
static int32_t get_threads(void) { return atomic_load(&lapack_threads); }
static void set_threads(int32_t threads) {
  atomic_fetch_add(&calls_to_set, 1);
  atomic_store(&lapack_threads, threads);
}

static eigenpair_lapack* lend_with_threads(int32_t threads) {
  eigenpair_lapack* lapack = fake_lapack_lend(32);
  atomic_store(&lapack_threads, threads);
  atomic_store(&calls_to_set, 0);
  REQUIRE(eigenpair_lapack_set_threading(lapack, get_threads, set_threads) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  return lapack;
}

static const problem_spec kLargeBatch = {.dtype = EIGENPAIR_FLOAT64, .n = 20, .batch = 400};

static eigenpair_job* make_job(const eigenpair_lapack* lapack, const problem_data* data, int32_t max_workers) {
  eigenpair_job* job = NULL;
  REQUIRE(eigenpair_hermitian_job(lapack, &data->problem, max_workers, &job) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
  return job;
}

static void finish(eigenpair_job* job) {
  CHECK(eigenpair_job_finish(job) == EIGENPAIR_OK, "%s", eigenpair_last_error());
}

TEST(lapack_runs_on_one_thread_inside_a_batch_on_several) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  problem_data data = make_problem(kLargeBatch);
  eigenpair_job* job = make_job(lapack, &data, 4);
  CHECK(get_threads() == 1, "LAPACK has %d threads during a batch", get_threads());
  finish(job);
  CHECK(get_threads() == 5, "LAPACK was left with %d threads", get_threads());
  free_problem(&data);
  eigenpair_lapack_destroy(lapack);
}

TEST(the_last_of_several_jobs_gives_the_threads_back) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  problem_data data = make_problem(kLargeBatch), other = make_problem(kLargeBatch);
  eigenpair_job* first = make_job(lapack, &data, 4);
  eigenpair_job* second = make_job(lapack, &other, 4);
  finish(first);
  CHECK(get_threads() == 1, "LAPACK has %d threads while a batch is running", get_threads());
  finish(second);
  CHECK(get_threads() == 5, "LAPACK was left with %d threads", get_threads());
  free_problem(&data);
  free_problem(&other);
  eigenpair_lapack_destroy(lapack);
}

/* A late worker may release its job after the next batch has begun. */
TEST(a_late_release_changes_nothing) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  problem_data data = make_problem(kLargeBatch), other = make_problem(kLargeBatch);
  eigenpair_job* first = make_job(lapack, &data, 4);
  eigenpair_job_retain(first);
  finish(first);
  CHECK(get_threads() == 5, "finish left LAPACK with %d threads", get_threads());
  eigenpair_job* second = make_job(lapack, &other, 4);
  eigenpair_job_work(first);
  eigenpair_job_release(first);
  CHECK(get_threads() == 1, "a late release gave LAPACK %d threads", get_threads());
  finish(second);
  CHECK(get_threads() == 5, "LAPACK was left with %d threads", get_threads());
  free_problem(&data);
  free_problem(&other);
  eigenpair_lapack_destroy(lapack);
}

TEST(a_single_worker_leaves_lapack_its_threads) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  problem_data data = make_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .n = 200, .batch = 2});
  eigenpair_job* job = make_job(lapack, &data, 1);
  CHECK(get_threads() == 5, "LAPACK has %d threads for one worker", get_threads());
  finish(job);
  CHECK(atomic_load(&calls_to_set) == 0, "set_threads was called for one worker");
  free_problem(&data);
  eigenpair_lapack_destroy(lapack);
}

TEST(half_a_threading_is_none) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  problem_data data = make_problem(kLargeBatch);
  for (int half = 0; half < 2; ++half) {
    REQUIRE(eigenpair_lapack_set_threading(lapack, half == 0 ? NULL : get_threads, half == 1 ? NULL : set_threads) ==
                EIGENPAIR_OK,
            "%s", eigenpair_last_error());
    finish(make_job(lapack, &data, 4));
    CHECK(atomic_load(&calls_to_set) == 0 && get_threads() == 5, "threads were changed with half %d", half);
  }
  free_problem(&data);
  eigenpair_lapack_destroy(lapack);
}

TEST(threading_stays_while_jobs_are_running) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  problem_data data = make_problem(kLargeBatch);
  eigenpair_job* job = make_job(lapack, &data, 4);
  CHECK(eigenpair_lapack_set_threading(lapack, NULL, NULL) == EIGENPAIR_BAD_ARGUMENT, "taken away under a job");
  finish(job);
  CHECK(get_threads() == 5, "LAPACK was left with %d threads", get_threads());
  CHECK(eigenpair_lapack_set_threading(lapack, NULL, NULL) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  free_problem(&data);
  eigenpair_lapack_destroy(lapack);
}

static void* solve_repeatedly(void* lapack) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    problem_data data = make_problem(kLargeBatch);
    eigenpair_job* job = make_job(lapack, &data, 2);
    CHECK(get_threads() == 1, "LAPACK has %d threads during a batch", get_threads());
    finish(job);
    free_problem(&data);
  }
  return NULL;
}

TEST(counted_over_concurrent_jobs) {
  eigenpair_lapack* lapack = lend_with_threads(5);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) REQUIRE(pthread_create(&threads[i], NULL, solve_repeatedly, lapack) == 0, "no thread");
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  CHECK(get_threads() == 5, "LAPACK was left with %d threads", get_threads());
  eigenpair_lapack_destroy(lapack);
}

static void* work_and_release(void* job) {
  eigenpair_job_work(job);
  eigenpair_job_release(job);
  return NULL;
}

TEST(every_matrix_is_solved_exactly_once) {
  for (int repeat = 0; repeat < 30; ++repeat) {
    eigenpair_lapack* lapack = fake_lapack_lend(32);
    problem_data data = make_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .n = 1, .batch = 30000});
    eigenpair_job* job = make_job(lapack, &data, 64);
    pthread_t threads[7];
    for (int i = 0; i < 7; ++i) {
      eigenpair_job_retain(job);
      REQUIRE(pthread_create(&threads[i], NULL, work_and_release, job) == 0, "no thread");
    }
    finish(job);
    for (int i = 0; i < 7; ++i) pthread_join(threads[i], NULL);
    CHECK(fake_lapack_solutions() == 30000, "%lld of 30000", (long long)fake_lapack_solutions());
    free_problem(&data);
    eigenpair_lapack_destroy(lapack);
  }
}
