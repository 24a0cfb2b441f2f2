// The Hermitian eigenproblem, one matrix per lane: Householder reduction to tridiagonal form, then implicit QL.
//
// Lanes run in lockstep, each with its own deflation. An operation that a lane does not need leaves its numbers
// unchanged. So the results for a matrix do not depend on the other lanes, bit for bit.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/kernels.h"
#include "kernels/lanes-inl.h"
#include "kernels/two_by_two-inl.h"

namespace eigenpair {
namespace EIGENPAIR_ISA {
namespace {

// N is the order where unrolling makes it faster, else 0.
template <typename T, typename R, int N>
struct LaneSolver {
  using V = Vec<R>;
  using M = Mask<R>;
  using S = std::conditional_t<std::is_same_v<T, R>, V, Complex<V>>;
  static constexpr bool kComplex = !std::is_same_v<T, R>;
  static constexpr int kMax = N > 0 ? N : kSmallLimit;
  // Up to three matrices; outside of the object if the order is not known at compile time.
  using Square = std::conditional_t<(N > 0), S[kMax * kMax], S*>;
  static constexpr size_t squares_bytes(int64_t order) {
    return N > 0 ? 0 : 3 * static_cast<size_t>(order * order) * sizeof(S);
  }

  int n() const { return N > 0 ? N : order_; }

  S& a(int i, int j) { return a_[i + j * n()]; }  // lower triangle in, destroyed
  S& q(int i, int j) { return q_[i + j * n()]; }  // eigenvectors out, unsorted
  V& d(int i) { return d_[i]; }                   // eigenvalues out, unsorted

  // Diagonalizes a matrix of order two by a single rotation: eigenvalues and q.
  void rotate_two() {
    static_assert(!kComplex, "of real matrices");
    d_[0] = a(0, 0);
    d_[1] = a(1, 1);
    V c, s;
    diagonalize_two(0, a(1, 0), &c, &s);
    q(0, 0) = q(1, 1) = c;
    q(0, 1) = s;
    q(1, 0) = -s;
  }

  // Sorts the eigenvalues of every lane in ascending order. For orders known at compile time.
  void sort(bool vectors) {
    for (int last = N - 1; last > 0; --last) {
      for (int j = 0; j < last; ++j) {
        const M wrong = d_[j] > d_[j + 1];
        const V low = select(wrong, d_[j + 1], d_[j]);
        d_[j + 1] = select(wrong, d_[j], d_[j + 1]);
        d_[j] = low;
        for (int i = 0; vectors && i < N; ++i) {
          const S left = select(wrong, q(i, j + 1), q(i, j));
          q(i, j + 1) = select(wrong, q(i, j), q(i, j + 1));
          q(i, j) = left;
        }
      }
    }
  }

  // Reduces a to a real tridiagonal (d, e), with q the transformation if `vectors`.
  void reduce(bool vectors) {
    const V zero{}, one = splat<V>(R(1)), tiny = splat<V>(Precision<R>::kTiny * Precision<R>::kTiny);
    for (int k = 0; k + 1 < n(); ++k) {
      d_[k] = real_(a(k, k));
      S first = a(k + 1, k);
      V rest = zero;
      for (int i = k + 2; i < n(); ++i) rest += norm_(a(i, k));
      const V size = modulus(first, &first);
      const V whole = root(size * size + rest);
      // No reflection is needed: the entries below the subdiagonal are zero, or negligible in a matrix of size 1.
      const M skip = rest <= tiny;
      const S phase = unit(first, size);
      beta_[k] = zero;
      if (any(~skip)) {
        const V head = select(skip, zero, size + whole);
        const V length = head * head + rest;
        beta_[k] = select(skip, zero, (one + one) / select(skip, one, length));
        first = select(skip, first, scaled(phase, -whole));
        a(k + 1, k) = scaled(phase, head);  // the reflector stays below the diagonal
        for (int i = k + 2; i < n(); ++i) a(i, k) = select(skip, scaled(a(i, k), zero), a(i, k));
        update(k);
      }
      sub_[k] = first;
    }
    d_[n() - 1] = real_(a(n() - 1, n() - 1));
    if (vectors) accumulate();
    make_real(vectors);
  }

  // Implicit QL with Wilkinson's shift (Martin, Wilkinson), of several groups interleaved: a rotation has to wait for
  // the previous one of its group, but not for other groups. Eigenvalues that do not converge become NaN.
  template <int kGroups>
  static void iterate(LaneSolver* const (&groups)[kGroups], bool vectors) {
    const int n = groups[0]->n();
    for (LaneSolver* group : groups) group->e_[n - 1] = V{};
    for (int l = 0; l + 2 < n; ++l) {
      for (int round = 0;; ++round) {
        Sweep sweeps[kGroups];
        bool open = false;
        int top = l + 1;
        for (int k = 0; k < kGroups; ++k) {
          groups[k]->find_block(l, &sweeps[k]);
          open |= any(sweeps[k].beyond(l));
        }
        if (!open) break;
        // As many sweeps as in implicit_ql-inl.h, but for each eigenvalue.
        if (round == 30 * n) {
          for (int k = 0; k < kGroups; ++k) groups[k]->give_up(l, sweeps[k]);
          break;
        }
        for (int k = 0; k < kGroups; ++k) {
          groups[k]->begin_sweep(l, &sweeps[k]);
          while (top < n - 1 && any(sweeps[k].beyond(top))) ++top;
        }
        for (int i = top - 1; i >= l; --i) {
          for (int k = 0; k < kGroups; ++k) groups[k]->step(i, &sweeps[k], vectors);
        }
        for (int k = 0; k < kGroups; ++k) groups[k]->end_sweep(l, sweeps[k]);
      }
    }
    for (LaneSolver* group : groups) {
      if (n == 1) break;
      V c, s;
      group->diagonalize_two(n - 2, group->e_[n - 2], &c, &s);
      if (vectors) group->rotate(n - 2, c, s);
    }
  }

 private:
  // |x|. If its square would underflow, x is set to zero: it is negligible in a matrix of size 1, and its computed
  // phase would not have modulus 1.
  static V modulus(V x, V*) { return magnitude(x); }
  static V modulus(Complex<V> x, Complex<V>* kept) {
    const V square = norm_(x);
    const M none = square <= splat<V>(Precision<R>::kTiny * Precision<R>::kTiny);
    *kept = select(none, Complex<V>{}, x);
    return root(select(none, V{}, square));
  }

  static V unit(V x, V) { return x < 0 ? splat<V>(R(-1)) : splat<V>(R(1)); }
  static Complex<V> unit(Complex<V> x, V size) {
    const M none = size == V{};
    const V inverse = splat<V>(R(1)) / select(none, splat<V>(R(1)), size);
    return {select(none, splat<V>(R(1)), x.re * inverse), x.im * inverse};
  }

  // A ← H A H for the trailing block, H = I − β v vᴴ.
  void update(int k) {
    S p[kMax];
    const int n_ = n();
    for (int i = k + 1; i < n_; ++i) p[i] = S{};
    for (int j = k + 1; j < n_; ++j) {
      const S vj = a(j, k);
      S sum = scaled(vj, real_(a(j, j)));
      for (int i = j + 1; i < n_; ++i) {
        p[i] = plus(p[i], times(a(i, j), vj));
        sum = plus(sum, dot(a(i, j), a(i, k)));
      }
      p[j] = plus(p[j], sum);
    }
    V overlap{};
    for (int i = k + 1; i < n_; ++i) {
      p[i] = scaled(p[i], beta_[k]);
      overlap += real_(dot(a(i, k), p[i]));
    }
    overlap *= beta_[k] / 2;
    for (int i = k + 1; i < n_; ++i) p[i] = minus(p[i], scaled(a(i, k), overlap));
    for (int j = k + 1; j < n_; ++j) {
      const S vj = conj_(a(j, k)), pj = conj_(p[j]);
      for (int i = j; i < n_; ++i) a(i, j) = minus(a(i, j), plus(times(a(i, k), pj), times(p[i], vj)));
    }
  }

  // Q = H₀ H₁ …, multiplied from the last factor to the first, so that only trailing blocks change.
  void accumulate() {
    const int n_ = n();
    for (int j = 0; j < n_; ++j) {
      for (int i = 0; i < n_; ++i) q(i, j) = S{};
      set_one(q(j, j));
    }
    for (int k = n_ - 3; k >= 0; --k) {
      for (int j = k + 1; j < n_; ++j) {
        S sum{};
        for (int i = k + 1; i < n_; ++i) sum = plus(sum, dot(a(i, k), q(i, j)));
        sum = scaled(sum, beta_[k]);
        for (int i = k + 1; i < n_; ++i) q(i, j) = minus(q(i, j), times(a(i, k), sum));
      }
    }
  }

  static void set_one(V& x) { x = splat<V>(R(1)); }
  static void set_one(Complex<V>& x) { x.re = splat<V>(R(1)); }

  // Makes the subdiagonal entries real. For complex matrices, the columns of q are multiplied by their phases.
  void make_real(bool vectors) {
    if constexpr (kComplex) {
      Complex<V> turn{splat<V>(R(1)), V{}};
      for (int k = 0; k + 1 < n(); ++k) {
        const V size = modulus(sub_[k], &sub_[k]);
        turn = times(turn, unit(sub_[k], size));
        e_[k] = size;
        if (!vectors) continue;
        for (int i = 0; i < n(); ++i) q(i, k + 1) = times(q(i, k + 1), turn);
      }
    } else {
      for (int k = 0; k + 1 < n(); ++k) e_[k] = sub_[k];
    }
  }

  // Diagonalizes the block of rows i and i + 1, with subdiagonal entry `beside`. Returns the rotation of columns i and
  // i + 1.
  void diagonalize_two(int i, V beside, V* cosine, V* sine) {
    const V half = (d_[i + 1] - d_[i]) * splat<V>(R(0.5));
    const Rotation<R> turn(half, beside);
    const V shift = half < 0 ? -turn.shift : turn.shift;
    d_[i] -= shift;
    d_[i + 1] += shift;
    *cosine = turn.cosine;
    *sine = half < 0 ? -turn.sine : turn.sine;
  }

  // The state of a QL sweep over each lane's block, from its last row up to row l.
  struct Sweep {
    V m, dm;  // the last row of the block, and the diagonal there
    V g, s, c, p;
    // The lanes whose block ends after this row.
    M beyond(int row) const { return m > splat<V>(R(row)); }
  };

  void find_block(int l, Sweep* sweep) const {
    const V tiny = splat<V>(Precision<R>::kTiny), eps = splat<V>(Precision<R>::kEpsilon);
    V m = splat<V>(R(n() - 1)), dm = d_[n() - 1];
    for (int i = n() - 2; i >= l; --i) {
      const M small = magnitude(e_[i]) <= eps * (magnitude(d_[i]) + magnitude(d_[i + 1])) + tiny;
      m = select(small, splat<V>(R(i)), m);
      dm = select(small, d_[i], dm);
    }
    sweep->m = m;
    sweep->dm = dm;
  }

  void give_up(int l, const Sweep& sweep) { d_[l] = select(sweep.beyond(l), splat<V>(R(__builtin_nan(""))), d_[l]); }

  void begin_sweep(int l, Sweep* sweep) const {
    const V one = splat<V>(R(1)), el = select(sweep->beyond(l), e_[l], one);
    const V g = (d_[l + 1] - d_[l]) / (el + el), r = root(g * g + one);
    sweep->g = sweep->dm - d_[l] + el / (g + (g < 0 ? -r : r));
    sweep->s = sweep->c = one;
    sweep->p = V{};
  }

  void step(int i, Sweep* sweep, bool vectors) {
    const V zero{}, one = splat<V>(R(1)), tiny = splat<V>(Precision<R>::kTiny * Precision<R>::kTiny);
    const M active = sweep->beyond(i);
    const V f = sweep->s * e_[i], b = sweep->c * e_[i], g = sweep->g;
    const V square = f * f + g * g;
    const M flat = square <= tiny;  // the rotation is negligible
    const V r = root(square), inverse = one / select(flat, one, r);
    const V si = select(flat, zero, f * inverse), ci = select(flat, one, g * inverse);
    const V shifted = d_[i + 1] - sweep->p;
    const V t = (d_[i] - shifted) * si + (ci + ci) * b;
    const V pi = si * t;
    e_[i + 1] = select(active, r, e_[i + 1]);
    d_[i + 1] = select(active, shifted + pi, d_[i + 1]);
    sweep->g = select(active, ci * t - b, g);
    sweep->p = select(active, pi, sweep->p);
    sweep->s = select(active, si, sweep->s);
    sweep->c = select(active, ci, sweep->c);
    if (vectors) rotate(i, select(active, ci, one), select(active, si, zero));
  }

  void end_sweep(int l, const Sweep& sweep) {
    const M open = sweep.beyond(l);
    d_[l] = select(open, d_[l] - sweep.p, d_[l]);
    e_[l] = select(open, sweep.g, e_[l]);
    for (int i = l + 1; i < n(); ++i) e_[i] = select(open & (sweep.m == splat<V>(R(i))), V{}, e_[i]);
  }

  void rotate(int i, V c, V s) {
    V* low = reinterpret_cast<V*>(&q(0, i));
    V* high = reinterpret_cast<V*>(&q(0, i + 1));
    const int rows = n() * (kComplex ? 2 : 1);
    for (int k = 0; k < rows; ++k) {
      const V h = high[k], x = low[k];
      high[k] = s * x + c * h;
      low[k] = c * x - s * h;
    }
  }

  Square a_, q_;
  S sub_[kMax];
  V d_[kMax];
  V e_[kMax];
  V beta_[kMax];
  int order_;

 protected:
  void place_squares(int order, S* at) {
    order_ = order;
    if constexpr (N == 0) {
      a_ = at;
      q_ = at + order * order;
    }
  }
};

}  // namespace
}  // namespace EIGENPAIR_ISA
}  // namespace eigenpair
