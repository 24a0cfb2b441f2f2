"""Square root, logarithm and sign of a triangular matrix, by special formulas without groups of eigenvalues."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import check
from ..runtime.matrices import diagonal_matrix, identity, norm
from . import triangular

RESOLVED = 1e-3  # a result with a larger relative error is NaN


def not_grouped(t: Array) -> tuple[Array, Array, Array]:
    """Trivial groups: each eigenvalue is a group."""
    w = triangular.diagonal(t)
    return jnp.broadcast_to(identity(t.shape[-1], t.ndim), t.shape), w, jnp.ones_like(w.real)


def _reach_together(w: Array, size: Array, width: float) -> tuple[Array, Array]:
    """How far rounding moves each eigenvalue if it is defective, and its multiplicity `k`.

    `size` is `(..., 1)`, and both results have the shape of `w`. An eigenvalue moves by the δ for which `δᵏ`, times the
    distances to all eigenvalues except the `k` nearest (with itself), is a rounding error of the characteristic
    polynomial. Those `k` are closer than δ.
    """
    n = w.shape[-1]
    size = jnp.where(size > 0, size, 1)[..., None]
    distances = jnp.sort(jnp.abs(w[..., :, None] - w[..., None, :]) / size, axis=-1)
    logs = jnp.log(distances)
    beyond = jnp.cumsum(logs[..., ::-1], axis=-1)[..., ::-1]
    beyond = jnp.concatenate([beyond[..., 1:], jnp.zeros_like(beyond[..., :1])], axis=-1)
    k = jnp.broadcast_to(jnp.arange(1, n + 1, dtype=size.dtype), distances.shape)
    bounds = jnp.exp((math.log(width) - beyond) / k)
    count = jnp.max(jnp.where(distances <= bounds, k, 1), axis=-1, keepdims=True)
    reach = jnp.max(jnp.where(k == count, bounds, 0), axis=-1, keepdims=True) * size
    return reach[..., 0], count[..., 0]


@functools.partial(jax.jit, static_argnames=("method", "real"))
def triangle_and_branch_factor(t: Array, method: str, real: bool) -> tuple[Array, Array]:
    """`T`, and a factor: 1, or NaN where rounding may move an eigenvalue across the cut (or the imaginary axis).

    The error of an eigenvalue is estimated in two ways, and the smaller estimate is used: by its condition number,
    and as for a defective eigenvalue (`_reach_together`). A real eigenvalue of a real matrix has no imaginary part.
    """
    n = t.shape[-1]
    w = triangular.diagonal(t)
    single = jnp.broadcast_to(identity(n, t.ndim), t.shape)
    y, _ = triangular.block_diagonal(t, single)
    inverse = triangular.solve(y, single.astype(t.dtype), unit=True)
    condition = norm(y, -2)[..., 0, :] * norm(inverse, -1)[..., 0]
    size = norm(t, (-2, -1))[..., 0]
    width = cluster_width(check(), n, t.dtype)
    if method == "sign":
        room = jnp.abs(jnp.real(w))
    else:
        room = jnp.where((jnp.real(w) > 0) | real, jnp.abs(w), jnp.abs(jnp.imag(w)))
    alone = width * condition * size
    together, count = _reach_together(w, size, width)
    fine = jnp.all((room > alone / RESOLVED) | (room > together * RESOLVED ** (-1 / count)), axis=-1)
    reach = jnp.minimum(alone, together)
    if real and method != "sign":
        flat = (jnp.real(w) < 0) & (jnp.abs(jnp.imag(w)) <= reach)
        w = jnp.where(flat, jnp.real(w).astype(w.dtype), w)
        t = jnp.where(identity(n, t.ndim), diagonal_matrix(w, t.dtype), t)
    return t, jnp.where(fine[..., None], jnp.ones((3,), t.dtype), jnp.nan)
