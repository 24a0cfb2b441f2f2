/* LAPACK's drivers called in a loop, with only the copy that they need because they overwrite their input: the lower
 * bound with which all other times are compared. Double precision, 32-bit integers. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef void (*ev_t)(char*, char*, int*, double*, int*, double*, double*, int*, int*);
typedef void (*evd_t)(char*, char*, int*, double*, int*, double*, double*, int*, int*, int*, int*);
typedef void (*evr_t)(char*, char*, char*, int*, double*, int*, double*, double*, int*, int*, double*, int*, double*,
                      double*, int*, int*, double*, int*, int*, int*, int*);
typedef void (*gvd_t)(int*, char*, char*, int*, double*, int*, double*, int*, double*, double*, int*, int*, int*, int*);

enum { EV, EVD, EVR, GVD };

typedef struct {
  int driver;
  void* routine;
  int vectors;        /* 0 or 1 */
  int n, first, last; /* eigenvalues first to last, from 1; only EVR heeds them */
  long batch;
  const double* a;
  const double* b;   /* GVD */
  double* w;         /* batch x n */
  double* v;         /* batch x n x n, also the working copy of a where the driver leaves vectors there */
  int lwork, liwork; /* as floor_workspace says */
  int failed;
} part;

static int call(part* p, double* a, double* b, double* w, double* z, int* support, double* work, int* iwork) {
  char job = p->vectors ? 'V' : 'N', lower = 'L', range = p->last - p->first + 1 < p->n ? 'I' : 'A';
  int info = 0, type = 1, found = 0;
  double zero = 0;
  switch (p->driver) {
    case EV: ((ev_t)p->routine)(&job, &lower, &p->n, a, &p->n, w, work, &p->lwork, &info); break;
    case EVD: ((evd_t)p->routine)(&job, &lower, &p->n, a, &p->n, w, work, &p->lwork, iwork, &p->liwork, &info); break;
    case EVR:
      ((evr_t)p->routine)(&job, &range, &lower, &p->n, a, &p->n, &zero, &zero, &p->first, &p->last, &zero, &found, w, z,
                          &p->n, support, work, &p->lwork, iwork, &p->liwork, &info);
      break;
    case GVD:
      ((gvd_t)p->routine)(&type, &job, &lower, &p->n, a, &p->n, b, &p->n, w, work, &p->lwork, iwork, &p->liwork, &info);
      break;
  }
  return info;
}

static void* run(void* argument) {
  part* p = (part*)argument;
  size_t nn = (size_t)p->n * (size_t)p->n;
  double* work = (double*)malloc(((size_t)p->lwork + nn) * sizeof(double));
  int* iwork = (int*)malloc(((size_t)p->liwork + 2 * (size_t)p->n) * sizeof(int));
  p->failed = !work || !iwork;
  for (long k = 0; k < p->batch && !p->failed; ++k) {
    double *v = p->v + (size_t)k * nn, *spare = work + p->lwork;
    double* a = p->driver == EVR ? spare : v;
    memcpy(a, p->a + (size_t)k * nn, nn * sizeof(double));
    if (p->driver == GVD) memcpy(spare, p->b + (size_t)k * nn, nn * sizeof(double));
    p->failed = call(p, a, spare, p->w + k * p->n, v, iwork + p->liwork, work, iwork) != 0;
  }
  free(work);
  free(iwork);
  return NULL;
}

/* The workspace sizes of the driver, queried once, outside of the timed part. */
int floor_workspace(int driver, void* routine, int vectors, int n, int first, int last, int* lwork, int* liwork) {
  double size = 0, nothing = 0;
  int isize = 0;
  part p = {driver, routine, vectors, n, first, last, 1, NULL, NULL, NULL, NULL, -1, -1, 0};
  int info = call(&p, &nothing, &nothing, &nothing, &nothing, &isize, &size, &isize);
  *lwork = (int)size;
  *liwork = isize > 0 ? isize : 1;
  return info;
}

/* The whole batch on `threads` threads, in equal parts. Returns 0 if all went well. */
int floor_run(int driver, void* routine, int vectors, int n, int first, int last, long batch, const double* a,
              const double* b, double* w, double* v, int lwork, int liwork, int threads) {
  part parts[64];
  pthread_t others[64];
  size_t nn = (size_t)n * (size_t)n;
  int failed = 0;
  if (threads > 64) threads = 64;
  if (threads > batch) threads = (int)batch;
  for (int t = 0; t < threads; ++t) {
    long begin = batch * t / threads, end = batch * (t + 1) / threads;
    part p = {driver,
              routine,
              vectors,
              n,
              first,
              last,
              end - begin,
              a + begin * (long)nn,
              b ? b + begin * (long)nn : b,
              w + begin * n,
              v + begin * (long)nn,
              lwork,
              liwork,
              0};
    parts[t] = p;
    if (t > 0 && pthread_create(&others[t], NULL, run, &parts[t])) return 1;
  }
  run(&parts[0]);
  for (int t = 1; t < threads; ++t) pthread_join(others[t], NULL);
  for (int t = 0; t < threads; ++t) failed |= parts[t].failed;
  return failed;
}
