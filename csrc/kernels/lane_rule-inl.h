// The rule (hermitian/rule-inl.h) in reverse, for the standard problem of small real matrices, one per lane. It is for
// matrices without small gaps, where no gap depends on the decision about K.
#pragma once

#include <cstdint>

#include "degeneracy/gaps-inl.h"
#include "eigenpair.h"
#include "hermitian/rule-inl.h"
#include "kernels/blocks-inl.h"
#include "kernels/lanes-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename R, int N>
struct LaneRule {
  using V = Vec<R>;
  using M = Mask<R>;
  using Square = Block<R, N * N>;
  static constexpr int kWidth = kLanes<R>;

  static bool fits(const eigenpair_hermitian_rule& p) {
    const bool plain = p.policy == EIGENPAIR_POLICY_CHECK || p.policy == EIGENPAIR_POLICY_RAW;
    return p.reverse && p.type == 0 && p.du == nullptr && p.scale == nullptr && p.da != nullptr &&
           (p.dv == nullptr ? p.dw != nullptr : plain);
  }

  // Returns the lanes that are done. Whether a matrix is done does not depend on the other lanes.
  static M run(const eigenpair_hermitian_rule& p, int64_t first, int count) {
    const bool rows = p.layout == EIGENPAIR_ROW_MAJOR;
    const auto at = [&](int i, int j) { return rows ? i * N + j : i + j * N; };
    const auto read = [&](const void* source, auto block, V* target) {
      constexpr int kEntries = decltype(block)::kSize;
      block.load(static_cast<const R*>(source) + first * kEntries, kEntries, count, target);
    };
    V v[N * N], m[N * N] = {}, t[N * N], out[N * N];
    M done = V{} == V{};
    read(p.v, Square(), v);
    if (p.dv != nullptr) {
      V w[N], dv[N * N], k[N][N], scale{};
      read(p.w, Block<R, N>(), w);
      read(p.dv, Square(), dv);
      for (int i = 0; i < N; ++i) scale = magnitude(w[i]) > scale ? magnitude(w[i]) : scale;
      // The size that all gaps must exceed, as in gaps-inl.h.
      const R width = cluster_width<R>(p.parameter, N);
      const V reach = splat<V>(width > R(kNear) ? width : R(kNear)) * scale;
      for (int i = 1; i < N && p.policy == EIGENPAIR_POLICY_CHECK; ++i) {
        done &= w[i] - w[i - 1] > reach;
      }
      for (int i = 0; i < N; ++i) {
        for (int j = 0; j < N; ++j) {
          k[i][j] = V{};
          for (int l = 0; l < N; ++l) k[i][j] += v[at(l, i)] * dv[at(l, j)];
        }
      }
      for (int i = 0; i < N; ++i) {
        for (int j = i + 1; j < N; ++j) {
          m[i * N + j] = m[i + j * N] = rotation_part(k[i][j], k[j][i]) / (w[j] - w[i]);
        }
      }
    }
    if (p.dw != nullptr) {
      V dw[N];
      read(p.dw, Block<R, N>(), dw);
      for (int i = 0; i < N; ++i) m[i * N + i] = dw[i];
    }
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        t[i * N + j] = V{};
        for (int l = 0; l < N; ++l) t[i * N + j] += v[at(i, l)] * m[l * N + j];
      }
    }
    const bool both = p.triangle == EIGENPAIR_HERMITIAN_PART, lower = p.triangle == EIGENPAIR_LOWER;
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j <= i; ++j) {
        V sum{};
        for (int l = 0; l < N; ++l) sum += t[i * N + l] * v[at(j, l)];
        const V one_side = i == j ? sum : sum + sum;
        out[at(i, j)] = both || i == j ? sum : (lower ? one_side : V{});
        out[at(j, i)] = both || i == j ? sum : (lower ? V{} : one_side);
      }
    }
    R* target = static_cast<R*>(p.da) + first * N * N;
    if (!any(~done)) {
      Square::store(out, count, target);
    } else {
      for (int lane = 0; lane < count; ++lane) {
        for (int i = 0; done[lane] != 0 && i < N * N; ++i) target[lane * N * N + i] = lanes_of<V, R>(out[i])[lane];
      }
    }
    for (int lane = 0; p.refused != nullptr && lane < count; ++lane) p.refused[first + lane] = 0;
    return done;
  }
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
