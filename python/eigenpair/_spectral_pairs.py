"""Hermitian pairs brought to one matrix in the metric of `B`, differentiably at any degeneracy.

With the solution `V` at hand, constant for derivatives, the pair in its basis is `(Λ, I)` at first order 0, and the
square root of a matrix near `I` is a series. So no factor of `B` is ever differentiated. See `docs/derivations.md`,
"Spectral functions".
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from ._hermitian_rules import bases, scale_of
from ._matrices import adjoint, diagonal_matrix, identity, matmul
from .degeneracy import check
from .hermitian import solve

# Of x ↦ (1 + x)^p; three derivatives.
_SERIES = {-0.5: (-1 / 2, 3 / 8, -5 / 16), 0.5: (1 / 2, -1 / 8, 1 / 16)}


class Problem(NamedTuple):
    """A Hermitian matrix with its eigenvalues and vectors, which are constants; `outer` is the differentiable `W` with
    `P = W f(matrix) Wᴴ`, `None` for the identity; `scale` is the size of the source of rounding in the eigenvalues."""

    matrix: Array
    w: Array
    v: Array
    outer: Array | None
    scale: Array

    def outside(self, x: Array) -> Array:
        """`W X Wᴴ`."""
        if self.outer is None:
            return x
        outer = self.outer.astype(jnp.promote_types(self.outer.dtype, x.dtype))
        return matmul(outer, matmul(x.astype(outer.dtype), adjoint(outer)))


def standard(a: Array) -> Problem:
    """Of one Hermitian matrix."""
    w, v = solve([lax.stop_gradient(a)], type=0, triangle="hermitian", policy=check(), vectors=True)
    w, v = lax.stop_gradient(w), lax.stop_gradient(v)
    return Problem(a, w, v, None, scale_of(0, a, None, w, v, v))


def pair(a: Array, b: Array, type: int) -> Problem:
    """Of a pair of Hermitian matrices, `B` positive definite."""
    a0, b0 = lax.stop_gradient(a), lax.stop_gradient(b)
    solved = solve([a0, b0], type=type, triangle="hermitian", policy=check(), vectors=True)
    w, v, *dual = (lax.stop_gradient(x) for x in solved)
    x, y = bases(type, v, dual[0] if dual else None)
    scale = scale_of(type, a0, b0, w, x, y)
    moved_b = _moved(b)
    if type == 2:
        x = x + matmul(moved_b, v)
    inner = diagonal_matrix(w, a.dtype) + _moved(matmul(adjoint(x), matmul(a, x)))
    root = _power(matmul(adjoint(y), matmul(moved_b, y)), 0.5 if type == 3 else -0.5)
    # In type 3, WᴴAW with WWᴴ = B; in the others, WᴴBW = I.
    matrix = matmul(root, matmul(inner, root))
    one = jnp.broadcast_to(identity(a.shape[-1], a.ndim, a.dtype), a.shape)
    return Problem(matrix, w, one, matmul(v, root), scale)


def _moved(x: Array) -> Array:
    """Zero, with the derivatives of `x`."""
    return x - lax.stop_gradient(x)


def _power(x: Array, p: float) -> Array:
    """`(I + X)ᵖ` for an `X` that is zero, with its derivatives."""
    one = identity(x.shape[-1], x.ndim, x.dtype)
    total = jnp.zeros_like(x)
    for coefficient in reversed(_SERIES[p]):
        total = matmul(x, total + jnp.asarray(coefficient, x.dtype) * one)
    return one + total
