"""The policies: what a derivative does where eigenvalues coincide."""

from __future__ import annotations

import dataclasses
import math
from contextlib import AbstractContextManager
from typing import Any, TypeGuard

import jax

from ..runtime.remedies import meant_policy
from .explanations import user_line


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
    """Drop the gap between any two eigenvalues closer than `tol`, an absolute number in the units of the eigenvalues.

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

# Whether any block has asked for explanations. Calls that are compiled as a whole cannot name the caller's line.
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
    """`as_policy`, with the line of the caller if it may have to warn."""
    result = as_policy(value)
    if explains(result) and result.location is None:
        return dataclasses.replace(result, location=user_line())
    return result


def explains(policy: Policy) -> TypeGuard[check]:
    """Whether the policy asks for explanations of NaN."""
    return isinstance(policy, check) and policy.explain
