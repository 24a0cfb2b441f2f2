"""What to do where eigenvalues coincide: the policies, and what they have in common.

Derivatives of eigenvectors divide by the gaps between eigenvalues. Where a gap is zero, or as small as rounding, the
derivative of an eigenvector does not exist; the derivative of a loss that uses the vectors only through the invariant
subspace does. A policy says what is done about it. See `docs/derivations.md`, section "Degeneracy".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ._explanations import (
    BASIS,
    COUPLED,
    ORDER,
    SECOND,
    DegeneracyWarning,
    Subject,
    explain,
    explain_neighbours,
    user_line,
)
from ._matrices import identity, of_rank
from ._remedies import meant_policy

__all__ = ["DegeneracyWarning", "Policy", "broaden", "check", "mask", "policy", "raw"]

# These constants, and all of `clusters`, `verdict` and `noise`, have their twins in julia/src/degeneracy/.
ROUNDING_OF_COTANGENT = 64.0
NOISE_OF_COTANGENT = 8.0
NEAR = 1e-3
# Up to here, what is computed for nothing is cheaper than a branch.
SMALL = 8


def _require_number(name: str, value: Any, *, positive: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a Python number, got {value!r}")
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{name} must be {'positive' if positive else 'zero or positive'} and finite, got {value!r}")


def _require_one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Policy:
    """Base class of the policies. Use `check`, `mask`, `broaden` or `raw`."""


@dataclasses.dataclass(frozen=True)
class check(Policy):
    """The default: right or NaN.

    Eigenvalues closer than `c·√n·ε·s` form a cluster (`ε` the machine epsilon, `s` the size of the problem: `max|λ|`
    for the standard problem). Inside a cluster the gradient is computed without the gaps, but only if the loss is
    seen not to depend on the basis of the cluster; otherwise it is NaN for that matrix. Second derivatives through a
    cluster are NaN, and those through eigenvectors already at gaps of `√(c·√n·ε)·s`, for they divide by gaps twice.

    Forward mode sees no loss, but it sees the perturbation. If that couples two vectors of one cluster (`vᵢᴴ dA vⱼ` is
    more than rounding), they turn at once, and their tangents are NaN. All other tangents are right for every loss
    that has a derivative. The tangents of eigenvalues are those of symmetric losses; for other losses they belong to
    the subgradient that reverse mode gives (`eigh`) or are NaN where the perturbation couples (`eig`).

    **Limit.** The test is necessary, not sufficient: at `A = I` and `B = [[0, 1], [1, 0]]`, `tr(B V Λ Vᵀ)` and
    `mean(λ)·tr(B V Vᵀ)` hand over the same cotangents and have different derivatives, because the basis that LAPACK
    returns there is a special one. `generic_basis=True` closes the gap.

    **Arguments:**

    - `c`: width of the clusters, positive.
    - `generic_basis`: turn the basis inside each cluster by a fixed, generic unitary, in the value as well. A loss that
        depends on the basis is then found out with probability one; in return, `eigh(I)` is no longer `I`.
        For Hermitian problems.
    - `coupled`: what forward mode gives for what the perturbation couples inside a cluster: `"nan"`, or `"mask"`, the
        tangent without the turn. That is right for losses that use the cluster through its invariant subspace and
        symmetric functions of its eigenvalues only, and nothing checks that they do.
    - `refused`: what reverse mode gives for a matrix whose gradient is refused: `"nan"`, or `"zero"`, so that a
        training step goes on with the others. Zero is not the gradient; count the refusals, by `tally`, an argument of
        `eigh`, `eig` and `eigvals` whose own gradient is that number. NaN that comes from the loss or the matrix stays
        NaN, and so do tangents and second derivatives. See `docs/training.md`.
    - `explain`: when something is NaN, say why in a `DegeneracyWarning`: which matrix, which eigenvalues, which test,
        and what to call instead. It points at the line that called the function, and works under `jit`, where the
        warning comes when the computation runs. Off by default: it takes a callback to the host, which makes programs
        slower and keeps them from being exported.
    - `location`: file and line for the warning; the functions fill it in.
    """

    c: float = 10.0
    generic_basis: bool = False
    explain: bool = False
    coupled: str = "nan"
    refused: str = "nan"
    location: tuple[str, int] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        _require_number("c", self.c, positive=True)
        _require_one_of("coupled", self.coupled, ("nan", "mask"))
        _require_one_of("refused", self.refused, ("nan", "zero"))
        for name in ("generic_basis", "explain"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")


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


_default = jax.make_user_context(default_value=check())

# Whether there has been such a block: calls that are compiled as a whole do not know their line.
any_block_explains = False


def policy(value: Policy) -> AbstractContextManager[None]:
    """A policy for a block of code: `with eigenpair.degeneracy.policy(mask(1e-6)): ...`

    It holds for calls that do not name one themselves, and for functions jitted outside of the block: they are traced
    anew inside of it.
    """
    global any_block_explains
    chosen = as_policy(value)
    any_block_explains |= explains(chosen)
    return _default(chosen)


def as_policy(value: Any) -> Policy:
    """The policy itself, the block's for `None`, or an error that says what would be one."""
    if value is None:
        return _default.value
    if isinstance(value, Policy) and type(value) is not Policy:
        return value
    raise TypeError(
        "degeneracy must be a policy, such as eigenpair.degeneracy.check(), mask(tol), broaden(eps) or raw(); "
        f"got {value!r}{meant_policy(value)}"
    )


def policy_of_call(value: Any) -> Policy:
    """`as_policy`, which knows the line it was called from if it has something to say there."""
    result = as_policy(value)
    if explains(result) and result.location is None:
        return dataclasses.replace(result, location=user_line())
    return result


def explains(policy: Policy) -> TypeGuard[check]:
    """Whether somebody wants to be told why something is NaN."""
    return isinstance(policy, check) and policy.explain


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


def inverse_gaps(policy: Policy, w: Array, scale: Array) -> Array:
    """`F`: `1/(λⱼ − λᵢ)` as the policy has it, 0 on the diagonal. Shape `(…, n, n)`."""
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
    pair = clusters(policy, w, scale) & ~identity(w.shape[-1], w.ndim + 1)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    rotation, mixing = parts(k_bar)
    # `not <=` rather than `>`: a NaN in the cotangent fails the test.
    wrong = ~(rotation <= small * kappa)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        largest = jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None]
        wrong |= ~(mixing <= small * kappa) & ~(split <= small * largest)
    wrong &= pair
    if policy.explain:
        explain(subject, policy, w, wrong, jnp.where(rotation <= small * kappa, ORDER, BASIS))
    return nan_where(wrong, w.dtype)


def coupled(
    policy: Policy,
    subject: Subject,
    w: Array,
    pair: Array,
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
        bound = lax.cond(jnp.any(pair), lambda: lax.stop_gradient(kappa()), lambda: jnp.zeros_like(size))
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    # `not <=` rather than `>`: a NaN in the tangent fails the test.
    wrong = pair & ~(size <= small * bound)
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


def without(noise: Array | None, x: Array) -> Array:
    """`x` with the value 0 at noise. Its derivative stays: where a coupling vanishes, it need not do so next to it."""
    return x if noise is None else jnp.where(noise, x - lax.stop_gradient(x), x)


def nan_where(wrong: Array, dtype: Any) -> Array:
    """NaN for matrices with a pair that failed, else 1; shape `(…, 1, 1)`."""
    return jnp.where(jnp.any(wrong, axis=(-1, -2), keepdims=True), dtype.type(jnp.nan), dtype.type(1))


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


def second_order_factor(policy: Policy, subject: Subject, w: Array, scale: Array, vectors: bool) -> Array:
    """What multiplies derivatives of a first-order rule: under `check`, NaN for matrices with a pair of eigenvalues too
    close for a second derivative, through eigenvectors or (not `vectors`) eigenvalues alone; else 1. Shape `(…)`."""
    if not isinstance(policy, check) or w.shape[-1] < 2:
        return jnp.ones(w.shape[:-1], w.dtype)
    apart = jnp.diff(lax.stop_gradient(w), axis=-1) > second_order_width(policy, w, vectors) * scale
    if policy.explain:
        explain_neighbours(subject, policy, lax.stop_gradient(w), apart, SECOND)
    return jnp.where(jnp.all(apart, axis=-1), w.dtype.type(1), w.dtype.type(jnp.nan))
