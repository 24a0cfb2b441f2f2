// Code that Hermitian and general problems on a device share: element types, checks, scratch memory, copies, entry
// points.
#pragma once

#include <climits>
#include <cstdint>
#include <limits>

#include "cuda/sessions.h"
#include "runtime/problem.h"

namespace eigenpair::cuda {

struct ElementType {
  int code;       // of the matrices
  int real;       // of results that are always real
  int complex;    // of results that are always complex
  int64_t bytes;  // of an element of the matrices
  int64_t real_bytes;
};

inline ElementType element_type(int32_t dtype) {
  switch (dtype) {
    case EIGENPAIR_FLOAT32: return {kReal32, kReal32, kComplex32, 4, 4};
    case EIGENPAIR_FLOAT64: return {kReal64, kReal64, kComplex64, 8, 8};
    case EIGENPAIR_COMPLEX64: return {kComplex32, kReal32, kComplex32, 8, 4};
    default: return {kComplex64, kReal64, kComplex64, 16, 8};
  }
}

template <typename Description>
void check_on_device(const Description& p) {
  check_batch(p);
  require(p.layout == EIGENPAIR_COLUMN_MAJOR, "problem.layout must be EIGENPAIR_COLUMN_MAJOR on a device");
  if (p.batch == 0) return;
  require(p.info != nullptr, "problem.info is NULL: on a device only info says that a matrix failed");
  if (p.n == 0) return;
  require(p.a != p.v || p.a_stride == p.n * p.n, "problem.v may be problem.a only if the matrices are contiguous");
}

// Divides one block of device memory into parts, aligned as cuSOLVER needs it.
class Scratch {
 public:
  static constexpr int64_t kAlignment = 256;
  int64_t add(int64_t bytes) {
    const int64_t offset = bytes_;
    // A sum that overflows 64 bits would look like a small size.
    if (bytes > std::numeric_limits<int64_t>::max() / 2 - bytes_ - kAlignment) {
      throw Failure(EIGENPAIR_TOO_LARGE, "the problem needs more device memory than can be counted");
    }
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  }
  // Includes room to align a block that starts at any address.
  int64_t bytes() const { return bytes_ == 0 ? 0 : bytes_ + kAlignment; }
  static char* base(void* block) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(block);
    return static_cast<char*>(block) + (kAlignment - address % kAlignment) % kAlignment;
  }

 private:
  int64_t bytes_ = 0;
};

inline char* offset(void* base, int64_t bytes) { return base == nullptr ? nullptr : static_cast<char*>(base) + bytes; }

inline void copy(const Session& session, void* to, const void* from, int64_t bytes) {
  if (to == from) return;
  const Libraries& libraries = session.libraries();
  libraries.check_runtime(
      libraries.api.cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kDeviceToDevice, session.stream()),
      "cudaMemcpyAsync");
}

// Copies matrices [first, first + count) of a batch, `stride` elements apart, to contiguous memory.
inline void gather(const Session& session, void* to, const void* from, int64_t stride, int64_t first, int64_t count,
                   int64_t n, int64_t element) {
  const int64_t bytes = n * n * element;
  const char* source = static_cast<const char*>(from) + first * stride * element;
  if (stride == n * n) return copy(session, to, source, count * bytes);
  for (int64_t k = 0; k < count; ++k) copy(session, offset(to, k * bytes), source + k * stride * element, bytes);
}

// If there is nothing to solve, sets every info to 0. Returns whether that is so.
template <typename Description>
bool done_when_empty(const Session& session, const Description& p) {
  if (p.n != 0 && p.batch != 0) return false;
  if (p.batch == 0) return true;
  const Libraries& libraries = session.libraries();
  const size_t bytes = static_cast<size_t>(p.batch) * sizeof(int32_t);
  libraries.check_runtime(libraries.api.cudaMemsetAsync(p.info, EIGENPAIR_INFO_OK, bytes, session.stream()),
                          "cudaMemsetAsync");
  return true;
}

inline void check_scratch(const Scratch& needed, const void* scratch, int64_t scratch_bytes) {
  require(scratch_bytes >= needed.bytes(), "the scratch memory is smaller than the query returned");
  require(scratch != nullptr || needed.bytes() == 0, "scratch is NULL");
}

// Implement the entry points of a problem by a class `Solver(session, problem)` with a static `check(problem)`.
template <typename Solver, typename Description>
eigenpair_status query_scratch(eigenpair_cuda* cuda, const Description* problem, void* stream, int64_t* bytes) {
  return guarded([&] {
    require(bytes != nullptr, "bytes is NULL");
    *bytes = 0;
    require(cuda != nullptr && problem != nullptr, "cuda or problem is NULL");
    Solver::check(*problem);
    with_session(cuda->pool, stream, [&](Session& session) { *bytes = Solver(session, *problem).scratch().bytes(); });
  });
}

template <typename Solver, typename Description>
eigenpair_status enqueue(eigenpair_cuda* cuda, const Description* problem, void* stream, void* scratch,
                         int64_t scratch_bytes) {
  return guarded([&] {
    require(cuda != nullptr && problem != nullptr, "cuda or problem is NULL");
    Solver::check(*problem);
    with_session(cuda->pool, stream, [&](Session& session) {
      if (done_when_empty(session, *problem)) return;
      Solver solver(session, *problem);
      check_scratch(solver.scratch(), scratch, scratch_bytes);
      solver.run(scratch);
    });
  });
}

}  // namespace eigenpair::cuda
