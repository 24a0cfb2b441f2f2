/* Problems on a device: results, and which routine computes them. */
#include "cuda/cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int streams[64]; /* their addresses serve as streams */

static void solve(const test_cuda* opened, const problem_data* data) {
  const eigenpair_status status = solve_hermitian(opened, &data->problem, opened->fake->expected_stream);
  CHECK(status == EIGENPAIR_OK, "status %d: %s (%s)", status, eigenpair_last_error(), describe(&data->spec));
}

static void all_solved(const problem_data* data) {
  for (int64_t k = 0; k < data->spec.batch; ++k) {
    CHECK(data->problem.info[k] == 0, "info[%lld] = %d (%s)", (long long)k, data->problem.info[k],
          describe(&data->spec));
  }
  check_solutions(data);
}

TEST(every_kind_of_problem) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  opened.fake->expected_stream = &streams[1];
  for (int code = 0; code < 4 * 4 * 2 * 3 * 3; ++code) {
    problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .seed = (unsigned)code};
    spec.triangle = code / 16 % 2 == 0 ? EIGENPAIR_LOWER : EIGENPAIR_UPPER;
    spec.want = code / 32 % 3;
    spec.batch = code / 96 == 0 ? 1 : 5;
    spec.n = code / 96 == 2 ? 35 : 1 + code % 9;
    problem_data data = device_problem(spec);
    solve(&opened, &data);
    all_solved(&data);
    free_problem(&data);
  }
  close_cuda(&opened);
}

TEST(strided_and_shared_matrices) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  for (int code = 0; code < 4 * 4 * 4; ++code) {
    problem_spec spec = {.dtype = code % 4, .type = code / 4 % 4, .n = 6, .batch = 4, .want = code % 3, .seed = 9};
    spec.shared_a = code / 16 == 1;
    spec.shared_b = code / 16 == 2;
    spec.gap = code / 16 == 3 ? 11 : 0;
    problem_data data = device_problem(spec);
    solve(&opened, &data);
    all_solved(&data);
    free_problem(&data);
  }
  close_cuda(&opened);
}

TEST(in_place) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  for (int32_t type = 0; type < 4; ++type) {
    problem_spec spec = {.dtype = EIGENPAIR_COMPLEX128, .type = type, .n = 7, .batch = 3, .want = WANT_DUAL};
    problem_data data = device_problem(spec), same = device_problem(spec);
    solve(&opened, &data);
    memcpy(same.problem.v, same.a_stored, same.a_bytes);
    same.problem.a = same.problem.v;
    solve(&opened, &same);
    for (int64_t k = 0; k < spec.batch; ++k)
      CHECK(same_bits(&data, k, &same, k), "matrix %lld, type %d", (long long)k, type);
    same.problem.a_stride = 0;
    CHECK(solve_hermitian(&opened, &same.problem, NULL) == EIGENPAIR_BAD_ARGUMENT, "one matrix overwritten by three");
    free_problem(&data);
    free_problem(&same);
  }
  close_cuda(&opened);
}

/* Calls of (Xsyevd, XsyevBatched, syevjBatched, sygvd). */
static void expect_calls(const char* library, problem_spec spec, int evd, int batched, int jacobi, int pairs) {
  test_cuda opened = open_cuda(library);
  problem_data data = device_problem(spec);
  solve(&opened, &data);
  const fake_cuda_state* fake = opened.fake;
  const int found[] = {atomic_load(&fake->evd), atomic_load(&fake->batched), atomic_load(&fake->jacobi),
                       atomic_load(&fake->pairs)};
  CHECK(found[0] == evd && found[1] == batched && found[2] == jacobi && found[3] == pairs,
        "calls (%d, %d, %d, %d), not (%d, %d, %d, %d) (%s)", found[0], found[1], found[2], found[3], evd, batched,
        jacobi, pairs, describe(&spec));
  all_solved(&data);
  free_problem(&data);
  close_cuda(&opened);
}

TEST(routines_by_size_batch_and_version) {
  const int32_t dtype = EIGENPAIR_FLOAT64;
  const problem_spec small = {.dtype = dtype, .n = 32, .batch = 3}, large = {.dtype = dtype, .n = 33, .batch = 3};
  problem_spec one = large, lower = large, pair = small;
  expect_calls(FAKE_CUDA, small, 0, 0, 1, 0);
  expect_calls(FAKE_CUDA, large, 0, 1, 0, 0);
  expect_calls(FAKE_CUDA_OLD, small, 0, 0, 1, 0);
  problem_spec wide = small;
  wide.dtype = EIGENPAIR_COMPLEX128;
  expect_calls(FAKE_CUDA, wide, 0, 1, 0, 0);
  expect_calls(FAKE_CUDA_OLD, wide, 0, 0, 1, 0);
  wide.n = 31;
  expect_calls(FAKE_CUDA, wide, 0, 0, 1, 0);
  expect_calls(FAKE_CUDA_OLD, large, 3, 0, 0, 0);
  one.batch = 1;
  expect_calls(FAKE_CUDA, one, 1, 0, 0, 0);
  one.n = 32;
  expect_calls(FAKE_CUDA, one, 0, 0, 1, 0);
  pair.type = 2;
  expect_calls(FAKE_CUDA, pair, 0, 0, 0, 3);
  expect_calls(FAKE_CUDA_OLD, pair, 0, 0, 0, 3);
  /* The one combination for which XsyevBatched is not reliable. */
  lower.triangle = EIGENPAIR_LOWER;
  expect_calls(FAKE_CUDA, lower, 0, 1, 0, 0);
  lower.dtype = EIGENPAIR_COMPLEX64;
  expect_calls(FAKE_CUDA, lower, 3, 0, 0, 0);
}

TEST(drivers_are_obeyed) {
  problem_spec spec = {.dtype = EIGENPAIR_COMPLEX128, .n = 5, .batch = 4, .driver = EIGENPAIR_DRIVER_EVD};
  expect_calls(FAKE_CUDA, spec, 4, 0, 0, 0);
  spec.driver = EIGENPAIR_DRIVER_BATCHED;
  expect_calls(FAKE_CUDA, spec, 0, 1, 0, 0);
  spec.driver = EIGENPAIR_DRIVER_JACOBI;
  expect_calls(FAKE_CUDA, spec, 0, 0, 1, 0);
}

/* XsyevBatched fails for more than about 32,000 matrices, and the workspace of syevjBatched overflows an int. */
TEST(large_batches_are_cut) {
  for (int jacobi = 0; jacobi < 2; ++jacobi) {
    test_cuda opened = open_cuda(FAKE_CUDA);
    problem_data data = device_problem((problem_spec){
        .dtype = EIGENPAIR_FLOAT32,
        .n = 2,
        .batch = 40000,
        .want = WANT_VECTORS,
        .driver = jacobi ? EIGENPAIR_DRIVER_JACOBI : EIGENPAIR_DRIVER_BATCHED,
    });
    solve(&opened, &data);
    const int calls = atomic_load(jacobi ? &opened.fake->jacobi : &opened.fake->batched);
    CHECK(calls == 3, "%d calls", calls);
    all_solved(&data);
    free_problem(&data);
    close_cuda(&opened);
  }
}

TEST(one_failure_leaves_its_neighbours_alone) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  for (int32_t type = 0; type < 4; ++type) {
    problem_data data =
        device_problem((problem_spec){.dtype = EIGENPAIR_FLOAT64, .type = type, .n = 4, .batch = 3, .want = WANT_DUAL});
    void* spoiled = type == 0 ? data.a_stored : data.b_stored;
    for (int64_t i = 16; i < 32; ++i) set_element(spoiled, EIGENPAIR_FLOAT64, i, type == 0 ? NAN : -1);
    memcpy(data.a_before, data.a_stored, data.a_bytes);
    if (type != 0) memcpy(data.b_before, data.b_stored, data.b_bytes);
    solve(&opened, &data);
    const int32_t* info = data.problem.info;
    CHECK(info[0] == 0 && info[1] != 0 && info[2] == 0, "info %d, %d, %d (type %d)", info[0], info[1], info[2], type);
    check_solutions(&data);
    free_problem(&data);
  }
  close_cuda(&opened);
}

TEST(nothing_to_solve) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  int32_t info[] = {9, 9, 9};
  eigenpair_hermitian_problem hermitian = {
      .struct_size = sizeof hermitian, .triangle = EIGENPAIR_LOWER, .batch = 2, .info = info};
  eigenpair_general_problem general = {.struct_size = sizeof general, .batch = 3, .info = info};
  CHECK(solve_hermitian(&opened, &hermitian, NULL) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(info[0] == 0 && info[1] == 0 && info[2] == 9, "info %d, %d, %d", info[0], info[1], info[2]);
  CHECK(solve_general(&opened, &general, NULL) == EIGENPAIR_OK && info[2] == 0, "%s", eigenpair_last_error());
  hermitian.n = general.n = 3;
  hermitian.batch = general.batch = 0;
  hermitian.info = general.info = NULL;
  CHECK(solve_hermitian(&opened, &hermitian, NULL) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(solve_general(&opened, &general, NULL) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  close_cuda(&opened);
}

enum { kOrder = 5, kCount = 3, kSquare = kOrder * kOrder };

TEST(general_problems) {
  test_cuda opened = open_cuda(FAKE_CUDA);
  opened.fake->expected_stream = &streams[2];
  for (int32_t dtype = 0; dtype < 4; ++dtype) {
    char a[16 * kSquare * kCount], v[16 * kSquare * kCount], w[16 * kOrder * kCount];
    int32_t info[kCount];
    const int32_t complex_dtype = dtype % 2 == 0 ? EIGENPAIR_COMPLEX64 : EIGENPAIR_COMPLEX128;
    unsigned state = 3;
    for (int64_t i = 0; i < kSquare * kCount; ++i) {
      const int64_t row = i % kOrder, column = i / kOrder % kOrder;
      set_element(a, dtype, i, row == column ? row + 1 : row < column ? next_random(&state) : 0);
    }
    set_element(a, dtype, kSquare + 1,
                1); /* below the diagonal of the second matrix, so that the fake does not converge */
    for (int vectors = 0; vectors < 2; ++vectors) {
      const eigenpair_general_problem problem = {.struct_size = sizeof problem,
                                                 .dtype = dtype,
                                                 .n = kOrder,
                                                 .batch = kCount,
                                                 .a = a,
                                                 .a_stride = kSquare,
                                                 .w = w,
                                                 .v = vectors ? v : NULL,
                                                 .info = info};
      CHECK(solve_general(&opened, &problem, &streams[2]) == EIGENPAIR_OK, "%s", eigenpair_last_error());
      CHECK(info[0] == 0 && info[1] != 0 && info[2] == 0, "info %d, %d, %d", info[0], info[1], info[2]);
      for (int64_t k = 0; k < kCount; k += 2) {
        for (int64_t j = 0; j < kOrder; ++j) {
          const double complex value = get_element(w, complex_dtype, k * kOrder + j);
          CHECK(value == (double)(j + 1), "eigenvalue %g", creal(value));
          for (int64_t i = 0; vectors && i < kOrder; ++i) {
            double complex sum = 0;
            for (int64_t m = 0; m < kOrder; ++m) {
              sum += get_element(a, dtype, k * kSquare + i + m * kOrder) *
                     get_element(v, dtype, k * kSquare + m + j * kOrder);
            }
            const double error = cabs(sum - value * get_element(v, dtype, k * kSquare + i + j * kOrder));
            CHECK(error < 100 * epsilon(dtype), "residual %g (dtype %d)", error, dtype);
          }
        }
      }
    }
  }
  CHECK(atomic_load(&opened.fake->general) == 4 * 2 * kCount, "%d calls", atomic_load(&opened.fake->general));
  close_cuda(&opened);
}
