// Copies matrices between the caller's layout and LAPACK's, and checks that they are finite.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

#include "lapack/lapack.h"

namespace eigenpair {

// Scratch memory, aligned for SIMD. It is not cleared, because LAPACK writes it before reading.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) {
    if (count <= 0) return;
    constexpr int64_t kAlignment = 64;
    if (count > (std::numeric_limits<int64_t>::max() - kAlignment) / static_cast<int64_t>(sizeof(T))) {
      throw std::bad_alloc();
    }
    const int64_t bytes = (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    data_ = static_cast<T*>(std::aligned_alloc(kAlignment, static_cast<size_t>(bytes)));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Buffer() { std::free(data_); }
  Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
};

// Two tiles of complex128 fit in the first-level cache. Columns whose distance is a power of two compete for the same
// few cache lines, so a block that is read across columns is first copied to a tile.
inline constexpr int64_t kTile = 32;

template <typename T>
struct alignas(64) Tile {
  T& operator()(int64_t i, int64_t j) { return entries[i + j * kTile]; }
  T entries[kTile * kTile];
};

// Rows i0 to i1 and columns j0 to j1 of the transpose of `source`.
template <typename T>
void read_transposed(const T* source, int64_t n, int64_t i0, int64_t i1, int64_t j0, int64_t j1, Tile<T>& tile) {
  for (int64_t i = i0; i < i1; ++i) {
    for (int64_t j = j0; j < j1; ++j) tile(i - i0, j - j0) = source[j + i * n];
  }
}

template <typename T>
T conjugate(T x) {
  if constexpr (is_complex<T>) {
    return std::conj(x);
  } else {
    return x;
  }
}

// (x + y)/2 without overflow. Exactly x if the two are equal, even for denormal numbers.
template <typename R>
R mean(R x, R y) {
  return x == y ? x : R(0.5) * x + R(0.5) * y;
}

template <typename T>
T hermitian_mean(T x, T mirror) {
  if constexpr (is_complex<T>) {
    return {mean(x.real(), mirror.real()), mean(x.imag(), -mirror.imag())};
  } else {
    return mean(x, mirror);
  }
}

template <typename T>
T nan_value() {
  const auto nan = std::numeric_limits<Real<T>>::quiet_NaN();
  if constexpr (is_complex<T>) {
    return {nan, nan};
  } else {
    return nan;
  }
}

template <typename T>
void fill_nan(T* data, int64_t count) {
  if (data != nullptr) std::fill(data, data + count, nan_value<T>());
}

template <typename R>
bool all_finite(const R* data, int64_t count) {
  int bad = 0;  // no early exit, so that the compiler vectorizes the loop
  for (int64_t i = 0; i < count; ++i) bad |= !(data[i] - data[i] == R(0));
  return bad == 0;
}

template <typename R>
bool all_finite(const std::complex<R>* data, int64_t count) {
  return all_finite(reinterpret_cast<const R*>(data), 2 * count);
}

// Copies the Hermitian matrix that `triangle` of `source` represents to the lower triangle of `target` (column-major;
// entries above the diagonal are not touched). Returns whether all entries are finite. Row-major storage is the
// transpose of column-major, so each case reads the entry below the diagonal, its mirror image above, or the mean of
// both.
template <typename T>
bool load_hermitian(const T* source, int64_t n, int32_t triangle, int32_t layout, T* target) {
  const bool transposed = layout == EIGENPAIR_ROW_MAJOR;
  const bool both = triangle == EIGENPAIR_HERMITIAN_PART;
  const bool stored_above = (triangle == EIGENPAIR_UPPER) != transposed;
  const bool conjugated = both ? transposed : triangle == EIGENPAIR_UPPER;
  Tile<T> mirror;
  for (int64_t j0 = 0; j0 < n; j0 += kTile) {
    const int64_t j1 = std::min(j0 + kTile, n);
    for (int64_t i0 = j0; i0 < n; i0 += kTile) {
      const int64_t i1 = std::min(i0 + kTile, n);
      if (both || stored_above) read_transposed(source, n, i0, i1, j0, j1, mirror);
      for (int64_t j = j0; j < j1; ++j) {
        for (int64_t i = std::max(i0, j); i < i1; ++i) {
          T entry = stored_above && !both ? mirror(i - i0, j - j0) : source[i + j * n];
          if (both) entry = hermitian_mean(entry, mirror(i - i0, j - j0));
          target[i + j * n] = conjugated ? conjugate(entry) : entry;
        }
      }
    }
  }
  bool finite = true;
  for (int64_t j = 0; j < n; ++j) {
    T* diagonal = target + j + j * n;
    if constexpr (is_complex<T>) *diagonal = T(diagonal->real());
    finite &= all_finite(diagonal, n - j);
  }
  return finite;
}

// Sets the entries above the diagonal to zero.
template <typename T>
void clear_above(T* a, int64_t n) {
  for (int64_t j = 1; j < n; ++j) std::fill(a + j * n, a + j * n + j, T(0));
}

// Sets the entries above the diagonal from those below it, so that the matrix is Hermitian.
template <typename T>
void mirror_lower(T* a, int64_t n) {
  Tile<T> mirror;
  for (int64_t j0 = 0; j0 < n; j0 += kTile) {
    const int64_t j1 = std::min(j0 + kTile, n);
    for (int64_t i0 = 0; i0 <= j0; i0 += kTile) {
      const int64_t i1 = std::min(i0 + kTile, n);
      read_transposed(a, n, i0, i1, j0, j1, mirror);
      for (int64_t j = j0; j < j1; ++j) {
        for (int64_t i = i0; i < std::min(i1, j); ++i) a[i + j * n] = conjugate(mirror(i - i0, j - j0));
      }
    }
  }
}

template <typename T>
bool lower_is_finite(const T* a, int64_t n) {
  bool finite = true;
  for (int64_t j = 0; j < n; ++j) finite &= all_finite(a + j + j * n, n - j);
  return finite;
}

// Copies a whole matrix to column-major `target`. Returns whether all entries are finite.
template <typename T>
bool load_general(const T* source, int64_t n, int32_t layout, T* target) {
  if (layout == EIGENPAIR_COLUMN_MAJOR) {
    std::copy(source, source + n * n, target);
  } else {
    Tile<T> tile;
    for (int64_t j0 = 0; j0 < n; j0 += kTile) {
      for (int64_t i0 = 0; i0 < n; i0 += kTile) {
        const int64_t i1 = std::min(i0 + kTile, n), j1 = std::min(j0 + kTile, n);
        read_transposed(source, n, i0, i1, j0, j1, tile);
        for (int64_t j = j0; j < j1; ++j)
          std::copy(&tile(0, j - j0), &tile(0, j - j0) + (i1 - i0), target + i0 + j * n);
      }
    }
  }
  return all_finite(target, n * n);
}

template <typename T>
void transpose_in_place(T* matrix, int64_t n) {
  Tile<T> below, above;
  for (int64_t j0 = 0; j0 < n; j0 += kTile) {
    const int64_t j1 = std::min(j0 + kTile, n);
    for (int64_t i0 = j0; i0 < n; i0 += kTile) {
      const int64_t i1 = std::min(i0 + kTile, n);
      read_transposed(matrix, n, i0, i1, j0, j1, below);
      read_transposed(matrix, n, j0, j1, i0, i1, above);
      for (int64_t j = j0; j < j1; ++j) {
        std::copy(&below(0, j - j0), &below(0, j - j0) + (i1 - i0), matrix + i0 + j * n);
      }
      for (int64_t i = i0; i < i1; ++i) {
        std::copy(&above(0, i - i0), &above(0, i - i0) + (j1 - j0), matrix + j0 + i * n);
      }
    }
  }
}

}  // namespace eigenpair
