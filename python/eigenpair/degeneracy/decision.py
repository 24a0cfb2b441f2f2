"""The decision about gaps: which eigenvalues form a cluster, the inverse gaps between the others, which entries of a
cotangent are rounding noise, and what is refused.

This file is for Hermitian problems, whole and subsets. For general ones, general_decision.py has what differs. The core
decides in the same way (csrc/degeneracy/gaps-inl.h); both are tested against `tests/cases/decisions.txt`.
`docs/derivations.md`, "Degeneracy", gives the reasons.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..runtime.matrices import identity, matmul, norm
from .explanations import BASIS, COUPLED, ORDER, SECOND, Subject, explain, explain_neighbours
from .policies import Policy, broaden, check, mask

# The same thresholds as in csrc/degeneracy/thresholds-inl.h.
ROUNDING_OF_COTANGENT = 64.0
NOISE_OF_COTANGENT = 8.0
NEAR = 1e-3
# Up to this order, computing an unneeded bound is cheaper than a branch.
SMALL = 8

# ---- clusters and gaps --------------------------------------------------------------------------------------------


def cluster_width(policy: check, n: int, dtype: Any) -> float:
    """The largest gap inside a cluster of a problem of order `n`, relative to the size of the problem."""
    return policy.c * math.sqrt(n) * float(jnp.finfo(dtype).eps)


def second_order_width(policy: check, w: Array, vectors: bool) -> float:
    """The same for second derivatives of eigenvectors, which divide by gaps twice."""
    width = cluster_width(policy, w.shape[-1], w.dtype)
    return max(width, math.sqrt(width)) if vectors else width


def apart_from_next(policy: check, w: Array, scale: Array) -> Array:
    """Which of the ascending eigenvalues, all but the last, share no cluster with the next; booleans `(…, n - 1)`."""
    # If one of them is NaN, all count as one cluster; the results of such a matrix are NaN anyway.
    return jnp.diff(w, axis=-1) > cluster_width(policy, w.shape[-1], w.dtype) * scale


def clusters(policy: check, w: Array, scale: Array) -> Array:
    """Which of the ascending eigenvalues `(i, j)` share a cluster: booleans `(…, n, n)`, true on the diagonal."""
    apart = apart_from_next(policy, w, scale)
    label = jnp.concatenate([jnp.zeros_like(w[..., :1], int), jnp.cumsum(apart, axis=-1)], axis=-1)
    return label[..., :, None] == label[..., None, :]


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


# ---- rounding errors ----------------------------------------------------------------------------------------------


def rounding_of_product(x: Array, x_bar: Array) -> Array:
    """The size of rounding errors in the entries of `xᴴ x_bar`, in units of `√n·ε`; shape `(…, n, n)`.

    The rounding errors that a loss leaves in its cotangent have the same size in all columns, or are proportional to
    the vectors. We take the smaller of the two estimates.
    """
    length, bar = norm(lax.stop_gradient(x), -2), norm(lax.stop_gradient(x_bar), -2)
    other = jnp.swapaxes(length, -1, -2)
    small, large = jnp.minimum(length, other), jnp.maximum(length, other)
    relative = jnp.where(bar == 0, 0, bar / jnp.where(bar == 0, 1, length))
    flat = large * jnp.max(bar, axis=-1, keepdims=True, initial=0)
    scaled = small * jnp.max(relative, axis=-1, keepdims=True, initial=0) * large
    return jnp.where(scaled < flat, scaled, flat)


def rounding_of_form(x: Array, m: Array, y: Array | None = None) -> Array:
    """The size of rounding errors in the entries of `xᴴ m y` (`y = x` by default), in units of `√n·ε`: `|x|ᵀ |m| |y|`.

    It does not change if `x` and `m` are scaled row by row against each other, as in a graded problem.
    """
    left = jnp.abs(x)
    return matmul(jnp.swapaxes(left, -1, -2), matmul(jnp.abs(m), left if y is None else jnp.abs(y)))


def at_most_half_of_digits(k_bar: Array, kappa: Array, largest: Any = 0) -> Array:
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


def rotation_and_mixing(k_bar: Array) -> tuple[Array, Array]:
    """Absolute values of the entries of `(K̄ − K̄ᴴ)/2`, which belongs to rotations of two vectors into each other, and of
    `(K̄ + K̄ᴴ)/2`, which belongs to changes of their inner products."""
    adjoint = jnp.conj(jnp.swapaxes(k_bar, -1, -2))
    return jnp.abs(k_bar - adjoint) / 2, jnp.abs(k_bar + adjoint) / 2


def is_noise(
    policy: Policy, gap: Array, coupling: Array, mixing: Array, w_bar: Array | None, kappa: Array, scale: Array
) -> Array | None:
    """Whether `(i, j)` are close eigenvalues whose entry of the cotangent is rounding noise; `None` if the policy does
    not test this.

    A loss that is symmetric in two close eigenvalues does not couple their vectors: the entry is zero up to a rounding
    error. Divided by the small gap, the rounding error would dominate the gradient.
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


def zero_at_noise(noise: Array | None, x: Array) -> Array:
    """`x` with the value 0 at noise. Its derivative is kept: a coupling that is zero may have a nonzero derivative."""
    return x if noise is None else jnp.where(noise, x - lax.stop_gradient(x), x)


# ---- what is refused ----------------------------------------------------------------------------------------------


def gradient_factor(
    policy: Policy, subject: Subject, w: Array, w_bar: Array | None, k_bar: Array, kappa: Array, scale: Array
) -> Array | None:
    """1 where the gradient may be computed without the gaps inside clusters, NaN where it is refused; `(…, 1, 1)`.

    `k_bar` is `K̄` of the derivations, and `kappa` the size of the rounding errors in its entries. `None` if the policy
    does not test this.
    """
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    w, k_bar, kappa = (lax.stop_gradient(x) for x in (w, k_bar, kappa))
    together = clusters(policy, w, scale) & ~identity(w.shape[-1], w.ndim + 1)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    rotation, mixing = rotation_and_mixing(k_bar)
    # `not <=` rather than `>`: a NaN in the cotangent fails the test.
    wrong = ~(rotation <= small * kappa)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        largest = jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None]
        wrong |= ~(mixing <= small * kappa) & ~(split <= small * largest)
    wrong &= together
    if policy.explain:
        # A cotangent that is NaN already is not explained by eigenvalues.
        explain(subject, policy, w, wrong & ~jnp.isnan(rotation), jnp.where(rotation <= small * kappa, ORDER, BASIS))
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

    `together` marks the eigenvalues `(i, j)` of a cluster, `moved` is the matrix that is divided by their gaps,
    `kappa()` the size of the rounding errors in its entries, and `why` the reason for an explanation. `None` if the
    policy does not test this.
    """
    if not isinstance(policy, check) or policy.coupled != "nan" or w.shape[-1] == 0:
        return None
    w, moved = lax.stop_gradient(w), lax.stop_gradient(moved)
    size = jnp.abs(moved)
    if w.shape[-1] <= SMALL:
        bound = lax.stop_gradient(kappa())
    else:  # the bound costs two products, which are not needed without clusters
        bound = lax.cond(jnp.any(together), lambda: lax.stop_gradient(kappa()), lambda: jnp.zeros_like(size))
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    # `not <=` rather than `>`: a NaN in the tangent fails the test.
    wrong = together & ~(size <= small * bound)
    wrong |= jnp.swapaxes(wrong, -1, -2)
    if policy.explain:
        explain(subject, policy, w, wrong, why)
    return jnp.any(wrong, axis=-2, keepdims=True)


def nan_if_any(wrong: Array, dtype: Any) -> Array:
    """NaN for matrices with a true entry, else 1; shape `(…, 1, 1)`."""
    return jnp.where(jnp.any(wrong, axis=(-1, -2), keepdims=True), dtype.type(jnp.nan), dtype.type(1))


def second_order_factor(
    policy: Policy, subject: Subject, w: Array, scale: Array, vectors: bool, weights: Array | None = None
) -> Array:
    """The factor of the derivatives of a first-order rule: under `check`, NaN for matrices with two eigenvalues too
    close for a second derivative, through eigenvectors or (without `vectors`) through eigenvalues alone; else 1. Shape
    `(…,)`.

    `weights` are the constant cotangents of the eigenvalues if the loss is linear in them. Eigenvalues with equal
    weights may be arbitrarily close, because such a loss is a sum of traces over whole clusters. But they must not be
    the same number: there, JAX's derivatives of `max`, `clip` or `abs` also have equal weights, although these have a
    kink. The core does not need this exception, because it computes no second derivatives.
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
    """Which eigenvalues share a cluster with one `outside` of the subset, `(…, m)`; shape `(…, 1, k)`. `None` if the
    policy does not test this."""
    if not isinstance(policy, check):
        return None
    w, outside, scale = (lax.stop_gradient(x) for x in (w, outside, scale))
    reach = (cluster_width(policy, w.shape[-1], w.dtype) * scale)[..., None]
    # `not >` rather than `<=`, so that NaN counts as sharing a cluster.
    touched = jnp.any(~(jnp.abs(w[..., :, None] - outside[..., None, :]) > reach), axis=-1)
    return jnp.any(clusters(policy, w, scale) & touched[..., None, :], axis=-1)[..., None, :]
