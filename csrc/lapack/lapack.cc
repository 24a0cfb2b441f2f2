#include "lapack/lapack.h"

#include <cstring>
#include <memory>

#include "runtime/status.h"

namespace eigenpair {

namespace {

// All routines that the core may call, without the type letter. "sy" also stands for "he".
constexpr const char* kRoutines[] = {"syevd", "syev",  "syevr", "sygvd", "sygv",  "potrs", "trmm",  "gemm",
                                     "gesv",  "geev",  "ggev",  "sytrd", "sterf", "stebz", "stein", "ormtr",
                                     "unmtr", "gttrf", "gttrs", "potrf", "pocon", "sygst", "trsm",  "stevd",
                                     "stemr", "sbtrd", "hbtrd", "gbtrf", "gbtrs"};

}  // namespace

void* find_routine(const eigenpair_lapack& lapack, const std::string& name) {
  const auto found = lapack.routines.find(name);
  if (found == lapack.routines.end()) {
    throw Failure(EIGENPAIR_MISSING_ROUTINE, "LAPACK has no routine '" + name + "'");
  }
  return found->second;
}

SingleThreadedLapack::SingleThreadedLapack(const eigenpair_lapack* lapack) : lapack_(lapack) {
  if (lapack_->get_threads == nullptr || lapack_->set_threads == nullptr) return;
  const std::lock_guard<std::mutex> lock(lapack_->threading);
  if (lapack_->single_threaded_jobs++ == 0) {
    lapack_->threads_before = lapack_->get_threads();
    if (lapack_->threads_before != 1) lapack_->set_threads(1);
  }
}

SingleThreadedLapack::~SingleThreadedLapack() {
  if (lapack_->get_threads == nullptr || lapack_->set_threads == nullptr) return;
  const std::lock_guard<std::mutex> lock(lapack_->threading);
  if (--lapack_->single_threaded_jobs != 0 || lapack_->threads_before == 1) return;
  if (lapack_->get_threads() == 1) lapack_->set_threads(lapack_->threads_before);
}

}  // namespace eigenpair

using eigenpair::Failure;
using eigenpair::guarded;

extern "C" {

eigenpair_status eigenpair_lapack_create(int32_t integer_bits, eigenpair_lookup lookup, void* context,
                                         eigenpair_lapack** out) {
  return guarded([&] {
    if (out == nullptr) throw Failure(EIGENPAIR_BAD_ARGUMENT, "out is NULL");
    *out = nullptr;
    if (lookup == nullptr) throw Failure(EIGENPAIR_BAD_ARGUMENT, "lookup is NULL");
    if (integer_bits != 32 && integer_bits != 64) {
      throw Failure(EIGENPAIR_BAD_ARGUMENT, "integer_bits must be 32 (LP64) or 64 (ILP64)");
    }
    auto lapack = std::make_unique<eigenpair_lapack>();
    lapack->integer_bits = integer_bits;
    for (const char* stem : eigenpair::kRoutines) {
      for (const std::string& name :
           {eigenpair::routine_name<float>(stem), eigenpair::routine_name<double>(stem),
            eigenpair::routine_name<std::complex<float>>(stem), eigenpair::routine_name<std::complex<double>>(stem)}) {
        if (void* address = lookup(context, name.c_str())) lapack->routines.emplace(name, address);
      }
    }
    *out = lapack.release();
  });
}

eigenpair_status eigenpair_lapack_set_threading(eigenpair_lapack* lapack, int32_t (*get_threads)(void),
                                                void (*set_threads)(int32_t)) {
  return guarded([&] {
    if (lapack == nullptr) throw Failure(EIGENPAIR_BAD_ARGUMENT, "lapack is NULL");
    const std::lock_guard<std::mutex> lock(lapack->threading);
    if (lapack->single_threaded_jobs != 0) {
      throw Failure(EIGENPAIR_BAD_ARGUMENT, "threading cannot change while jobs are running");
    }
    lapack->get_threads = get_threads;
    lapack->set_threads = set_threads;
  });
}

int32_t eigenpair_lapack_has(const eigenpair_lapack* lapack, const char* routine) {
  int32_t found = 0;
  guarded([&] {  // making a std::string of the name may throw
    found = lapack != nullptr && routine != nullptr && lapack->routines.count(routine) != 0 ? 1 : 0;
  });
  return found;
}

void eigenpair_lapack_destroy(eigenpair_lapack* lapack) { delete lapack; }

}  // extern "C"
