// Definite pairs, one per lane, as in LAPACK: factorize B = L Lᴴ, reduce the pair to one Hermitian matrix, and
// transform its eigenvectors back.
#pragma once

#include "kernels/lane_solver-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

template <typename T, typename R, int N>
struct LanePair : LaneSolver<T, R, N> {
  using Base = LaneSolver<T, R, N>;
  using Base::a;
  using Base::kMax;
  using Base::n;
  using Base::q;
  using typename Base::M;
  using typename Base::S;
  using typename Base::V;

  void place(int order, S* squares) {
    Base::place_squares(order, squares);
    if constexpr (N == 0) b_ = squares + 2 * order * order;
  }

  S& b(int i, int j) { return b_[i + j * n()]; }  // lower triangle in, its Cholesky factor out

  // Factorizes B. Returns the lanes where it is positive definite; the others continue with pivots of 1.
  M factor() {
    M good = V{} == V{};
    const V one = splat<V>(R(1));
    for (int j = 0; j < n(); ++j) {
      V pivot = real_(b(j, j));
      for (int k = 0; k < j; ++k) pivot -= norm_(b(j, k));
      const M positive = pivot > V{};
      good &= positive;
      const V size = root(select(positive, pivot, one));
      inverse_[j] = one / size;
      b(j, j) = S{};
      set_real(b(j, j), size);
      for (int i = j + 1; i < n(); ++i) {
        S sum = b(i, j);
        for (int k = 0; k < j; ++k) sum = minus(sum, times(b(i, k), conj_(b(j, k))));
        b(i, j) = scaled(sum, inverse_[j]);
      }
    }
    return good;
  }

  // The lower triangle of a becomes that of L^-1 A L^-H for type 1, of L^H A L for types 2 and 3.
  void reduce_pair(int type) {
    for (int j = 0; j < n(); ++j) {
      for (int i = j; i < n(); ++i) {
        q(i, j) = a(i, j);
        if (i != j) q(j, i) = conj_(a(i, j));
      }
    }
    if (type == 1) {
      for (int j = 0; j < n(); ++j) solve_lower(j);
      for (int j = 0; j < n(); ++j) {
        for (int i = j; i < n(); ++i) {
          S sum = q(i, j);
          for (int k = 0; k < j; ++k) sum = minus(sum, times(a(i, k), conj_(b(j, k))));
          a(i, j) = scaled(sum, inverse_[j]);
        }
      }
    } else {
      for (int j = 0; j < n(); ++j) {
        for (int i = 0; i < n(); ++i) {
          S sum{};
          for (int k = j; k < n(); ++k) sum = plus(sum, times(q(i, k), b(k, j)));
          q(i, j) = sum;  // columns to the left are no longer needed
        }
      }
      for (int j = 0; j < n(); ++j) {
        for (int i = j; i < n(); ++i) {
          S sum{};
          for (int k = i; k < n(); ++k) sum = plus(sum, dot(b(k, i), q(k, j)));
          a(i, j) = sum;
        }
      }
    }
  }

  // a ← L^-H q and q ← L q, the eigenvectors of the pair and their dual basis, or the other way round for type 3.
  void take_back() {
    for (int j = 0; j < n(); ++j) {
      for (int i = n() - 1; i >= 0; --i) {
        S sum = q(i, j);
        for (int k = i + 1; k < n(); ++k) sum = minus(sum, dot(b(k, i), a(k, j)));
        a(i, j) = scaled(sum, inverse_[i]);
      }
      for (int i = n() - 1; i >= 0; --i) {
        S sum{};
        for (int k = 0; k <= i; ++k) sum = plus(sum, times(b(i, k), q(k, j)));
        q(i, j) = sum;
      }
    }
  }

 private:
  static void set_real(V& x, V value) { x = value; }
  static void set_real(Complex<V>& x, V value) { x.re = value; }

  // Column j of q ← L^-1 times it.
  void solve_lower(int j) {
    for (int i = 0; i < n(); ++i) {
      S sum = q(i, j);
      for (int k = 0; k < i; ++k) sum = minus(sum, times(b(i, k), q(k, j)));
      q(i, j) = scaled(sum, inverse_[i]);
    }
  }

  typename Base::Square b_;
  V inverse_[kMax];
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
