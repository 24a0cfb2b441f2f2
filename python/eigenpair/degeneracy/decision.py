"""The decision of `check`: which eigenvalues form a cluster, what is rounding noise, and what is refused.

For Hermitian problems, whole and subsets; general_decision.py has what is different for general ones. The core
decides likewise (csrc/degeneracy/gaps-inl.h); `tests/cases/decisions.txt` keeps the two equal.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..runtime.matrices import identity
from .explanations import BASIS, COUPLED, ORDER, SECOND, Subject, explain, explain_neighbours
from .policies import Policy, check

# The same thresholds as in csrc/degeneracy/thresholds-inl.h.
ROUNDING_OF_COTANGENT = 64.0
NOISE_OF_COTANGENT = 8.0
NEAR = 1e-3
# Up to this order, computing a bound in vain is cheaper than a branch.
SMALL = 8


def width(policy: check, w: Array) -> float:
    """The largest gap inside a cluster, relative to the size of the problem."""
    return policy.c * math.sqrt(w.shape[-1]) * float(jnp.finfo(w.dtype).eps)


def second_order_width(policy: check, w: Array, vectors: bool) -> float:
    """The same for second derivatives, which through eigenvectors divide by gaps twice."""
    reach = width(policy, w)
    return max(reach, math.sqrt(reach)) if vectors else reach


def clusters(policy: check, w: Array, scale: Array) -> Array:
    """Which of the ascending eigenvalues `(i, j)` share a cluster: booleans `(…, n, n)`, true on the diagonal."""
    tol = width(policy, w) * scale
    # With a NaN among them nothing is apart; such a matrix is NaN anyway.
    apart = jnp.diff(w, axis=-1) > tol
    label = jnp.concatenate([jnp.zeros_like(w[..., :1], int), jnp.cumsum(apart, axis=-1)], axis=-1)
    return label[..., :, None] == label[..., None, :]


def turning_and_mixing(k_bar: Array) -> tuple[Array, Array]:
    """Sizes of the entries of `(K̄ − K̄ᴴ)/2`, which turns two vectors into each other, and of `(K̄ + K̄ᴴ)/2`, which mixes
    them."""
    adjoint = jnp.conj(jnp.swapaxes(k_bar, -1, -2))
    return jnp.abs(k_bar - adjoint) / 2, jnp.abs(k_bar + adjoint) / 2


def gradient_factor(
    policy: Policy, subject: Subject, w: Array, w_bar: Array | None, k_bar: Array, kappa: Array, scale: Array
) -> Array | None:
    """1 where the gradient may be computed without the gaps inside clusters, NaN where it is refused; `(…, 1, 1)`.

    `k_bar` is `K̄` of the derivations, and `kappa` the size of what is rounded in each entry. `None`: no policy asks.
    """
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    w, k_bar, kappa = (lax.stop_gradient(x) for x in (w, k_bar, kappa))
    together = clusters(policy, w, scale) & ~identity(w.shape[-1], w.ndim + 1)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    rotation, mixing = turning_and_mixing(k_bar)
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
    return nan_if_any(wrong, w.dtype)


def columns_without_tangent(
    policy: Policy,
    subject: Subject,
    w: Array,
    together: Array,
    moved: Array,
    kappa: Callable[[], Array],
    why: Any = COUPLED,
) -> Array | None:
    """Which columns have no tangent: those that the perturbation couples with others of their cluster; `(…, 1, n)`.

    `together` marks the eigenvalues `(i, j)` of a cluster, `moved` is what is divided by their gaps, `kappa()` the size
    of what is rounded in its entries, and `why` the reason that an explanation gives. `None`: no policy asks.
    """
    if not isinstance(policy, check) or policy.coupled != "nan" or w.shape[-1] == 0:
        return None
    w, moved = lax.stop_gradient(w), lax.stop_gradient(moved)
    size = jnp.abs(moved)
    if w.shape[-1] <= SMALL:
        bound = lax.stop_gradient(kappa())
    else:  # the bound costs two products, which matrices without clusters can save
        bound = lax.cond(jnp.any(together), lambda: lax.stop_gradient(kappa()), lambda: jnp.zeros_like(size))
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    # `not <=` rather than `>`: a NaN in the tangent fails the test.
    wrong = together & ~(size <= small * bound)
    wrong |= jnp.swapaxes(wrong, -1, -2)
    if policy.explain:
        explain(subject, policy, w, wrong, why)
    return jnp.any(wrong, axis=-2, keepdims=True)


def noise_of(
    policy: Policy, gap: Array, coupling: Array, mixing: Array, w_bar: Array | None, kappa: Array, scale: Array
) -> Array | None:
    """Two close eigenvalues `(i, j)` whose entry of the cotangent is rounding noise; `None` where no policy asks.

    A loss that is symmetric in two close eigenvalues does not couple their vectors: that entry is zero but for
    rounding. Divided by the small gap, the rounding error would dominate the gradient.
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


def nan_if_any(wrong: Array, dtype: Any) -> Array:
    """NaN for matrices with a true entry, else 1; shape `(…, 1, 1)`."""
    return jnp.where(jnp.any(wrong, axis=(-1, -2), keepdims=True), dtype.type(jnp.nan), dtype.type(1))


def second_order_factor(
    policy: Policy, subject: Subject, w: Array, scale: Array, vectors: bool, weights: Array | None = None
) -> Array:
    """What multiplies derivatives of a first-order rule: under `check`, NaN for matrices with two eigenvalues too close
    for a second derivative, through eigenvectors or (not `vectors`) eigenvalues alone; else 1. Shape `(…,)`.

    `weights`: the constant cotangents of the eigenvalues of a loss that is linear in them. Eigenvalues of equal weight
    may be as close as they like, since such a loss is a sum of traces over whole clusters; but not the same number:
    at a tie, JAX's derivatives of `max`, `clip` or `abs` have equal weights too, and these have a kink there. The core
    has no such exception, since it computes no second derivatives.
    """
    if not isinstance(policy, check) or w.shape[-1] < 2:
        return jnp.ones(w.shape[:-1], w.dtype)
    apart = jnp.diff(lax.stop_gradient(w), axis=-1) > second_order_width(policy, w, vectors) * scale
    if weights is not None:
        linear = jnp.diff(lax.stop_gradient(weights), axis=-1) == 0
        apart = apart | (linear & (jnp.diff(lax.stop_gradient(w), axis=-1) > 0))
    if policy.explain:
        explain_neighbours(subject, policy, lax.stop_gradient(w), apart, SECOND)
    return jnp.where(jnp.all(apart, axis=-1), w.dtype.type(1), w.dtype.type(jnp.nan))


# ---- subsets ------------------------------------------------------------------------------------------------------


def policy_of_whole(policy: Policy, n: int, k: int) -> Policy:
    """The policy for `k` eigenvalues of a problem of order `n`, with clusters as wide as in the whole problem."""
    return dataclasses.replace(policy, c=policy.c * math.sqrt(n / k)) if isinstance(policy, check) else policy


def open_columns(policy: Policy, w: Array, outside: Array, scale: Array) -> Array | None:
    """Which eigenvalues share a cluster with one of those `outside` of the subset, `(…, m)`; shape `(…, 1, k)`. `None`
    where no policy asks."""
    if not isinstance(policy, check):
        return None
    w, outside, scale = (lax.stop_gradient(x) for x in (w, outside, scale))
    reach = (width(policy, w) * scale)[..., None]
    # `not >` rather than `<=`: next to a NaN nothing is known.
    touched = jnp.any(~(jnp.abs(w[..., :, None] - outside[..., None, :]) > reach), axis=-1)
    return jnp.any(clusters(policy, w, scale) & touched[..., None, :], axis=-1)[..., None, :]
