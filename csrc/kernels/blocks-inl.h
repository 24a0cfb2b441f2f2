// Transposes a group of matrices between memory, where they are contiguous, and registers, with one matrix per lane.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/lanes-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename V, int... I>
inline V zip_low(V x, V y, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, y, (I / 2 + I % 2 * static_cast<int>(sizeof...(I)))...);
}
template <typename V, int... I>
inline V zip_high(V x, V y, std::integer_sequence<int, I...>) {
  constexpr int kCount = sizeof...(I);
  return __builtin_shufflevector(x, y, (kCount / 2 + I / 2 + I % 2 * kCount)...);
}
template <typename V, int... I>
inline V even_of(V x, V y, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, y, (2 * I)...);
}
template <typename V, int... I>
inline V odd_of(V x, V y, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, y, (2 * I + 1)...);
}

// `kEntries` numbers for each lane.
template <typename R, int kEntries>
struct Block {
  using V = Vec<R>;
  // Do not use memcpy: it may read or write in other widths, which makes later loads wait.
  using InMemory = typename LaneTypes<R>::InMemory;
  using Lanes = std::make_integer_sequence<int, kLanes<R>>;
  static constexpr int kSize = kEntries;
  static constexpr bool kPowerOfTwo = (kEntries & (kEntries - 1)) == 0;

  // Loads `count` groups of numbers, `stride` apart. Lanes that are left get the last group.
  static void load(const R* source, int64_t stride, int count, V* target) {
    if (kPowerOfTwo && count == kLanes<R> && stride == kEntries) {
      V now[kEntries], next[kEntries];
      for (int i = 0; i < kEntries; ++i) now[i] = reinterpret_cast<const InMemory*>(source)[i];
      for (int width = kEntries; width > 1; width /= 2) {
        for (int i = 0; i < kEntries / 2; ++i) {
          next[i] = even_of(now[2 * i], now[2 * i + 1], Lanes());
          next[i + kEntries / 2] = odd_of(now[2 * i], now[2 * i + 1], Lanes());
        }
        for (int i = 0; i < kEntries; ++i) now[i] = next[i];
      }
      for (int i = 0; i < kEntries; ++i) target[i] = now[i];
      return;
    }
    for (int lane = 0; lane < kLanes<R>; ++lane) {
      const R* here = source + (lane < count ? lane : count - 1) * stride;
      for (int i = 0; i < kEntries; ++i) lanes_of<V, R>(target[i])[lane] = here[i];
    }
  }

  static void store(const V* source, int count, R* target) {
    if (kPowerOfTwo && count == kLanes<R>) {
      V now[kEntries], next[kEntries];
      for (int i = 0; i < kEntries; ++i) now[i] = source[i];
      for (int width = kEntries; width > 1; width /= 2) {
        for (int i = 0; i < kEntries / 2; ++i) {
          next[2 * i] = zip_low(now[i], now[i + kEntries / 2], Lanes());
          next[2 * i + 1] = zip_high(now[i], now[i + kEntries / 2], Lanes());
        }
        for (int i = 0; i < kEntries; ++i) now[i] = next[i];
      }
      for (int i = 0; i < kEntries; ++i) reinterpret_cast<InMemory*>(target)[i] = now[i];
      return;
    }
    for (int lane = 0; lane < count; ++lane) {
      for (int i = 0; i < kEntries; ++i) target[lane * kEntries + i] = lanes_of<V, R>(source[i])[lane];
    }
  }
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
