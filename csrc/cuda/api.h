// Declarations of the functions of CUDA's runtime, cuBLAS and cuSOLVER that the core calls, so that building needs none
// of their headers.
//
// Enumerations are passed as int, opaque handles and matrices as void*. `make cuda-headers` compares the three lists
// with the vendor's own headers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace eigenpair::cuda {

using Stream = void*;
using Handle = void*;  // of cuSOLVER or cuBLAS
using Parameters = void*;
using Jacobi = void*;  // syevjInfo_t

enum : int { kSuccess = 0 };
enum : int { kNoVectors = 0, kVectors = 1 };               // cusolverEigMode_t
enum : int { kLower = 0, kUpper = 1 };                     // cublasFillMode_t
enum : int { kLeft = 0 };                                  // cublasSideMode_t
enum : int { kPlain = 0, kTransposed = 1, kAdjoint = 2 };  // cublasOperation_t
enum : int { kNonUnit = 0 };                               // cublasDiagType_t
enum : int { kDeviceToDevice = 3 };                        // cudaMemcpyKind
enum : int {
  kReal32 = 0,
  kReal64 = 1,
  kComplex32 = 4,
  kComplex64 = 5
};  // cudaDataType, named by the bits of a real part
enum : int { kSolverNotInitialized = 1, kSolverAllocFailed = 2, kSolverInvalidValue = 3 };  // cusolverStatus_t

// F(return type, name, parameters)
#define EIGENPAIR_CUDART_FUNCTIONS(F)                                \
  F(int, cudaRuntimeGetVersion, (int*))                              \
  F(int, cudaGetDevice, (int*))                                      \
  F(int, cudaSetDevice, (int))                                       \
  F(const char*, cudaGetErrorString, (int))                          \
  F(int, cudaMemcpyAsync, (void*, const void*, size_t, int, Stream)) \
  F(int, cudaMemsetAsync, (void*, int, size_t, Stream))

#define EIGENPAIR_TRMM_PARAMETERS \
  (Handle, int, int, int, int, int, int, const void*, const void*, int, const void*, int, void*, int)

#define EIGENPAIR_CUBLAS_FUNCTIONS(F)               \
  F(int, cublasCreate_v2, (Handle*))                \
  F(int, cublasDestroy_v2, (Handle))                \
  F(int, cublasSetStream_v2, (Handle, Stream))      \
  F(int, cublasStrmm_v2, EIGENPAIR_TRMM_PARAMETERS) \
  F(int, cublasDtrmm_v2, EIGENPAIR_TRMM_PARAMETERS) \
  F(int, cublasCtrmm_v2, EIGENPAIR_TRMM_PARAMETERS) \
  F(int, cublasZtrmm_v2, EIGENPAIR_TRMM_PARAMETERS)

#define EIGENPAIR_JACOBI_SIZE_PARAMETERS (Handle, int, int, int, const void*, int, const void*, int*, Jacobi, int)
#define EIGENPAIR_JACOBI_PARAMETERS (Handle, int, int, int, void*, int, void*, void*, int, int*, Jacobi, int)
#define EIGENPAIR_SYGVD_SIZE_PARAMETERS \
  (Handle, int, int, int, int, const void*, int, const void*, int, const void*, int*)
#define EIGENPAIR_SYGVD_PARAMETERS (Handle, int, int, int, int, void*, int, void*, int, void*, void*, int, int*)

#define EIGENPAIR_CUSOLVER_FUNCTIONS(F)                                                                                \
  F(int, cusolverGetVersion, (int*))                                                                                   \
  F(int, cusolverDnCreate, (Handle*))                                                                                  \
  F(int, cusolverDnDestroy, (Handle))                                                                                  \
  F(int, cusolverDnSetStream, (Handle, Stream))                                                                        \
  F(int, cusolverDnCreateParams, (Parameters*))                                                                        \
  F(int, cusolverDnDestroyParams, (Parameters))                                                                        \
  F(int, cusolverDnCreateSyevjInfo, (Jacobi*))                                                                         \
  F(int, cusolverDnDestroySyevjInfo, (Jacobi))                                                                         \
  F(int, cusolverDnXsyevd_bufferSize,                                                                                  \
    (Handle, Parameters, int, int, int64_t, int, const void*, int64_t, int, const void*, int, size_t*, size_t*))       \
  F(int, cusolverDnXsyevd,                                                                                             \
    (Handle, Parameters, int, int, int64_t, int, void*, int64_t, int, void*, int, void*, size_t, void*, size_t, int*)) \
  F(int, cusolverDnXpotrs,                                                                                             \
    (Handle, Parameters, int, int64_t, int64_t, int, const void*, int64_t, int, void*, int64_t, int*))                 \
  F(int, cusolverDnSsyevjBatched_bufferSize, EIGENPAIR_JACOBI_SIZE_PARAMETERS)                                         \
  F(int, cusolverDnDsyevjBatched_bufferSize, EIGENPAIR_JACOBI_SIZE_PARAMETERS)                                         \
  F(int, cusolverDnCheevjBatched_bufferSize, EIGENPAIR_JACOBI_SIZE_PARAMETERS)                                         \
  F(int, cusolverDnZheevjBatched_bufferSize, EIGENPAIR_JACOBI_SIZE_PARAMETERS)                                         \
  F(int, cusolverDnSsyevjBatched, EIGENPAIR_JACOBI_PARAMETERS)                                                         \
  F(int, cusolverDnDsyevjBatched, EIGENPAIR_JACOBI_PARAMETERS)                                                         \
  F(int, cusolverDnCheevjBatched, EIGENPAIR_JACOBI_PARAMETERS)                                                         \
  F(int, cusolverDnZheevjBatched, EIGENPAIR_JACOBI_PARAMETERS)                                                         \
  F(int, cusolverDnSsygvd_bufferSize, EIGENPAIR_SYGVD_SIZE_PARAMETERS)                                                 \
  F(int, cusolverDnDsygvd_bufferSize, EIGENPAIR_SYGVD_SIZE_PARAMETERS)                                                 \
  F(int, cusolverDnChegvd_bufferSize, EIGENPAIR_SYGVD_SIZE_PARAMETERS)                                                 \
  F(int, cusolverDnZhegvd_bufferSize, EIGENPAIR_SYGVD_SIZE_PARAMETERS)                                                 \
  F(int, cusolverDnSsygvd, EIGENPAIR_SYGVD_PARAMETERS)                                                                 \
  F(int, cusolverDnDsygvd, EIGENPAIR_SYGVD_PARAMETERS)                                                                 \
  F(int, cusolverDnChegvd, EIGENPAIR_SYGVD_PARAMETERS)                                                                 \
  F(int, cusolverDnZhegvd, EIGENPAIR_SYGVD_PARAMETERS)

// NULL in libraries older than cuSOLVER 11.7.1 (CUDA 12.6 Update 2).
#define EIGENPAIR_CUSOLVER_NEWER_FUNCTIONS(F)                                                                          \
  F(int, cusolverDnXsyevBatched_bufferSize,                                                                            \
    (Handle, Parameters, int, int, int64_t, int, const void*, int64_t, int, const void*, int, size_t*, size_t*,        \
     int64_t))                                                                                                         \
  F(int, cusolverDnXsyevBatched,                                                                                       \
    (Handle, Parameters, int, int, int64_t, int, void*, int64_t, int, void*, int, void*, size_t, void*, size_t, int*,  \
     int64_t))                                                                                                         \
  F(int, cusolverDnXgeev_bufferSize,                                                                                   \
    (Handle, Parameters, int, int, int64_t, int, const void*, int64_t, int, const void*, int, const void*, int64_t,    \
     int, const void*, int64_t, int, size_t*, size_t*))                                                                \
  F(int, cusolverDnXgeev,                                                                                              \
    (Handle, Parameters, int, int, int64_t, int, void*, int64_t, int, void*, int, void*, int64_t, int, void*, int64_t, \
     int, void*, size_t, void*, size_t, int*))

#define EIGENPAIR_DECLARE(result, name, parameters) result(*name) parameters = nullptr;

struct Api {
  EIGENPAIR_CUDART_FUNCTIONS(EIGENPAIR_DECLARE)
  EIGENPAIR_CUBLAS_FUNCTIONS(EIGENPAIR_DECLARE)
  EIGENPAIR_CUSOLVER_FUNCTIONS(EIGENPAIR_DECLARE)
  EIGENPAIR_CUSOLVER_NEWER_FUNCTIONS(EIGENPAIR_DECLARE)
};

}  // namespace eigenpair::cuda
