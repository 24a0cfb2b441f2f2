"""A few eigenpairs of a large general operator or pair, with derivatives, without forming a dense matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import Policy, check, policy_of_call
from ..general import api
from ..runtime.arguments import array, flag
from ..runtime.remedies import LARGE, with_remedies
from . import messages, operators
from .general_frame import GeneralFrame, GeneralSpec, general_frame
from .krylov_state import plan as make_plan
from .operators import Operator, combine
from .progress import watch
from .request import choice, integer, no_zeros, number, sizes, start, tolerance
from .results import EigsResult

__all__ = ["eigs"]

WHICH = ("LM", "LR", "SR", "LI", "SI")
SOLVERS = ("krylov", "arpack")


@with_remedies(LARGE)
def eigs(
    operator: Any,
    k: int,
    *,
    b: Any = None,
    sigma: complex | None = None,
    which: str | None = None,
    left: bool = False,
    right: bool = True,
    v0: Any = None,
    tol: float | None = None,
    max_iterations: int | None = None,
    solver: str | None = None,
    degeneracy: Policy | None = None,
    progress: bool = False,
    callback: Callable[..., Any] | None = None,
    n: int | None = None,
    dtype: Any = None,
) -> EigsResult:
    """A few eigenvalues and eigenvectors of a large general operator, `A v = λ v`, or pair, `A v = λ B v`: a
    differentiable `scipy.sparse.linalg.eigs`, with left vectors.

    **Arguments:**

    - `operator`, `b`: as for `eigsh`, real or complex, not Hermitian; every stored entry is a variable. `b` must be
        invertible.
    - `k`: the number of eigenpairs, less than `n`; with ARPACK at most `n − 3`.
    - `sigma`: a number, real or complex: the eigenvalues closest to it, by factorization of `A − σB`. For matrices.
    - `which`: without `sigma`: `"LM"`, the largest in modulus (the default); `"LR"`, `"SR"`, `"LI"`, `"SI"`, the
        largest or smallest real or imaginary parts.
    - `left`, `right`: which vectors to return, of unit length with a real largest component, as `eig` does.
    - `tol`: residuals may be as large as `tol (‖A‖ + |λ|‖B‖)`; `ε^0.8` by default.
    - `max_iterations`: restarts, 300 by default.
    - `solver`: `"krylov"` (block Krylov–Schur, on the device) or `"arpack"` (on the host, for matrices); the default
        depends on the arguments, see `EigsResult.solver`.
    - `degeneracy`: as for `eig`.
    - `v0`, `progress`, `callback`, `n`, `dtype`: as for `eigsh`; the first three for `"krylov"`.

    **Returns:** `EigsResult`, which unpacks like the result of `eig`. Complex. An eigenpair that has not converged is
    NaN, with a `ConvergenceWarning`.

    **Raises:** `TypeError` or `ValueError` naming the argument; `ValueError` if `sigma` is an eigenvalue.

    Derivatives and `left` need left vectors, and so a second solve, with the adjoint, which JAX computes for a function
    by transposition. Derivatives of eigenvalues need no further solve. Derivatives of each vector need one linear
    system, solved by GMRES, with the factors as preconditioner if there are any. See `docs/large.md`.
    """
    policy = policy_of_call(degeneracy)
    no_zeros("eigs", policy)
    left, right = flag("left", left), flag("right", right)
    spec, parameters, reason = _request(
        operator, k, b=b, sigma=sigma, which=which, left=left, v0=v0, tol=tol, max_iterations=max_iterations,
        solver=solver, progress=progress, callback=callback, n=n, dtype=dtype,
    )  # fmt: skip
    found = general_frame(spec, *parameters)
    fixed = lax.stop_gradient(found)
    w = jnp.diagonal(fixed.matrix)
    size = fixed.scale[0] + (0 if spec.forms[1] is None else jnp.abs(w) * fixed.scale[1])
    converged = (fixed.residuals <= spec.tol * size) & fixed.complete
    messages.of_solution("eigs", converged, fixed.complete, fixed.residuals, spec.tol * size, fixed.iterations)
    factor = jnp.where(jnp.all(converged) & _distinct(policy, fixed, size), 1, jnp.nan).astype(w.real.dtype)
    small = _with_derivative_factor(factor, found.matrix)
    solved: Any = api.eig(small, left=True, degeneracy=policy)
    # `eig` sorts by the real part, and then by the imaginary part. Back to the order of what was found.
    place = jnp.argsort(jnp.lexsort((w.imag, w.real)))
    w, q_left, q_right = (x[..., place] for x in solved)
    answer = jnp.where(jnp.all(converged), 1, jnp.nan).astype(w.dtype)
    v = _unit(combine(q_right.T, found.right), found.right) * answer if right else None
    vl = None
    if left:
        # Left vectors within the frame belong to its dual basis.
        vl = _unit(combine(q_left.T, found.left), found.left) * answer
    return EigsResult(
        w * answer,
        None if vl is None else vl.T,
        None if v is None else v.T,
        found.residuals,
        found.iterations,
        converged,
        reason,
    )


def _request(
    operator: Any, k: Any, *, b: Any, sigma: Any, which: Any, left: bool, v0: Any, tol: Any, max_iterations: Any,
    solver: Any, progress: Any, callback: Any, n: Any, dtype: Any,
) -> tuple[GeneralSpec, tuple[Any, Any, Array], str]:  # fmt: skip
    """The problem, its arrays, and in words what will solve it and why."""
    k = integer("k", k, 1)
    if v0 is not None:
        v0 = array("v0", v0)
        n = v0.shape[0] if n is None and v0.ndim else n
        dtype = v0.dtype if dtype is None else dtype
    n = None if n is None else integer("n", n, 1)
    a = operators.split("operator", operator, n, dtype)
    if n is not None and a.form.n != n:
        raise ValueError(f"n={n} (or the length of v0) is not the size of the operator, {a.form.n}")
    metric = None if b is None else operators.split("b", b, a.form.n, a.form.dtype)
    sizes(a, metric, None, k, "eigs")
    if sigma is None:
        which = choice("which", "LM" if which is None else which, WHICH)
    else:
        if which is not None:
            raise ValueError("with sigma the eigenvalues next to it are wanted; leave out which")
        which, sigma = "LM", _complex("sigma", sigma)
    chosen, reason = _choose(a, metric, sigma, None if solver is None else choice("solver", solver, SOLVERS))
    if chosen == "arpack":
        if k > a.form.n - 3:
            raise ValueError(f"k must be at most {a.form.n - 3} for a matrix of size {a.form.n}; for more call eig")
        for name, value in (("v0", v0), ("progress", progress or None), ("callback", callback)):
            if value is not None:
                raise ValueError(f"{name} is for solver='krylov', and this problem is solved by 'arpack'")
    elif left:
        for name, x in (("operator", a), ("b", metric)):
            if x is not None:
                operators.require_adjoint(name, x)
    precision = jnp.dtype(np.promote_types(operators.common_dtype([a, metric]), np.complex64))
    most = 300 if max_iterations is None else integer("max_iterations", max_iterations, 1)
    plan = make_plan(a.form.n, k, which, 1.0, 1)
    rows, given = start(v0, a.form.n, k, precision, 1 if chosen == "arpack" or plan is None else plan.block)
    forms = (a.form, None if metric is None else metric.form)
    spec = GeneralSpec(
        forms, k, which, sigma, tolerance(tol, precision), most, str(precision), chosen, given, left,
        watch("eigs", progress, callback),
    )  # fmt: skip
    return spec, (a.parameters, () if metric is None else metric.parameters, rows), f"{chosen}: {reason}"


def _choose(a: Operator, b: Operator | None, sigma: complex | None, named: str | None) -> tuple[str, str]:
    """The solver to use, and the reason for the choice."""
    matrices = a.form.explicit and (b is None or b.form.explicit)
    if sigma is not None:
        if not matrices:
            raise ValueError(
                "sigma needs a factorization, and so matrices: give operator and b as arrays or sparse matrices, or "
                "leave out sigma"
            )
        if named == "krylov":
            raise ValueError("sigma is for the solver 'arpack', got 'krylov'")
        return "arpack", "shift-invert with SuperLU, for sigma"
    if named == "arpack" and not (matrices and b is None):
        raise ValueError("solver='arpack' is for A v = λ v with a matrix, or with sigma; 'krylov' solves this problem")
    if named is not None:
        return named, "as asked"
    if matrices and b is None and jax.default_backend() == "cpu":
        return "arpack", "a matrix on CPU"
    return "krylov", "products on the device"


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
    """Whether every two eigenvalues are either clearly separated, or so close that `eig` of the small problem treats
    them as one cluster. Otherwise rounding errors of the large problem may exceed the gap, which `eig` cannot know."""
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
    """Rows of unit length with a real and positive largest component, like the vectors of `eig`."""
    length = jnp.sqrt(jnp.sum(jnp.real(x * jnp.conj(x)), axis=-1, keepdims=True))
    x = x / length.astype(x.dtype)
    modulus = jnp.abs(lax.stop_gradient(x))
    enough = (1 - math.sqrt(jnp.finfo(x.dtype).eps)) * jnp.max(modulus, axis=-1, keepdims=True)
    largest = jnp.argmax(modulus >= enough, axis=-1, keepdims=True)
    z = jnp.take_along_axis(x, largest, axis=-1)
    return x * (jnp.conj(z) / jnp.abs(z).astype(x.dtype))
