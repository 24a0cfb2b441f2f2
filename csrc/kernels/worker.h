// The worker of problems that kernels solve. It is not in kernels.h, because inline functions that several files use
// must not be compiled for one instruction set.
#pragma once

#include <cstdint>

#include "runtime/job.h"
#include "runtime/matrix.h"

namespace eigenpair {

// Runs the functions of a table of kernels.h for the matrices of a batch.
template <typename Table, typename Description>
class KernelWorker final : public Worker {
 public:
  KernelWorker(const Table& table, const Description& description)
      : table_(table),
        p_(description),
        scratch_(static_cast<int64_t>(table.scratch_bytes[description.dtype](description.n))) {}
  void solve(int64_t first, int64_t last) noexcept override { table_.run[p_.dtype](p_, first, last, scratch_.get()); }

 private:
  const Table& table_;
  const Description& p_;
  Buffer<char> scratch_;
};

}  // namespace eigenpair
