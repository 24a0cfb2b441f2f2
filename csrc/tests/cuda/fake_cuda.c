#include "cuda/fake_cuda.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The version numbers of cuSOLVER and CUDA. The old libraries are built with other numbers and without later routines.
 */
#ifndef FAKE_SOLVER_VERSION
#define FAKE_SOLVER_VERSION 11705
#endif

#define EXPORT __attribute__((visibility("default")))

static fake_cuda_state state;
EXPORT fake_cuda_state* fake_cuda(void);
EXPORT fake_cuda_state* fake_cuda(void) { return &state; }

typedef struct {
  int device;
  void* stream;
} handle;

/* A status to return immediately, or 0. */
static int fails(const char* routine) {
  return state.failing != NULL && strcmp(state.failing, routine) == 0 ? state.status : 0;
}
#define MAY_FAIL(name)               \
  do {                               \
    const int failed = fails(#name); \
    if (failed != 0) return failed;  \
  } while (0)

static void check_stream(void* stream) {
  if (state.expected_stream != NULL && stream != state.expected_stream) atomic_fetch_add(&state.strays, 1);
}
static void check_handle(const handle* used) {
  check_stream(used->stream);
  if (used->device != atomic_load(&state.device)) atomic_fetch_add(&state.strays, 1);
}

/* ---- cudart ------------------------------------------------------------------------------------------- */

EXPORT int cudaRuntimeGetVersion(int* version) { return *version = 12090, 0; }
EXPORT int cudaGetDevice(int* device) {
  MAY_FAIL(cudaGetDevice);
  return *device = atomic_load(&state.device), 0;
}
EXPORT int cudaSetDevice(int device) { return atomic_store(&state.device, device), 0; }
EXPORT const char* cudaGetErrorString(int status) { return status == 700 ? "an illegal memory access" : "some error"; }
EXPORT int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream) {
  MAY_FAIL(cudaMemcpyAsync);
  check_stream(stream);
  atomic_fetch_add(&state.copies, 1);
  if (kind != 3) return 21;
  memcpy(to, from, bytes);
  return 0;
}
EXPORT int cudaMemsetAsync(void* to, int value, size_t bytes, void* stream) {
  check_stream(stream);
  memset(to, value, bytes);
  return 0;
}

/* ---- handles -------------------------------------------------------------------------------------------- */

static int make(void** out, size_t bytes, atomic_int* count) {
  *out = calloc(1, bytes);
  atomic_fetch_add(count, 1);
  return 0;
}
static int destroy(void* made, atomic_int* count) {
  free(made);
  atomic_fetch_sub(count, 1);
  return 0;
}

EXPORT int cusolverGetVersion(int* version) { return *version = FAKE_SOLVER_VERSION, 0; }
EXPORT int cusolverDnCreate(void** out) {
  MAY_FAIL(cusolverDnCreate);
  atomic_fetch_add(&state.solvers_made, 1);
  make(out, sizeof(handle), &state.solvers);
  return ((handle*)*out)->device = atomic_load(&state.device), 0;
}
EXPORT int cusolverDnDestroy(void* made) {
  if (((handle*)made)->device != atomic_load(&state.device)) atomic_fetch_add(&state.strays, 1);
  return destroy(made, &state.solvers);
}
EXPORT int cusolverDnSetStream(void* made, void* stream) { return ((handle*)made)->stream = stream, 0; }
EXPORT int cusolverDnCreateParams(void** out) {
  MAY_FAIL(cusolverDnCreateParams);
  return make(out, 8, &state.parameters);
}
EXPORT int cusolverDnDestroyParams(void* made) { return destroy(made, &state.parameters); }
EXPORT int cusolverDnCreateSyevjInfo(void** out) {
  MAY_FAIL(cusolverDnCreateSyevjInfo);
  return make(out, 8, &state.jacobis);
}
EXPORT int cusolverDnDestroySyevjInfo(void* made) { return destroy(made, &state.jacobis); }
EXPORT int cublasCreate_v2(void** out) {
  MAY_FAIL(cublasCreate_v2);
  make(out, sizeof(handle), &state.blases);
  return ((handle*)*out)->device = atomic_load(&state.device), 0;
}
EXPORT int cublasDestroy_v2(void* made) { return destroy(made, &state.blases); }
EXPORT int cublasSetStream_v2(void* made, void* stream) { return ((handle*)made)->stream = stream, 0; }

/* ---- matrices -------------------------------------------------------------------------------------------- */

/* cudaDataType: 0 float, 1 double, 4 complex float, 5 complex double. */
static size_t size_of(int type) { return (type % 2 == 0 ? 4 : 8) * (size_t)(type >= 4 ? 2 : 1); }
static Z get(const void* data, int type, int64_t i) {
  if (type == 0) return ((const float*)data)[i];
  if (type == 1) return ((const double*)data)[i];
  return type == 4 ? (Z)((const float complex*)data)[i] : ((const Z*)data)[i];
}
static void put(void* data, int type, int64_t i, Z x) {
  if (type == 0) ((float*)data)[i] = (float)creal(x);
  if (type == 1) ((double*)data)[i] = creal(x);
  if (type == 4) ((float complex*)data)[i] = (float complex)x;
  if (type == 5) ((Z*)data)[i] = x;
}

static Z* square(int n) { return calloc((size_t)n * (size_t)n + 1, sizeof(Z)); }

/* The whole Hermitian matrix from the triangle that is read, without the imaginary part of the diagonal. */
static Z* load(const void* data, int type, int upper, int n) {
  Z* a = square(n);
  for (int j = 0; j < n; ++j) {
    a[j + j * n] = creal(get(data, type, j + (int64_t)j * n));
    for (int i = j + 1; i < n; ++i) {
      const Z below = upper ? conj(get(data, type, j + (int64_t)i * n)) : get(data, type, i + (int64_t)j * n);
      a[i + j * n] = below;
      a[j + i * n] = conj(below);
    }
  }
  return a;
}

/* The lower triangular factor from the triangle where it is stored. */
static Z* load_factor(const void* data, int type, int upper, int n) {
  Z* a = load(data, type, upper, n);
  for (int j = 0; j < n; ++j) memset(a + j * n, 0, (size_t)j * sizeof *a);
  return a;
}

static Z* load_all(const void* data, int type, int n) {
  Z* a = square(n);
  for (int i = 0; i < n * n; ++i) a[i] = get(data, type, i);
  return a;
}
static void store_all(void* data, int type, int n, const Z* a) {
  for (int i = 0; i < n * n; ++i) put(data, type, i, a[i]);
}

/* Writes to all of the workspace, so that a sanitizer notices if it is smaller than announced. */
static void use(void* memory, size_t bytes) {
  if (bytes > 0) memset(memory, 0x5A, bytes);
}

/* Solves one matrix. Without vectors, it destroys the matrix as cuSOLVER does. Returns info. */
static int solve(int vectors, int upper, int n, int type, void* a, void* w) {
  Z* matrix = load(a, type, upper, n);
  double* values = calloc((size_t)n + 1, sizeof *values);
  fake_hermitian(n, matrix, values);
  for (int i = 0; i < n; ++i) put(w, type % 4, i, values[i]);
  if (vectors) {
    store_all(a, type, n, matrix);
  } else {
    memset(a, 0xFF, (size_t)n * (size_t)n * size_of(type));
  }
  const int info = n > 0 && values[0] != values[0];
  free(values);
  free(matrix);
  return info;
}

static int enough(size_t given, size_t needed) { return given >= needed ? 0 : 3; }
static size_t workspace(int64_t n, int64_t batch, int type) {
  return (size_t)(64 + batch * (2 * n + 1)) * size_of(type);
}

#define X_QUERY                                                                                            \
  void *made, void *params, int job, int fill, int64_t n, int type, const void *a, int64_t lda, int wtype, \
      const void *w, int compute, size_t *device, size_t *host
#define X_SOLVE                                                                                               \
  void *made, void *params, int job, int fill, int64_t n, int type, void *a, int64_t lda, int wtype, void *w, \
      int compute, void *device, size_t device_bytes, void *host, size_t host_bytes, int *info

static int x_query(X_QUERY, int64_t batch) {
  (void)params, (void)job, (void)fill, (void)a, (void)w;
  check_handle(made);
  atomic_fetch_add(&state.queries, 1);
  *device = workspace(n, batch, type);
  *host = (size_t)(16 * n);
  return lda == n && wtype == type % 4 && compute == type ? 0 : 3;
}
static int x_solve(X_SOLVE, int64_t batch) {
  check_handle(made);
  if (params == NULL || lda != n || wtype != type % 4 || compute != type) return 3;
  if (enough(device_bytes, workspace(n, batch, type)) || enough(host_bytes, (size_t)(16 * n))) return 3;
  use(device, device_bytes);
  use(host, host_bytes);
  for (int64_t k = 0; k < batch; ++k) {
    void* matrix = (char*)a + (size_t)(k * n * n) * size_of(type);
    info[k] = solve(job, fill, (int)n, type, matrix, (char*)w + (size_t)(k * n) * size_of(wtype));
  }
  return 0;
}

EXPORT int cusolverDnXsyevd_bufferSize(X_QUERY) {
  return x_query(made, params, job, fill, n, type, a, lda, wtype, w, compute, device, host, 1);
}
EXPORT int cusolverDnXsyevd(X_SOLVE) {
  MAY_FAIL(cusolverDnXsyevd);
  atomic_fetch_add(&state.evd, 1);
  return x_solve(made, params, job, fill, n, type, a, lda, wtype, w, compute, device, device_bytes, host, host_bytes,
                 info, 1);
}

#if FAKE_SOLVER_VERSION >= 11701
static void note_batch(int64_t batch) {
  if (batch > atomic_load(&state.largest_batch)) atomic_store(&state.largest_batch, batch);
}
EXPORT int cusolverDnXsyevBatched_bufferSize(X_QUERY, int64_t batch) {
  return x_query(made, params, job, fill, n, type, a, lda, wtype, w, compute, device, host, batch);
}
EXPORT int cusolverDnXsyevBatched(X_SOLVE, int64_t batch) {
  MAY_FAIL(cusolverDnXsyevBatched);
  atomic_fetch_add(&state.batched, 1);
  note_batch(batch);
  if (batch > 32000) return 3; /* as cuSOLVER does */
  return x_solve(made, params, job, fill, n, type, a, lda, wtype, w, compute, device, device_bytes, host, host_bytes,
                 info, batch);
}

EXPORT int cusolverDnXgeev_bufferSize(void* made, void* params, int left, int right, int64_t n, int type, const void* a,
                                      int64_t lda, int wtype, const void* w, int ltype, const void* vl, int64_t ldvl,
                                      int rtype, const void* vr, int64_t ldvr, int compute, size_t* device,
                                      size_t* host) {
  (void)params, (void)right, (void)a, (void)w, (void)vl, (void)vr;
  check_handle(made);
  atomic_fetch_add(&state.queries, 1);
  *device = workspace(n, n, type);
  *host = (size_t)(8 * n);
  const int same = ltype == type && rtype == type && compute == type && wtype == type % 4 + 4;
  return left == 0 && same && lda == n && ldvl == n && ldvr == n ? 0 : 3;
}
/* Solves upper triangular matrices only; for others it reports that it did not converge. */
EXPORT int cusolverDnXgeev(void* made, void* params, int left, int right, int64_t order, int type, void* a, int64_t lda,
                           int wtype, void* w, int ltype, void* vl, int64_t ldvl, int rtype, void* vr, int64_t ldvr,
                           int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info) {
  (void)ltype, (void)vl, (void)ldvl, (void)rtype, (void)compute;
  MAY_FAIL(cusolverDnXgeev);
  check_handle(made);
  atomic_fetch_add(&state.general, 1);
  if (params == NULL || left != 0 || lda != order || ldvr != order) return 3;
  if (enough(device_bytes, workspace(order, order, type)) || enough(host_bytes, (size_t)(8 * order))) return 3;
  use(device, device_bytes);
  use(host, host_bytes);
  const int n = (int)order;
  Z *matrix = load_all(a, type, n), *vectors = square(n);
  *info = 0;
  for (int j = 0; j < n; ++j) {
    for (int i = j + 1; i < n; ++i) *info |= matrix[i + j * n] != 0;
    put(w, wtype, j, matrix[j + j * n]);
  }
  fake_triangular_vectors(n, matrix, vectors);
  if (right) store_all(vr, type, n, vectors);
  memset(a, 0xFF, (size_t)n * (size_t)n * size_of(type));
  free(vectors);
  free(matrix);
  return 0;
}
#endif

EXPORT int cusolverDnXpotrs(void* made, void* params, int fill, int64_t n, int64_t columns, int type,
                            const void* factor, int64_t lda, int btype, void* b, int64_t ldb, int* info) {
  MAY_FAIL(cusolverDnXpotrs);
  check_handle(made);
  atomic_fetch_add(&state.potrs, 1);
  if (params == NULL || columns != n || lda != n || ldb != n || btype != type) return 3;
  Z *l = load_factor(factor, type, fill, (int)n), *x = load_all(b, type, (int)n);
  fake_divide((int)n, l, 0, x);
  fake_divide((int)n, l, 1, x);
  store_all(b, type, (int)n, x);
  *info = 0;
  free(x);
  free(l);
  return 0;
}

#include "cuda/fake_cuda_typed.inc"
