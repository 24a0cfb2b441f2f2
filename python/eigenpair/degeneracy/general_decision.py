"""The decision of `check` for general problems: clusters, rounding noise, and which derivatives are refused.

`reach` is how far a rounding error of size 1 moves each eigenvalue, `condition` is its condition number, both
`(…, n)`. csrc/degeneracy/general_decision.cc decides in the same way; both are tested against
`tests/cases/decisions.txt`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..runtime.matrices import identity
from . import decision
from .decision import ROUNDING_OF_COTANGENT, cluster_width, nan_if_any, second_order_width
from .explanations import BASIS, COUPLED, DEFECTIVE, ORDER, SECOND, Subject, explain
from .policies import Policy, broaden, check, mask

SUBJECT = Subject("eig")
# Up to this condition number, a small coupling has a small effect.
WELL_CONDITIONED = 1e3


def homogeneous(w: Array) -> tuple[Array, Array]:
    """`(α, β)` with `λ = α/β`: `(λ, 1)`, and `(1, 0)` where infinite."""
    infinite = jnp.isinf(w)
    return jnp.where(infinite, 1, w), jnp.where(infinite, 0, 1).astype(w.dtype)


def gaps(w: Array) -> Array:
    """`αⱼβᵢ − βⱼαᵢ`, which is `λⱼ − λᵢ` for finite eigenvalues."""
    alpha, beta = homogeneous(w)
    return alpha[..., None, :] * beta[..., :, None] - beta[..., None, :] * alpha[..., :, None]


def _close(w: Array, tol: Array) -> Array:
    """Which eigenvalues `(i, j)` are no farther apart than the larger of their tolerances; `(…, n, n)`."""
    infinite = jnp.isinf(w)
    apart = jnp.abs(gaps(w)) > jnp.maximum(tol[..., :, None], tol[..., None, :])
    return ~(apart | (infinite[..., :, None] != infinite[..., None, :]))


def clusters(policy: check, w: Array, reach: Array) -> Array:
    """Which eigenvalues `(i, j)` share a cluster: those closer than `c·√n·ε` times the larger `reach`, and those
    connected by a chain of such eigenvalues. Shape `(…, n, n)`, true on the diagonal."""
    together = _close(w, cluster_width(policy, w.shape[-1], w.dtype) * reach) | identity(w.shape[-1], w.ndim + 1)

    def in_two_steps(now: Array) -> Array:
        counts = now.astype(jnp.float32)
        return jnp.matmul(counts, counts) > 0

    if w.ndim > 1:
        # Enough for the longest chain. Whether the batch is done already would be a question to all devices it is
        # spread over.
        return lax.fori_loop(0, max(w.shape[-1] - 2, 0).bit_length(), lambda _, now: in_two_steps(now), together)

    def more(state: tuple[Array, Array]) -> tuple[Array, Array]:
        now, _ = state
        reached = in_two_steps(now)
        return reached, jnp.any(reached != now)

    return lax.while_loop(lambda state: state[1], more, (together, jnp.any(together)))[0]


def inverse_gaps(policy: Policy, w: Array, reach: Array) -> Array:
    """`F` of a general problem: `1/(λⱼ − λᵢ)` under the policy, 0 on the diagonal. Shape `(…, n, n)`."""
    gap = gaps(w)
    size = jnp.abs(gap)
    dropped = identity(w.shape[-1], gap.ndim)
    if isinstance(policy, broaden):
        dropped = dropped | (size == 0)
        safe = jnp.where(dropped, 1, gap)
        return jnp.where(dropped, 0, 1 / (safe + policy.eps / jnp.conj(safe)))
    if isinstance(policy, check):
        dropped = dropped | clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach))
    elif isinstance(policy, mask):
        dropped = dropped | (size <= policy.tol)
    return jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, gap))


def nearly_parallel(policy: check, condition: Array) -> Array:
    """Whether the vectors `(i, j)` are so close to parallel that, in a cluster, the eigenvalue is defective. Then no
    coupling is small enough to be left out. Shape `(…, n, n)`."""
    n = condition.shape[-1]
    return ~(10 * policy.c * math.sqrt(n) * jnp.finfo(condition.dtype).eps * _larger(condition) ** 2 < 1)


def _larger(condition: Array) -> Array:
    """The larger of the condition numbers of eigenvalues `i` and `j`."""
    return jnp.maximum(condition[..., :, None], condition[..., None, :])


def is_noise(
    policy: Policy, w: Array, w_bar: Array | None, k_bar: Array, kappa: Array, reach: Array, condition: Array
) -> Array | None:
    """Which entries of `K̄` are rounding noise, as in `decision.is_noise`; `None` if the policy does not test it."""
    size = jnp.abs(k_bar)
    coupling = jnp.maximum(size, jnp.swapaxes(size, -1, -2))
    scale = jnp.max(reach, axis=-1)[..., None, None]
    found = decision.is_noise(policy, jnp.abs(gaps(w)), coupling, coupling, w_bar, kappa, scale)
    # If vectors are nearly parallel, a small coupling may have a large effect.
    return None if found is None else found & (_larger(condition) < WELL_CONDITIONED)


def gradient_factor(
    policy: Policy, w: Array, w_bar: Array | None, k_bar: Array | None, kappa: Any, reach: Array, condition: Array
) -> Array | None:
    """1 where the gradient exists, NaN where it is refused; shape `(…, 1, 1)`. `None` if the policy does not test
    this."""
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    together = clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach)) & ~identity(w.shape[-1], w.ndim + 1)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    wrong = jnp.zeros_like(together)
    if k_bar is not None:
        wrong |= ~(jnp.abs(lax.stop_gradient(k_bar)) <= small * lax.stop_gradient(kappa))
        wrong |= nearly_parallel(policy, condition)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        wrong |= ~(split <= small * jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None])
    wrong &= together
    if policy.explain:
        rotates = jnp.zeros_like(together) if k_bar is None else ~(jnp.abs(k_bar) <= small * kappa)
        parallel = nearly_parallel(policy, condition)
        # Without a dual basis all is NaN anyway.
        unknown = together & jnp.isnan(_larger(condition))
        explain(SUBJECT, policy, w, wrong | unknown, jnp.where(parallel, DEFECTIVE, jnp.where(rotates, BASIS, ORDER)))
    return nan_if_any(wrong, reach.dtype)


def columns_without_tangent(
    policy: Policy,
    w: Array,
    moved: Array,
    kappa: Callable[[], Array],
    reach: Array,
    condition: Array,
) -> Array | None:
    """Which eigenpairs have no tangent, because the perturbation couples them inside their cluster; `(…, 1, n)`.

    `moved` is the matrix that is divided by the gaps, and `kappa()` the size of the rounding errors in its entries.
    """
    if not isinstance(policy, check) or policy.coupled != "nan":
        return None
    parallel = nearly_parallel(policy, condition)

    def limit() -> Array:
        return jnp.where(parallel, jnp.nan, kappa())

    together = clusters(policy, w, reach) & ~identity(w.shape[-1], w.ndim + 1)
    why = jnp.where(parallel, DEFECTIVE, COUPLED)
    return decision.columns_without_tangent(policy, SUBJECT, w, together, moved, limit, why)


def second_order_factor(policy: Policy, w: Array, reach: Array, vectors: bool) -> Array:
    """1, or NaN for matrices with two eigenvalues too close for a second derivative, through eigenvectors or (without
    `vectors`) through eigenvalues alone; also NaN if an eigenvalue is infinite. Shape `(…,)`."""
    factor = jnp.where(jnp.any(jnp.isinf(w), axis=-1), jnp.nan, 1).astype(reach.dtype)
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return factor
    w, reach = lax.stop_gradient(w), lax.stop_gradient(reach)
    close = _close(w, second_order_width(policy, w, vectors) * reach)
    close &= ~identity(w.shape[-1], close.ndim)
    if policy.explain:
        explain(SUBJECT, policy, w, close, SECOND)
    return jnp.where(jnp.any(close, axis=(-1, -2)), jnp.nan, factor)
