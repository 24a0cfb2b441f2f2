// The LAPACK that a frontend provides: addresses of its routines by name, and typed calls for LP64 and ILP64.
#pragma once

#include <algorithm>
#include <atomic>
#include <complex>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "eigenpair.h"
#include "runtime/status.h"

struct eigenpair_lapack {
  int32_t integer_bits = 32;
  std::unordered_map<std::string, void*> routines;
  int32_t (*get_threads)() = nullptr;
  void (*set_threads)(int32_t) = nullptr;

  // How many running jobs limit LAPACK to one thread, and the number of threads to restore after the last of them.
  mutable std::mutex threading;
  mutable int64_t single_threaded_jobs = 0;
  mutable int32_t threads_before = 1;
};

namespace eigenpair {

template <typename T>
struct RealOf {
  using type = T;
};
template <typename R>
struct RealOf<std::complex<R>> {
  using type = R;
};
template <typename T>
using Real = typename RealOf<T>::type;

template <typename T>
inline constexpr bool is_complex = !std::is_same_v<T, Real<T>>;

// LAPACK's letter for an element type.
template <typename T>
constexpr char prefix() {
  if constexpr (std::is_same_v<T, float>) return 's';
  if constexpr (std::is_same_v<T, double>) return 'd';
  if constexpr (std::is_same_v<T, std::complex<float>>) return 'c';
  return 'z';
}

// "syevd" → "dsyevd", or "zheevd" for complex types, whose routines are called "he" instead of "sy".
template <typename T>
std::string routine_name(const std::string& stem) {
  std::string name = stem;
  if (is_complex<T> && name.rfind("sy", 0) == 0) name.replace(0, 2, "he");
  return prefix<T>() + name;
}

// Throws Failure(EIGENPAIR_MISSING_ROUTINE).
void* find_routine(const eigenpair_lapack& lapack, const std::string& name);

template <typename T, typename Function>
Function routine(const eigenpair_lapack& lapack, const char* stem) {
  return reinterpret_cast<Function>(find_routine(lapack, routine_name<T>(stem)));
}

// Fortran passes the length of every character argument as a size_t after all other arguments. Many C programs leave
// these out; they broke when compilers began to rely on them.
using Length = size_t;

// Calls a Fortran routine with exactly these arguments. `Length` arguments go last.
template <typename... Arguments>
void fortran(void* routine, Arguments... arguments) {
  reinterpret_cast<void (*)(Arguments...)>(routine)(arguments...);
}

// A size as LAPACK's integer type; throws Failure(EIGENPAIR_TOO_LARGE).
template <typename Int>
Int checked(int64_t value) {
  if (value > std::numeric_limits<Int>::max()) {
    throw Failure(EIGENPAIR_TOO_LARGE,
                  "a size of " + std::to_string(value) +
                      " does not fit into the 32-bit integers of this LAPACK; use an ILP64 LAPACK");
  }
  return static_cast<Int>(value);
}

// The size of a work array from LAPACK's answer to a query. LAPACK returns the optimum as a floating-point number,
// which single precision may have rounded down. So we add a margin, and take at least the documented minimum.
template <typename R>
int64_t at_least(int64_t minimum, R reported) {
  const double optimum = static_cast<double>(reported) * (1 + 2e-7);
  constexpr double kMost = 4e18;  // larger numbers and NaN become this; the allocation then fails
  return std::max(minimum, static_cast<int64_t>(optimum < kMost ? optimum : kMost) + 1);
}

inline void check_query(int64_t info) {
  if (info == 0) return;
  throw Failure(EIGENPAIR_INTERNAL, "LAPACK refuses a workspace query with info = " + std::to_string(info) +
                                        "; do its integers have the size given by integer_bits?");
}

// OpenBLAS's threads take about 50 microseconds to wake. Then they wait for more work in a busy loop for tens of
// milliseconds, on processors that others could use. Between these two orders this makes a solve slower.
//
// The order from which OpenBLAS wakes its threads (first for triangular solves with many right-hand sides).
inline constexpr int64_t kThreadsWake = 16;
constexpr bool are_threads_slower(int64_t n, int64_t worth_it) { return n >= kThreadsWake && n < worth_it; }

// Limits LAPACK to one thread during its lifetime, because the batch runs on several threads or because more threads
// would be slower. If other code changes the number of threads meanwhile, that number is kept.
class SingleThreadedLapack {
 public:
  explicit SingleThreadedLapack(const eigenpair_lapack* lapack);
  ~SingleThreadedLapack();
  SingleThreadedLapack(const SingleThreadedLapack&) = delete;
  SingleThreadedLapack& operator=(const SingleThreadedLapack&) = delete;

 private:
  const eigenpair_lapack* lapack_;
};

}  // namespace eigenpair
