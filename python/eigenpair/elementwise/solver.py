"""Small Hermitian problems as element-wise operations over the batch, which XLA fuses into a few kernels.

Jacobi's method: a rotation of rows and columns p and q makes the entry (p, q) zero, and sweeps over all (p, q) converge
quadratically. It is backward stable. There are two forms:

- by rounds: the matrix is one array, in which n/2 disjoint rotations are done at once; a loop ends when all matrices
  have converged.
- by entries, for GPUs up to n = 4: one array for each entry of the matrix, and a fixed number of unrolled sweeps.
  Barriers cut the program into pieces of about 300 operations. XLA for GPUs makes one kernel of each piece, and its
  compile time grows with the square of the size of a piece. XLA for CPUs makes one kernel for every result, and
  compiles for minutes.

Sources: G. H. Golub, C. F. Van Loan, *Matrix Computations*, 4th ed., section 8.5; R. P. Brent, F. T. Luk, SIAM J. Sci.
Stat. Comput. 6 (1985), for the order of the rotations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime.matrices import identity, of_rank

# The largest order that is solved this way.
LARGEST = 8

# The largest order that is solved by entries.
LARGEST_BY_ENTRIES = 4

# The number of sweeps that every tested matrix needed at most (random, graded, clustered, singular), plus one.
_SWEEPS = {2: 1, 3: 6, 4: 7}
_MOST_SWEEPS = 30
_PIECE = 300  # operations between two barriers


def eigh(a: Array, vectors: bool, *, by_entries: bool = False) -> tuple[list[Array], Array]:
    """`[w]` or `[w, v]` of finite Hermitian matrices `(…, n, n)`, `w` ascending; and which of them were solved, `(…)`.
    `by_entries`: use that form, for GPUs, if `n` is small enough."""
    n = a.shape[-1]
    factor = _scaling(a)
    scaled = a * factor[..., None, None].astype(a.dtype)
    if n <= 1:
        w, v = jnp.real(jnp.diagonal(scaled, axis1=-2, axis2=-1)), jnp.ones_like(a) if vectors else None
        solved = jnp.ones(a.shape[:-2], bool)
    else:
        solve = _solve_by_entries if by_entries and n <= LARGEST_BY_ENTRIES else _solve_by_rounds
        w, v, solved = solve(scaled, vectors)
    w = w / factor[..., None]
    return ([w] if v is None else [w, v]), solved


def _scaling(a: Array) -> Array:
    """A power of two that protects the largest entry of each matrix from overflow and underflow; 1 for almost all
    matrices."""
    limits = jnp.finfo(a.dtype)
    size = jnp.max(jnp.abs(a), axis=(-1, -2))
    large, small = 2.0 ** (limits.maxexp - 8), 2.0 ** (limits.minexp // 2)
    real = size.dtype.type
    down, up = real(2.0**-12), real(2.0 ** (-limits.minexp // 2))
    return jnp.where(size > real(large), down, jnp.where(size < real(small), up, real(1)))


def _rotation(app: Array, aqq: Array, apq: Array) -> tuple[Array, Array, Array]:
    """`c` (real), `s` and the change of the diagonal, so that `[c, s; -s*, c]` from the right makes `apq` zero. The
    angle is at most π/4, which guarantees convergence."""
    is_complex = jnp.iscomplexobj(apq)
    size = jnp.abs(apq) if is_complex else apq  # a real one keeps its sign, which is its phase
    zero = size == 0
    safe = jnp.where(zero, size.dtype.type(1), size)
    tau = (aqq - app) / (2 * safe)
    sign = jnp.where(zero, 0, jnp.where(tau < 0, -1, 1)).astype(size.dtype)
    # Divisions come last: XLA repeats cheap operations in every kernel that needs their result, and with them all
    # operations before them.
    t = sign / (jnp.abs(tau) + jnp.sqrt(1 + tau * tau))
    c = _unit(1 / jnp.sqrt(1 + t * t), lambda c: (1 + t * t) * c * c)
    s = t * c
    if is_complex:
        phase = _unit(apq / safe.astype(apq.dtype), lambda x: jnp.real(x) ** 2 + jnp.imag(x) ** 2)
        s = s.astype(apq.dtype) * phase
    return c, s, t * size


def _unit(x: Array, square: Callable[[Array], Array]) -> Array:
    """`x` scaled so that `square(x)` is 1, by one step of Newton's method. GPUs approximate division and square root in
    single precision. Without this step, the errors of dozens of rotations would exceed rounding errors."""
    return x * (1.5 - 0.5 * square(x)).astype(x.dtype)


def _converged(largest_off: Array, largest: Array, n: int) -> Array:
    """`not >` would let NaN pass."""
    return largest_off <= n * jnp.finfo(largest.dtype).eps * largest


# ---- by entries ------------------------------------------------------------------------------------------------------


class _Entries:
    """The upper triangle of the matrix being rotated, and the rotations' product, as one array for each entry."""

    def __init__(self, a: Array, vectors: bool):
        self.n = a.shape[-1]
        self.real = jnp.finfo(a.dtype).dtype
        pairs = [(i, j) for i in range(self.n) for j in range(i, self.n)]
        self.a = {(i, j): jnp.real(a[..., i, i]) if i == j else a[..., i, j] for i, j in pairs}
        one, zero = jnp.ones(a.shape[:-2], a.dtype), jnp.zeros(a.shape[:-2], a.dtype)
        indices = range(self.n) if vectors else ()
        self.v = {(i, j): one if i == j else zero for i in indices for j in indices}
        self.operations = 0

    def barrier(self) -> None:
        a, v = lax.optimization_barrier((list(self.a.values()), list(self.v.values())))
        self.a, self.v = dict(zip(self.a, a, strict=True)), dict(zip(self.v, v, strict=True))
        self.operations = 0

    def rotate(self, p: int, q: int) -> None:
        """Makes the entry (p, q), p < q, zero."""
        a = self.a
        c, s, shift = _rotation(a[p, p], a[q, q], a[p, q])
        a[p, p], a[q, q] = a[p, p] - shift, a[q, q] + shift
        a[p, q] = jnp.zeros_like(a[p, q])
        c, s_star = c.astype(s.dtype), jnp.conj(s)
        for k in range(self.n):
            if k in (p, q):
                continue
            # The entries (k, p) and (k, q), from the triangle that is kept.
            x = a[k, p] if k < p else jnp.conj(a[p, k])
            y = a[k, q] if k < q else jnp.conj(a[q, k])
            x, y = c * x - s_star * y, s * x + c * y
            a[min(k, p), max(k, p)] = x if k < p else jnp.conj(x)
            a[min(k, q), max(k, q)] = y if k < q else jnp.conj(y)
        if self.v:
            for k in range(self.n):
                x, y = self.v[k, p], self.v[k, q]
                self.v[k, p], self.v[k, q] = c * x - s_star * y, s * x + c * y
        self.operations += 20 + 6 * (self.n - 2) + (6 * self.n if self.v else 0)
        if self.operations > _PIECE:
            self.barrier()

    def sort(self) -> None:
        """The diagonal ascending: an odd-even transposition network."""
        for step in range(self.n):
            for i in range(step % 2, self.n - 1, 2):
                self._exchange(i, i + 1)

    def _exchange(self, i: int, j: int) -> None:
        x, y = self.a[i, i], self.a[j, j]
        swap = x > y
        self.a[i, i], self.a[j, j] = jnp.where(swap, y, x), jnp.where(swap, x, y)
        for k in range(self.n if self.v else 0):
            x, y = self.v[k, i], self.v[k, j]
            self.v[k, i], self.v[k, j] = jnp.where(swap, y, x), jnp.where(swap, x, y)


def _solve_by_entries(a: Array, vectors: bool) -> tuple[Array, Array | None, Array]:
    n = a.shape[-1]
    entries = _Entries(a, vectors)
    for _ in range(_SWEEPS[n]):
        for p in range(n):
            for q in range(p + 1, n):
                entries.rotate(p, q)
    off = _largest([jnp.abs(entries.a[p, q]) for p in range(n) for q in range(p + 1, n)])
    solved = _converged(off, _largest([jnp.abs(entries.a[i, i]) for i in range(n)]), n)
    entries.sort()
    # Each number is written to its place in the results separately. Without a barrier XLA would compute it again.
    entries.barrier()
    w = jnp.stack([entries.a[i, i] for i in range(n)], axis=-1)
    if not vectors:
        return w, None, solved
    rows = [jnp.stack([entries.v[i, j] for j in range(n)], axis=-1) for i in range(n)]
    return w, jnp.stack(rows, axis=-2), solved


def _largest(values: Sequence[Array]) -> Array:
    result = values[0]
    for value in values[1:]:
        result = jnp.maximum(result, value)
    return result


# ---- by rounds -------------------------------------------------------------------------------------------------------


def _solve_by_rounds(a: Array, vectors: bool) -> tuple[Array, Array | None, Array]:
    n = a.shape[-1]
    m = n + n % 2  # an odd order gets a row and column of zeros, which no rotation touches
    grown = [(0, 0)] * (a.ndim - 2) + [(0, m - n)] * 2
    state = jnp.pad(a, grown)
    if vectors:
        state = jnp.concatenate([state, jnp.broadcast_to(jnp.eye(m, dtype=a.dtype), state.shape)], axis=-2)
    size = jnp.max(jnp.abs(a), axis=(-1, -2))

    def not_converged(carried: tuple[Array, Array]) -> Array:
        state, count = carried
        return (count < _MOST_SWEEPS) & jnp.any(~_converged(_largest_off_diagonal(state), size, n))

    def sweep(carried: tuple[Array, Array]) -> tuple[Array, Array]:
        state, count = carried
        for _ in range(m - 1):
            state = _move(_rotate_halves(state))
        return state, count + 1

    state, _ = lax.while_loop(not_converged, sweep, (state, jnp.int32(0)))
    solved = _converged(_largest_off_diagonal(state), size, n)
    w = jnp.real(jnp.diagonal(state[..., :n, :n], axis1=-2, axis2=-1))
    order = _ranks(w)[..., None, :] == of_rank(jnp.arange(n)[:, None], w.ndim + 1)  # (…, rank, index)
    w = jnp.sum(jnp.where(order, w[..., None, :], 0), axis=-1)
    if not vectors:
        return w, None, solved
    v = state[..., m : m + n, :n]
    v = jnp.sum(jnp.where(order[..., None, :, :], v[..., :, None, :], 0), axis=-1)
    return w, v, solved


def _largest_off_diagonal(state: Array) -> Array:
    m = state.shape[-1]
    diagonal = identity(m, state.ndim)
    return jnp.max(jnp.where(diagonal, 0, jnp.abs(state[..., :m, :])), axis=(-1, -2))


def _ranks(w: Array) -> Array:
    """Each eigenvalue's place in ascending order; equal eigenvalues keep their order."""
    before = of_rank(jnp.tri(w.shape[-1], k=-1, dtype=bool), w.ndim + 1)  # [i, j]: j < i
    x, y = w[..., :, None], w[..., None, :]
    return jnp.sum((y < x) | ((y == x) & before), axis=-1)


def _rotate_halves(state: Array) -> Array:
    """Makes the entries (i, i + m/2) zero, all at once. The product of the rotations is stored below the matrix."""
    m = state.shape[-1]
    h = m // 2
    matrix, upper = state[..., :m, :], state[..., :h, :]
    app = jnp.real(jnp.diagonal(upper[..., :h], axis1=-2, axis2=-1))
    apq = jnp.diagonal(upper[..., h:], axis1=-2, axis2=-1)
    aqq = jnp.real(jnp.diagonal(matrix[..., h:, h:], axis1=-2, axis2=-1))
    c, s, _ = _rotation(app, aqq, apq)
    c = c.astype(s.dtype)
    left, right = state[..., :h], state[..., h:]
    c_, s_ = c[..., None, :], s[..., None, :]
    state = jnp.concatenate([c_ * left - jnp.conj(s_) * right, s_ * left + c_ * right], axis=-1)
    top, middle, rest = state[..., :h, :], state[..., h:m, :], state[..., m:, :]
    c_, s_ = c[..., :, None], s[..., :, None]
    state = jnp.concatenate([c_ * top - s_ * middle, jnp.conj(s_) * top + c_ * middle, rest], axis=-2)
    zero = np.zeros((state.shape[-2], m), bool)
    zero[np.arange(h), np.arange(h) + h] = zero[np.arange(h) + h, np.arange(h)] = True
    return jnp.where(of_rank(jnp.asarray(zero), state.ndim), 0, state)


def _move(state: Array) -> Array:
    """The order of the next m/2 rotations: index 0 stays, the others move around cyclically. After m - 1 steps all are
    back in place."""
    m = state.shape[-1]
    h = m // 2
    if m == 2:
        return state

    def move(x: Array, axis: int) -> Array:
        take: Callable[[int, int], Any] = lambda first, last: lax.slice_in_dim(x, first, last, axis=axis)  # noqa: E731
        pieces = [take(0, 1), take(h, h + 1), take(1, h - 1), take(h + 1, m), take(h - 1, h)]
        return jnp.concatenate([*pieces, take(m, x.shape[axis])], axis=axis)

    return move(move(state, state.ndim - 1), state.ndim - 2)
