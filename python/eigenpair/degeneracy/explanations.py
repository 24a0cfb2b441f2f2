"""Why a result is NaN: the warnings of `check(explain=True)`.

They are issued when the computation runs, also under `jit`, and point at the line that called the function.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

if TYPE_CHECKING:
    from .policies import check


class DegeneracyWarning(UserWarning):
    """A result is NaN because eigenvalues coincide, or because the function is not meant for the arguments."""


class Subject(NamedTuple):
    """The subject of an explanation: a function, and the index of the first eigenvalue that it considers."""

    function: str
    first: int = 0


# Reasons why two eigenvalues have no derivative, as numbers that a computation can return; the same as in the C ABI.
BASIS, ORDER, COUPLED, DEFECTIVE, SECOND, CUT, EDGE = 1, 2, 3, 4, 5, 6, 7

_WHAT = {
    COUPLED: "the tangent",
    DEFECTIVE: "the derivative",
    SECOND: "the second derivative",
    CUT: "the result",
    EDGE: "the derivative",
}
# The core's texts, word for word (`eigenpair_reason_text`); tests/python/runtime/test_abi.py compares them.
REASONS = {
    BASIS: "they are one cluster, and the loss depends on the choice of its eigenvectors, which is arbitrary",
    ORDER: "they are one cluster, and the loss uses them differently, which has no derivative unless the loss as a "
    "whole is a function of the matrix",
    COUPLED: "they are one cluster, and the perturbation couples their eigenvectors: a small perturbation rotates them "
    "by a finite angle, so their tangents do not exist",
    DEFECTIVE: "they are one cluster, and their eigenvectors nearly coincide: the matrix is defective, or too close to "
    "one that is. Its eigenvalues move like a root of the perturbation",
    SECOND: "they are too close for a second derivative, which divides by their distance twice or depends on how they "
    "split",
    CUT: "they are one cluster, so no projector separates them",
    EDGE: "they are one cluster, the subset contains only a part of it, and the loss uses its eigenvectors",
}

_OF_MATRIX = "write it with spectral_map, spectral_sum or spectral_projector"
_INSTEAD = {
    "eigh": _OF_MATRIX,
    "eigh(a, b)": f"{_OF_MATRIX}, which take b and type too",
    "eigsh": "write it with large.spectral_projector or large.spectral_sum",
    "eig": "write it without eigenvectors, as matrix_function, jax.scipy.linalg.expm, jnp.linalg.inv, matrix_power, "
    "det and trace are; for a Hermitian matrix, with eigh or spectral_map",
}
_SMOOTH = "choose k where there is a gap, or smooth the cut: spectral_map of functions.fermi_dirac"


def _advice(function: str, why: int) -> str:
    if why == CUT:
        return _SMOOTH[0].upper() + _SMOOTH[1:]
    if why == EDGE:
        return "Choose subset_by_index so that it contains the whole cluster, or nothing of it"
    instead = _INSTEAD[function]
    if why == SECOND:
        advice = f"If the loss is a function of the matrix, {instead}"
        if function == "eig":
            return advice
        advice += ", which have second derivatives at any degeneracy"
        b, where = (", b", " of type 1") if function == "eigh(a, b)" else ("", "")
        lowest = f". The sum of the k lowest eigenvalues{where} is jnp.trace(a @ spectral_projector(a, k{b}))"
        return advice if function == "eigsh" else advice + lowest
    if why == DEFECTIVE:
        return f"If the loss is a function of the matrix, {instead}; single eigenvalues have no derivative here"
    advice = f"If the loss is a function of the matrix, {instead}; if it needs these vectors, it has no derivative here"
    if why == COUPLED:
        advice += (
            ". Reverse mode (jax.grad, jax.vjp) can see whether the loss needs them. If it only uses the space that "
            'they span, check(coupled="mask") leaves the rotation out'
        )
    return advice


# ---- pairs of eigenvalues -----------------------------------------------------------------------------------------


def explain(subject: Subject, policy: check, w: Array, wrong: Array, why: Any) -> None:
    """Warns about the eigenvalues `(i, j)` marked `wrong`, `(…, n, n)`, if there are any. `why` is the reason, one for
    all or one for each."""
    reasons = jnp.where(wrong, jnp.asarray(why, jnp.int8), jnp.int8(0))
    w = jnp.broadcast_to(w, wrong.shape[:-1])  # residuals may lack batch axes that cotangents have
    _when(jnp.any(wrong), functools.partial(_warn_of_pairs, subject, policy), w, reasons)


def explain_neighbours(subject: Subject, policy: check, w: Array, apart: Array, why: int) -> None:
    """The same for neighbours: eigenvalue `i` and the next one are wrong where `apart`, `(…, n - 1)`, is false."""
    wrong = jnp.zeros((*apart.shape[:-1], w.shape[-1], w.shape[-1]), bool)
    i = np.arange(w.shape[-1] - 1)
    explain(subject, policy, w, wrong.at[..., i, i + 1].set(~apart), why)


def _warn_of_pairs(subject: Subject, policy: check, w: Any, reasons: Any) -> None:
    w, reasons = np.asarray(w), np.asarray(reasons)
    *batch, i, j = (int(index) for index in np.argwhere(reasons)[0])
    why = int(reasons[(*batch, i, j)])
    values = w[tuple(batch)]
    matrices = np.any(reasons, axis=(-1, -2))
    which = _of(batch) if matrices.size > 1 else ""
    gap = f"{values[i]!s} and {values[j]!s}, differ by {abs(values[i] - values[j]):.1e}"
    _warn(
        policy,
        f"{_WHAT.get(why, 'the gradient')} of {subject.function} is NaN for {_matrices(int(np.sum(matrices)))}: "
        f"eigenvalues {subject.first + i} and {subject.first + j}{which}, {gap}; {REASONS[why]}. "
        f"{_advice(subject.function, why)}.",
    )


# ---- arguments ----------------------------------------------------------------------------------------------------


def explain_asymmetry(function: str, policy: check, a: Array, far: Array) -> None:
    """Warns where `a` is `far`, `(…,)`, from Hermitian."""
    _when(jnp.any(far), functools.partial(_warn_of_asymmetry, function, policy), a, far)


def _warn_of_asymmetry(function: str, policy: check, a: Any, far: Any) -> None:
    a, far = np.asarray(a), np.asarray(far)
    batch = np.argwhere(far)[0] if far.ndim else ()
    one = a[tuple(batch)]
    part = np.linalg.norm(one - one.conj().T) / 2 / np.linalg.norm(one)
    if function == "eigh":
        text = (
            "eigh takes the Hermitian part (a + aᴴ)/2 of a matrix that is far from Hermitian"
            f"{_of(batch)}: its skew-Hermitian part is {part:.0%} of it. lower=True or lower=False reads one triangle; "
            "eig is for general matrices"
        )
    else:
        text = (
            f"{function} is NaN for {_matrices(int(np.sum(far)))}: the skew-Hermitian part{_of(batch)} is {part:.0%} "
            "of it. Spectral functions are functions of the Hermitian part; if you mean that, set hermitian_part=True. "
            "If the matrix is one triangle, make the whole matrix first; for a general matrix use matrix_function or "
            "jax.scipy.linalg.expm"
        )
    _warn(policy, text + ".")


def explain_values(function: str, policy: check, w: Array, values: Array) -> None:
    """Warns about eigenvalues `w` at which the `values` of a function, `(…, n)`, are not finite."""
    wrong = jnp.isfinite(w) & ~jnp.isfinite(values)
    _when(jnp.any(wrong), functools.partial(_warn_of_values, function, policy), w, values, wrong)


def _warn_of_values(function: str, policy: check, w: Any, values: Any, wrong: Any) -> None:
    w, values, wrong = np.asarray(w), np.asarray(values), np.asarray(wrong)
    *batch, i = (int(index) for index in np.argwhere(wrong)[0])
    count = int(np.sum(np.any(wrong, axis=-1)))
    _warn(
        policy,
        f"{function} is NaN or infinite for {_matrices(count)}: f is {values[(*batch, i)]!s} at eigenvalue {i}"
        f"{_of(batch)}, {w[(*batch, i)]!s}. Take an f that is finite at all eigenvalues, or move them: add a small "
        "multiple of the identity to a matrix that may be singular.",
    )


def explain_no_digits(function: str, policy: check, a: Array, result: Array) -> None:
    """Warns about finite general matrices `a` of which the `result` of a function is NaN."""
    lost = jnp.all(jnp.isfinite(a), (-1, -2)) & jnp.any(jnp.isnan(result), (-1, -2))
    _when(jnp.any(lost), functools.partial(_warn_of_no_digits, function, policy), lost)


def _warn_of_no_digits(function: str, policy: check, lost: Any) -> None:
    lost = np.asarray(lost)
    batch = np.argwhere(lost)[0] if lost.ndim else ()
    _warn(
        policy,
        f"{function} is NaN for {_matrices(int(np.sum(lost)))}: fewer than three digits are certain. An eigenvalue"
        f"{_of(batch)} is at 0, on the branch cut of f or at a singularity, or close to it. Shift the matrix, or turn "
        "the cut away: for a square root, matrix_function(lambda z: jnp.exp(0.25j * jnp.pi) * jnp.sqrt(-1j * z), a).",
    )


def explain_not_finite(policy: check, name: str, a: Array) -> None:
    """Warns about matrices with NaN or Inf in them."""
    wrong = ~jnp.all(jnp.isfinite(a), (-1, -2))
    _when(jnp.any(wrong), functools.partial(_warn_of_not_finite, policy, name), wrong)


def _warn_of_not_finite(policy: check, name: str, wrong: Any) -> None:
    wrong = np.asarray(wrong)
    batch = np.argwhere(wrong)[0] if wrong.ndim else ()
    _warn(
        policy,
        f"eigh is NaN for {_matrices(int(np.sum(wrong)))}: {name}{_of(batch)} contains NaN or Inf.",
    )


def explain_limits(policy: check, name: str, described: str, value: Array, fine: Array) -> None:
    """Warns where a traced number of `chemical_potential` is out of its range."""
    _when(~jnp.all(fine), functools.partial(_warn_of_limits, policy, name, described), value, fine)


def _warn_of_limits(policy: check, name: str, described: str, value: Any, fine: Any) -> None:
    value, fine = np.asarray(value), np.asarray(fine)
    _warn(policy, f"chemical_potential is NaN: {name} must be {described}, got {value[~fine][0]!s}.")


def explain_unsolved(policy: check, a: Array, b: Array, w: Array) -> None:
    """Warns about pairs of finite matrices without a solution."""
    unsolved = jnp.all(jnp.isfinite(a), (-1, -2)) & jnp.all(jnp.isfinite(b), (-1, -2)) & jnp.any(jnp.isnan(w), -1)
    _when(jnp.any(unsolved), functools.partial(_warn_of_unsolved, policy), b, unsolved)


def _warn_of_unsolved(policy: check, b: Any, unsolved: Any) -> None:
    b, unsolved = np.asarray(b), np.asarray(unsolved)
    batch = np.argwhere(unsolved)[0] if unsolved.ndim else ()
    one = b[tuple(batch)]
    lowest = float(np.linalg.eigvalsh((one + one.conj().T) / 2)[0])
    reason = (
        f"b{_of(batch)} is not positive definite: its lowest eigenvalue is {lowest:.3g}"
        if lowest <= np.finfo(one.dtype).eps * np.linalg.norm(one)
        else f"the solver did not converge{_of(batch)}"
    )
    _warn(
        policy,
        f"eigh(a, b) is NaN for {_matrices(int(np.sum(unsolved)))}: {reason}. For an indefinite b use eig(a, b).",
    )


# ---- shared ------------------------------------------------------------------------------------------


def _when(condition: Array, tell: Callable[..., None], *operands: Array) -> None:
    def tell_if(condition: Any, *xs: Any) -> None:
        if condition:  # tested again, because under `vmap` both branches run
            tell(*xs)

    lax.cond(condition, lambda *xs: jax.debug.callback(tell_if, *xs), lambda *xs: None, condition, *operands)


def _matrices(count: int) -> str:
    return "1 matrix" if count == 1 else f"{count} matrices"


def _of(batch: Any) -> str:
    return f" of matrix {tuple(int(k) for k in batch)}" if len(batch) else ""


# All warnings share it, so a loop shows each warning once.
_registry: dict[Any, Any] = {}


def _warn(policy: check, message: str) -> None:
    file, line = policy.location or (__file__, 1)
    warnings.warn_explicit(message, DegeneracyWarning, file, line, registry=_registry)


def user_line() -> tuple[str, int] | None:
    """File and line of the nearest caller that is neither eigenpair nor JAX."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("eigenpair", "jax", "jaxlib"):
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
