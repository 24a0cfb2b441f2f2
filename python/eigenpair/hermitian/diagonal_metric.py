"""Pairs with a diagonal `B`, given as a vector: they are standard problems of a scaled matrix.

With `D = B^½`, problems of types 1 to 3 are the standard problem of `C = D⁻¹AD⁻¹` (type 1) or `C = DAD` (types 2 and
3), whose vectors `y` are `D v` (types 1 and 2) or `D⁻¹v` (type 3). `C` is formed entry by entry, so JAX differentiates
it, and the gradient with respect to `b` has the shape of `b`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..runtime.matrices import diagonal_matrix, of_rank


class DiagonalMetric(NamedTuple):
    """`rows` multiplies rows and columns of `A`, `columns` the rows of `Y`; `(n,)` each, NaN where `b` is not
    positive."""

    diagonal: Array
    rows: Array
    columns: Array

    @staticmethod
    def of(a: Array, b: Array, type: int) -> DiagonalMetric:
        """The metric of `b`, `(n,)`, for matrices `a`; an error where their sizes differ."""
        if a.shape[-1] != b.shape[0]:
            raise ValueError(f"b must have the size of a: got the diagonal {b.shape} for a of {a.shape}")
        precision = jnp.finfo(np.promote_types(a.dtype, b.dtype)).dtype  # also under strict promotion
        b = b.astype(precision)
        root = jnp.sqrt(jnp.where(b > 0, b, jnp.nan))
        return DiagonalMetric(b, 1 / root if type == 1 else root, root if type == 3 else 1 / root)

    def standard(self, a: Array) -> Array:
        """`C`."""
        a = a.astype(np.promote_types(a.dtype, self.rows.dtype))
        rows = self.rows.astype(a.dtype)
        return a * of_rank(rows[:, None], a.ndim) * of_rank(rows, a.ndim)

    def vectors(self, y: Array) -> Array:
        """`V`."""
        return y * of_rank(self.columns.astype(y.dtype)[:, None], y.ndim)

    def outside(self, f: Array) -> Array:
        """`Σ f(λᵢ) vᵢ vᵢᴴ` from `f(C)`."""
        columns = self.columns.astype(f.dtype)
        return f * of_rank(columns[:, None], f.ndim) * of_rank(columns, f.ndim)

    def pair_to_check(self, c: Array) -> tuple[Array, Array]:
        """`C` with zeros where it is NaN because of `b`, and the matrix `B` in the shape of `C`."""
        b = jnp.broadcast_to(of_rank(diagonal_matrix(self.diagonal, c.dtype), c.ndim), c.shape)
        without = jnp.isnan(self.rows)
        return jnp.where(of_rank(without[:, None] | without[None, :], c.ndim), 0, c), b
