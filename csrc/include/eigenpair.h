/* eigenpair: the C ABI of the native core. The frontends use nothing else.
 *
 * A call has these steps:
 *   1. provide a LAPACK, once:       eigenpair_lapack_create
 *   2. describe a batch of problems: eigenpair_hermitian_problem
 *   3. create a job:                 eigenpair_hermitian_job
 *   4. work on it from as many threads as you like: eigenpair_job_work
 *   5. eigenpair_job_finish, which waits for the other workers and frees the job.
 * eigenpair_hermitian does steps 3 to 5 on its own threads.
 *
 * No function throws or aborts. Each returns a status; eigenpair_last_error() has the details, per thread.
 * If one matrix of a batch fails, the call does not: the results of that matrix are NaN, its info says why, and the
 * results of the others do not change.
 */
#ifndef EIGENPAIR_H
#define EIGENPAIR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define EIGENPAIR_API __declspec(dllexport)
#else
#define EIGENPAIR_API __attribute__((visibility("default")))
#endif

/* Increased whenever a struct or signature below changes. Frontends refuse any other number. */
#define EIGENPAIR_ABI_VERSION 10

EIGENPAIR_API int32_t eigenpair_abi_version(void);
EIGENPAIR_API const char* eigenpair_version(void);

typedef int32_t eigenpair_status;
enum {
  EIGENPAIR_OK = 0,
  EIGENPAIR_BAD_ARGUMENT = 1,    /* a null pointer, a negative size, an unknown code */
  EIGENPAIR_MISSING_ROUTINE = 2, /* LAPACK has no routine that the problem needs */
  EIGENPAIR_OUT_OF_MEMORY = 3,
  EIGENPAIR_TOO_LARGE = 4, /* a size or workspace does not fit into LAPACK's integers */
  EIGENPAIR_INTERNAL = 5,
  EIGENPAIR_NO_LIBRARY = 6,  /* a CUDA library is missing or too old */
  EIGENPAIR_DEVICE_ERROR = 7 /* CUDA, cuBLAS or cuSOLVER reported an error */
};

/* The message of the last failed call on this thread. Valid until the next call on this thread. */
EIGENPAIR_API const char* eigenpair_last_error(void);

/* ---- LAPACK, provided by the caller ---------------------------------------------------------------- */

typedef struct eigenpair_lapack eigenpair_lapack;

/* Returns the address of a Fortran routine by its plain lower-case name ("dsyevd": no underscore, no suffix), or NULL
 * if there is none. Called only during eigenpair_lapack_create. */
typedef void* (*eigenpair_lookup)(void* context, const char* routine);

/* `integer_bits` is 32 (LP64) or 64 (ILP64). The routines must outlive the handle. */
EIGENPAIR_API eigenpair_status eigenpair_lapack_create(int32_t integer_bits, eigenpair_lookup lookup, void* context,
                                                       eigenpair_lapack** out);

/* Optional: functions that get and set the number of threads of this LAPACK in this process. With them, LAPACK is
 * limited to one thread while several workers run, and for orders at which more threads would not be faster. Afterwards
 * the previous number is restored, unless it was changed meanwhile. Without them, the number of threads may be the
 * workers times LAPACK's own threads. Either may be NULL. */
EIGENPAIR_API eigenpair_status eigenpair_lapack_set_threading(eigenpair_lapack* lapack, int32_t (*get_threads)(void),
                                                              void (*set_threads)(int32_t));

/* 1 if the routine was found, else 0. */
EIGENPAIR_API int32_t eigenpair_lapack_has(const eigenpair_lapack* lapack, const char* routine);

/* No job may still use the handle. NULL is allowed. */
EIGENPAIR_API void eigenpair_lapack_destroy(eigenpair_lapack* lapack);

/* ---- problems ---------------------------------------------------------------------------------------- */

enum { EIGENPAIR_FLOAT32 = 0, EIGENPAIR_FLOAT64 = 1, EIGENPAIR_COMPLEX64 = 2, EIGENPAIR_COMPLEX128 = 3 };

enum { EIGENPAIR_COLUMN_MAJOR = 0, EIGENPAIR_ROW_MAJOR = 1 };

/* Which entries of a matrix are read: the Hermitian part (A + A^H)/2, or one triangle. Only the real
 * part of the diagonal is read. */
enum { EIGENPAIR_HERMITIAN_PART = 0, EIGENPAIR_LOWER = 1, EIGENPAIR_UPPER = 2 };

/* AUTO chooses by size and outputs. EV and EVR exist only in LAPACK; BATCHED (XsyevBatched) and JACOBI (syevjBatched)
 * exist only in cuSOLVER, for the standard problem. */
enum {
  EIGENPAIR_DRIVER_AUTO = 0,
  EIGENPAIR_DRIVER_EVD = 1,
  EIGENPAIR_DRIVER_EV = 2,
  EIGENPAIR_DRIVER_EVR = 3,
  EIGENPAIR_DRIVER_BATCHED = 4,
  EIGENPAIR_DRIVER_JACOBI = 5
};

/* The status of each matrix, in `info`. */
enum {
  EIGENPAIR_INFO_OK = 0,
  EIGENPAIR_INFO_NOT_FINITE = 1,            /* NaN or Inf among the entries read */
  EIGENPAIR_INFO_NOT_POSITIVE_DEFINITE = 2, /* B */
  EIGENPAIR_INFO_NO_CONVERGENCE = 3
};

/* A batch of Hermitian eigenproblems. Matrices are dense, n x n, contiguous; the k-th starts `k * stride` elements
 * after the first (stride 0: one matrix shared by the whole batch). Inputs are never modified; outputs are
 * contiguous over the batch and must not overlap the inputs.
 *
 *   type 0: A v = w v          V^H V = I
 *   type 1: A v = w B v        V^H B V = I
 *   type 2: A B v = w v        V^H B V = I
 *   type 3: B A v = w v        V^H B^-1 V = I
 */
typedef struct eigenpair_hermitian_problem {
  int64_t struct_size; /* sizeof(eigenpair_hermitian_problem) */
  int32_t dtype;
  int32_t type;
  int32_t triangle; /* of A and B alike */
  int32_t layout;   /* of A, B, v and u alike */
  int32_t driver;
  int32_t reserved; /* 0 */
  int64_t n;
  int64_t batch;
  const void* a;
  int64_t a_stride;
  const void* b; /* NULL for type 0 */
  int64_t b_stride;
  void* w;       /* batch x n, real, ascending */
  void* v;       /* batch x n x n: eigenvectors in columns; NULL: values only */
  void* u;       /* batch x n x n: the dual basis V^-H (B V for types 1 and 2, B^-1 V for type 3), or NULL */
  int32_t* info; /* batch, or NULL */
} eigenpair_hermitian_problem;

/* A batch of general eigenproblems: A (and B) may be any square matrices.
 *
 *   b NULL:  A v = w v,     left vectors  vl^H A = w vl^H
 *   else:    A v = w B v,                 vl^H A = w vl^H B
 *
 * Eigenvalues are sorted by real, then imaginary part; infinite ones (B singular) come after the finite ones, as
 * +Inf + 0i, and undetermined ones (a singular pencil) last, as NaN. Each vector has unit 2-norm, and its largest
 * component is real and positive.
 *
 * u is the dual basis: V^-H, or (B V)^-H. Its columns are left vectors, scaled so that u_i^H (B) v_i = 1 (for an
 * infinite eigenvalue u_i^H A v_i = 1), and its column norms are the condition numbers of the eigenvalues. If a matrix
 * is so nearly defective that they exceed 1/(10 sqrt(n) epsilon), all of u is NaN; the other results are as computed.
 */
typedef struct eigenpair_general_problem {
  int64_t struct_size; /* sizeof(eigenpair_general_problem) */
  int32_t dtype;       /* of A and B; all results are complex, of the same precision */
  int32_t layout;      /* of A, B, v, vl and u alike */
  int64_t n;
  int64_t batch;
  const void* a;
  int64_t a_stride;
  const void* b; /* NULL: the standard problem */
  int64_t b_stride;
  void* w;       /* batch x n, complex */
  void* v;       /* batch x n x n: right vectors in columns, or NULL */
  void* vl;      /* batch x n x n: left vectors in columns, or NULL */
  void* u;       /* batch x n x n: the dual basis, or NULL */
  int32_t* info; /* batch, or NULL */
} eigenpair_general_problem;

/* Eigenpairs first, first + 1, ..., first + count - 1 (from 0, ascending) of a batch of Hermitian matrices, or of pairs
 * A v = w B v with V^H B V = I; n >= 1. */
typedef struct eigenpair_subset_problem {
  int64_t struct_size; /* sizeof(eigenpair_subset_problem) */
  int32_t dtype;
  int32_t triangle;
  int32_t layout;
  int32_t reserved; /* 0 */
  int64_t n;
  int64_t batch;
  int64_t first;
  int64_t count;
  const void* a;
  int64_t a_stride;
  const void* b; /* NULL: the standard problem */
  int64_t b_stride;
  void* w;      /* batch x count, real, ascending */
  void* edges;  /* batch x 3, real: the eigenvalue below (or -Inf) and above (or Inf), and the scale of rounding errors:
                   the largest |w| of all, or for a pair (|A| + largest |w| |B|) |1/B|; needs v; or NULL */
  void* v;      /* batch x n x count: eigenvectors in columns; NULL: values only */
  void* factor; /* batch x n (n + 4), of a pair n (2 n + 4): the reduction, for eigenpair_complement_job, or NULL; needs
                   v; its contents are private */
  int32_t* info; /* batch, or NULL */
} eigenpair_subset_problem;

/* x_j = sum v_i v_i^H y_j / (w_i - w_j) for the columns of y, over all eigenpairs i that are not among the given
 * w and v. For the standard problem that is P (A - w_j)^+ P y_j, with P = I - V V^H. */
typedef struct eigenpair_complement_problem {
  int64_t struct_size; /* sizeof(eigenpair_complement_problem) */
  int32_t dtype;
  int32_t layout;   /* of v, y and x alike */
  int32_t reserved; /* 0 */
  int32_t type;     /* 0, or 1: the factor is that of a pair */
  int64_t n;
  int64_t batch;
  int64_t count;
  const void* factor; /* of eigenpair_subset_job, like w and v */
  const void* w;
  const void* v;
  const void* y; /* batch x n x count */
  void* x;       /* batch x n x count */
  int32_t* info; /* NULL */
} eigenpair_complement_problem;

/* Eigenpairs first, first + 1, ..., first + count - 1 (from 0, ascending) of a batch of Hermitian band matrices, of
 * which the lower half of the band is stored: COLUMN_MAJOR as LAPACK stores it, (bandwidth + 1) x n with A(j + m, j) in
 * row m and column j; ROW_MAJOR its transpose in memory. Entries with j + m >= n are not read. Real matrices with
 * bandwidth 1 are tridiagonal. n >= 1. */
typedef struct eigenpair_banded_problem {
  int64_t struct_size; /* sizeof(eigenpair_banded_problem) */
  int32_t dtype;
  int32_t layout; /* of a and v alike */
  int64_t n;
  int64_t batch;
  int64_t bandwidth; /* of the half without the diagonal, less than n */
  int64_t first;
  int64_t count;
  const void* a; /* batch x (bandwidth + 1) x n */
  void* w;       /* batch x count, real, ascending */
  void* v;       /* batch x n x count: eigenvectors in columns; NULL: values only */
  void* edges;   /* batch x 3, real, as in eigenpair_subset_problem; needs v; or NULL */
  int32_t* info; /* batch, or NULL */
} eigenpair_banded_problem;

/* As eigenpair_complement_problem, for a band matrix. No factor is needed. */
typedef struct eigenpair_banded_complement_problem {
  int64_t struct_size; /* sizeof(eigenpair_banded_complement_problem) */
  int32_t dtype;
  int32_t layout; /* of a, v, y and x alike */
  int64_t n;
  int64_t batch;
  int64_t bandwidth;
  int64_t count;
  const void* a; /* of eigenpair_banded_job, like w and v */
  const void* w;
  const void* v;
  const void* y; /* batch x n x count */
  void* x;       /* batch x n x count */
  int32_t* info; /* NULL */
} eigenpair_banded_complement_problem;

/* The policy for eigenvalues that coincide. The `parameter` is c, tol, eps, or unused. */
enum { EIGENPAIR_POLICY_CHECK = 0, EIGENPAIR_POLICY_MASK = 1, EIGENPAIR_POLICY_BROADEN = 2, EIGENPAIR_POLICY_RAW = 3 };

/* Options of CHECK, to be added. */
enum {
  EIGENPAIR_RULE_MASK_COUPLED = 1 /* forward: leave out the rotation inside clusters, instead of NaN */
};

/* First derivatives of a batch of Hermitian eigenproblems, by the rules of docs/derivations.md: forward from da and db
 * to dw, dv and du, or in reverse from dw, dv and du (cotangents) to da and db (gradients). An input that
 * is NULL is zero; an output that is NULL is not computed. All arrays are contiguous over the batch. Outputs also serve
 * as scratch memory, so they must not overlap inputs.
 *
 * Under CHECK, eigenvalues that are equal up to rounding errors form clusters. The gradient of a matrix is NaN if its
 * cotangents need a gap inside a cluster. The tangent of a vector is NaN if da and db couple it to others of its
 * cluster.
 *
 * Tangents da and db are read, and gradients written, by `triangle`. With `conjugated`, cotangents and gradients are
 * the complex conjugates of dL/dRe + i dL/dIm.
 */
typedef struct eigenpair_hermitian_rule {
  int64_t struct_size; /* sizeof(eigenpair_hermitian_rule) */
  int32_t dtype;
  int32_t type;
  int32_t triangle;
  int32_t layout;
  int32_t policy;
  int32_t reverse;
  int32_t conjugated;
  int32_t options; /* EIGENPAIR_RULE_... */
  double parameter;
  int64_t n;
  int64_t batch;
  const void* w;     /* batch x n */
  const void* v;     /* batch x n x n */
  const void* u;     /* batch x n x n: the dual basis, for types 2 and 3, or NULL */
  const void* scale; /* batch, real: the scale of rounding errors; NULL: the largest |w| */
  void* da;
  void* db;
  void* dw; /* batch x n, real */
  void* dv;
  void* du;
  int32_t* refused; /* batch: 1 if CHECK refuses the gradients, or tangents of some of the vectors; or NULL */
} eigenpair_hermitian_rule;

/* Functions of a batch of Hermitian matrices, and their derivatives in given directions, at any degeneracy
 * (docs/derivations.md, "Spectral functions"):
 *
 *   order 0: V Diag(f(w)) V^H
 *   order 1: V (f[i,j] o X) V^H                                 with X = V^H x V
 *   order 2: V (sum_k f[i,k,j] (X_ik Y_kj + Y_ik X_kj)) V^H     with Y = V^H y V
 *
 * The function f is given by its values and divided differences at each eigenvalue and at neighbours; the other
 * differences are computed from them. x and y may be any matrices.
 *
 * There are `batch` results for `shared` matrices, a divisor of it, that is batch/shared directions of each. For
 * direction d of matrix r, x is matrix d * x_outer + r * x_inner of its array, and so are y and the result.
 */
typedef struct eigenpair_spectral_form {
  int64_t struct_size; /* sizeof(eigenpair_spectral_form) */
  int32_t dtype;       /* of v, x, y and out; the others are real, of the same precision */
  int32_t layout;      /* of v, x, y and out */
  int32_t order;
  int32_t reserved; /* 0 */
  int64_t step;     /* -1; else f is 1 at that many of the lowest eigenvalues and 0 at the others, and instead of its
                       differences `derivative` holds, in its first number for each matrix, a factor of them */
  int64_t n;
  int64_t batch;
  int64_t shared;
  const void* w;           /* shared x n, ascending */
  const void* v;           /* shared x n x n */
  const void* values;      /* order 0: shared x n: f(w_k) */
  const void* derivative;  /* order 1: shared x n: f'(w_k) */
  const void* first;       /* order 1: shared x (n - 1): f[w_k, w_k+1] */
  const void* half_second; /* order 2: shared x n: f''(w_k)/2 */
  const void* left;        /* order 2: shared x (n - 1): f[w_k, w_k, w_k+1] */
  const void* right;       /* order 2: shared x (n - 1): f[w_k, w_k+1, w_k+1] */
  const void* x;           /* orders 1 and 2 */
  int64_t x_outer;
  int64_t x_inner;
  const void* y; /* order 2 */
  int64_t y_outer;
  int64_t y_inner;
  void* out; /* batch x n x n */
  int64_t out_outer;
  int64_t out_inner;
} eigenpair_spectral_form;

/* ---- decisions ----------------------------------------------------------------------------------------------
 *
 * The decision of a policy about every two eigenvalues (i, j): the rules of docs/derivations.md, "Degeneracy", without
 * the derivative itself.
 */

/* What is done with the gap between two eigenvalues. */
enum {
  EIGENPAIR_GAP_KEPT = 0,    /* divide by it, according to the policy */
  EIGENPAIR_GAP_DROPPED = 1, /* replace the quotient by 0 */
  EIGENPAIR_GAP_REFUSED = 2  /* there is no derivative: NaN */
};

/* Why a gap is dropped or refused. */
enum {
  EIGENPAIR_REASON_NONE = 0,
  /* refused: */
  EIGENPAIR_REASON_BASIS = 1,     /* one cluster, and the loss depends on the choice of its eigenvectors */
  EIGENPAIR_REASON_ORDER = 2,     /* one cluster, and the loss distinguishes its eigenvalues by their order alone */
  EIGENPAIR_REASON_COUPLED = 3,   /* one cluster, and the perturbation couples its eigenvectors */
  EIGENPAIR_REASON_DEFECTIVE = 4, /* one cluster, and its eigenvectors nearly coincide */
  EIGENPAIR_REASON_SECOND = 5,    /* too close for a second derivative */
  EIGENPAIR_REASON_CUT = 6,       /* (not of eigenpair_decide) a projector would separate one cluster */
  EIGENPAIR_REASON_EDGE = 7,      /* (of an eigenvalue) one cluster with an eigenvalue outside the subset */
  /* dropped: */
  EIGENPAIR_REASON_CLUSTER = 16, /* one cluster, and nothing needs the gap */
  EIGENPAIR_REASON_NOISE = 17,   /* two clusters, but K_ij is rounding noise */
  EIGENPAIR_REASON_POLICY = 18   /* MASK: within its tolerance; BROADEN: a gap of 0 */
};

enum { EIGENPAIR_DECIDE_FORWARD = 0, EIGENPAIR_DECIDE_REVERSE = 1, EIGENPAIR_DECIDE_SECOND = 2 };

/* Options of a decision, as a sum with EIGENPAIR_RULE_MASK_COUPLED. */
enum { EIGENPAIR_DECIDE_VECTORS = 2 /* SECOND: of eigenvectors, not of eigenvalues alone */ };

/* A batch of decisions, each about the n eigenvalues of one matrix: all of them, or (Hermitian only) a subset of
 * neighbours.
 *
 * All arrays are contiguous over the batch; matrices have the same `layout`. `k` is
 *   REVERSE: V^H dV - dU^H U, in the convention dL/dRe + i dL/dIm, and of a general problem with what its gauge adds;
 *   FORWARD: the matrix that is divided by gaps, such as U^H (dA V - dB V W);
 *   SECOND:  not read.
 * Without `k` the derivative involves no eigenvectors. Then nothing is refused in a Hermitian problem, and `dw` alone
 * decides in a general one. So FORWARD without `k` returns the clusters: reason CLUSTER.
 *
 * CHECK compares with the size of rounding errors. It is given in numbers (`scale`, `reach` and `condition`, `sizes`)
 * or, where these are NULL, computed from the data behind `k`: `norms`, the bases `v` and `u`, and the cotangents or
 * tangents.
 *
 * Every output may be NULL. (i, j) and (j, i) have the same decision; on the diagonal it is KEPT, without a reason.
 *
 * Time and memory for one matrix: O(n order) and O(n), but in FORWARD mode without `sizes`, if there is a cluster,
 * O(n order^2) and O(n^2). The function keeps no state: any number of threads may call it.
 */
typedef struct eigenpair_decision {
  int64_t struct_size; /* sizeof(eigenpair_decision) */
  int32_t dtype;       /* of k and all matrices; for a general problem COMPLEX64 or COMPLEX128 */
  int32_t general;     /* 0: Hermitian, w real and ascending; 1: general, w complex, infinite ones as +Inf + 0i */
  int32_t type;        /* as in eigenpair_hermitian_problem; of a general problem 0, or 1 with a matrix B */
  int32_t mode;        /* EIGENPAIR_DECIDE_... */
  int32_t layout;
  int32_t policy;
  int32_t options;
  int32_t reserved; /* 0 */
  double parameter; /* of the policy */
  int64_t n;
  int64_t order; /* of the matrix: n, or more where w is a subset */
  int64_t batch;
  const void* w;  /* batch x n */
  const void* k;  /* batch x n x n, or NULL */
  const void* dw; /* REVERSE: batch x n, like w: cotangents of the eigenvalues, or NULL */

  /* The size of rounding errors, in numbers: */
  const void* scale;     /* Hermitian: batch, real, as in eigenpair_hermitian_rule; NULL, without norms: largest |w| */
  const void* reach;     /* general: batch x n, real: how far a rounding error of size 1 moves each eigenvalue */
  const void* condition; /* general: batch x n, real: condition numbers; NaN: defective */
  const void* sizes;     /* batch x n x n, real: size of the rounded terms in entries of k; NaN: unknown, refused */

  /* ... or the data from which they are computed: */
  const void* norms; /* batch x 2, real: |A| and |B|, for scale (pairs only) or reach and condition */
  const void* v;     /* batch x order x n: eigenvectors */
  const void* u;     /* batch x order x n: the dual basis, for types 2 and 3 and general problems */
  const void* dv;    /* REVERSE: cotangents, one of which may be NULL */
  const void* du;
  const void* da; /* FORWARD: batch x order x order: tangents, all entries, one of which may be NULL */
  const void* db;
  const void* outside; /* FORWARD, subset: batch x n, real: norms of the columns of the rotation outside, or NULL */
  const void* largest; /* subset: batch, real: a lower bound of the largest entry of k in the whole problem, or NULL */

  /* A Hermitian subset: */
  const void* edges;   /* batch x 2, real: the eigenvalue below (or -Inf) and above (or Inf), or NULL */
  const int32_t* used; /* REVERSE: batch x n: 0 where the loss does not use the vector; NULL: where dv is 0 */

  int32_t* gaps;    /* batch x n x n: EIGENPAIR_GAP_... */
  int32_t* reasons; /* batch x n x n: EIGENPAIR_REASON_... */
  int32_t* lost;    /* batch x n: why this eigenvalue or its vector has no derivative, or 0 */
  int32_t* refused; /* batch: 1 where anything is refused */
  void* scales;     /* Hermitian: batch, real: the scale that was used */
} eigenpair_decision;

EIGENPAIR_API eigenpair_status eigenpair_decide(const eigenpair_decision* decision);

/* The text of an explanation ("they are one cluster, and ...") for a reason to refuse; NULL for other reasons. */
EIGENPAIR_API const char* eigenpair_reason_text(int32_t reason);

/* ---- jobs ---------------------------------------------------------------------------------------------- */

/* A batch that is being solved, cut into chunks that any number of threads may claim. */
typedef struct eigenpair_job eigenpair_job;

/* Checks the problem and creates a job. `max_workers` is the number of threads that the caller could use (at least 1).
 * The problem struct is copied; the arrays it points to must live until eigenpair_job_finish returns. */
EIGENPAIR_API eigenpair_status eigenpair_hermitian_job(const eigenpair_lapack* lapack,
                                                       const eigenpair_hermitian_problem* problem, int32_t max_workers,
                                                       eigenpair_job** out);

EIGENPAIR_API eigenpair_status eigenpair_general_job(const eigenpair_lapack* lapack,
                                                     const eigenpair_general_problem* problem, int32_t max_workers,
                                                     eigenpair_job** out);

EIGENPAIR_API eigenpair_status eigenpair_subset_job(const eigenpair_lapack* lapack,
                                                    const eigenpair_subset_problem* problem, int32_t max_workers,
                                                    eigenpair_job** out);

EIGENPAIR_API eigenpair_status eigenpair_complement_job(const eigenpair_lapack* lapack,
                                                        const eigenpair_complement_problem* problem,
                                                        int32_t max_workers, eigenpair_job** out);

EIGENPAIR_API eigenpair_status eigenpair_banded_job(const eigenpair_lapack* lapack,
                                                    const eigenpair_banded_problem* problem, int32_t max_workers,
                                                    eigenpair_job** out);

EIGENPAIR_API eigenpair_status eigenpair_banded_complement_job(const eigenpair_lapack* lapack,
                                                               const eigenpair_banded_complement_problem* problem,
                                                               int32_t max_workers, eigenpair_job** out);

/* 1 if this library has kernels for small matrices and EIGENPAIR_ISA is not "none", else 0. */
EIGENPAIR_API int32_t eigenpair_has_small_kernels(void);

/* Fails with EIGENPAIR_MISSING_ROUTINE without kernels for small matrices. In reverse, products of matrices larger than
 * the cache use LAPACK's `gemm`. Without one (`lapack` may be NULL), and forward, these products are slow. */
EIGENPAIR_API eigenpair_status eigenpair_hermitian_rule_job(const eigenpair_lapack* lapack,
                                                            const eigenpair_hermitian_rule* rule, int32_t max_workers,
                                                            eigenpair_job** out);

/* Fails with EIGENPAIR_MISSING_ROUTINE without kernels for small matrices. `lapack` may be NULL. */
EIGENPAIR_API eigenpair_status eigenpair_spectral_form_job(const eigenpair_lapack* lapack,
                                                           const eigenpair_spectral_form* form, int32_t max_workers,
                                                           eigenpair_job** out);

/* The number of threads that are useful: between 1 and max_workers. */
EIGENPAIR_API int32_t eigenpair_job_workers(const eigenpair_job* job);

/* Claims and computes chunks until all are claimed. It does not wait for other workers, so threads of a pool may call
 * it, at any time between retain and release, even after the job is finished. */
EIGENPAIR_API void eigenpair_job_work(eigenpair_job* job);

/* For a worker that may start late: the job's memory is freed only after every retain has been followed by a release.
 * To abandon a job on which no thread has worked, release it instead of finishing it. */
EIGENPAIR_API void eigenpair_job_retain(eigenpair_job* job);
EIGENPAIR_API void eigenpair_job_release(eigenpair_job* job);

/* Computes the chunks that are still unclaimed, waits for chunks that other workers have started (never for workers
 * that have not started), releases the caller's reference, and returns the job's status. */
EIGENPAIR_API eigenpair_status eigenpair_job_finish(eigenpair_job* job);

/* Solve a whole batch on the calling thread and up to `threads - 1` new ones (0: as many as the machine has). */
EIGENPAIR_API eigenpair_status eigenpair_hermitian(const eigenpair_lapack* lapack,
                                                   const eigenpair_hermitian_problem* problem, int32_t threads);

EIGENPAIR_API eigenpair_status eigenpair_general(const eigenpair_lapack* lapack,
                                                 const eigenpair_general_problem* problem, int32_t threads);

EIGENPAIR_API eigenpair_status eigenpair_hermitian_apply_rule(const eigenpair_lapack* lapack,
                                                              const eigenpair_hermitian_rule* rule, int32_t threads);

/* ---- CUDA -----------------------------------------------------------------------------------------------
 *
 * The same problems in device memory, on a stream, solved by cuSOLVER. It is opened at run time: building needs no
 * CUDA, and one library works on machines with and without it. No function waits for the device. The current device
 * must be that of the stream.
 *
 * Problems differ in these points:
 *   - Matrices are column-major, and `triangle` is LOWER or UPPER. Entries must be finite.
 *   - `v` may be `a` itself, if the matrices of `a` are contiguous.
 *   - `info` (batch, on the device) is required, because results are not replaced by NaN: it is 0 for a matrix that was
 *     solved, and otherwise cuSOLVER's code. The results of such a matrix are meaningless.
 *   - General problems: `b`, `vl` and `u` must be NULL. Eigenvalues come in cuSOLVER's order and vectors in its gauge,
 *     and `v` has the element type of A: for a real A, the real and imaginary parts of a conjugate pair are two
 *     adjacent columns, as in LAPACK.
 */
typedef struct eigenpair_cuda eigenpair_cuda;

/* Opens the libraries at these paths. If a path is NULL or cannot be opened, the loader's own names are tried. Fails
 * with EIGENPAIR_NO_LIBRARY and a message about what was found and what is needed. */
EIGENPAIR_API eigenpair_status eigenpair_cuda_open(const char* cudart, const char* cublas, const char* cusolver,
                                                   eigenpair_cuda** out);

/* One line about versions and paths; valid until the handle is closed. */
EIGENPAIR_API const char* eigenpair_cuda_description(const eigenpair_cuda* cuda);

/* 1 if this cuSOLVER has the routine ("XsyevBatched", "Xgeev", ...), else 0. */
EIGENPAIR_API int32_t eigenpair_cuda_has(const eigenpair_cuda* cuda, const char* routine);

/* The number of bytes of device memory that a call with this problem needs as scratch memory. Arrays are not read; it
 * only matters which of them are NULL. */
EIGENPAIR_API eigenpair_status eigenpair_cuda_hermitian_scratch(eigenpair_cuda* cuda,
                                                                const eigenpair_hermitian_problem* problem,
                                                                void* stream, int64_t* bytes);
EIGENPAIR_API eigenpair_status eigenpair_cuda_general_scratch(eigenpair_cuda* cuda,
                                                              const eigenpair_general_problem* problem, void* stream,
                                                              int64_t* bytes);

/* Enqueues the work. Arrays and scratch memory must live until the stream has finished it. */
EIGENPAIR_API eigenpair_status eigenpair_cuda_hermitian(eigenpair_cuda* cuda,
                                                        const eigenpair_hermitian_problem* problem, void* stream,
                                                        void* scratch, int64_t scratch_bytes);
EIGENPAIR_API eigenpair_status eigenpair_cuda_general(eigenpair_cuda* cuda, const eigenpair_general_problem* problem,
                                                      void* stream, void* scratch, int64_t scratch_bytes);

/* cuSOLVER handles kept for reuse, at most 32: one for each stream, device and concurrent call. */
EIGENPAIR_API int64_t eigenpair_cuda_idle_handles(const eigenpair_cuda* cuda);

/* Destroys the idle handles. No call may be running, and none may follow. NULL is allowed. */
EIGENPAIR_API void eigenpair_cuda_close(eigenpair_cuda* cuda);

#ifdef __cplusplus
}
#endif
#endif /* EIGENPAIR_H */
