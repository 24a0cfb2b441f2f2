/* Libraries, handles, errors and threads of the CUDA entry points. */
#include "cuda/cuda.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int streams[64]; /* their addresses serve as streams */

static problem_data pair_with_dual(void) {
  return device_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .type = 1, .n = 3, .batch = 2, .want = WANT_DUAL});
}
static problem_data standard(void) {
  return device_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .n = 40, .batch = 1, .want = WANT_VECTORS});
}

static void expect_message(eigenpair_status found, eigenpair_status expected, const char* first, const char* second) {
  const char* message = eigenpair_last_error();
  CHECK(found == expected, "status %d, not %d: %s", found, expected, message);
  CHECK(strstr(message, first) != NULL && strstr(message, second) != NULL, "'%s' lacks '%s' or '%s'", message, first,
        second);
}

/* ---- libraries ---------------------------------------------------------------------------------------------- */

TEST(missing_and_old_libraries_are_named) {
  eigenpair_cuda* cuda = NULL;
  expect_message(eigenpair_cuda_open(FAKE_CUDA_ANCIENT, FAKE_CUDA_ANCIENT, FAKE_CUDA_ANCIENT, &cuda),
                 EIGENPAIR_NO_LIBRARY, "cuSOLVER 10.2.0", "11.1.2");
  CHECK(cuda == NULL, "a handle on an old library");
  const eigenpair_status status = eigenpair_cuda_open(NULL, NULL, "/nowhere/libcusolver.so.11", &cuda);
  if (status == EIGENPAIR_OK) {
    eigenpair_cuda_close(cuda);
    check_skip("this machine has a cuSOLVER under the loader's names");
    return;
  }
  expect_message(status, EIGENPAIR_NO_LIBRARY, "/nowhere/libcusolver.so.11", "libcusolver.so.12");
  expect_message(eigenpair_cuda_open(NULL, NULL, NULL, NULL), EIGENPAIR_BAD_ARGUMENT, "out", "NULL");
}

TEST(a_library_without_a_function_it_must_have) {
  eigenpair_cuda* cuda = NULL;
  expect_message(eigenpair_cuda_open(NULL, NULL, FAKE_CUDA_NOT_ONE, &cuda), EIGENPAIR_NO_LIBRARY, FAKE_CUDA_NOT_ONE,
                 "cusolverGetVersion");
}

TEST(what_there_is) {
  test_cuda opened = open_cuda(FAKE_CUDA), old = open_cuda(FAKE_CUDA_OLD);
  const char* text = eigenpair_cuda_description(opened.cuda);
  CHECK(strstr(text, "cuSOLVER 11.7.5") != NULL && strstr(text, "CUDA 12.9") != NULL && strstr(text, FAKE_CUDA) != NULL,
        "described as '%s'", text);
  CHECK(eigenpair_cuda_has(opened.cuda, "Xgeev") == 1 && eigenpair_cuda_has(opened.cuda, "XsyevBatched") == 1, "newer");
  CHECK(eigenpair_cuda_has(old.cuda, "Xgeev") == 0 && eigenpair_cuda_has(old.cuda, "Xsyevd") == 1, "older");
  CHECK(eigenpair_cuda_has(old.cuda, "nonsense") == 0 && eigenpair_cuda_has(NULL, "Xgeev") == 0, "none");
  CHECK(eigenpair_cuda_has(old.cuda, NULL) == 0 && *eigenpair_cuda_description(NULL) == '\0', "NULL");
  close_cuda(&opened);
  close_cuda(&old);
  eigenpair_cuda_close(NULL);
}

TEST(what_an_old_library_lacks) {
  test_cuda opened = open_cuda(FAKE_CUDA_OLD);
  eigenpair_general_problem general = {.struct_size = sizeof general, .n = 1, .batch = 1};
  float a = 1, w[2];
  int32_t info;
  general.a = &a, general.a_stride = 1, general.w = w, general.info = &info;
  expect_message(solve_general(&opened, &general, NULL), EIGENPAIR_MISSING_ROUTINE, "11.7.1", "11.4.5");
  problem_data data = standard();
  data.problem.driver = EIGENPAIR_DRIVER_BATCHED;
  expect_message(solve_hermitian(&opened, &data.problem, NULL), EIGENPAIR_MISSING_ROUTINE, "11.7.1", "11.4.5");
  free_problem(&data);
  close_cuda(&opened);
}

/* ---- arguments ---------------------------------------------------------------------------------------------- */

TEST(arguments_are_checked) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  problem_data data = pair_with_dual();
  const eigenpair_hermitian_problem good = data.problem;
  eigenpair_hermitian_problem bad[10];
  for (int i = 0; i < 10; ++i) bad[i] = good;
  bad[0].layout = EIGENPAIR_ROW_MAJOR;
  bad[1].triangle = EIGENPAIR_HERMITIAN_PART;
  bad[2].info = NULL;
  bad[3].driver = EIGENPAIR_DRIVER_EVR;
  bad[4].type = 4;
  bad[5].struct_size = 8;
  bad[6].v = NULL;
  bad[7].b = NULL;
  bad[8].n = -1;
  bad[9].reserved = 1;
  int64_t bytes;
  for (int i = 0; i < 10; ++i) {
    CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, &bad[i], NULL, &bytes) == EIGENPAIR_BAD_ARGUMENT, "query %d",
          i);
    CHECK(eigenpair_cuda_hermitian(opened.cuda, &bad[i], NULL, NULL, 0) == EIGENPAIR_BAD_ARGUMENT, "call %d", i);
  }
  CHECK(eigenpair_cuda_hermitian_scratch(NULL, &good, NULL, &bytes) == EIGENPAIR_BAD_ARGUMENT, "no handle");
  CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, NULL, NULL, &bytes) == EIGENPAIR_BAD_ARGUMENT, "no problem");
  CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, &good, NULL, NULL) == EIGENPAIR_BAD_ARGUMENT, "no answer");
  CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, &good, NULL, &bytes) == EIGENPAIR_OK && bytes > 0, "good");
  char scratch[8];
  expect_message(eigenpair_cuda_hermitian(opened.cuda, &good, NULL, scratch, sizeof scratch), EIGENPAIR_BAD_ARGUMENT,
                 "scratch", "smaller");
  expect_message(eigenpair_cuda_hermitian(opened.cuda, &good, NULL, NULL, bytes), EIGENPAIR_BAD_ARGUMENT, "scratch",
                 "NULL");
  eigenpair_general_problem general = {.struct_size = sizeof general, .n = 2, .batch = 1, .info = data.problem.info};
  general.a = good.a, general.w = good.w, general.b = good.b;
  expect_message(solve_general(&opened, &general, NULL), EIGENPAIR_BAD_ARGUMENT, "problem.b", "ggev");
  general.b = NULL, general.u = good.u;
  expect_message(solve_general(&opened, &general, NULL), EIGENPAIR_BAD_ARGUMENT, "problem.u", "right vectors only");
  free_problem(&data);
  close_cuda(&opened);
}

TEST(what_does_not_fit_32_bits) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  double one = 1;
  int32_t info;
  eigenpair_hermitian_problem problem = {.struct_size = sizeof problem,
                                         .dtype = EIGENPAIR_FLOAT64,
                                         .type = 1,
                                         .triangle = EIGENPAIR_UPPER,
                                         .batch = 1,
                                         .a = &one,
                                         .b = &one,
                                         .w = &one,
                                         .info = &info};
  int64_t bytes;
  for (int64_t n = 30000; n <= 60000; n += 30000) {
    problem.n = n;
    expect_message(eigenpair_cuda_hermitian_scratch(opened.cuda, &problem, NULL, &bytes), EIGENPAIR_TOO_LARGE, "sygvd",
                   "32 bits");
  }
  /* The standard problem uses 64-bit sizes. */
  problem.type = 0, problem.b = NULL;
  CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, &problem, NULL, &bytes) == EIGENPAIR_OK &&
            bytes > 8 * problem.n * problem.n,
        "%s", eigenpair_last_error());
  close_cuda(&opened);
}

/* ---- errors of the device ------------------------------------------------------------------------------------ */

TEST(errors_are_reported_and_leave_nothing_behind) {
  const struct {
    const char* routine;
    int status;
    int pair;
    eigenpair_status expected;
    const char* word;
  } cases[] = {
      {"cusolverDnCreate", 1, 0, EIGENPAIR_DEVICE_ERROR, "is there a CUDA device?"},
      {"cusolverDnCreate", 2, 0, EIGENPAIR_OUT_OF_MEMORY, "out of memory"},
      {"cusolverDnCreateParams", 2, 0, EIGENPAIR_OUT_OF_MEMORY, "cusolverDnCreateParams"},
      {"cusolverDnCreateSyevjInfo", 2, 0, EIGENPAIR_OUT_OF_MEMORY, "cusolverDnCreateSyevjInfo"},
      {"cudaGetDevice", 700, 0, EIGENPAIR_DEVICE_ERROR, "an illegal memory access"},
      {"cudaMemcpyAsync", 700, 0, EIGENPAIR_DEVICE_ERROR, "an illegal memory access"},
      {"cusolverDnXsyevd", 6, 0, EIGENPAIR_DEVICE_ERROR, "status 6"},
      {"sygvd", 7, 1, EIGENPAIR_DEVICE_ERROR, "status 7"},
      {"cublasCreate_v2", 3, 1, EIGENPAIR_DEVICE_ERROR, "cublasCreate"},
      {"trmm", 13, 1, EIGENPAIR_DEVICE_ERROR, "cuBLAS"},
  };
  test_cuda opened = open_cuda(FAKE_CUDA);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    problem_data data = cases[i].pair ? pair_with_dual() : standard();
    opened.fake->failing = cases[i].routine;
    opened.fake->status = cases[i].status;
    expect_message(solve_hermitian(&opened, &data.problem, NULL), cases[i].expected, cases[i].word, "");
    CHECK(eigenpair_cuda_idle_handles(opened.cuda) == 0, "a handle that failed is kept (%s)", cases[i].routine);
    CHECK(atomic_load(&opened.fake->solvers) == 0 && atomic_load(&opened.fake->parameters) == 0, "left by %s",
          cases[i].routine);
    opened.fake->failing = NULL;
    CHECK(solve_hermitian(&opened, &data.problem, NULL) == EIGENPAIR_OK, "after %s: %s", cases[i].routine,
          eigenpair_last_error());
    check_solutions(&data);
    free_problem(&data);
    eigenpair_cuda_close(opened.cuda);
    opened = open_cuda(FAKE_CUDA);
  }
  close_cuda(&opened);
}

/* ---- handles ------------------------------------------------------------------------------------------------- */

TEST(ten_thousand_calls_need_one_handle) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  problem_data data = pair_with_dual();
  opened.fake->expected_stream = &streams[0];
  for (int i = 0; i < 10000; ++i) {
    const eigenpair_status status = solve_hermitian(&opened, &data.problem, &streams[0]);
    REQUIRE(status == EIGENPAIR_OK, "call %d: %s", i, eigenpair_last_error());
  }
  check_solutions(&data);
  CHECK(atomic_load(&opened.fake->solvers_made) == 1, "%d handles were made", atomic_load(&opened.fake->solvers_made));
  CHECK(atomic_load(&opened.fake->queries) == 1, "%d queries", atomic_load(&opened.fake->queries));
  CHECK(eigenpair_cuda_idle_handles(opened.cuda) == 1, "%lld idle",
        (long long)eigenpair_cuda_idle_handles(opened.cuda));
  free_problem(&data);
  close_cuda(&opened);
}

TEST(many_streams_have_few_handles) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  problem_data data = standard();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 64; ++i) {
      opened.fake->expected_stream = &streams[i];
      CHECK(solve_hermitian(&opened, &data.problem, &streams[i]) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      const int alive = atomic_load(&opened.fake->solvers);
      CHECK(alive <= 32 && alive == eigenpair_cuda_idle_handles(opened.cuda), "%d handles", alive);
    }
  }
  free_problem(&data);
  close_cuda(&opened);
}

TEST(sizes_without_end_are_not_remembered_for_ever) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  for (int64_t n = 33; n < 133; ++n) {
    double unused = 0;
    int32_t info;
    const eigenpair_hermitian_problem problem = {.struct_size = sizeof problem,
                                                 .dtype = EIGENPAIR_FLOAT64,
                                                 .triangle = EIGENPAIR_UPPER,
                                                 .n = n,
                                                 .batch = 1,
                                                 .a = &unused,
                                                 .a_stride = n * n,
                                                 .w = &unused,
                                                 .info = &info};
    int64_t first, again;
    CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, &problem, NULL, &first) == EIGENPAIR_OK, "%s",
          eigenpair_last_error());
    CHECK(eigenpair_cuda_hermitian_scratch(opened.cuda, &problem, NULL, &again) == EIGENPAIR_OK && first == again,
          "n = %d", (int)n);
  }
  CHECK(atomic_load(&opened.fake->queries) == 100, "%d queries", atomic_load(&opened.fake->queries));
  close_cuda(&opened);
}

TEST(each_device_has_its_own) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  problem_data data = pair_with_dual();
  for (int i = 0; i < 6; ++i) {
    atomic_store(&opened.fake->device, i % 3);
    CHECK(solve_hermitian(&opened, &data.problem, NULL) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  }
  CHECK(atomic_load(&opened.fake->solvers_made) == 3, "%d handles were made", atomic_load(&opened.fake->solvers_made));
  free_problem(&data);
  close_cuda(&opened); /* each is destroyed on its own device */
  CHECK(atomic_load(&opened.fake->device) == 2, "the current device was changed");
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

enum { kThreads = 8, kCalls = 50 };

typedef struct {
  const test_cuda* opened;
  int index;
} thread_arguments;

static void* work(void* context) {
  const thread_arguments* arguments = context;
  problem_data data = arguments->index % 2 == 0 ? pair_with_dual() : standard();
  for (int i = 0; i < kCalls; ++i) {
    void* stream = &streams[(arguments->index + i) % 3];
    CHECK(solve_hermitian(arguments->opened, &data.problem, stream) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  }
  check_solutions(&data);
  free_problem(&data);
  return NULL;
}

TEST(threads_share_the_handles) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  pthread_t threads[kThreads];
  thread_arguments arguments[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    arguments[i] = (thread_arguments){&opened, i};
    REQUIRE(pthread_create(&threads[i], NULL, work, &arguments[i]) == 0, "no thread %d", i);
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  const int made = atomic_load(&opened.fake->solvers_made);
  CHECK(made <= 3 * kThreads && made == eigenpair_cuda_idle_handles(opened.cuda), "%d handles", made);
  close_cuda(&opened);
}
