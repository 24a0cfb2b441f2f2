"""Divided differences of a step: 1 at the `step` lowest eigenvalues, 0 at the others."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..runtime.matrices import matmul, of_rank


def first(w: Array, step: int) -> Array:
    """First differences of the step between eigenvalues `step` and `step + 1`."""
    below = jnp.arange(w.shape[-1]) < step
    across = below[:, None] != below[None, :]
    gap = jnp.abs(w[..., :, None] - w[..., None, :])
    return jnp.where(of_rank(across, gap.ndim), -1 / jnp.where(across, gap, 1), 0)


def contracted(x: Array, y: Array, w: Array, step: int) -> Array:
    """`Σₖ f[i, k, j] (Xᵢₖ Yₖⱼ + Yᵢₖ Xₖⱼ)` of the step, `(…, n, n)`.

    Of three eigenvalues that are not all on one side, one is alone on its side. Up to a sign, which is that side's,
    `f[i, k, j]` is the product of the first differences of that one with the other two.
    """
    f = first(w, step).astype(x.dtype)
    below = jnp.arange(w.shape[-1]) < step
    column = of_rank(jnp.where(below, 1, -1).astype(x.dtype), f.ndim)
    row = jnp.swapaxes(column, -1, -2)
    f_of_x, f_of_y = f * x, f * y
    k_alone = matmul(f_of_x, f_of_y) + matmul(f_of_y, f_of_x)
    j_alone = matmul(x, f_of_y) + matmul(y, f_of_x)
    i_alone = matmul(f_of_x, y) + matmul(f_of_y, x)
    return f * (column * j_alone + row * i_alone) - row * k_alone
