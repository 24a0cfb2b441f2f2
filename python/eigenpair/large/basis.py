"""Orthonormal bases, whose vectors are rows, with or without a metric `B`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .operators import combine, inner, lengths, scaled

Map = Callable[[Array], Array]


def random_rows(seed: Any, like: Array) -> Array:
    """Random rows of about unit length, with the shape and the sharding of `like`. They are made by mixing the bits of
    a counter. This compiles faster than JAX's generator, and better random numbers are not needed."""
    n = like.shape[-1]
    real = jnp.finfo(like.dtype).dtype

    def uniform(seed: Any) -> Array:
        row = lax.broadcasted_iota(jnp.uint32, like.shape, 0)
        column = lax.broadcasted_iota(jnp.uint32, like.shape, 1)
        x = column + jnp.uint32(0x9E3779B9) * (row + jnp.uint32(64) * jnp.asarray(seed, jnp.uint32) + jnp.uint32(1))
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 0x2C1B3C6D), (15, 0x297A2D39)):
            x = (x ^ (x >> shift)) * jnp.uint32(factor)
        return (x >> 8).astype(real) * (2.0**-23) - 1

    x = uniform(2 * seed)
    if jnp.iscomplexobj(like):
        x = lax.complex(x, uniform(2 * seed + 1))
    return 0 * jnp.where(jnp.isfinite(like), like, 0) + x.astype(like.dtype) * (1.7 / max(n, 1) ** 0.5)


def orthonormalized(x: Array, against: Array, b: Map | None, seed: Any) -> Array:
    """An orthonormal basis of the rows of `x`, orthogonal to the rows of `against` (orthonormal, or zero). Linearly
    dependent rows are replaced by random ones.

    It uses Gram matrices, twice, so devices that share a vector only exchange sums. A. Stathopoulos and K. Wu, *A block
    orthogonalization procedure with constant synchronization requirements* (2002).
    """
    eps = jnp.finfo(x.dtype).eps
    size = lengths(x)
    x = scaled(1 / jnp.where(size > 0, size, 1), x)

    def attempt(state: Any) -> Any:
        x, count, left = state
        x = x - combine(inner(x if b is None else b(x), against), against)
        gram = inner(x if b is None else b(x), x)
        d, u = jnp.linalg.eigh((gram + jnp.conj(gram).T) / 2)
        largest = jnp.max(d)
        # The first projection may leave only rounding errors of a vector of unit length.
        kept = (d > 1e2 * eps * largest) & (largest > jnp.where(count == 0, (1e3 * eps) ** 2, 0))
        x = combine(scaled(1 / jnp.sqrt(jnp.where(kept, d, 1)), jnp.conj(u).T), x)
        x = jnp.where(kept[:, None], x, jnp.where(count < 2, random_rows(seed + 7919 * count, x), 0))
        # Twice is enough, counted from the last random direction; three times at most.
        return x, count + 1, jnp.minimum(jnp.where(jnp.all(kept), left - 1, 2), 2 - count)

    return lax.while_loop(lambda state: state[2] > 0, attempt, (x, jnp.array(0), jnp.array(2)))[0]
