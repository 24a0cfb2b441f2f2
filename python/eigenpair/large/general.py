"""A few eigenpairs of a large general matrix or pair, with derivatives that never form a dense matrix."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import Policy, check, policy_of_call
from ..general import api
from ..runtime.arguments import flag
from . import messages, operators
from .general_frame import GeneralFrame, GeneralSpec, general_frame
from .operators import combine
from .request import choice, integer, no_zeros, number, sizes, tolerance
from .results import EigsResult

__all__ = ["eigs"]

WHICH = ("LM", "LR", "SR", "LI", "SI")


def eigs(
    operator: Any,
    k: int,
    *,
    b: Any = None,
    sigma: complex | None = None,
    which: str | None = None,
    left: bool = False,
    right: bool = True,
    tol: float | None = None,
    max_iterations: int | None = None,
    degeneracy: Policy | None = None,
) -> EigsResult:
    """A few eigenvalues and eigenvectors of a large general matrix, `A v = λ v`, or pair, `A v = λ B v`.
    `scipy.sparse.linalg.eigs`, differentiable, with left vectors.

    **Arguments:**

    - `operator`, `b`: matrices, dense or sparse, real or complex, as for `eigsh`; every stored entry is free. A pair
        needs `sigma`.
    - `k`: how many eigenpairs, at most `n − 3`.
    - `sigma`: a number, real or complex: the eigenvalues next to it, by factorization of `A − σB`.
    - `which`: without `sigma`: `"LM"`, the largest in modulus, unless said otherwise; `"LR"`, `"SR"`, `"LI"`, `"SI"`,
        the largest or smallest real or imaginary parts.
    - `left`, `right`: which vectors to return, of unit length with a real largest component, as `eig` does.
    - `tol`: residuals may be as large as `tol (‖A‖ + |λ|‖B‖)`; `ε^0.8` by default.
    - `max_iterations`: restarts of ARPACK, 300 by default.
    - `degeneracy`: as for `eig`.

    **Returns:** `EigsResult`, which unpacks as the result of `eig` does. Complex. A pair that has not converged is
    NaN, with a `ConvergenceWarning`.

    **Raises:** `TypeError` or `ValueError` naming the argument; `ValueError` if `sigma` is an eigenvalue.

    Solved on the host, by ARPACK and SuperLU, from both sides: derivatives need left vectors too. The derivatives of
    eigenvalues need no further solve, those of vectors one linear system for each, by GMRES with the factors as
    preconditioner. See `docs/large.md`.
    """
    k = integer("k", k, 1)
    left, right = flag("left", left), flag("right", right)
    policy = policy_of_call(degeneracy)
    no_zeros("eigs", policy)
    a = operators.split("operator", operator, 1, float)
    metric = None if b is None else operators.split("b", b, a.form.n, a.form.dtype)
    for name, x in (("operator", a), ("b", metric)):
        if x is not None and not x.form.explicit:
            raise TypeError(f"{name} must be a matrix, dense or sparse: eigs has no solver for functions yet")
    sizes(a, metric, None, k, "eigs")
    if k > a.form.n - 3:
        raise ValueError(f"k must be at most {a.form.n - 3} for a matrix of size {a.form.n}; for more call eig")
    if sigma is None:
        if metric is not None:
            raise ValueError("a pair needs sigma: the eigenvalues next to it are computed")
        which = choice("which", "LM" if which is None else which, WHICH)
    else:
        if which is not None:
            raise ValueError("with sigma the eigenvalues next to it are wanted; leave out which")
        which, sigma = "LM", _complex("sigma", sigma)
    dtype = jnp.dtype(np.promote_types(operators.common_dtype([a, metric]), np.complex64))
    most = 300 if max_iterations is None else integer("max_iterations", max_iterations, 1)
    forms = (a.form, None if metric is None else metric.form)
    spec = GeneralSpec(forms, k, which, sigma, tolerance(tol, dtype), most, str(dtype))
    found = general_frame(spec, a.parameters, () if metric is None else metric.parameters)
    fixed = lax.stop_gradient(found)
    w = jnp.diagonal(fixed.matrix)
    size = fixed.scale[0] + (0 if metric is None else jnp.abs(w) * fixed.scale[1])
    converged = (fixed.residuals <= spec.tol * size) & fixed.complete
    messages.of_solution("eigs", converged, fixed.complete, fixed.residuals, spec.tol * size, fixed.iterations)
    factor = jnp.where(jnp.all(converged) & _distinct(policy, fixed, size), 1, jnp.nan).astype(w.real.dtype)
    small = _with_derivative_factor(factor, found.matrix)
    solved: Any = api.eig(small, left=True, degeneracy=policy)
    w, q_left, q_right = solved
    answer = jnp.where(jnp.all(converged), 1, jnp.nan).astype(w.dtype)
    v = _unit(combine(q_right.T, found.right), found.right) * answer if right else None
    vl = None
    if left:
        # Left vectors within the frame belong to its dual basis.
        vl = _unit(combine(q_left.T, found.left), found.left) * answer
    reason = "arpack: " + ("shift-invert with SuperLU, for sigma" if sigma is not None else "a matrix")
    return EigsResult(
        w * answer,
        None if vl is None else vl.T,
        None if v is None else v.T,
        found.residuals,
        found.iterations,
        converged,
        reason,
    )


def _complex(name: str, value: Any) -> complex:
    if isinstance(value, jax.core.Tracer) or not isinstance(value, (int, float, complex, np.number)):
        raise TypeError(f"{name} must be a Python number, got {value!r}")
    return complex(number(name, np.real(value)), number(name, np.imag(value)))


@jax.custom_jvp
def _with_derivative_factor(factor: Array, x: Array) -> Array:
    """`x`, with a derivative that is multiplied by `factor`, 1 or NaN."""
    return x


@_with_derivative_factor.defjvp
def _with_derivative_factor_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    factor, x = primals
    return x, tangents[1] * factor.astype(x.dtype)


def _distinct(policy: Policy, found: GeneralFrame, size: Array) -> Array:
    """Whether every two eigenvalues are clearly apart, or so close that `eig` of the small problem takes them for one
    cluster. In between, rounding errors of the large problem may exceed the gap, and `eig` cannot know."""
    if not isinstance(policy, check):
        return jnp.array(True)
    w = jnp.diagonal(found.matrix)
    k, n = found.right.shape
    condition = operators.lengths(found.left) * operators.lengths(found.right)
    reach = cluster_width(policy, n, w.dtype) * size * condition + found.residuals * condition
    gap = jnp.abs(w[:, None] - w[None, :]) + jnp.where(jnp.eye(k, dtype=bool), jnp.inf, 0)
    unclear = gap <= jnp.maximum(reach[:, None], reach[None, :])
    seen = gap <= cluster_width(policy, k, w.dtype) * jnp.max(jnp.abs(w))
    return ~jnp.any(unclear & ~seen)


def _unit(x: Array, like: Array) -> Array:
    """Rows of unit length, the largest component real and positive: what `eig` returns."""
    length = jnp.sqrt(jnp.sum(jnp.real(x * jnp.conj(x)), axis=-1, keepdims=True))
    x = x / length.astype(x.dtype)
    modulus = jnp.abs(lax.stop_gradient(x))
    enough = (1 - math.sqrt(jnp.finfo(x.dtype).eps)) * jnp.max(modulus, axis=-1, keepdims=True)
    largest = jnp.argmax(modulus >= enough, axis=-1, keepdims=True)
    z = jnp.take_along_axis(x, largest, axis=-1)
    return x * (jnp.conj(z) / jnp.abs(z).astype(x.dtype))
