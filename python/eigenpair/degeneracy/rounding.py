"""Norms of columns, and how far rounding reaches in `K̄` of `docs/derivations.md`, section "Degeneracy"."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..runtime.matrices import matmul
from .decision import ROUNDING_OF_COTANGENT


def norm(x: Array, axis: int | tuple[int, ...]) -> Array:
    """2-norm over `axis` (kept), safe from overflow and underflow of the squares."""
    x = jnp.abs(x)
    size = jnp.max(x, axis=axis, keepdims=True, initial=0)
    safe = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    return safe * jnp.sqrt(jnp.sum((x / safe) ** 2, axis=axis, keepdims=True))


def largest_column(x: Array) -> Array:
    """Largest column norm of each matrix, shape `(…, 1, 1)`."""
    return jnp.max(norm(x, -2), axis=-1, keepdims=True, initial=0)


def rounding_of_product(x: Array, x_bar: Array) -> Array:
    """How far rounding reaches in the entries of `xᴴ x_bar`, in units of `√n·ε`; shape `(…, n, n)`.

    The rounding errors that a loss leaves in its cotangent have one size in all columns, or are in proportion to the
    vectors. The smaller of the two estimates is taken.
    """
    length, bar = norm(lax.stop_gradient(x), -2), norm(lax.stop_gradient(x_bar), -2)
    other = jnp.swapaxes(length, -1, -2)
    small, large = jnp.minimum(length, other), jnp.maximum(length, other)
    relative = jnp.where(bar == 0, 0, bar / jnp.where(bar == 0, 1, length))
    flat = large * jnp.max(bar, axis=-1, keepdims=True, initial=0)
    scaled = small * jnp.max(relative, axis=-1, keepdims=True, initial=0) * large
    return jnp.where(scaled < flat, scaled, flat)


def rounding_of_form(x: Array, m: Array, y: Array | None = None) -> Array:
    """How far rounding reaches in the entries of `xᴴ m y` (`y = x` when not given), in units of `√n·ε`: `|x|ᵀ |m| |y|`.

    It follows `x` and `m` when both are scaled row by row, as in a graded problem.
    """
    left = jnp.abs(x)
    return matmul(jnp.swapaxes(left, -1, -2), matmul(jnp.abs(m), left if y is None else jnp.abs(y)))


def at_most_of(k_bar: Array, kappa: Array, largest: Any = 0) -> Array:
    """`kappa`, limited so that half of the digits of the largest entry of `k_bar` count as exact; NaN where
    `kappa` is not finite.

    `largest`: a lower bound of entries that are not in `k_bar`.
    """
    largest = jnp.maximum(jnp.max(jnp.abs(lax.stop_gradient(k_bar)), axis=(-1, -2), keepdims=True, initial=0), largest)
    most = largest / (ROUNDING_OF_COTANGENT * math.sqrt(jnp.finfo(k_bar.dtype).eps))
    return jnp.minimum(finite_or_nan(kappa), finite_or_nan(most))


def finite_or_nan(kappa: Array) -> Array:
    """If the bound overflows, NaN, so that nothing passes the test."""
    return jnp.where(jnp.isfinite(kappa), kappa, jnp.nan)
