// Inputs and outputs of eigenpair_decide, for one matrix of the batch.
#pragma once

#include <cstdint>

#include "degeneracy/gaps-inl.h"
#include "eigenpair.h"
#include "kernels/numbers-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

class DecisionArrays {
 public:
  DecisionArrays(const eigenpair_decision& p, int64_t index) : p_(p), n_(p.n), index_(index) {}

  // Of arrays of `count` elements for each matrix.
  template <typename X>
  const X* input(const void* base, int64_t count) const {
    return base == nullptr ? nullptr : static_cast<const X*>(base) + index_ * count;
  }
  template <typename X>
  X* output(void* base, int64_t count) const {
    return base == nullptr ? nullptr : static_cast<X*>(base) + index_ * count;
  }

  bool by_rows() const { return p_.layout == EIGENPAIR_ROW_MAJOR; }
  // The position of entry (i, j) of a matrix of `rows` x `columns`.
  int64_t at(int64_t i, int64_t j, int64_t rows, int64_t columns) const {
    return by_rows() ? i * columns + j : i + j * rows;
  }
  int64_t at(int64_t i, int64_t j) const { return at(i, j, n_, n_); }

  // Writes the decision for every two eigenvalues i < j, given its reason.
  template <typename Reason>
  void write(const Reason& reason_of) {
    int32_t* lost = output<int32_t>(p_.lost, n_);
    for (int64_t i = 0; i < n_; ++i) {
      write(i, i, EIGENPAIR_REASON_NONE);
      if (lost != nullptr) lost[i] = EIGENPAIR_REASON_NONE;
    }
    for (int64_t j = 1; j < n_; ++j) {
      for (int64_t i = 0; i < j; ++i) {
        const int32_t reason = reason_of(i, j);
        write(i, j, reason);
        write(j, i, reason);
        if (!Gaps<float>::refuses(reason)) continue;
        refuse(i, reason);
        refuse(j, reason);
      }
    }
  }

  // Eigenvalue i, or its vector, has no derivative. The first reason stays.
  void refuse(int64_t i, int32_t reason) {
    refused_ = true;
    int32_t* lost = output<int32_t>(p_.lost, n_);
    if (lost != nullptr && lost[i] == EIGENPAIR_REASON_NONE) lost[i] = reason;
  }

  void finish() {
    if (p_.refused != nullptr) p_.refused[index_] = refused_ ? 1 : 0;
  }

 private:
  void write(int64_t i, int64_t j, int32_t reason) {
    const int64_t place = index_ * n_ * n_ + at(i, j);
    if (p_.reasons != nullptr) p_.reasons[place] = reason;
    if (p_.gaps == nullptr) return;
    p_.gaps[place] = reason == EIGENPAIR_REASON_NONE ? EIGENPAIR_GAP_KEPT
                     : Gaps<float>::refuses(reason)  ? EIGENPAIR_GAP_REFUSED
                                                     : EIGENPAIR_GAP_DROPPED;
  }

  const eigenpair_decision& p_;
  const int64_t n_, index_;
  bool refused_ = false;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
