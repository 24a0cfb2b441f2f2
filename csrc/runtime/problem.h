// Checks and constructors that all kinds of problems share.
#pragma once

#include <algorithm>
#include <complex>
#include <cstdint>
#include <memory>

#include "eigenpair.h"
#include "runtime/job.h"
#include "runtime/status.h"

namespace eigenpair {

template <typename T>
T* at(T* base, int64_t index, int64_t stride) {
  return base == nullptr ? nullptr : base + index * stride;
}

inline void require(bool condition, const char* message) {
  if (!condition) throw Failure(EIGENPAIR_BAD_ARGUMENT, message);
}

template <typename Description>
void check_batch(const Description& p) {
  require(p.struct_size == sizeof p, "problem.struct_size is not this library's: header and library differ");
  require(p.dtype >= EIGENPAIR_FLOAT32 && p.dtype <= EIGENPAIR_COMPLEX128, "problem.dtype is unknown");
  require(p.layout == EIGENPAIR_COLUMN_MAJOR || p.layout == EIGENPAIR_ROW_MAJOR, "problem.layout is unknown");
  require(p.n >= 0, "problem.n is negative");
  require(p.batch >= 0, "problem.batch is negative");
  require(p.a_stride >= 0 && p.b_stride >= 0, "a stride is negative");
  if (p.n == 0 || p.batch == 0) return;
  // The size of n² elements in bytes must fit in 64 bits; check this before multiplying.
  require(p.n < (int64_t{1} << 29), "problem.n is too large");
  require(p.a != nullptr, "problem.a is NULL");
  require(p.w != nullptr, "problem.w is NULL");
}

// A batch with nothing to compute. It needs no LAPACK.
class EmptyProblem final : public Problem {
 public:
  int64_t batch() const override { return 0; }
  double nanoseconds_each() const override { return 0; }
  bool calls_lapack() const override { return false; }
  std::unique_ptr<Worker> worker() const override { return nullptr; }
};

// `Kind<T, Int>` is a Problem made from (lapack, description), with a static `check(description)`.
template <template <typename, typename> class Kind, typename T, typename Description>
std::unique_ptr<Problem> make_for(const eigenpair_lapack& lapack, const Description& p) {
  if (lapack.integer_bits == 64) return std::make_unique<Kind<T, int64_t>>(lapack, p);
  return std::make_unique<Kind<T, int32_t>>(lapack, p);
}

template <template <typename, typename> class Kind, typename Description>
std::unique_ptr<Problem> make(const eigenpair_lapack* lapack, const Description& p) {
  require(lapack != nullptr, "lapack is NULL");
  Kind<double, int32_t>::check(p);
  if (p.n == 0 || p.batch == 0) {
    if (p.info != nullptr) std::fill(p.info, p.info + p.batch, EIGENPAIR_INFO_OK);
    return std::make_unique<EmptyProblem>();
  }
  switch (p.dtype) {
    case EIGENPAIR_FLOAT32: return make_for<Kind, float>(*lapack, p);
    case EIGENPAIR_FLOAT64: return make_for<Kind, double>(*lapack, p);
    case EIGENPAIR_COMPLEX64: return make_for<Kind, std::complex<float>>(*lapack, p);
    default: return make_for<Kind, std::complex<double>>(*lapack, p);
  }
}

// Each kind of problem in problems.inc defines this: checks the description and returns the problem. Throws Failure.
#define EIGENPAIR_PROBLEM(name, handler, description) \
  std::unique_ptr<Problem> make_problem(const eigenpair_lapack* lapack, const description& p);
#include "problems.inc"

}  // namespace eigenpair
