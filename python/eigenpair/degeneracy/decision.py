"""The decision of `check`: which eigenvalues form a cluster, what is rounding noise, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..runtime.matrices import identity
from .explanations import BASIS, COUPLED, ORDER, SECOND, Subject, explain, explain_neighbours
from .policies import Policy, check

# These constants, and all of `clusters`, `verdict` and `noise`, have their twins in julia/src/degeneracy/.
ROUNDING_OF_COTANGENT = 64.0
NOISE_OF_COTANGENT = 8.0
NEAR = 1e-3
# Up to here, what is computed for nothing is cheaper than a branch.
SMALL = 8


def width(policy: check, w: Array) -> float:
    """How far rounding reaches, as a part of the size of the problem."""
    return policy.c * math.sqrt(w.shape[-1]) * float(jnp.finfo(w.dtype).eps)


def second_order_width(policy: check, w: Array, vectors: bool) -> float:
    """The same for second derivatives, which divide by gaps twice where they go through eigenvectors."""
    reach = width(policy, w)
    return max(reach, math.sqrt(reach)) if vectors else reach


def clusters(policy: check, w: Array, scale: Array) -> Array:
    """Which pairs of the ascending eigenvalues `w` share a cluster: booleans `(…, n, n)`, true on the diagonal."""
    tol = width(policy, w) * scale
    # Written so that a NaN joins everything: such a matrix is NaN anyway.
    apart = jnp.diff(w, axis=-1) > tol
    label = jnp.concatenate([jnp.zeros_like(w[..., :1], int), jnp.cumsum(apart, axis=-1)], axis=-1)
    return label[..., :, None] == label[..., None, :]


def parts(k_bar: Array) -> tuple[Array, Array]:
    """Sizes of the anti-Hermitian part, which turns vectors into each other, and of the Hermitian part, which mixes
    them."""
    adjoint = jnp.conj(jnp.swapaxes(k_bar, -1, -2))
    return jnp.abs(k_bar - adjoint) / 2, jnp.abs(k_bar + adjoint) / 2


def verdict(
    policy: Policy, subject: Subject, w: Array, w_bar: Array | None, k_bar: Array, kappa: Array, scale: Array
) -> Array | None:
    """1 where the gradient may be computed without the gaps inside clusters, NaN where it may not; shape `(…, 1, 1)`.

    `k_bar` is `K̄` of the derivations, `kappa` the size of the source of rounding in each entry, and NaN fails.
    `None`: nothing to judge.
    """
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    w, k_bar, kappa = (lax.stop_gradient(x) for x in (w, k_bar, kappa))
    together = clusters(policy, w, scale) & ~identity(w.shape[-1], w.ndim + 1)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    rotation, mixing = parts(k_bar)
    # `not <=` rather than `>`: a NaN in the cotangent fails the test.
    wrong = ~(rotation <= small * kappa)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        largest = jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None]
        wrong |= ~(mixing <= small * kappa) & ~(split <= small * largest)
    wrong &= together
    if policy.explain:
        explain(subject, policy, w, wrong, jnp.where(rotation <= small * kappa, ORDER, BASIS))
    return nan_where(wrong, w.dtype)


def coupled(
    policy: Policy,
    subject: Subject,
    w: Array,
    together: Array,
    moved: Array,
    kappa: Callable[[], Array],
    why: Any = COUPLED,
) -> Array | None:
    """Which columns have no tangent: those that the perturbation couples with others of their cluster; `(…, 1, n)`.

    `pair` marks the pairs of a cluster, `moved` is what is divided by their gaps, `kappa()` the size of what is
    rounded in each entry of it, and `why` what an explanation gives for a reason. `None`: nothing to judge.
    """
    if not isinstance(policy, check) or policy.coupled != "nan" or w.shape[-1] == 0:
        return None
    w, moved = lax.stop_gradient(w), lax.stop_gradient(moved)
    size = jnp.abs(moved)
    if w.shape[-1] <= SMALL:
        bound = lax.stop_gradient(kappa())
    else:  # two products more, which matrices without clusters need not pay for
        bound = lax.cond(jnp.any(together), lambda: lax.stop_gradient(kappa()), lambda: jnp.zeros_like(size))
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    # `not <=` rather than `>`: a NaN in the tangent fails the test.
    wrong = together & ~(size <= small * bound)
    wrong |= jnp.swapaxes(wrong, -1, -2)
    if policy.explain:
        explain(subject, policy, w, wrong, why)
    return jnp.any(wrong, axis=-2, keepdims=True)


def noise(
    policy: Policy, gap: Array, coupling: Array, mixing: Array, w_bar: Array | None, kappa: Array, scale: Array
) -> Array | None:
    """The pairs of close eigenvalues whose cotangent is rounding noise; `None` where a policy does not ask.

    A loss that is symmetric in two close eigenvalues has no coupling between their vectors, but a rounding error
    where it would be; divided by the gap, that is all one would see.
    """
    if not isinstance(policy, check):
        return None
    eps = math.sqrt(gap.shape[-1]) * jnp.finfo(gap.dtype).eps
    small = NOISE_OF_COTANGENT * eps * kappa
    near = jnp.abs(gap) <= NEAR * scale
    symmetric = jnp.array(True)
    if w_bar is not None:
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        same = split <= ROUNDING_OF_COTANGENT * eps * jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None]
        symmetric = same | (mixing <= small)
    return lax.stop_gradient(near & (coupling <= small) & symmetric)


def nan_where(wrong: Array, dtype: Any) -> Array:
    """NaN for matrices with a pair that failed, else 1; shape `(…, 1, 1)`."""
    return jnp.where(jnp.any(wrong, axis=(-1, -2), keepdims=True), dtype.type(jnp.nan), dtype.type(1))


def second_order_factor(
    policy: Policy, subject: Subject, w: Array, scale: Array, vectors: bool, weights: Array | None = None
) -> Array:
    """What multiplies derivatives of a first-order rule: under `check`, NaN for matrices with a pair of eigenvalues too
    close for a second derivative, through eigenvectors or (not `vectors`) eigenvalues alone; else 1. Shape `(…)`.

    `weights`: the constant cotangents of the eigenvalues of a loss that is linear in them. Eigenvalues of equal weight
    may be as close as they like: such a loss is a sum of traces over whole clusters.
    """
    if not isinstance(policy, check) or w.shape[-1] < 2:
        return jnp.ones(w.shape[:-1], w.dtype)
    apart = jnp.diff(lax.stop_gradient(w), axis=-1) > second_order_width(policy, w, vectors) * scale
    if weights is not None:
        apart = apart | (jnp.diff(lax.stop_gradient(weights), axis=-1) == 0)
    if policy.explain:
        explain_neighbours(subject, policy, lax.stop_gradient(w), apart, SECOND)
    return jnp.where(jnp.all(apart, axis=-1), w.dtype.type(1), w.dtype.type(jnp.nan))
