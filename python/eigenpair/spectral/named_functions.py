"""Square root, logarithm and sign of a triangular matrix without groups of eigenvalues, by formulas of their own."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import check
from ..runtime.matrices import diagonal_matrix, identity, norm
from . import triangular

RESOLVED = 1e-3  # a result with a larger relative error is NaN


def not_grouped(t: Array) -> tuple[Array, Array, Array]:
    """No groups: each eigenvalue is one of its own."""
    w = triangular.diagonal(t)
    return jnp.broadcast_to(identity(t.shape[-1], t.ndim), t.shape), w, jnp.ones_like(w.real)


@functools.partial(jax.jit, static_argnames=("method", "real"))
def triangle_and_branch_factor(t: Array, method: str, real: bool) -> tuple[Array, Array]:
    """`T`, and a factor: 1, or NaN where rounding may move an eigenvalue across the cut (or the imaginary axis).

    The error of an eigenvalue is the lesser of two estimates: by its condition number, and as of a defective eigenvalue
    whose multiplicity is the number of eigenvalues closer to it than the cut. Of a real matrix, a negative eigenvalue
    has no imaginary part.
    """
    n = t.shape[-1]
    w = triangular.diagonal(t)
    alone = jnp.broadcast_to(identity(n, t.ndim), t.shape)
    y, _ = triangular.block_diagonal(t, alone)
    inverse = triangular.solve(y, alone.astype(t.dtype), unit=True)
    condition = norm(y, -2)[..., 0, :] * norm(inverse, -1)[..., 0]
    size = norm(t, (-2, -1))[..., 0]
    width = cluster_width(check(), n, t.dtype)
    if method == "sign":
        room = jnp.abs(jnp.real(w))
    else:
        room = jnp.where((jnp.real(w) > 0) | real, jnp.abs(w), jnp.abs(jnp.imag(w)))
    near = jnp.abs(w[..., :, None] - w[..., None, :]) <= 3 * room[..., :, None]
    power = 1 / jnp.sum(near, axis=-1, dtype=size.dtype)
    reach = jnp.where(width * condition < width**power, width * condition, width**power) * size
    fine = jnp.all(room > RESOLVED**-power * reach, axis=-1)
    if real and method != "sign":
        flat = (jnp.real(w) < 0) & (jnp.abs(jnp.imag(w)) <= reach)
        w = jnp.where(flat, jnp.real(w).astype(w.dtype), w)
        t = jnp.where(identity(n, t.ndim), diagonal_matrix(w, t.dtype), t)
    return t, jnp.where(fine[..., None], jnp.ones((3,), t.dtype), jnp.nan)
