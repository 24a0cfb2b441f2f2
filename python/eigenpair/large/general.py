"""A few eigenpairs of a large general matrix or pair, with derivatives that never form a dense matrix."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..degeneracy.policies import Policy, check, policy_of_call
from ..general import api
from ..runtime.arguments import flag
from . import host, host_general, messages, operators
from .frame import _derivative, _gram, _zero
from .operators import Form, Operator, combine, inner, products
from .request import choice, integer, no_zeros, number, sizes, tolerance, traced
from .results import EigsResult

__all__ = ["eigs"]

WHICH = ("LM", "LR", "SR", "LI", "SI")


@dataclasses.dataclass(frozen=True)
class _Spec:
    forms: tuple[Form, Form | None]
    k: int
    which: str
    sigma: complex | None
    tol: float
    most: int
    dtype: str


class _Frame(NamedTuple):
    """`AX = BXΛ`, `YᴴBX = I`; rows are vectors. The rest has no derivative."""

    matrix: Array
    right: Array
    left: Array
    residuals: Array
    edge: Array
    scale: Array
    iterations: Array
    complete: Array


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
    spec = _Spec(forms, k, which, sigma, tolerance(tol, dtype), most, str(dtype))
    found = _frame(spec, a.parameters, () if metric is None else metric.parameters)
    fixed = lax.stop_gradient(found)
    w = jnp.diagonal(fixed.matrix)
    size = fixed.scale[0] + (0 if metric is None else jnp.abs(w) * fixed.scale[1])
    converged = (fixed.residuals <= spec.tol * size) & fixed.complete
    messages.of_solution("eigs", converged, fixed.complete, fixed.residuals, spec.tol * size, fixed.iterations)
    honest = jnp.where(jnp.all(converged) & _distinct(policy, fixed, size), 1, jnp.nan).astype(w.real.dtype)
    small = _stopped_if(honest, found.matrix)
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
def _stopped_if(honest: Array, x: Array) -> Array:
    """`x`; its derivative is NaN where `honest` is."""
    return x


@_stopped_if.defjvp
def _stopped_if_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    honest, x = primals
    return x, tangents[1] * honest.astype(x.dtype)


def _distinct(policy: Policy, found: _Frame, size: Array) -> Array:
    """Whether rounding leaves the eigenvalues apart, or so close that the small problem sees that they are one cluster.
    Between the two, conditioning decides, and nothing is known."""
    if not isinstance(policy, check):
        return jnp.array(True)
    w = jnp.diagonal(found.matrix)
    k, n = found.right.shape
    eps = float(jnp.finfo(w.real.dtype).eps)
    condition = operators.lengths(found.left) * operators.lengths(found.right)
    reach = policy.c * math.sqrt(n) * eps * size * condition + found.residuals * condition
    gap = jnp.abs(w[:, None] - w[None, :]) + jnp.where(jnp.eye(k, dtype=bool), jnp.inf, 0)
    unclear = gap <= jnp.maximum(reach[:, None], reach[None, :])
    seen = gap <= policy.c * math.sqrt(k) * eps * jnp.max(jnp.abs(w))
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


# ---- the frame and its derivative ---------------------------------------------------------------------------------


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _frame(spec: _Spec, a: Any, b: Any) -> _Frame:
    real = jnp.finfo(spec.dtype).dtype
    n, k = spec.forms[0].n, spec.k
    kinds = [((k,), spec.dtype), ((k, n), spec.dtype), ((k, n), spec.dtype), ((k,), real), ((), real), ((2,), real)]
    shapes = tuple(jax.ShapeDtypeStruct(*kind) for kind in [*kinds, ((), jnp.int32), ((), bool)])
    run = functools.partial(_on_host, spec, shapes)
    if traced(a, b):
        found = jax.pure_callback(run, shapes, a, b, vmap_method="sequential")
    else:
        found = [
            jnp.asarray(x)
            for x in _on_host(spec, shapes, jax.tree.map(np.asarray, a), jax.tree.map(np.asarray, b), True)
        ]
    return _Frame(jnp.diag(found[0]), *found[1:])


def _matrices(spec: _Spec, a: Any, b: Any) -> tuple[Any, Any]:
    matrix = host._matrix(spec.forms[0], a).astype(spec.dtype)
    return matrix, None if spec.forms[1] is None else host._matrix(spec.forms[1], b).astype(spec.dtype)


def _on_host(spec: _Spec, shapes: Any, a: Any, b: Any, eager: bool = False) -> tuple[Any, ...]:
    matrix, metric = _matrices(spec, a, b)
    try:
        found = host_general.eigenpairs(matrix, metric, spec.k, spec.sigma, spec.which, spec.tol, spec.most)
    except host.Singular as error:
        message = messages.of_factor(spec, error)
        if eager:
            raise ValueError(message) from None
        messages.warn(message)
        found = host_general._nothing(spec.forms[0].n, spec.k, np.dtype(spec.dtype))
    return tuple(np.asarray(x, s.dtype) for x, s in zip(found, shapes, strict=True))


@functools.partial(_frame.defjvp, symbolic_zeros=True)
def _frame_jvp(spec: _Spec, primals: Any, tangents: Any) -> tuple[_Frame, _Frame]:
    a, b = (None if f is None else Operator(f, p) for f, p in zip(spec.forms, primals, strict=True))
    result = _frame(spec, *primals)
    x, y, matrix = result.right, result.left, result.matrix
    still = _Frame(*(_zero(z) for z in result))
    za, ya = (None if a is None else _derivative(a, tangents[0], v, kind) for v, kind in ((x, "apply"), (y, "adjoint")))
    zb, yb = (None if b is None else _derivative(b, tangents[1], v, kind) for v, kind in ((x, "apply"), (y, "adjoint")))
    if za is None and zb is None:
        return result, still
    right = jnp.zeros_like(x) if za is None else za
    under = jnp.zeros_like(y) if ya is None else ya
    tilt = jnp.zeros_like(y)
    if zb is not None and yb is not None:
        right = right - combine(matrix.T, zb)
        under = under - combine(jnp.conj(matrix), yb)
        tilt = combine(jnp.conj(_gram(y, zb)), y)  # Y (YᴴdB X)ᴴ
    d_matrix = _gram(y, right)
    dx = -_outside(spec, primals, result, right, False)
    dy = -_outside(spec, primals, result, under, True) - tilt
    return result, still._replace(matrix=d_matrix, right=dx, left=dy)


def _outside(spec: _Spec, parameters: Any, result: _Frame, z: Array, adjoint: bool) -> Array:
    """`X` of `A X − B X Λ = (1 − BXYᴴ) Z`, `YᴴBX = 0`, or the same for the adjoint problem; rows."""
    a, b = (None if f is None else Operator(f, p) for f, p in zip(spec.forms, parameters, strict=True))
    kind = "adjoint" if adjoint else "apply"
    times_a = products(a, z.dtype, kind)  # type: ignore[arg-type]
    times_b: Callable[[Array], Array] = (lambda v: v) if b is None else products(b, z.dtype, kind)
    other_b: Callable[[Array], Array] = (
        (lambda v: v) if b is None else products(b, z.dtype, "apply" if adjoint else "adjoint")
    )
    v, u, matrix = (
        (result.left, result.right, jnp.conj(result.matrix).T)
        if adjoint
        else (result.right, result.left, result.matrix)
    )
    bv, bu = times_b(v), other_b(u)
    scale = lax.stop_gradient(result.scale)
    shift = (jnp.where(scale[0] > 0, scale[0], 1) / scale[1]).astype(z.dtype)

    def primal(x: Array) -> Array:
        return x - combine(inner(x, bu), v)

    def dual(x: Array) -> Array:
        return x - combine(inner(x, u), bv)

    def system(x: Array) -> Array:
        inside = primal(x)
        return dual(times_a(inside) - combine(matrix.T, times_b(inside))) + shift * combine(inner(x, bu), bv)

    fixed = lax.stop_gradient((parameters, result))

    def solved(right: Array, transposed: bool) -> Array:
        """`S⁻¹`, or `(Sᴴ)⁻¹`, which is the same of the adjoint problem."""
        now = adjoint != transposed
        (pa, pb), frame = fixed
        run = functools.partial(_complement_on_host, spec, now)
        shape = jax.ShapeDtypeStruct(right.shape, right.dtype)
        w = jnp.diagonal(frame.matrix)
        x = jax.pure_callback(run, shape, pa, pb, frame.right, frame.left, w, right, vmap_method="sequential")
        here, there = (lax.stop_gradient(m) for m in ((u, v) if transposed else (v, u)))
        factor = jnp.conj(shift) if transposed else shift
        return x + combine(inner(right, there), here) / factor

    def solve(_: Any, right: Array) -> Array:
        return solved(right, False)

    def solve_transposed(_: Any, right: Array) -> Array:
        return jnp.conj(solved(jnp.conj(right), True))

    return lax.custom_linear_solve(system, dual(z), solve, solve_transposed)


def _complement_on_host(
    spec: _Spec, adjoint: bool, a: Any, b: Any, x: Any, y: Any, w: Any, right: Any
) -> np.ndarray[Any, Any]:
    matrix, metric = _matrices(spec, a, b)
    x, y, w, right = (np.asarray(z) for z in (x, y, w, right))
    found = host_general.complement(matrix, metric, spec.sigma, x, y, w, right, adjoint)
    if np.any(np.isnan(found)):
        messages.warn(
            "a derivative of eigenvectors of eigs is NaN: GMRES did not solve its linear system. "
            "Move sigma closer to the eigenvalues, or ask for one more or one less of them."
        )
    return found.astype(right.dtype)
