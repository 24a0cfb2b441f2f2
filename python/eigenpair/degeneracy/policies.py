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

    Eigenvalues closer than `c·√n·ε·s` form a cluster. `ε` is the machine epsilon, and `s` the scale of the problem
    (`max|λ|` for the standard problem). If the loss does not depend on the basis of a cluster, the gradient leaves out
    the gaps inside it. Otherwise the gradient is NaN for that matrix. Second derivatives through a cluster are NaN.
    Second derivatives through eigenvectors are NaN even at gaps up to `√(c·√n·ε)·s`, because they divide by gaps twice.

    Forward mode does not see the loss, but it sees the perturbation. If the perturbation couples two vectors of one
    cluster (`vᵢᴴ dA vⱼ` is larger than a rounding error), their tangents do not exist and are NaN. All other tangents
    are right for every loss that has a derivative. The tangents of eigenvalues are those of symmetric losses. For other
    losses they belong to the subgradient that reverse mode returns (`eigh`), or are NaN if the perturbation couples
    (`eig`).

    **Limit.** The test is necessary, not sufficient. At `A = I` and `B = [[0, 1], [1, 0]]`, the losses `tr(B V Λ Vᵀ)`
    and `mean(λ)·tr(B V Vᵀ)` have the same cotangents but different derivatives, because the basis that LAPACK
    returns there is a special one. So it is at diagonal matrices with repeated entries, and at block-diagonal matrices
    with equal blocks if the loss connects the blocks. `generic_basis=True` makes the test distinguish them.

    **Arguments:**

    - `c`: width of the clusters, positive.
    - `generic_basis`: rotate the basis inside each cluster by a fixed, generic unitary matrix, in the value as well.
        The test then detects, with probability one, every loss that depends on the basis; but `eigh(I)` no longer
        returns `I`. For Hermitian problems.
    - `coupled`: the tangents of vectors that the perturbation couples inside a cluster: `"nan"`, or `"mask"`, the
        tangents without this rotation. They are right for losses that use the cluster only through its invariant
        subspace and symmetric functions of its eigenvalues, which is not checked.
    - `refused`: the gradient of a matrix that reverse mode refuses: `"nan"`, or `"zero"`, so that a training step
        continues with the other matrices. Zero is not the true gradient, so count the refusals with `tally`, an
        argument of `eigh`, `eig` and `eigvals` whose gradient is that number. NaN that comes from the loss or the
        matrix stays NaN, and so do tangents and second derivatives. See `docs/training.md`.
    - `explain`: when a result is NaN, say why in a `DegeneracyWarning`: which matrix, which eigenvalues, the reason,
        and what to call instead. It points at the line that called the function. Under `jit` the warning is issued
        when the computation runs. Off by default, because it needs a callback to the host, which makes programs
        slower and prevents their export.
    - `location`: file and line for the warning, set by the functions.
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
    """Leave out the gap between any two eigenvalues closer than `tol`, an absolute number in the units of the
    eigenvalues.

    Right only for losses that do not depend on the basis inside such groups, which is not checked.
    """

    tol: float

    def __post_init__(self) -> None:
        _require_number("tol", self.tol)


@dataclasses.dataclass(frozen=True)
class broaden(Policy):
    """Replace `1/x` by the Lorentzian `x/(x² + eps)`, with `eps` in squared units of the eigenvalues. Always finite,
    never exact.
    """

    eps: float

    def __post_init__(self) -> None:
        _require_number("eps", self.eps)


@dataclasses.dataclass(frozen=True)
class raw(Policy):
    """Divide by every gap, however small: Inf or NaN where a gap is zero."""


_default = jax.make_user_context(default_value=check())
_all_explain = jax.make_user_context(default_value=False)

# Whether any block has requested explanations. A call that is compiled as a whole does not know the caller's line.
any_block_explains = False


def policy(value: Policy) -> AbstractContextManager[None]:
    """A policy for a block of code: `with eigenpair.degeneracy.policy(mask(1e-6)): ...`

    It applies to calls without a `degeneracy` argument, also in functions that were jitted outside of the block: they
    are traced again inside the block.
    """
    global any_block_explains
    chosen = as_policy(value)
    any_block_explains |= explains(chosen)
    return _default(chosen)


def explaining() -> AbstractContextManager[None]:
    """A block in which all calls explain, also those that name a `check` of their own or are in an inner block."""
    global any_block_explains
    any_block_explains = True
    return _all_explain(True)


def without_explanations() -> AbstractContextManager[None]:
    """A block in which calls that name no policy explain nothing, such as at the steps of finite differences."""
    chosen = _default.value
    return _default(dataclasses.replace(chosen, explain=False) if explains(chosen) else chosen)


def as_policy(value: Any) -> Policy:
    """`value` if it is a policy, the policy of the block for `None`, an error otherwise."""
    if value is None:
        return _default.value
    if isinstance(value, Policy) and type(value) is not Policy:
        return value
    raise TypeError(
        "degeneracy must be a policy, such as eigenpair.degeneracy.check(), mask(tol), broaden(eps) or raw(); "
        f"got {value!r}{meant_policy(value)}"
    )


def policy_of_call(value: Any) -> Policy:
    """`as_policy`; if the policy explains, with the line of the caller."""
    result = as_policy(value)
    if _all_explain.value and isinstance(result, check):
        result = dataclasses.replace(result, explain=True)
    if explains(result) and result.location is None:
        return dataclasses.replace(result, location=user_line())
    return result


def explains(policy: Policy) -> TypeGuard[check]:
    """Whether the policy asks for explanations of NaN."""
    return isinstance(policy, check) and policy.explain
