"""Hermitian pairs, reduced to one matrix in the metric of `B`, differentiably at any degeneracy.

In the basis of the solution `V`, which is constant for derivatives, the pair is `(Λ, I)` plus a first-order change, and
the square root of a matrix near `I` is a series. So no factor of `B` is differentiated. See `docs/derivations.md`,
"Spectral functions".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.policies import check
from ..hermitian.primitive import solve
from ..hermitian.rule import bases, scale_of
from ..runtime.matrices import adjoint, diagonal_matrix, identity, matmul

# Series of x ↦ (1 + x)^p, enough for three derivatives.
_SERIES = {-0.5: (-1 / 2, 3 / 8, -5 / 16), 0.5: (1 / 2, -1 / 8, 1 / 16)}


class Problem(NamedTuple):
    """A Hermitian matrix with its eigenvalues and vectors, which are constants. `outer` is the differentiable `W` with
    `P = W f(matrix) Wᴴ`, `None` for the identity; `scale` is the scale of the rounding errors in the eigenvalues."""

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
    """The problem of one Hermitian matrix."""
    w, v = solve([lax.stop_gradient(a)], type=0, triangle="hermitian", policy=check(), vectors=True)
    w, v = lax.stop_gradient(w), lax.stop_gradient(v)
    return Problem(a, w, v, None, scale_of(0, a, None, w, v, v))


def pair(a: Array, b: Array, type: int) -> Problem:
    """The problem of a pair of Hermitian matrices, `B` positive definite."""
    a0, b0 = lax.stop_gradient(a), lax.stop_gradient(b)
    solved = solve([a0, b0], type=type, triangle="hermitian", policy=check(), vectors=True)
    w, v, *dual = (lax.stop_gradient(x) for x in solved)
    x, y = bases(type, v, dual[0] if dual else None)
    scale = scale_of(type, a0, b0, w, x, y)
    if type == 2:
        x = _known(x, matmul(b, v))
    inner = _known(diagonal_matrix(w, a.dtype), matmul(adjoint(x), matmul(a, x)))
    root = _power(0.5 if type == 3 else -0.5, matmul(adjoint(y), matmul(b, y)))
    # In type 3, WᴴAW with WWᴴ = B; in the others, WᴴBW = I.
    matrix = _known(diagonal_matrix(w, a.dtype), matmul(root, matmul(inner, root)))
    one = jnp.broadcast_to(identity(a.shape[-1], a.ndim, a.dtype), a.shape)
    return Problem(matrix, w, one, _known(v, matmul(v, root)), scale)


# The value of `x` is known. Only its derivatives are computed, and nothing at all if the argument has no tangent.


@jax.custom_jvp
def _known(value: Array, x: Array) -> Array:
    """`x`, whose value is known, with its derivatives."""
    # Compiled, this is `value`. It has the batch of `x`, without which JAX 0.12 fails on batches of `lax.custom_root`.
    return jnp.where(False, x, value)


@_known.defjvp
def _known_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return _known(*primals), tangents[1]


def _power(p: float, x: Array) -> Array:
    """`Xᵖ` at `X = I`, with three derivatives."""
    one = jnp.broadcast_to(identity(x.shape[-1], x.ndim, x.dtype), x.shape)
    z = _known(jnp.zeros_like(x), x)
    first, second, third = (jnp.asarray(c, x.dtype) for c in _SERIES[p])
    return _known(one, first * z + matmul(z, second * z + third * matmul(z, z)))
