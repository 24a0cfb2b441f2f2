"""Hermitian band matrices, given by their lower half: `band[..., m, j]` is entry `(j + m, j)`, one row per diagonal.

Entries with `j + m ≥ n` are not part of the matrix. Only the real part of the diagonal is read.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..runtime.matrices import identity, of_rank


def _lower_diagonals(band: Array) -> list[tuple[int, Array]]:
    """`(m, entries)` of each diagonal below the main one; entries `(…, n - m, 1)`."""
    n = band.shape[-1]
    return [(m, band[..., m, : n - m, None]) for m in range(1, min(band.shape[-2], n))]


def _shifted(x: Array, before: int, after: int) -> Array:
    """`x` with rows of zeros before and after it."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(before, after), (0, 0)])


def times(band: Array, x: Array) -> Array:
    """`A x` for `x` of shape `(…, n, k)`, in O(n k) per diagonal."""
    n = x.shape[-2]
    result = jnp.real(band[..., 0, :, None]).astype(x.dtype) * x
    for m, entries in _lower_diagonals(band):
        result = result + _shifted(entries * x[..., : n - m, :], m, 0)
        result = result + _shifted(jnp.conj(entries) * x[..., m:, :], 0, m)
    return result


def gradient(right: Array, v: Array, bandwidth: int) -> Array:
    """The gradient with respect to the entries of the band. The gradient with respect to the matrix is the Hermitian
    part of `right vᴴ`, of which only the band is computed. Off-diagonal entries are doubled, because each stands for
    two entries of the matrix."""
    n = v.shape[-2]
    rows = [jnp.real(jnp.sum(right * jnp.conj(v), axis=-1)).astype(v.dtype)]
    for m in range(1, bandwidth + 1):
        below = right[..., m:, :] * jnp.conj(v[..., : n - m, :]) + v[..., m:, :] * jnp.conj(right[..., : n - m, :])
        rows.append(_shifted(jnp.sum(below, axis=-1)[..., None], 0, min(m, n))[..., 0])
    return jnp.stack(rows, axis=-2)


def dense(band: Array) -> Array:
    """The whole matrix, `(…, n, n)`, for platforms without a solver of bands."""
    n = band.shape[-1]
    one = of_rank(jnp.eye(n, dtype=band.dtype), band.ndim)
    return times(band, jnp.broadcast_to(one, (*band.shape[:-2], n, n)))


def frobenius_bound(band: Array) -> Array:
    """Absolute values of the entries, weighted so that their `norm` is that of the matrix: off-diagonal entries count
    twice."""
    weights = jnp.full((band.shape[-2], 1), jnp.sqrt(2.0), jnp.finfo(band.dtype).dtype).at[0].set(1)
    return jnp.abs(inside(band)) * of_rank(weights, band.ndim)


def inside(band: Array) -> Array:
    """The band with zeros for entries beyond the matrix."""
    rows, n = band.shape[-2:]
    j, m = jnp.arange(n)[None, :], jnp.arange(rows)[:, None]
    return jnp.where(of_rank(j + m < n, band.ndim), band, 0)


def from_upper(band: Array) -> Array:
    """The lower half of the band from its upper half, in SciPy's order: row `u + i - j` has entry `(i, j)`."""
    u, n = band.shape[-2] - 1, band.shape[-1]
    rows = [band[..., u, :]]
    for m in range(1, u + 1):
        moved = jnp.conj(band[..., u - m, m:])
        rows.append(jnp.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, min(m, n))]))
    return jnp.stack(rows, axis=-2)


def all_finite(band: Array) -> Array:
    """Which matrices are finite in all entries that are read, shape `(…, 1, 1)`."""
    diagonal = of_rank(identity(band.shape[-2], 2)[:, :1], band.ndim)
    read = jnp.where(diagonal, jnp.real(band).astype(band.dtype), inside(band))
    return jnp.all(jnp.isfinite(read), axis=(-1, -2), keepdims=True)
