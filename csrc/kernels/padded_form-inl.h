// Spectral forms (spectral/form.cc) of one matrix at a time, stored as in padded_matrices-inl.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "eigenpair.h"
#include "kernels/padded_matrices-inl.h"
#include "spectral/differences-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T, int N>
class PaddedForm : private PaddedMatrices<T, N> {
  using Base = PaddedMatrices<T, N>;

 public:
  using R = typename Base::R;
  using Matrix = typename Base::Matrix;
  using Base::kComplex;

  static size_t scratch_bytes(int64_t n) {
    const int64_t planes = kMatrices * (kComplex ? 2 : 1) + kTables;
    return static_cast<size_t>((planes * n + 1) * Base::stride_for(n)) * sizeof(R);
  }

  PaddedForm(const eigenpair_spectral_form& form, void* scratch)
      : Base(form.n, form.layout, EIGENPAIR_HERMITIAN_PART, false), p_(form) {
    // Products read the padding too. Zeros there, because NaN and denormal numbers are slow.
    std::memset(scratch, 0, scratch_bytes(n()));
    R* next = static_cast<R*>(scratch);
    const auto plane = [&] {
      R* const here = next;
      next += n() * stride();
      return here;
    };
    for (Matrix& m : matrices_) {
      m.re = plane();
      m.im = kComplex ? plane() : nullptr;
    }
    for (R*& table : tables_) table = plane();
    row_ = next;
  }

  // Reads what belongs to matrix `index`, whatever the directions.
  void open(int64_t index) {
    index_ = index;
    x_ = y_ = nullptr;
    w_ = numbers(p_.w, n());
    load(input(p_.v, index), false, false, at(kV));
    load(input(p_.v, index), true, false, at(kVh));
    if (p_.order == 0) return;
    const R* const derivative = numbers(p_.derivative, n());
    const auto of = [](const R* x) { return [x](int64_t i) { return x[i]; }; };
    if (p_.step >= 0) {
      size_ = derivative[0];
      first_of_step<R>(n(), p_.step, of(w_), p_.order == 1 ? size_ : R(1), put(kTable));
    } else if (p_.order == 1) {
      first_of_all<R>(n(), of(w_), of(derivative), of(numbers(p_.first, n() - 1)), put(kTable));
    } else {
      const R *half_second = numbers(p_.half_second, n()), *left = numbers(p_.left, n() - 1);
      slopes_of_all<R>(n(), of(w_), of(half_second), of(left), of(numbers(p_.right, n() - 1)), put(kTable));
      fill_gaps();
    }
  }

  // For one direction of this matrix.
  void apply(int64_t direction) {
    const Matrix t = at(kT), m = at(kM);
    if (p_.order == 0) {
      const R* values = numbers(p_.values, n());
      for (int64_t i = 0; i < n(); ++i) {
        for (int64_t j = 0; j < n(); ++j) set(t, i, j, scaled(entry(at(kV), i, j), values[j]));
      }
    } else {
      project(input(p_.x, direction * p_.x_outer + index_ * p_.x_inner), &x_, at(kX));
      if (p_.order == 1) {
        for (int64_t i = 0; i < n() * stride(); ++i) {
          m.re[i] = tables_[kTable][i] * at(kX).re[i];
          if constexpr (kComplex) m.im[i] = tables_[kTable][i] * at(kX).im[i];
        }
      } else {
        project(input(p_.y, direction * p_.y_outer + index_ * p_.y_inner), &y_, at(kY));
        contract();
      }
      multiply(t, at(kV), m);
    }
    multiply(m, t, at(kVh));
    store(m, p_.out, direction * p_.out_outer + index_ * p_.out_inner, 1);
  }

 private:
  enum { kV, kVh, kX, kY, kM, kT, kMatrices };
  // First differences or slopes; and of second order slopes transposed, gaps, and their inverse.
  enum { kTable, kTransposed, kGap, kInverse, kTables };

  using Base::entry;
  using Base::load;
  using Base::multiply;
  using Base::n;
  using Base::set;
  using Base::square;
  using Base::store;
  using Base::stride;

  const Matrix& at(int which) const { return matrices_[which]; }
  const T* input(const void* base, int64_t index) const { return static_cast<const T*>(base) + index * square(); }
  const R* numbers(const void* base, int64_t size) const {
    return base == nullptr ? nullptr : static_cast<const R*>(base) + index_ * size;
  }
  auto put(int table) {
    return [target = tables_[table], stride = stride()](int64_t i, int64_t j, R x) { target[i * stride + j] = x; };
  }

  void fill_gaps() {
    const R span = w_[n() - 1] - w_[0], unit = span > 0 ? span : R(1);
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        // In units of the largest, so that no inverse overflows. What is less than `kTiny²` of it counts as nothing.
        const R gap = absolute(w_[j] - w_[i]) / unit;
        tables_[kGap][i * stride() + j] = gap;
        tables_[kInverse][i * stride() + j] = gap > Precision<R>::kTiny * Precision<R>::kTiny ? 1 / gap : R(0);
        tables_[kTransposed][j * stride() + i] = tables_[kTable][i * stride() + j];
      }
    }
  }

  // VᴴXV, unless it is there.
  void project(const T* source, const T** known, const Matrix& target) {
    if (*known == source) return;
    *known = source;
    load(source, false, false, at(kT));
    multiply(at(kM), at(kT), at(kV));
    multiply(target, at(kVh), at(kM));
  }

  // M_ij = Σ f[i, k, j] (X_ik Y_kj + Y_ik X_kj)
  void contract() {
    const Matrix x = at(kX), y = at(kY), m = at(kM);
    for (int64_t i = 0; i < n(); ++i) {
      R *const re = m.re + i * stride(), *const im = kComplex ? m.im + i * stride() : nullptr;
      for (int64_t j = 0; j < stride(); ++j) {
        re[j] = 0;
        if constexpr (kComplex) im[j] = 0;
      }
      for (int64_t k = 0; k < n(); ++k) {
        if (p_.step >= 0) {
          fill_row_of_step(i, k);
        } else {
          fill_row(i < k ? i : k, i < k ? k : i);
        }
        add_row(entry(x, i, k), entry(y, i, k), x, y, k, re, im);
      }
    }
  }

  void add_row(T xk, T yk, const Matrix& x, const Matrix& y, int64_t k, R* __restrict re, R* __restrict im) const {
    const R *const xr = x.re + k * stride(), *const yr = y.re + k * stride(), *const f = row_;
    if constexpr (kComplex) {
      const R *const xi = x.im + k * stride(), *const yi = y.im + k * stride();
      for (int64_t j = 0; j < n(); ++j) {
        re[j] += f[j] * (xk.re * yr[j] - xk.im * yi[j] + yk.re * xr[j] - yk.im * xi[j]);
        im[j] += f[j] * (xk.re * yi[j] + xk.im * yr[j] + yk.re * xi[j] + yk.im * xr[j]);
      }
    } else {
      (void)im;
      for (int64_t j = 0; j < n(); ++j) re[j] += f[j] * (xk * yr[j] + yk * xr[j]);
    }
  }

  // f[low, high, j] for all j, with low <= high.
  void fill_row(int64_t low, int64_t high) {
    const auto row = [&](int table, int64_t i) { return tables_[table] + i * stride(); };
    const R *const gap_low = row(kGap, low), *const inverse_low = row(kInverse, low),
                   *const inverse_high = row(kInverse, high), *const to_low = row(kTransposed, low),
                   *const to_high = row(kTransposed, high), *const from_low = row(kTable, low),
                   *const from_high = row(kTable, high);
    const R high_to_low = from_high[low], low_to_high = from_low[high];
    const R whole = gap_low[high], inverse = inverse_low[high];
    R* __restrict const out = row_;
    int64_t j = 0;
    for (; j <= low; ++j) out[j] = second_difference(gap_low[j] * inverse_high[j], to_low[j], high_to_low);
    for (; j < high; ++j) out[j] = second_difference(gap_low[j] * inverse, from_low[j], from_high[j]);
    for (; j < n(); ++j) out[j] = second_difference(whole * inverse_low[j], low_to_high, to_high[j]);
  }

  // The same of a step, for any two.
  void fill_row_of_step(int64_t i, int64_t k) {
    const R *const from_i = tables_[kTable] + i * stride(), *const from_k = tables_[kTable] + k * stride();
    const bool i_below = i < p_.step, k_below = k < p_.step;
    for (int64_t j = 0; j < n(); ++j) {
      const bool below = j < p_.step;
      if (i_below == k_below) {
        row_[j] = below == i_below ? size_ * 0 : second_of_step(size_, below, from_i[j], from_k[j]);
      } else if (below == i_below) {
        row_[j] = second_of_step(size_, k_below, from_i[k], from_k[j]);
      } else {
        row_[j] = second_of_step(size_, i_below, from_i[k], from_i[j]);
      }
    }
  }

  const eigenpair_spectral_form& p_;
  int64_t index_ = 0;
  const R* w_ = nullptr;
  R size_ = 1;                           // of the step
  const T *x_ = nullptr, *y_ = nullptr;  // the directions whose projections are known
  Matrix matrices_[kMatrices];
  R* tables_[kTables];
  R* row_;
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
