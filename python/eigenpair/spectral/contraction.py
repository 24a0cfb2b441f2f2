"""`Σₖ f[i, k, j] (Xᵢₖ Yₖⱼ + Yᵢₖ Xₖⱼ)`, the inner part of second derivatives, in few products of matrices."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime.matrices import matmul, of_rank
from . import divided_differences


def by_all(slopes: Array, x: Array, y: Array, w: Array) -> Array:
    """The sum term by term, `(…, n, n)`; `slopes[i, j] = f[λᵢ, λⱼ, λⱼ]`."""

    def add(total: Array, k: Array) -> tuple[Array, None]:
        difference = divided_differences.second(slopes, w, k)
        pair = jnp.take(x, k, axis=-1)[..., :, None] * jnp.take(y, k, axis=-2)[..., None, :]
        pair += jnp.take(y, k, axis=-1)[..., :, None] * jnp.take(x, k, axis=-2)[..., None, :]
        return total + difference.astype(total.dtype) * pair.astype(total.dtype), None

    # Not plain zeros: these would not vary over a mesh as the sum does.
    start = 0 * (x + y + slopes.astype(np.promote_types(slopes.dtype, x.dtype)))
    if w.shape[-1] == 0:
        return start
    return lax.scan(add, start, jnp.arange(w.shape[-1]))[0]


# Up to this ratio of the largest second difference to the median one, quotients keep enough digits everywhere.
MOST_UNEVEN = 1e4


def of_large(slopes: Array, of_neighbours: Array, x: Array, y: Array, w: Array) -> Array:
    """The sum for larger matrices: by quotients, or term by term where the second differences are very uneven.

    Rounding errors of quotients are as large as those of the largest second difference. For log or 1/x at an
    eigenvalue close to 0, these would hide the terms of all others.
    """
    sizes = jnp.abs(of_neighbours)
    even = jnp.max(sizes, axis=-1) <= MOST_UNEVEN * jnp.median(sizes, axis=-1)
    return lax.cond(
        jnp.all(even), by_quotients, lambda slopes, _, *xyw: by_all(slopes, *xyw), slopes, of_neighbours, x, y, w
    )


def by_quotients(slopes: Array, of_neighbours: Array, x: Array, y: Array, w: Array) -> Array:
    """The same for larger matrices. `of_neighbours`: `(f'(λₖ₊₁) − f'(λₖ))/(λₖ₊₁ − λₖ)`.

    Where `λᵢ` and `λⱼ` are not near, `f[i, k, j] = (f[i, k] − f[k, j])/(λᵢ − λⱼ)`, so that the sum is a quotient of
    products of matrices. Only `f[i, k]` less a constant matters, which is computed from second differences: it is small
    where these are. Two eigenvalues are near if their gap is at most the n-th part of the spectrum's width: then a
    quotient would lose more digits than products of matrices of order n do.
    """
    dtype = np.promote_types(slopes.dtype, x.dtype)
    x, y, slopes = (z.astype(dtype) for z in (x, y, slopes))
    steps = of_neighbours.astype(dtype) * jnp.diff(w, axis=-1).astype(dtype)
    # f' less its value in the middle of the spectrum, summed from there, so that nothing large is subtracted.
    middle = steps.shape[-1] // 2
    below = -jnp.flip(jnp.cumsum(jnp.flip(steps[..., :middle], -1), axis=-1), -1)
    above = jnp.cumsum(steps[..., middle:], axis=-1)
    derivative = jnp.concatenate([below, 0 * slopes[..., 0, :1], above], axis=-1)
    gap = w[..., None, :] - w[..., :, None]
    half = (derivative[..., :, None] + gap.astype(dtype) * jnp.swapaxes(slopes, -1, -2)) / 2
    first = half + jnp.swapaxes(half, -1, -2)
    f_of_x, f_of_y = first * x, first * y
    numerator = matmul(f_of_x, y) + matmul(f_of_y, x) - matmul(x, f_of_y) - matmul(y, f_of_x)
    near = jnp.abs(gap) <= ((w[..., -1:] - w[..., :1]) / w.shape[-1])[..., None]
    quotient = numerator / jnp.where(near, 1, -gap).astype(dtype)
    return jnp.where(near, _of_near(slopes, x, y, w, near), quotient)


def _of_near(slopes: Array, x: Array, y: Array, w: Array, near: Array) -> Array:
    """The sum term by term for `(i, j)` that are near; anything for the others."""
    n = w.shape[-1]
    every = of_rank(jnp.arange(n), w.ndim)
    i, k = every[..., :, None], every[..., None, :]
    swap = lambda z: jnp.swapaxes(z, -1, -2)  # noqa: E731
    arrays = (slopes, swap(slopes), x, swap(x), y, swap(y))
    twice = [jnp.concatenate([z, z], axis=-2) for z in arrays]
    w_twice = jnp.concatenate([w, w], axis=-1)
    from_i, to_i, x_i, xt_i, y_i, yt_i = arrays
    diagonal = lambda z: jnp.diagonal(z, axis1=-2, axis2=-1)[..., None]  # noqa: E731

    def share(part: Array, whole: Array) -> Array:
        return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0.5).astype(x.dtype)

    def add(d: Array, bands: tuple[Array, Array]) -> tuple[Array, Array]:
        # Row i has the terms of (i, j) and (j, i) with j = i + d.
        from_j, to_j, x_j, xt_j, y_j, yt_j = (lax.dynamic_slice_in_dim(z, d, n, -2) for z in twice)
        w_i, w_j, w_k = w[..., :, None], lax.dynamic_slice_in_dim(w_twice, d, n, -1)[..., None], w[..., None, :]
        below, above = k < i, k > i + d
        low, high = jnp.where(below, w_k, w_i), jnp.where(above, w_k, w_j)
        middle = jnp.where(below, w_i, jnp.where(above, w_j, w_k))
        p = share(middle - low, high - low)
        from_low = jnp.where(below, to_i, jnp.where(above, diagonal(to_j), from_i))
        from_high = jnp.where(below, diagonal(from_j), jnp.where(above, to_j, from_j))
        f = p * from_low + (1 - p) * from_high
        sums = (jnp.sum(f * (x_i * yt_j + y_i * xt_j), axis=-1), jnp.sum(f * (x_j * yt_i + y_j * xt_i), axis=-1))
        return tuple(  # type: ignore[return-value]
            lax.dynamic_update_slice_in_dim(band, z[..., None, :], d, -2) for band, z in zip(bands, sums, strict=True)
        )

    count = jnp.max(jnp.sum(near & (i < k), axis=-1, dtype=int), initial=0) + 1
    start = 0 * (x + y + slopes)
    upper, lower = lax.fori_loop(0, count, add, (start, start))
    # From bands [d, i] to entries (i, i + d) and (i + d, i).
    band = jnp.broadcast_to((k - i) % n, start.shape)
    of_upper, of_lower = (jnp.take_along_axis(swap(z), band, axis=-1) for z in (upper, lower))
    return jnp.where(i <= k, of_upper, swap(of_lower))
