"""Choosing the phase of eigenvectors, differentiably."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..runtime import arguments
from ..runtime.remedies import GAUGE, with_remedies

__all__ = ["fix_gauge"]


@with_remedies(GAUGE)
def fix_gauge(v: Any) -> Array:
    """The same eigenvectors with the largest component of each column real and positive.

    Eigenvectors are defined up to a phase, or a sign if they are real. A loss that depends on it is not a function of
    the matrix. With `fix_gauge(v)` in place of `v` it is one, and it is differentiable.

    **Arguments:** `v`: `(…, n, k)`, vectors in columns.

    **Returns:** `v Diag(conj(z)/|z|)`, where `z` holds the largest component (by modulus) of each column. If several
    components are equal to within `√ε`, it is the first of them. The derivative exists if the largest component is
    unique.

    **Raises:** `TypeError` or `ValueError` naming the argument.
    """
    v = arguments.array("v", v)
    if v.ndim < 2:
        raise ValueError(f"v must hold vectors in the columns of (…, n, k), got shape {v.shape}")
    if v.shape[-2] == 0 or v.shape[-1] == 0:
        return v
    size = jnp.abs(lax.stop_gradient(v))
    enough = 1 - math.sqrt(jnp.finfo(v.dtype).eps)  # so that rounding does not choose between equal components
    largest = jnp.argmax(size >= enough * jnp.max(size, axis=-2, keepdims=True), axis=-2, keepdims=True)
    z = jnp.take_along_axis(v, largest, axis=-2)
    if not jnp.iscomplexobj(v):
        return v * jnp.where(z < 0, -1, 1).astype(v.dtype)
    size = jnp.abs(z)
    return v * jnp.where(size > 0, jnp.conj(z) / jnp.where(size > 0, size, 1).astype(v.dtype), 1)
