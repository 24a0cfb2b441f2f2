"""Divided differences of a step: 1 at the `step` lowest eigenvalues, 0 at the others."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..runtime.matrices import of_rank


def first(w: Array, step: int) -> Array:
    """First differences of the step between eigenvalues `step` and `step + 1`."""
    below = jnp.arange(w.shape[-1]) < step
    across = below[:, None] != below[None, :]
    gap = jnp.abs(w[..., :, None] - w[..., None, :])
    return jnp.where(of_rank(across, gap.ndim), -1 / jnp.where(across, gap, 1), 0)


def second(w: Array, k: Array, step: int) -> Array:
    """Second differences of the step. One of the three points is alone on its side of the step. The formula contains
    its gaps to the other two points, and its side determines the sign."""
    inverse = -first(w, step)
    to_k = jnp.take(inverse, k, axis=-1)
    below = jnp.arange(w.shape[-1]) < step
    at_k, i, j = below[k], of_rank(below[:, None], inverse.ndim), of_rank(below, inverse.ndim)
    k_alone, i_alone, j_alone = (i == j) & (i != at_k), (j == at_k) & (i != j), (i == at_k) & (i != j)
    row, column = to_k[..., :, None], to_k[..., None, :]
    value = jnp.where(k_alone, row * column, 0)
    value += jnp.where(i_alone, row * inverse, 0) + jnp.where(j_alone, column * inverse, 0)
    lone_below = jnp.where(k_alone, at_k, jnp.where(i_alone, i, j))
    return jnp.where(lone_below, value, -value)
