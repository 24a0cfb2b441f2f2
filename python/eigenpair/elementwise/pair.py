"""The Cholesky factor of small matrices, and solves with it, as element-wise operations over the batch."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def cholesky(b: Array) -> Array:
    """The lower triangular `L` with `B = L Lᴴ`, column by column, from the lower triangle of `B`; NaN or Inf if `B` is
    not positive definite."""
    n = b.shape[-1]
    columns: list[Array] = []
    for j in range(n):
        rest = b[..., j]
        for column in columns:
            rest = rest - column * jnp.conj(column[..., j : j + 1])
        # The division comes last: XLA repeats cheap operations in every kernel that needs them.
        pivot = jnp.sqrt(jnp.real(rest[..., j : j + 1])).astype(b.dtype)
        below = rest[..., j + 1 :] / pivot
        columns.append(jnp.concatenate([jnp.zeros_like(rest[..., :j]), pivot, below], axis=-1))
    return jnp.stack(columns, axis=-1)


def solve_triangular(factor: Array, x: Array, *, adjoint: bool = False) -> Array:
    """`L⁻¹ X` or `L⁻ᴴ X`, row by row."""
    n = factor.shape[-1]
    rows: dict[int, Array] = {}
    for i in reversed(range(n)) if adjoint else range(n):
        rest = x[..., i, :]
        for k, row in rows.items():
            rest = rest - (jnp.conj(factor[..., k, i, None]) if adjoint else factor[..., i, k, None]) * row
        rows[i] = rest / factor[..., i, i, None]
    return jnp.stack([rows[i] for i in range(n)], axis=-2)
