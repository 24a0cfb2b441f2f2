"""Arguments and names of other libraries that eigenpair does not have, and what to write instead.

The tables here have the hints for users of `jnp.linalg`, `jax.lax.linalg`, SciPy and the package `eigh`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import jax.scipy.special
from jax import Array

_F = TypeVar("_F", bound=Callable[..., Any])

_TRIANGLES = (
    "lower=True reads the lower triangle, lower=False the upper; by default this is a function of the Hermitian part "
    "(a + aᴴ)/2, like jnp.linalg.eigh"
)
_EVERYWHERE = {
    "check_finite": "leave it out: a matrix that contains NaN or Inf gives NaN, for that matrix alone",
    "overwrite_a": "leave it out: JAX arrays do not change. To save memory, donate them: jax.jit(f, donate_argnums=0)",
    "overwrite_b": "leave it out: JAX arrays do not change. To save memory, donate them: jax.jit(f, donate_argnums=1)",
    "implementation": "leave it out: the solver is chosen by platform and size",
    "use_magma": "leave it out: the solver is chosen by platform and size",
    **dict.fromkeys(("M", "B", "S", "s", "overlap", "mass"), "the second matrix is b"),
    "itype": "the kind of problem is type: 1, 2 or 3",
    "policy": "degeneracy takes the policy",
}
_OF_FEW = {
    "eigvals": "subset_by_index=(first, last), both included",
    "select": "subset_by_index=(first, last), both included",
    "select_range": "subset_by_index=(first, last), both included",
    **dict.fromkeys(
        ("k", "which"),
        "subset_by_index=(0, k - 1) for the k lowest, (n - k, n - 1) for the k highest. For large operators: eigsh",
    ),
    "sigma": "subset_by_index=(first, last) chooses eigenvalues by index; eigsh has sigma, for large operators",
    "return_eigenvectors": "eigvals_only=True returns eigenvalues alone",
    "compute_v": "eigvals_only=True returns eigenvalues alone",
}
HERMITIAN = {
    **_EVERYWHERE,
    **_OF_FEW,
    "UPLO": _TRIANGLES,
    "uplo": _TRIANGLES,
    "symmetrize_input": _TRIANGLES,
    "driver": "leave it out: LAPACK's driver is chosen by the size and the requested results",
    "turbo": "leave it out: LAPACK's driver is chosen by the size and the requested results",
    "sort_eigenvalues": "leave it out: eigenvalues are always ascending",
    "deg_thresh": (
        "degeneracy=eigenpair.degeneracy.mask(tol) leaves out gaps up to tol without a test; the default, check(), "
        "finds clusters, and tests whether the loss needs the gaps inside them"
    ),
    "left": "a Hermitian matrix has the same left and right vectors; eig has left",
    "right": "eigvals_only=True returns eigenvalues alone",
    "homogeneous_eigvals": "leave it out: eigenvalues of a definite pair are finite",
}
VALUES = {**HERMITIAN, "eigvals_only": "leave it out: eigvalsh returns nothing else; eigh has it"}
_SELECTION = {
    "select": "leave it out for all; subset_by_index=(first, last), both included, or subset_by_value=(low, high)",
    "select_range": "subset_by_index=(first, last), both included, or subset_by_value=(low, high)",
}
TRIDIAGONAL = {
    **HERMITIAN,
    **_SELECTION,
    "lapack_driver": "leave it out: LAPACK's driver is chosen by the requested results",
    "tol": "leave it out: eigenvalues are computed to the last digits",
    "lower": "leave it out: the matrix is symmetric, and e has the off-diagonal entries",
    "b": "eigh(a, b) solves pairs; give it whole matrices",
    "type": "eigh(a, b) solves pairs; give it whole matrices",
}
BANDED = {
    **HERMITIAN,
    **_SELECTION,
    "overwrite_a_band": _EVERYWHERE["overwrite_a"],
    "max_ev": "leave it out, or give subset_size=k with subset_by_value",
    "b": "eigh(a, b) solves pairs; give it whole matrices",
    "type": "eigh(a, b) solves pairs; give it whole matrices",
}
_NOT_HERMITIAN = "eigh has it, for Hermitian matrices; of a general matrix all entries are read"
GENERAL = {
    **_EVERYWHERE,
    **dict.fromkeys(("lower", "UPLO", "symmetrize_input"), _NOT_HERMITIAN),
    "type": "the problem is A v = λ v, or A v = λ B v; eigh has the others, for Hermitian pairs",
    "subset_by_index": "all eigenvalues are computed: select from the result",
    "subset_by_value": "all eigenvalues are computed: select from the result",
    "k": "all eigenvalues are computed: select from the result; eigs has k, for large operators",
    "compute_left_eigenvectors": "left=True",
    "compute_right_eigenvectors": "right=False leaves them out",
    "enable_eigvec_derivs": "leave it out: eigenvectors always have derivatives",
    "homogeneous_eigvals": "leave it out: w is finite, or inf where b is singular",
    "eigvals_only": "eigvals(a, b) returns eigenvalues alone",
    "deg_thresh": "degeneracy=eigenpair.degeneracy.mask(tol)",
    "driver": "leave it out: LAPACK has one",
}
GENERAL_VALUES = {
    **GENERAL,
    **dict.fromkeys(("left", "right", "compute_left_eigenvectors", "compute_right_eigenvectors"), "eig has vectors"),
    "eigvals_only": "leave it out: no vectors are returned; eig has them",
}
SPECTRAL = {
    **_EVERYWHERE,
    "lower": "leave it out: these are functions of the Hermitian part (a + aᴴ)/2",
    "UPLO": "leave it out: these are functions of the Hermitian part (a + aᴴ)/2",
    "degeneracy": "leave it out: derivatives of spectral functions need no policy, they are right at any degeneracy",
    "func": "the function is the first argument, f",
    "args": "close over further arguments of f, lambda x: f(x, t): what f closes over is differentiated too",
}
FUNCTIONS = {
    **_EVERYWHERE,
    **dict.fromkeys(("lower", "UPLO"), "spectral_map has functions of a Hermitian matrix"),
    "b": "functions of general matrices take one matrix",
    "degeneracy": "leave it out: derivatives of matrix functions need no policy, they are right at any degeneracy",
    "func": "the function is the first argument, f",
    "args": "close over further arguments of f, lambda x: f(x, t): what f closes over is differentiated too",
    "disp": "leave it out: a result without three correct digits is NaN",
    "blocksize": "leave it out",
}
TEMPERATURE = dict.fromkeys(("T", "kT", "kt", "temperature", "sigma", "smearing"), "give beta = 1/kT")
POTENTIAL = {
    **SPECTRAL,
    **TEMPERATURE,
    **dict.fromkeys(("n", "nelec", "nelectron", "n_electrons", "nelectrons"), "the number is electrons"),
    "f": "leave it out: the occupations are those of fermi_dirac",
    "mu": "leave it out: mu is the result",
}
LARGE = {
    **dict.fromkeys(("M", "B", "S", "s", "overlap", "mass"), "the second matrix is b"),
    "A": "the first argument is the operator",
    "ncv": "leave it out: the size of the basis is chosen",
    "maxiter": "max_iterations",
    "return_eigenvectors": "leave it out, and take result.eigenvalues",
    **dict.fromkeys(
        ("Minv", "OPinv", "mode"), "leave it out: sigma factorizes; an approximate inverse is a preconditioner"
    ),
    "X": "v0 has the vectors to start from",
    "largest": 'which="LA" gives the highest, "SA" the lowest',
    "howmany": "k",
}
GAUGE = {"axis": "vectors are columns; for rows: fix_gauge(v.mT).mT"}

# Names that users may look for in this package.
NAMES = {
    "svd": "jnp.linalg.svd",
    "svdvals": "jnp.linalg.svdvals",
    "expm": "spectral_map(jnp.exp, a) for Hermitian matrices; matrix_function(jnp.exp, a) or jax.scipy.linalg.expm",
    "funm": "spectral_map(f, a) for Hermitian matrices, matrix_function(f, a) for others",
    "inv_sqrtm": "spectral_map(eigenpair.functions.inv_sqrt, a)",
    "logdet": "spectral_sum(jnp.log, a) for positive definite matrices; jnp.linalg.slogdet for others",
    "polar": "jax.scipy.linalg.polar",
    "schur": "jax.scipy.linalg.schur",
    "eigh_gen": "eigh(a, b)",
    "eigvalsh_gen": "eigvalsh(a, b)",
    "eig_banded": "eigh_banded",
    "eigvals_banded": "eigvalsh_banded",
    "lobpcg": "eigsh(operator, k, v0=x, preconditioner=m)",
    "eigen": "eigh for Hermitian matrices, eig for others",
    "eigsolve": "eigsh for Hermitian operators, eigs for others",
    "geneigsolve": "eigsh(operator, k, b=b)",
    "linalg": "eigenpair.eigh, eigenpair.eig, …: the functions are in the package itself",
    **{name: f"jax.{name}" for name in ("grad", "jacobian", "hessian", "vjp", "jvp")},
    "check": "eigenpair.degeneracy.check",
    "mask": "eigenpair.degeneracy.mask",
    "broaden": "eigenpair.degeneracy.broaden",
    "raw": "eigenpair.degeneracy.raw",
    "policy": "eigenpair.degeneracy.policy",
    **{name: f"jnp.linalg.{name}" for name in ("qr", "cholesky", "inv", "pinv", "det", "slogdet", "solve", "norm")},
}


def missing_name(name: str) -> AttributeError:
    """The error of `eigenpair.name`."""
    remedy = NAMES.get(name)
    hint = "" if remedy is None else f". Use instead: {remedy}"
    return AttributeError(f"module 'eigenpair' has no attribute {name!r}{hint}", name=name)


def meant_policy(value: Any) -> str:
    """A hint at the policy that `value` probably means, or an empty string."""
    calls = {"check": "check()", "mask": "mask(tol)", "broaden": "broaden(eps)", "raw": "raw()"}
    name = value if isinstance(value, str) else getattr(value, "__name__", "")
    if name in calls:
        return f"; write eigenpair.degeneracy.{calls[name]}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"; eigenpair.degeneracy.mask({value!r}) leaves out gaps up to that number"
    return ""


def instead_of(f: Any) -> str:
    """What to use instead of a function that JAX cannot trace."""
    name = getattr(f, "__name__", "")
    for module, shown in ((jnp, "jnp"), (jax.scipy.special, "jax.scipy.special")):
        if callable(getattr(module, name, None)):
            return f"use {shown}.{name}"
    return "inside f, use jnp and jax.scipy.special instead of np, math and scipy.special, and jnp.where instead of if"


def with_remedies(table: Mapping[str, str], *, plain: Callable[[Array], Any] | None = None) -> Callable[[_F], _F]:
    """A decorator. If a call has unknown or too many arguments, the error says what to write instead.

    **Arguments:**

    - `table`: what to use instead of an argument of that name.
    - `plain`: the function to call if the only argument is an array.
    """

    def decorate(function: _F) -> _F:
        parameters = inspect.signature(function).parameters.values()
        positional = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)

        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            if plain is not None and len(args) == 1 and not keywords and isinstance(args[0], Array):
                return plain(args[0])
            try:
                return function(*args, **keywords)
            except TypeError:
                _refuse_unknown(function.__name__, keywords, [p.name for p in parameters], table)
                _refuse_missing(function.__name__, len(args), keywords, list(parameters))
                if len(args) <= positional:
                    raise
                names = ", ".join(p.name for p in list(parameters)[:positional])
                by_name = ", ".join(f"{p.name}=…" for p in list(parameters)[positional:])
                more = f", and by name {by_name}" if by_name else ""
                message = f"{function.__name__} takes {names} by position{more}; got {len(args)} by position"
                raise TypeError(message) from None

        return call  # type: ignore[return-value]

    return decorate


def _refuse_unknown(function: str, keywords: Mapping[str, Any], known: list[str], table: Mapping[str, str]) -> None:
    for name in keywords:
        if name in known:
            continue
        if name in table:
            raise TypeError(f"{function} has no argument {name}: {table[name]}") from None
        close = difflib.get_close_matches(name, known, 1)
        meant = f". Did you mean {close[0]}?" if close else ""
        raise TypeError(f"{function} has no argument {name}; it takes {', '.join(known)}{meant}") from None


def _refuse_missing(
    function: str, given: int, keywords: Mapping[str, Any], parameters: list[inspect.Parameter]
) -> None:
    missing = [
        p.name
        for index, p in enumerate(parameters)
        if p.default is p.empty and p.name not in keywords and (p.kind is p.KEYWORD_ONLY or index >= given)
    ]
    if missing:
        takes = ", ".join(p.name for p in parameters)
        raise TypeError(f"{function} needs {' and '.join(missing)}; it takes {takes}") from None
