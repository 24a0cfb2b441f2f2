"""Functions of a general matrix, with derivatives also at repeated eigenvalues. See `docs/derivations.md`, "Functions
of general matrices"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..degeneracy.explanations import explain_no_digits
from ..degeneracy.policies import explains, policy_of_call
from ..runtime import arguments, engines
from ..runtime.remedies import FUNCTIONS, instead_of, with_remedies
from . import divided_differences, functions
from .matrix_function_forms import Jet, form
from .matrix_function_groups import Problem, coefficients, prepared
from .named_functions import RESOLVED

__all__ = ["logm", "matrix_function", "signm", "sqrtm"]

Function = Callable[[Array], Array]


@with_remedies(FUNCTIONS)
def matrix_function(f: Function, a: Any) -> Array:
    """`f(A)` of a general square matrix: a differentiable `scipy.linalg.funm`.

    For Hermitian matrices `spectral_map` is faster and more accurate.

    **Arguments:**

    - `f`: a scalar function of a complex number, analytic around the eigenvalues, written with `jax.numpy`. The values
        that it closes over are differentiated too.
    - `a`: `(…, n, n)`, every entry a variable.

    **Returns:** `(…, n, n)`, complex, even for a real matrix. Take `.real` if `f(x̄)` is the conjugate of `f(x)` and
    `f` is real at real eigenvalues.

    First and second derivatives, in any mode, are right where eigenvalues coincide, with or without a basis of
    eigenvectors: `f(A)` is differentiable wherever `f` is analytic around the eigenvalues. A third derivative raises
    `NotImplementedError`.

    *Accuracy.* Errors grow with the condition number of the function, which is the norm of its derivative. The result
    is NaN if it does not have three correct digits. Examples are `jnp.sqrt` with a zero eigenvalue (unless rounding
    does not affect that eigenvalue), and a function with a branch cut if a complex or nearly defective matrix has an
    eigenvalue on the cut. A matrix without a well-conditioned basis of eigenvectors is reduced to its Schur form. This
    is possible only on CPUs; on other platforms the result is NaN.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.
    """
    f, a = _arguments_of(f, a)
    return _function(f, a, "taylor")


@with_remedies(FUNCTIONS)
def sqrtm(a: Any) -> Array:
    """The principal square root of a general matrix: its eigenvalues have positive real parts, or lie on the
    positive imaginary axis. A differentiable `scipy.linalg.sqrtm`.

    Like `matrix_function(jnp.sqrt, a)`, but also accurate for nearly defective matrices with any spectrum (Higham,
    *Functions of Matrices*, alg. 6.3).
    """
    return _function(jnp.sqrt, _matrix(a), "sqrt")


@with_remedies(FUNCTIONS)
def logm(a: Any) -> Array:
    """The principal logarithm of a general matrix: its eigenvalues have imaginary parts in (−π, π]. A differentiable
    `scipy.linalg.logm`.

    Like `matrix_function(jnp.log, a)`, but also accurate for nearly defective matrices with any spectrum (Higham,
    *Functions of Matrices*, ch. 11).
    """
    return _function(jnp.log, _matrix(a), "log")


@with_remedies(FUNCTIONS)
def signm(a: Any) -> Array:
    """The sign of a general matrix: `f` is 1 in the right half-plane and −1 in the left. A differentiable
    `scipy.linalg.signm`. NaN if an eigenvalue lies on the imaginary axis; real for real `a`.
    """
    a = _matrix(a)
    result = _function(functions.sign, a, "sign")
    return result if jnp.iscomplexobj(a) else jnp.real(result)


def _matrix(a: Any) -> Array:
    engines.refuse("a function of a general matrix")
    return arguments.matrices("a", a)


def _arguments_of(f: Any, a: Any) -> tuple[Function, Array]:
    if callable(a) and not callable(f):
        raise TypeError("a and f are swapped; the order is f, a")
    a = _matrix(a)
    if not callable(f):
        raise TypeError(f"f must be a function of a number, such as jnp.exp, got {f!r}")
    if f is jnp.sign:
        raise TypeError("f must be analytic, which jnp.sign is not for complex numbers; use eigenpair.signm(a)")
    dtype = np.promote_types(a.dtype, np.complex64)

    # We do not pass f itself, because JAX keeps weak references to functions, and some callables do not allow them.
    def one(x: Array) -> Array:
        return f(x)

    try:
        result = jax.eval_shape(one, jax.ShapeDtypeStruct((), dtype))
    except TypeError as error:
        raise TypeError(
            f"f must be written with jax.numpy and take a complex number, {f!r} raised {type(error).__name__} "
            f"({error}); {instead_of(f)}"
        ) from error
    if getattr(result, "shape", None) != ():
        shown = f"an array of shape {result.shape}" if hasattr(result, "shape") else f"{result}"
        raise TypeError(
            f"f must map a number to a number, because it is called with one at a time; it returned {shown}"
        )
    if result.dtype != dtype:
        raise TypeError(
            f"f must map a {dtype} number to a {dtype} number, as analytic functions do; it returned {result.dtype}"
        )
    return one, a


def _elementwise(f: Function) -> Function:
    def g(x: Array) -> Array:
        mapped = f
        for _ in range(x.ndim):
            mapped = jax.vmap(mapped)
        return mapped(x)

    return g


def _function(f: Function, a: Array, method: str) -> Array:
    if a.shape[-1] == 0:
        return a.astype(np.promote_types(a.dtype, np.complex64))
    f = _elementwise(f)
    problem = prepared(a, f, method)
    matrix = problem.matrix
    x, y = jnp.broadcast_arrays(matrix.w[..., :, None], matrix.w[..., None, :])
    first = jnp.triu(divided_differences.first(f, x, y))
    first = first + jnp.swapaxes(jnp.triu(first, 1), -1, -2)
    orders = [f(matrix.w), first, divided_differences.slope(f, x, y)]
    known = [_known(g, z, problem, jnp.isrealobj(a)) for g, z in zip(_derivatives(f), orders, strict=True)]
    known[0] = known[0] * _analytic(f, matrix.w, problem)
    values, first, slopes = (
        z * k.reshape(*k.shape, *[1] * (z.ndim - k.ndim)).astype(z.dtype) for z, k in zip(orders, known, strict=True)
    )
    result = form(Jet(values, first, slopes, coefficients(f, matrix, method)), matrix, method)
    policy = policy_of_call(None)
    if explains(policy):
        name = {"sqrt": "sqrtm", "log": "logm", "sign": "signm"}.get(method, "matrix_function")
        explain_no_digits(name, policy, lax.stop_gradient(a), lax.stop_gradient(result))
    return result


def _derivatives(f: Function) -> tuple[Function, Function, Function]:
    first = divided_differences.derivative(f)
    return f, first, divided_differences.derivative(first)


def _known(g: Function, orders: Array, problem: Problem, real: bool) -> Array:
    """1, or NaN where `g` changes too much within the uncertainty of an eigenvalue; shape `(…,)`."""
    w, uncertain = lax.stop_gradient(problem.matrix.w), problem.uncertain
    g0 = lax.stop_gradient(g(w))
    changes = []
    for step in (1, -1, 1j, -1j):
        moved = w + jnp.asarray(step, w.dtype) * uncertain.astype(w.dtype)
        if real and step.imag:
            # A real eigenvalue of a real matrix stays real.
            moved = jnp.where(jnp.imag(w) == 0, w, moved)
        changes.append(jnp.abs(lax.stop_gradient(g(moved)) - g0))
    largest = jnp.max(jnp.abs(lax.stop_gradient(orders)), axis=tuple(range(w.ndim - 1, orders.ndim)))
    change = jnp.max(jnp.stack(changes), axis=(0, -1))  # NaN, if one is
    fine = change <= RESOLVED * largest
    return jnp.where(fine, problem.finite, jnp.nan)


def _analytic(f: Function, w: Array, problem: Problem) -> Array:
    """1, or NaN where `f` does not satisfy the Cauchy–Riemann equations."""
    w = lax.stop_gradient(w)
    along, across = (jax.jvp(f, (w,), (jnp.full_like(w, step),))[1] for step in (1, 1j))
    wrong = jnp.abs(across - jnp.asarray(1j, w.dtype) * along) > RESOLVED * (jnp.abs(across) + jnp.abs(along))
    return lax.stop_gradient(jnp.where(jnp.any(wrong, axis=-1), jnp.nan, 1).astype(problem.finite.dtype))
