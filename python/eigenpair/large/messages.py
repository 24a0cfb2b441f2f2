"""Warnings that say why a result is NaN. They are issued when the computation runs, also under `jit`."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


class ConvergenceWarning(UserWarning):
    """An eigenpair, or a derivative of one, is NaN because an iteration did not converge or could not be trusted."""


def _when(wrong: Array, tell: Any, *values: Array) -> None:
    lax.cond(wrong, lambda *xs: jax.debug.callback(tell, *xs), lambda *xs: None, *values)


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=2)


def of_derivative(function: str, good: Array, lost: Array, size: Array, iterations: Array) -> None:
    """Warns about linear systems of eigenvectors' derivatives that were not solved."""
    _when(~jnp.all(good), functools.partial(_of_derivative, function), good, lost, size, iterations)


def _of_derivative(function: str, good: Any, lost: Any, size: Any, iterations: Any) -> None:
    good, lost, size = (np.asarray(x) for x in (good, lost, size))
    if np.all(good):  # under vmap both branches of a condition run
        return
    with np.errstate(all="ignore"):
        relative = np.where(size > 0, lost / size, lost)
    _warn(
        f"a derivative of eigenvectors of {function} is NaN: after {int(np.max(iterations))} iterations, linear "
        f"systems have relative residuals {np.array2string(relative, precision=1)}. {_more(function)}. An eigenvalue "
        "outside the requested ones may be too close: then request one more or one fewer."
    )


def _more(function: str) -> str:
    """What helps an iteration to converge."""
    help_of_operator = "" if function == "eigs" else ", give a preconditioner"
    return f"Raise max_iterations, raise tol{help_of_operator}, or start from v0"


def of_solution(
    function: str, converged: Array, complete: Array, residuals: Array, allowed: Array, iterations: Array
) -> None:
    """Warns about eigenpairs that have not converged."""
    _when(
        ~jnp.all(converged),
        functools.partial(_of_solution, function),
        converged,
        complete,
        residuals,
        allowed,
        iterations,
    )


def _of_solution(function: str, converged: Any, complete: Any, residuals: Any, allowed: Any, iterations: Any) -> None:
    converged, residuals, allowed = (np.asarray(x) for x in (converged, residuals, allowed))
    if np.all(converged):
        return
    if not np.all(np.isfinite(residuals)):
        wrong_b = "singular" if function == "eigs" else "not positive definite"
        _warn(f"{function}: the result is NaN, because the operator returned NaN or Inf, or b is {wrong_b}.")
        return
    count = int(np.sum(~(residuals <= allowed)))
    digits: Any = {"float_kind": "{:.1e}".format}
    shown = np.array2string(residuals, formatter=digits)
    reason = (
        f"{count} of {residuals.shape[-1]} eigenpairs did not converge"
        if count
        else "the search for copies of repeated eigenvalues did not finish"
    )
    _warn(
        f"{function}: NaN, because {reason} in {int(np.max(iterations))} iterations. Residuals: {shown}; "
        f"needed: {np.array2string(allowed, formatter=digits)}. {_more(function)}."
    )


def of_symmetry(function: str, name: str, wrong: Array) -> None:
    """Warns about an operator that is not Hermitian."""
    _when(wrong, functools.partial(_of_symmetry, function, name), wrong)


def _of_symmetry(function: str, name: str, wrong: Any) -> None:
    if np.any(np.asarray(wrong)):
        _warn(f"{function}: the result is NaN, because {not_hermitian(name)}")


def not_hermitian(name: str) -> str:
    """The message, for errors and warnings."""
    return (
        f"{name} is not Hermitian: ⟨y, {name} x⟩ and ⟨{name} y, x⟩ differ for random x and y. "
        f"Give its Hermitian part, ({name} + {name}ᴴ)/2, or use eigs."
    )


def warn(message: str) -> None:
    """A `ConvergenceWarning`."""
    _warn(message)


def of_factor(spec: Any, error: Exception) -> str:
    """Why a factorization could not be used."""
    if type(error).__name__ == "Indefinite":
        return "b is not positive definite: check its signs, or use eigs"
    return f"sigma={spec.sigma} is an eigenvalue, or too close to one for a factorization ({error}): move it a little"
