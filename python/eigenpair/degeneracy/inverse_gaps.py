"""Inverse gaps under a policy, and the rotation that `check(generic_basis=True)` asks for."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime.matrices import identity, of_rank
from . import general_decision
from .decision import clusters
from .policies import Policy, broaden, check, mask


def inverse_gaps(policy: Policy, w: Array, scale: Array) -> Array:
    """`F` of a Hermitian problem: `1/(λⱼ − λᵢ)` under the policy, 0 on the diagonal. Shape `(…, n, n)`."""
    gap = w[..., None, :] - w[..., :, None]
    if isinstance(policy, broaden):
        # Divided twice, so that neither x² nor eps underflows on its own.
        off = ~identity(w.shape[-1], gap.ndim)
        safe = jnp.where(off & (gap != 0), gap, 1)
        return jnp.where(off & (gap != 0), 1 / (safe + policy.eps / safe), 0)
    if isinstance(policy, check):
        dropped = clusters(policy, w, scale)
    elif isinstance(policy, mask):
        dropped = jnp.abs(gap) <= policy.tol
    else:
        dropped = jnp.zeros_like(gap, bool)
    dropped = dropped | identity(w.shape[-1], gap.ndim)
    return jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, gap))


def general_inverse_gaps(policy: Policy, w: Array, reach: Array) -> Array:
    """`F` of a general problem: `1/(λⱼ − λᵢ)` under the policy, 0 on the diagonal. Shape `(…, n, n)`."""
    gap = general_decision.gaps(w)
    size = jnp.abs(gap)
    dropped = identity(w.shape[-1], gap.ndim)
    if isinstance(policy, broaden):
        dropped = dropped | (size == 0)
        safe = jnp.where(dropped, 1, gap)
        return jnp.where(dropped, 0, 1 / (safe + policy.eps / jnp.conj(safe)))
    if isinstance(policy, check):
        dropped = dropped | general_decision.clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach))
    elif isinstance(policy, mask):
        dropped = dropped | (size <= policy.tol)
    return jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, gap))


def generic_rotation(policy: check, w: Array, scale: Array, dtype: Any) -> Array:
    """A unitary that mixes each cluster and nothing else: one reflection per cluster, at a fixed vector of no
    symmetry."""
    n = w.shape[-1]
    same = clusters(policy, w, scale)
    k = np.arange(1, n + 1)
    vector = 1 + np.modf(k * (np.sqrt(5) - 1) / 2)[0]
    if jnp.issubdtype(dtype, jnp.complexfloating):
        vector = vector * np.exp(2j * np.pi * np.modf(k * np.sqrt(2))[0])
    inside = same & (jnp.sum(same, axis=-1, keepdims=True) > 1)
    squares = of_rank(jnp.asarray(np.abs(vector) ** 2, w.dtype), same.ndim)
    length = jnp.sum(jnp.where(same, squares, 0), axis=-1, keepdims=True)
    dyad = of_rank(jnp.asarray(2 * np.outer(vector, np.conj(vector)), dtype), same.ndim)
    return identity(n, same.ndim, dtype) - jnp.where(inside, dyad / length.astype(dtype), 0)


def without_noise(noise: Array | None, x: Array) -> Array:
    """`x` with the value 0 at noise. Its derivative stays: where a coupling is zero, its derivative need not be."""
    return x if noise is None else jnp.where(noise, x - lax.stop_gradient(x), x)
