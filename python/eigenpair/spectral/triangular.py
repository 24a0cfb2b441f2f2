"""Functions of upper triangular matrices `T`, with any number of leading batch axes.

Every recurrence goes from one superdiagonal to the next; all entries of a superdiagonal are computed together.
Derivatives need no separate rule, because `f([[T, E], [0, T]])` is triangular too and has the derivative `L_f(T, E)` in
its corner. See `docs/derivations.md`, "Functions of general matrices".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime.matrices import diagonal_matrix, identity, matmul, of_rank

# ---- from superdiagonal to superdiagonal -----------------------------------------------------------------------------


def diagonal(x: Array) -> Array:
    """The diagonals, shape `(…, n)`."""
    return jnp.diagonal(x, axis1=-2, axis2=-1)


def _places(s: Any, n: int, ndim: int) -> Array:
    """The mask of superdiagonal `s`."""
    i = jnp.arange(n)
    return of_rank(i[None, :] - i[:, None] == s, ndim)


def _read(x: Array, s: Any) -> Array:
    """Entries `(i, i + s)`, shape `(…, n)`; 0 beyond the last."""
    return jnp.sum(jnp.where(_places(s, x.shape[-1], x.ndim), x, jnp.zeros((), x.dtype)), axis=-1, dtype=x.dtype)


def _product(x: Array, y: Array, s: Any) -> Array:
    """The same entries of `x y`, for matrices that are zero on and below the diagonal."""
    return jnp.sum(x * jnp.roll(jnp.swapaxes(y, -1, -2), -s, axis=-2), axis=-1)


def _written(x: Array, s: Any, values: Array) -> Array:
    return jnp.where(_places(s, x.shape[-1], x.ndim), values[..., :, None], x)


def _pairs(w: Array) -> tuple[Array, Array]:
    return w[..., :, None], w[..., None, :]


def _strict(x: Array) -> Array:
    return jnp.triu(x, 1)


# ---- named functions -------------------------------------------------------------------------------------------------


def sqrt(t: Array) -> Array:
    """The principal square root (Björck and Hammarling 1983; Higham, alg. 6.3)."""
    roots = jnp.sqrt(diagonal(t))
    left, right = _pairs(roots)
    inverse = _strict(1 / jnp.where(left + right == 0, jnp.nan, left + right))

    def step(s: Array, r: Array) -> Array:
        return _written(r, s, (_read(t, s) - _product(r, r, s)) * _read(inverse, s))

    strict = lax.fori_loop(1, t.shape[-1], step, jnp.zeros_like(t))
    return strict + diagonal_matrix(roots, t.dtype)


def sign(t: Array) -> Array:
    """The matrix sign (Higham, alg. 5.5)."""
    w = diagonal(t)
    signs = jnp.sign(jnp.real(w)).astype(t.dtype)
    (left, right), (wi, wj) = _pairs(signs), _pairs(w)
    same = left == right
    inverse = jnp.where(same, -left / 2, 1 / jnp.where(same, 1, wi - wj))
    split, strict = _strict(left - right), _strict(t)
    start = split * strict * inverse

    def step(s: Array, u: Array) -> Array:
        equal = _product(u, u, s)
        apart = _product(u, strict, s) - _product(strict, u, s)
        value = _read(start, s) + jnp.where(_read(same, s), equal, apart) * _read(inverse, s)
        return _written(u, s, value)

    result = lax.fori_loop(1, t.shape[-1], step, jnp.zeros_like(t))
    return result + diagonal_matrix(signs, t.dtype)


# Gauss–Legendre on [0, 1]: log(I + X) = ∫ X (I + xX)⁻¹ dx, which is its Padé approximant [12/12].
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_MOST_ROOTS = 80


def log(t: Array) -> Array:
    """The principal logarithm, by inverse scaling and squaring (Higham, ch. 11)."""
    one = identity(t.shape[-1], t.ndim, t.dtype)

    def is_far(x: Array) -> Array:
        return jnp.max(jnp.sum(jnp.abs(x - one), axis=-2), axis=-1) > 0.5

    def root(state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, count = state
        again = is_far(x)
        return jnp.where(again[..., None, None], sqrt(x), x), count + again.astype(count.dtype)

    def more(state: tuple[Array, Array]) -> Array:
        x, count = state
        return jnp.any(is_far(x)) & (jnp.max(count) < _MOST_ROOTS)

    x, count = lax.while_loop(more, root, (t, jnp.zeros(t.shape[:-2], jnp.int32)))
    x = x - one
    total = jnp.zeros_like(t)
    for node, weight in zip((_NODES + 1) / 2, _WEIGHTS / 2, strict=True):
        total += float(weight) * solve(one + float(node) * x, x)
    total *= jnp.ldexp(jnp.ones(count.shape, total.real.dtype), count).astype(t.dtype)[..., None, None]
    # Subtracting 1 has lost digits of the diagonal, so it is computed again here.
    return jnp.where(identity(t.shape[-1], t.ndim), diagonal_matrix(jnp.log(diagonal(t)), t.dtype), total)


def solve(t: Array, x: Array, unit: bool = False) -> Array:
    """`T⁻¹ X`."""
    return lax.linalg.triangular_solve(t, x, left_side=True, lower=False, unit_diagonal=unit)


# ---- any function, from its Taylor series ----------------------------------------------------------------------------


def block_diagonal(t: Array, same: Array) -> tuple[Array, Array]:
    """`Y` and `D` with `T Y = Y D`: `D` is zero between different groups of eigenvalues, `Y` is the identity within
    each. Both are upper triangular, and the members of a group need not be neighbours."""
    w = diagonal(t)
    left, right = _pairs(w)
    inverse = jnp.where(same, 0, 1 / jnp.where(same, 1, right - left))
    strict = _strict(t)

    def step(s: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        z, d = state
        value = _read(t, s) + _product(strict, z, s) - _product(z, d, s)
        inside = _read(same, s)
        return _written(z, s, value * _read(inverse, s)), _written(d, s, jnp.where(inside, value, 0))

    zero = jnp.zeros_like(t)
    z, d = lax.fori_loop(1, t.shape[-1], step, (zero, zero))
    return z + identity(t.shape[-1], t.ndim, t.dtype), d + diagonal_matrix(w, t.dtype)


def taylor(t: Array, same: Array, center: Array, radius: Array, coefficients: Array) -> Array:
    """`f(T)` from `f(cᵢ + rᵢ x) = Σ aᵢₖ xᵏ` in the group of each eigenvalue; `coefficients` is `(…, n, K)`. Linear in
    these."""
    y, d = block_diagonal(t, same)
    x = (d - diagonal_matrix(center, t.dtype)) / radius.astype(t.dtype)[..., :, None]

    def add(total: Array, a: Array) -> tuple[Array, None]:
        return matmul(x, total) + diagonal_matrix(a, t.dtype), None

    value, _ = lax.scan(add, jnp.zeros_like(t), jnp.moveaxis(coefficients, -1, 0)[::-1])
    return matmul(y, right_solve(value, y))


def right_solve(x: Array, y: Array) -> Array:
    """`X Y⁻¹`, for `Y` with a unit diagonal."""
    return lax.linalg.triangular_solve(y, x, left_side=False, lower=False, unit_diagonal=True)


# ---- derivatives -----------------------------------------------------------------------------------------------------


def corner(f: Callable[[Array, int], Array], t: Array, directions: Sequence[Array]) -> Array:
    """The corner of `f` of the block upper bidiagonal matrix with `T` on the diagonal and the directions above it.

    `f(matrix, blocks)`; with no direction, `f(T)`. The derivative of `f` is the sum of such corners over all orders of
    the directions.
    """
    n, blocks = t.shape[-1], len(directions) + 1
    rows = []
    for i in range(blocks):
        row = [jnp.zeros_like(t)] * blocks
        row[i] = t
        if i < blocks - 1:
            row[i + 1] = directions[i]
        rows.append(jnp.concatenate(row, axis=-1))
    return f(jnp.concatenate(rows, axis=-2), blocks)[..., :n, (blocks - 1) * n :]
