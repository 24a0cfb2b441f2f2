// Spectral forms (spectral/form.cc) of small real matrices, one per lane.
#pragma once

#include <cstdint>

#include "eigenpair.h"
#include "kernels/blocks-inl.h"
#include "kernels/lanes-inl.h"
#include "spectral/differences-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename R, int N>
class LaneForm {
  using V = Vec<R>;
  using Square = Block<R, N * N>;

 public:
  static constexpr int kWidth = kLanes<R>;

  explicit LaneForm(const eigenpair_spectral_form& form) : p_(form), rows_(form.layout == EIGENPAIR_ROW_MAJOR) {}

  // Reads what belongs to matrices [first, first + count), whatever the directions.
  void open(int64_t first, int count) {
    first_ = first;
    count_ = count;
    Square::load(entries(p_.v, first, N * N), N * N, count, v_);
    if (p_.order == 0) {
      read(p_.values, values_);
    } else {
      fill_table();
      if (p_.order == 2) fill_second();
    }
  }

  // For one direction of each of these matrices.
  void apply(int64_t direction) {
    V m[N * N], t[N * N];
    if (p_.order == 0) {
      for (int i = 0; i < N * N; ++i) m[i] = i % (N + 1) == 0 ? values_[i / (N + 1)] : V{};
    } else {
      project(p_.x, direction, p_.x_outer, p_.x_inner, m);
      if (p_.order == 1) {
        for (int i = 0; i < N * N; ++i) m[i] *= table_[i];
      } else {
        V y[N * N];
        project(p_.y, direction, p_.y_outer, p_.y_inner, y);
        contract(m, y, t);
        for (int i = 0; i < N * N; ++i) m[i] = t[i];
      }
    }
    // V M Vᵀ
    V out[N * N];
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        t[i * N + j] = V{};
        for (int k = 0; k < N; ++k) t[i * N + j] += v(i, k) * m[k * N + j];
      }
    }
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        V sum{};
        for (int k = 0; k < N; ++k) sum += t[i * N + k] * v(j, k);
        out[rows_ ? i * N + j : i + j * N] = sum;
      }
    }
    R* target = static_cast<R*>(p_.out) + (direction * p_.out_outer + first_ * p_.out_inner) * N * N;
    if (p_.out_inner == 1) {
      Square::store(out, count_, target);
      return;
    }
    for (int lane = 0; lane < count_; ++lane) {
      for (int i = 0; i < N * N; ++i) target[lane * p_.out_inner * N * N + i] = lanes_of<V, R>(out[i])[lane];
    }
  }

 private:
  V v(int i, int j) const { return v_[rows_ ? i * N + j : i + j * N]; }
  static const R* entries(const void* base, int64_t index, int64_t size) {
    return static_cast<const R*>(base) + index * size;
  }
  template <int kSize>
  void read(const void* base, V (&target)[kSize]) const {
    Block<R, kSize>::load(entries(base, first_, kSize), kSize, count_, target);
  }

  void fill_table() {
    V w[N], derivative[N];
    read(p_.w, w);
    const auto of = [](const V* x) { return [x](int64_t i) { return x[i]; }; };
    const auto put = [&](int64_t i, int64_t j, V value) { table_[i * N + j] = value; };
    for (int i = 0; i < N; ++i) w_[i] = w[i];
    if (p_.order == 1 || p_.step >= 0) read(p_.derivative, derivative);
    if (p_.step >= 0) {
      size_ = derivative[0];
      first_of_step(N, p_.step, of(w), p_.order == 1 ? size_ : V{} + 1, put);
    } else if (p_.order == 1) {
      V first[N - 1];
      read(p_.first, first);
      first_of_all<V>(N, of(w), of(derivative), of(first), put);
    } else {
      V half_second[N], left[N - 1], right[N - 1];
      read(p_.half_second, half_second);
      read(p_.left, left);
      read(p_.right, right);
      slopes_of_all<V>(N, of(w), of(half_second), of(left), of(right), put);
    }
  }

  // f[w_i, w_j, w_k] for i <= j <= k.
  void fill_second() {
    for (int i = 0; i < N; ++i) {
      for (int j = i; j < N; ++j) {
        for (int k = j; k < N; ++k) {
          V value;
          if (p_.step >= 0) {
            const bool lone_is_below = j >= p_.step;
            const V whole = table_[i * N + k], part = lone_is_below ? table_[i * N + j] : table_[j * N + k];
            value = second_of_step(size_, lone_is_below, whole, part);
          } else {
            const V whole = w_[k] - w_[i], share = select(whole > V{}, (w_[j] - w_[i]) / whole, V{});
            value = second_difference(share, table_[i * N + j], table_[k * N + j]);
          }
          second_[(i * N + j) * N + k] = value;
        }
      }
    }
  }

  // Vᵀ X V
  void project(const void* base, int64_t direction, int64_t outer, int64_t inner, V* m) const {
    V x[N * N], t[N * N];
    Square::load(entries(base, direction * outer + first_ * inner, N * N), inner * N * N, count_, x);
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        t[i * N + j] = V{};
        for (int k = 0; k < N; ++k) t[i * N + j] += x[rows_ ? i * N + k : i + k * N] * v(k, j);
      }
    }
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        m[i * N + j] = V{};
        for (int k = 0; k < N; ++k) m[i * N + j] += v(k, i) * t[k * N + j];
      }
    }
  }

  void contract(const V* x, const V* y, V* m) const {
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        V sum{};
        for (int k = 0; k < N; ++k) {
          const int low = i < j ? (i < k ? i : k) : (j < k ? j : k), high = i > j ? (i > k ? i : k) : (j > k ? j : k);
          const V difference = second_[(low * N + i + j + k - low - high) * N + high];
          sum += difference * (x[i * N + k] * y[k * N + j] + y[i * N + k] * x[k * N + j]);
        }
        m[i * N + j] = sum;
      }
    }
  }

  const eigenpair_spectral_form& p_;
  bool rows_;
  int64_t first_ = 0;
  int count_ = 0;
  V v_[N * N], w_[N], values_[N], table_[N * N], second_[N * N * N], size_;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
