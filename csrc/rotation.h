// The parts of the reverse rule that are not products, for matrices of any size: tile by tile with the tile across the
// diagonal, for columns a power of two apart share few lines of the cache. Included inside a namespace per instruction
// set.
//
// X is what lies in memory, row after row: K itself or, column-major, its transpose.

constexpr int64_t kTile = 32;

// Tiles (p, q), p <= q, of an n x n matrix, in strips of about equal work: tile row k from the top, and k from the end.
struct Strips {
  explicit Strips(int64_t order) : n(order), tiles((order + kTile - 1) / kTile), count((tiles + 1) / 2) {}

  template <typename Visit>
  void visit(int64_t strip, Visit visit) const {
    for (int64_t q = strip; q < tiles; ++q) visit(strip, q);
    const int64_t last = tiles - 1 - strip;
    for (int64_t q = last; last > strip && q < tiles; ++q) visit(last, q);
  }
  int64_t end(int64_t tile) const { return (tile + 1) * kTile < n ? (tile + 1) * kTile : n; }

  int64_t n, tiles, count;
};

template <typename T>
struct alignas(64) MirroredTiles {
  using R = typename RealPart<T>::type;
  static constexpr bool kComplex = !std::is_same_v<T, R>;

  // Tile (q, p) of `source`, transposed.
  void read(const T* source, const Strips& s, int64_t p, int64_t q) {
    for (int64_t j = q * kTile; j < s.end(q); ++j) {
      for (int64_t i = p * kTile; i < s.end(p); ++i) entries[i - p * kTile][j - q * kTile] = source[j * s.n + i];
    }
  }
  void write(T* target, const Strips& s, int64_t p, int64_t q) const {
    for (int64_t j = q * kTile; j < s.end(q); ++j) {
      for (int64_t i = p * kTile; i < s.end(p); ++i) target[j * s.n + i] = entries[i - p * kTile][j - q * kTile];
    }
  }

  static T scaled(T x, R factor) {
    if constexpr (kComplex) {
      return {factor * x.re, factor * x.im};
    } else {
      return factor * x;
    }
  }
  static T adjoint(T x) {
    if constexpr (kComplex) {
      return {x.re, -x.im};
    } else {
      return x;
    }
  }
  // (x + sign y*)/2
  static T half(T x, T y, R sign) {
    if constexpr (kComplex) {
      return {R(0.5) * x.re + R(0.5) * sign * y.re, R(0.5) * x.im - R(0.5) * sign * y.im};
    } else {
      return R(0.5) * x + R(0.5) * sign * y;
    }
  }
  static T real(R x) {
    if constexpr (kComplex) {
      return {x, 0};
    } else {
      return x;
    }
  }
  static R size(T x) {
    if constexpr (kComplex) {
      return modulus(x.re, x.im);
    } else {
      return absolute(x);
    }
  }

  T entries[kTile][kTile];
};

// M = Diag(dw) + F o (K - K*)/2, strip by strip; NaN at the pairs that are refused.
template <typename T>
void rotate(const eigenpair_rotation& p, int64_t index, int64_t strip, void* scratch) {
  using Mirror = MirroredTiles<T>;
  using R = typename Mirror::R;
  const Strips s(p.n);
  const auto of_matrix = [&](const void* base, int64_t count) {
    return base == nullptr ? nullptr : static_cast<const R*>(base) + index * count;
  };
  const R *w = of_matrix(p.w, p.n), *dw = of_matrix(p.dw, p.n);
  const T* x = static_cast<const T*>(p.k) + index * p.n * p.n;
  T* y = static_cast<T*>(p.m) + index * p.n * p.n;
  Gaps<R> gaps;
  gaps.open(w, p.n, of_matrix(p.scale, 1), p.policy, p.parameter, static_cast<int32_t*>(scratch));
  if (gaps.judges()) gaps.measure(p.kappa == nullptr ? R(0) : *of_matrix(p.kappa, 1), dw, p.n);
  // Transposed, the anti-Hermitian part changes its sign.
  const R sign = p.layout == EIGENPAIR_ROW_MAJOR ? R(1) : R(-1);
  bool refused = false;
  Mirror mirror;
  s.visit(strip, [&](int64_t tp, int64_t tq) {
    const int64_t p0 = tp * kTile, q0 = tq * kTile, p1 = s.end(tp), q1 = s.end(tq);
    mirror.read(x, s, tp, tq);
    const bool far = gaps.far() || (gaps.judges() && tp != tq && gaps.far(p1 - 1, q0));
    for (int64_t i = p0; i < p1; ++i) {
      T* across = mirror.entries[i - p0] - q0;
      for (int64_t j = i + 1 > q0 ? i + 1 : q0; far && j < q1; ++j) {
        const T here = Mirror::scaled(Mirror::half(x[i * p.n + j], across[j], R(-1)), sign / (w[j] - w[i]));
        y[i * p.n + j] = here;
        across[j] = Mirror::adjoint(here);
      }
      for (int64_t j = i + 1 > q0 ? i + 1 : q0; !far && j < q1; ++j) {
        const T rotation = Mirror::half(x[i * p.n + j], across[j], R(-1));
        R f = gaps.inverse(i, j);
        if (gaps.judges()) {
          const R mixing = Mirror::size(Mirror::half(x[i * p.n + j], across[j], R(1)));
          const auto says = gaps.judge(i, j, Mirror::size(rotation), mixing);
          if (says == Gaps<R>::kNoise) f = 0;
          if (says == Gaps<R>::kRefused) f = static_cast<R>(__builtin_nan(""));
          refused |= says == Gaps<R>::kRefused;
        }
        y[i * p.n + j] = Mirror::scaled(rotation, sign * f);
        across[j] = Mirror::adjoint(y[i * p.n + j]);
      }
    }
    for (int64_t i = p0; tp == tq && i < p1; ++i) {
      mirror.entries[i - p0][i - p0] = Mirror::real(dw == nullptr ? R(0) : dw[i]);
      // Of a tile on the diagonal, all of the mirror image is written back.
      for (int64_t j = p0; j < i; ++j) mirror.entries[i - p0][j - p0] = y[j * p.n + i];
    }
    mirror.write(y, s, tp, tq);
  });
  if (refused && p.refused != nullptr) __atomic_store_n(p.refused + index, 1, __ATOMIC_RELAXED);
}

// What the variables of `triangle` get of a gradient X: its Hermitian part, or both sides of it on one.
template <typename T>
void gather_gradient(const eigenpair_gradient& p, int64_t index, int64_t strip) {
  using Mirror = MirroredTiles<T>;
  using R = typename Mirror::R;
  const Strips s(p.n);
  const T* x = static_cast<const T*>(p.whole) + index * p.n * p.n;
  T* y = static_cast<T*>(p.gradient) + index * p.n * p.n;
  const bool refused = p.refused != nullptr && p.refused[index] != 0;
  const T unread = Mirror::real(refused ? static_cast<R>(__builtin_nan("")) : R(0));
  const bool both = p.triangle == EIGENPAIR_HERMITIAN_PART;
  const bool above = (p.triangle == EIGENPAIR_UPPER) == (p.layout == EIGENPAIR_ROW_MAJOR);
  const R kept = both ? R(1) : R(2);
  Mirror mirror;
  s.visit(strip, [&](int64_t tp, int64_t tq) {
    const int64_t p0 = tp * kTile, q0 = tq * kTile, p1 = s.end(tp), q1 = s.end(tq);
    mirror.read(x, s, tp, tq);
    for (int64_t i = p0; i < p1; ++i) {
      T* across = mirror.entries[i - p0] - q0;
      for (int64_t j = i + 1 > q0 ? i + 1 : q0; j < q1; ++j) {
        T here = Mirror::scaled(Mirror::half(x[i * p.n + j], across[j], R(1)), kept);
        if (p.conjugated) here = Mirror::adjoint(here);
        // What is not read has the gradient 0, whatever infinity stands on the other side.
        if (refused) here = unread;
        y[i * p.n + j] = both || above ? here : unread;
        across[j] = both || !above ? Mirror::adjoint(here) : unread;
      }
    }
    for (int64_t i = p0; tp == tq && i < p1; ++i) {
      T* const row = mirror.entries[i - p0];
      if constexpr (Mirror::kComplex) row[i - p0].im = 0;
      if (refused) row[i - p0] = unread;
      for (int64_t j = p0; j < i; ++j) row[j - p0] = y[j * p.n + i];
    }
    mirror.write(y, s, tp, tq);
  });
}
