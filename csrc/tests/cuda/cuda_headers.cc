// Compiled, never linked, by `make cuda-headers`: the declarations of csrc/cuda/api.h against the vendor's headers.
//
// Two signatures agree if a call through one is a call of the other: the same number of arguments, each of the same
// kind and size.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <type_traits>

#include "cuda/api.h"

namespace {

namespace ours = eigenpair::cuda;

// An enumeration is treated as its underlying integer.
template <typename T, bool = std::is_enum_v<T>>
struct Carrier {
  using type = T;
};
template <typename T>
struct Carrier<T, true> {
  using type = std::underlying_type_t<T>;
};

template <typename Ours, typename Theirs>
constexpr bool same_value() {
  using Integer = typename Carrier<Theirs>::type;
  if constexpr (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) {
    using From = std::remove_pointer_t<Ours>;
    using To = std::remove_pointer_t<Theirs>;
    // const is ignored, and matrices and opaque handles are void.
    if constexpr (std::is_const_v<From> && !std::is_const_v<To> && !std::is_class_v<std::remove_cv_t<To>>) return false;
    if constexpr (std::is_void_v<std::remove_cv_t<From>>) {
      return std::is_const_v<From> == std::is_const_v<To> || !std::is_const_v<To>;
    } else {
      return std::is_const_v<From> == std::is_const_v<To> && same_value<std::remove_cv_t<From>, std::remove_cv_t<To>>();
    }
  } else if constexpr (std::is_enum_v<Theirs>) {
    // C compilers use int or unsigned for enumerations; both are passed in the same way.
    return std::is_same_v<Ours, int> && sizeof(Integer) == sizeof(int);
  } else {
    return std::is_same_v<Ours, Integer>;
  }
}

template <typename Ours, typename Theirs>
struct SameCall : std::false_type {};
template <typename R, typename... P, typename S, typename... Q>
struct SameCall<R (*)(P...), S(Q...)> {
  static constexpr bool value = [] {
    if constexpr (sizeof...(P) == sizeof...(Q)) {
      return same_value<R, S>() && (same_value<P, Q>() && ...);
    } else {
      return false;
    }
  }();
};

#define CHECK_CALL(result, name, parameters) \
  static_assert(SameCall<decltype(ours::Api::name), decltype(::name)>::value, #name " is declared otherwise");
EIGENPAIR_CUDART_FUNCTIONS(CHECK_CALL)
EIGENPAIR_CUBLAS_FUNCTIONS(CHECK_CALL)
EIGENPAIR_CUSOLVER_FUNCTIONS(CHECK_CALL)
EIGENPAIR_CUSOLVER_NEWER_FUNCTIONS(CHECK_CALL)

#define CHECK_NUMBER(mine, theirs) static_assert(static_cast<int>(ours::mine) == static_cast<int>(theirs), #theirs);
CHECK_NUMBER(kSuccess, cudaSuccess)
CHECK_NUMBER(kSuccess, CUBLAS_STATUS_SUCCESS)
CHECK_NUMBER(kSuccess, CUSOLVER_STATUS_SUCCESS)
CHECK_NUMBER(kSolverNotInitialized, CUSOLVER_STATUS_NOT_INITIALIZED)
CHECK_NUMBER(kSolverAllocFailed, CUSOLVER_STATUS_ALLOC_FAILED)
CHECK_NUMBER(kSolverInvalidValue, CUSOLVER_STATUS_INVALID_VALUE)
CHECK_NUMBER(kNoVectors, CUSOLVER_EIG_MODE_NOVECTOR)
CHECK_NUMBER(kVectors, CUSOLVER_EIG_MODE_VECTOR)
CHECK_NUMBER(kLower, CUBLAS_FILL_MODE_LOWER)
CHECK_NUMBER(kUpper, CUBLAS_FILL_MODE_UPPER)
CHECK_NUMBER(kLeft, CUBLAS_SIDE_LEFT)
CHECK_NUMBER(kPlain, CUBLAS_OP_N)
CHECK_NUMBER(kTransposed, CUBLAS_OP_T)
CHECK_NUMBER(kAdjoint, CUBLAS_OP_C)
CHECK_NUMBER(kNonUnit, CUBLAS_DIAG_NON_UNIT)
CHECK_NUMBER(kDeviceToDevice, cudaMemcpyDeviceToDevice)
CHECK_NUMBER(kReal32, CUDA_R_32F)
CHECK_NUMBER(kReal64, CUDA_R_64F)
CHECK_NUMBER(kComplex32, CUDA_C_32F)
CHECK_NUMBER(kComplex64, CUDA_C_64F)
static_assert(CUSOLVER_EIG_TYPE_1 == 1 && CUSOLVER_EIG_TYPE_2 == 2 && CUSOLVER_EIG_TYPE_3 == 3,
              "types are numbered as LAPACK's");
static_assert(sizeof(int) == sizeof(int32_t), "info is an int32");

}  // namespace
