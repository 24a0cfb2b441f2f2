"""What to do where eigenvalues coincide: the policies, and what they have in common.

Derivatives of eigenvectors divide by the gaps between eigenvalues. Where a gap is zero, or as small as rounding, the
derivative of an eigenvector does not exist; the derivative of a loss that uses the vectors only through the invariant
subspace does. A policy says what is done about it. See `docs/derivations.md`, section "Degeneracy".
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

__all__ = ["Policy", "broaden", "check", "mask", "raw"]

# Both constants, and all of `clusters` and `verdict`, have their twins in julia/src/degeneracy.jl.
ROUNDING_OF_COTANGENT = 64.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """Base class of the policies. Use `check`, `mask`, `broaden` or `raw`."""


@dataclasses.dataclass(frozen=True)
class check(Policy):
    """The default: right or NaN.

    Eigenvalues closer than `c·√n·ε·s` form a cluster (`ε` the machine epsilon, `s` the size of the problem: `max|λ|`
    for the standard problem). Inside a cluster the gradient is computed without the gaps, but only if the loss is
    seen not to depend on the basis of the cluster; otherwise it is NaN for that matrix. Second derivatives through a
    cluster are NaN.

    Forward mode sees no cotangent: it leaves out the rotation inside clusters, which is right for losses that pass
    the test.

    **Limit.** The test is necessary, not sufficient: at `A = I` and `B = [[0, 1], [1, 0]]`, `tr(B V Λ Vᵀ)` and
    `mean(λ)·tr(B V Vᵀ)` hand over the same cotangents and have different derivatives.

    **Arguments:** `c`: width of the clusters, positive.
    """

    c: float = 10.0

    def __post_init__(self) -> None:
        _require_number("c", self.c, positive=True)


@dataclasses.dataclass(frozen=True)
class mask(Policy):
    """Leave out every pair of eigenvalues closer than `tol`, an absolute number in the units of the eigenvalues.

    Right only for losses that do not depend on the basis inside such groups, and nothing checks that they do not.
    """

    tol: float

    def __post_init__(self) -> None:
        _require_number("tol", self.tol)


@dataclasses.dataclass(frozen=True)
class broaden(Policy):
    """Replace `1/x` by the Lorentzian `x/(x² + eps)`; `eps` in the units of the eigenvalues, squared. Always finite,
    and never exact.
    """

    eps: float

    def __post_init__(self) -> None:
        _require_number("eps", self.eps)


@dataclasses.dataclass(frozen=True)
class raw(Policy):
    """Divide by the gaps, whatever they are: Inf or NaN where one is zero."""


def as_policy(value: Any) -> Policy:
    """The policy itself, or an error that says what would be one."""
    if isinstance(value, Policy) and type(value) is not Policy:
        return value
    raise TypeError(
        "degeneracy must be a policy, such as eigenpair.degeneracy.check(), mask(tol), broaden(eps) or raw(); "
        f"got {value!r}"
    )


def _require_number(name: str, value: Any, *, positive: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a Python number, got {value!r}")
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{name} must be {'positive' if positive else 'zero or positive'} and finite, got {value!r}")


def norm(x: Array, axis: int | tuple[int, ...]) -> Array:
    """2-norm over `axis` (kept), safe from overflow and underflow of the squares."""
    size = jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    safe = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    return safe * jnp.sqrt(jnp.sum(jnp.abs(x / safe) ** 2, axis=axis, keepdims=True))


def largest_column(x: Array) -> Array:
    """Largest column norm of each matrix, shape `(…, 1, 1)`."""
    return jnp.max(norm(x, -2), axis=-1, keepdims=True)


def clusters(policy: check, w: Array, scale: Array) -> Array:
    """Which pairs of the ascending eigenvalues `w` share a cluster: booleans `(…, n, n)`, true on the diagonal."""
    n = w.shape[-1]
    tol = policy.c * math.sqrt(n) * jnp.finfo(w.dtype).eps * scale
    # Written so that a NaN joins everything: such a matrix is NaN anyway.
    apart = jnp.diff(w, axis=-1) > tol
    label = jnp.concatenate([jnp.zeros_like(w[..., :1], int), jnp.cumsum(apart, axis=-1)], axis=-1)
    return label[..., :, None] == label[..., None, :]


def inverse_gaps(policy: Policy, w: Array, scale: Array) -> Array:
    """`F`: `1/(λⱼ − λᵢ)` as the policy has it, 0 on the diagonal. Shape `(…, n, n)`."""
    gap = w[..., None, :] - w[..., :, None]
    if isinstance(policy, broaden):
        # Divided twice, so that neither x² nor eps underflows on its own.
        off = ~jnp.eye(w.shape[-1], dtype=bool)
        safe = jnp.where(off & (gap != 0), gap, 1)
        return jnp.where(off & (gap != 0), 1 / (safe + policy.eps / safe), 0)
    if isinstance(policy, check):
        dropped = clusters(policy, w, scale)
    elif isinstance(policy, mask):
        dropped = jnp.abs(gap) <= policy.tol
    else:
        dropped = jnp.zeros_like(gap, bool)
    dropped = dropped | jnp.eye(w.shape[-1], dtype=bool)
    return jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, gap))


def verdict(policy: Policy, w: Array, w_bar: Array | None, k_bar: Array, kappa: Array, scale: Array) -> Array | None:
    """1 where the gradient may be computed without the gaps inside clusters, NaN where it may not; shape `(…, 1, 1)`.

    `k_bar` is `K̄` of the derivations, `kappa` the size of its rounding error's source. `None`: nothing to judge.
    """
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    w, k_bar, kappa = (lax.stop_gradient(x) for x in (w, k_bar, kappa))
    pair = clusters(policy, w, scale) & ~jnp.eye(w.shape[-1], dtype=bool)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    adjoint = jnp.conj(jnp.swapaxes(k_bar, -1, -2))
    rotation = jnp.abs(k_bar - adjoint) / 2
    mixing = jnp.abs(k_bar + adjoint) / 2
    # `not <=` rather than `>`: a NaN in the cotangent fails the test.
    wrong = ~(rotation <= small * kappa)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        wrong |= ~(mixing <= small * kappa) & ~(split <= small * jnp.max(jnp.abs(w_bar), axis=-1)[..., None, None])
    wrong = jnp.any(pair & wrong, axis=(-1, -2), keepdims=True)
    return jnp.where(wrong, jnp.nan, 1).astype(w.dtype)


def second_order_factor(policy: Policy, w: Array, scale: Array) -> Array:
    """What multiplies derivatives of a first-order rule: NaN for matrices with a cluster under `check`, else 1. Shape
    `(…)`."""
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return jnp.ones(w.shape[:-1], w.dtype)
    together = jnp.sum(clusters(policy, lax.stop_gradient(w), scale), axis=(-1, -2)) > w.shape[-1]
    return jnp.where(together, jnp.nan, 1).astype(w.dtype)
