"""An orthonormal frame of the requested eigenvectors and the matrix of the operator in it, with the derivative rule
that all functions of a few eigenpairs share.

The frame `V`, `(n, k)`, spans an invariant subspace, `A V = B V Λ`, `VᴴBV = I`, and its tangent is chosen orthogonal
to it:

    dV = −G(dA V − dB V Λ) − V N/2        dΛ = M − (N Λ + Λ N)/2        M = Vᴴ dA V, N = Vᴴ dB V

where `X = G(Y)` solves `A X − B X Λ = Y − B V VᴴY` with `VᴴBX = 0`. The rule does not divide by gaps inside the
subspace, and it is equivariant under changes of its basis. So functions of the subspace have derivatives of all orders
at any degeneracy. Eigenvalues and eigenvectors are computed from `Λ`, a `k × k` matrix. See `docs/derivations.md`,
"Large operators".

In memory, vectors are rows.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from . import messages
from .krylov_state import Found
from .linear_systems import minres
from .operators import Form, Operator, combine, inner, lengths, products, scaled

Map = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Spec:
    """The static part of a problem: everything on which a compiled program depends, except arrays."""

    forms: tuple[Form, Form | None, Form | None]  # A, B, preconditioner
    k: int
    which: str
    sigma: float | None
    tol: float
    cycles: int
    solver: str
    given: int  # how many rows of the start come from v0
    dtype: str
    watch: Callable[..., None] | None = None
    function: str = "eigsh"


class Parameters(NamedTuple):
    """The arrays of a problem, which JAX traces and differentiates."""

    a: Any
    b: Any
    preconditioner: Any
    start: Any


class Frame(NamedTuple):
    """`Λ`, `(k, k)`, and the rows of `V`, `(k, n)`; the other fields have no derivative."""

    matrix: Array
    rows: Array
    residuals: Array
    lengths: Array
    edges: Array
    scale: Array
    iterations: Array
    complete: Array


def operators(spec: Spec, parameters: Parameters) -> tuple[Operator, Operator | None, Operator | None]:
    """`A`, `B` and the preconditioner."""
    a, b, m = (None if form is None else Operator(form, p) for form, p in zip(spec.forms, parameters[:3], strict=True))
    return a, b, m  # type: ignore[return-value]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def frame(spec: Spec, solve: Callable[..., Found], parameters: Parameters) -> Frame:
    """The frame of the eigenpairs that `solve(spec, parameters)` finds."""
    found = solve(spec, parameters)
    _, *rest = found
    return Frame(jnp.diag(found.values).astype(found.vectors.dtype), *rest)


@functools.partial(frame.defjvp, symbolic_zeros=True)
def _frame_jvp(
    spec: Spec, solve: Callable[..., Found], primals: tuple[Parameters], tangents: tuple[Parameters]
) -> tuple[Frame, Frame]:
    (parameters,), (moved,) = primals, tangents
    result = frame(spec, solve, parameters)
    v, matrix = result.rows, result.matrix
    a, b, _ = operators(spec, parameters)
    za = _derivative(a, moved.a, v)
    zb = None if b is None else _derivative(b, moved.b, v)
    still = Frame(*(_zero(x) for x in result))
    if za is None and zb is None:
        return result, still
    # Rows: (X C)ᵀ = Cᵀ Xᵀ.
    right = jnp.zeros_like(v) if za is None else za
    d_matrix = jnp.zeros_like(matrix) if za is None else _hermitian(_gram(v, za))
    tilt = None
    if zb is not None:
        n = _hermitian(_gram(v, zb))
        right = right - combine(matrix.T, zb)
        d_matrix = d_matrix - (n @ matrix + matrix @ n) / 2
        tilt = combine(n.T, v) / 2
    dv = -outside(spec, parameters, result, right)
    return result, still._replace(matrix=d_matrix, rows=dv if tilt is None else dv - tilt)


def _gram(x: Array, y: Array) -> Array:
    """`XᴴY`, where the columns of `X` and `Y` are the rows of `x` and `y`."""
    return combine(jnp.conj(x), y.T)


def _hermitian(x: Array) -> Array:
    return (x + jnp.conj(x).T) / 2


def _zero(x: Array) -> Any:
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.zeros_like(x)
    return np.zeros(x.shape, jax.dtypes.float0)


def _derivative(operator: Operator, tangents: Any, v: Array, kind: str = "hermitian") -> Array | None:
    """`dA V` as rows; `None` if there is no tangent."""
    form, parameters = operator
    zero = jax.custom_derivatives.SymbolicZero
    if all(isinstance(t, zero) or jnp.result_type(t) == jax.dtypes.float0 for t in tangents):
        return None
    inexact = [jnp.issubdtype(jnp.result_type(p), jnp.inexact) for p in parameters]
    moving = [p for p, flag in zip(parameters, inexact, strict=True) if flag]
    dots = [
        jnp.zeros_like(p) if isinstance(t, zero) else t
        for p, t, flag in zip(parameters, tangents, inexact, strict=True)
        if flag
    ]

    def product(*values: Any) -> Array:
        left = iter(values)
        merged = tuple(next(left) if flag else p for p, flag in zip(parameters, inexact, strict=True))
        return products(Operator(form, merged), v.dtype, kind)(v)

    return jax.jvp(product, tuple(moving), tuple(dots))[1]


def outside(spec: Spec, parameters: Parameters, result: Frame, y: Array) -> Array:
    """`G(Y)`, as rows, differentiable with respect to everything."""
    a, b, _ = operators(spec, parameters)
    v, matrix = result.rows, result.matrix
    times_a = products(a, v.dtype, "hermitian")
    times_b = (lambda x: x) if b is None else products(b, v.dtype, "hermitian")
    bv = times_b(v)
    low, high = result.edges
    scale = lax.stop_gradient(result.scale)
    shift = (jnp.where(scale[0] > 0, scale[0], 1) / (1 if b is None else scale[1])).astype(v.dtype)

    def along(x: Array) -> Array:
        """`V VᴴBx`."""
        return combine(inner(times_b(x), v), v)

    def dual(x: Array) -> Array:
        """`BV Vᴴx`."""
        return combine(inner(x, v), bv)

    def system(x: Array) -> Array:
        inside = x - along(x)
        moved = times_a(inside) - combine(matrix.T, times_b(inside))
        return moved - dual(moved) + shift * combine(inner(times_b(x), v), bv)

    # The code below computes values only: the solver is not differentiated.
    fixed = lax.stop_gradient((parameters, result))
    w = jnp.real(jnp.diagonal(fixed[1].matrix))
    gap = jnp.minimum(jnp.abs(w - lax.stop_gradient(low)), jnp.abs(lax.stop_gradient(high) - w))
    solver = _Solver.of(spec, *fixed, w, gap)

    def solve(_: Any, right: Array) -> Array:
        return solver(right, shift)

    def solve_transposed(_: Any, right: Array) -> Array:
        return jnp.conj(solver(jnp.conj(right), shift))

    right = y - dual(y)
    return lax.custom_linear_solve(system, right, solve, solve_transposed)


class _Solver(NamedTuple):
    """`(A − λⱼB) xⱼ = yⱼ` on the complement of `V`, for all `j` at once, by MINRES."""

    spec: Spec
    parameters: Parameters
    operators: tuple[Map, Map | None, Map | None]
    v: Array
    bv: Array
    w: Array
    gap: Array
    scale: Array

    @staticmethod
    def of(spec: Spec, parameters: Parameters, result: Frame, w: Array, gap: Array) -> _Solver:
        v = result.rows
        a, b, m = (None if o is None else products(o, v.dtype) for o in operators(spec, parameters))
        return _Solver(spec, parameters, (a, b, m), v, v if b is None else b(v), w, gap, result.scale)  # type: ignore[arg-type]

    def __call__(self, right: Array, shift: Array) -> Array:
        a, b, precondition = self.operators
        v, bv = self.v, self.bv
        eps = jnp.finfo(v.dtype).eps

        def dual(x: Array) -> Array:
            return x - combine(inner(x, v), bv)

        def primal(x: Array) -> Array:
            return dual(x) if b is None else x - combine(inner(b(x), v), v)

        def system(x: Array) -> Array:
            if b is None:
                return dual(a(x) - scaled(self.w, x))
            x = primal(x)
            return dual(a(x) - scaled(self.w, b(x)))

        y = dual(right)
        size = self.scale[0] + (0 if b is None else jnp.abs(self.w) * self.scale[1])
        tol = jnp.maximum(self.spec.tol, 16 * eps * size / jnp.where(self.gap > 0, self.gap, size))[:, None]
        most = 200 * self.spec.cycles
        m = None if precondition is None else (lambda x: primal(precondition(dual(x))))
        from . import host

        if self.spec.solver in ("arpack", "primme"):
            x, iterations = host.complement(self.spec, self.parameters, v, self.w, tol, y, most)
        else:
            x, iterations = minres(system, y, tol, most, m)
            x = primal(x)
        lost = lengths(y - system(x))
        # With a preconditioner, MINRES measures residuals in the preconditioner's norm.
        slack = 30 if m is None else 1e3
        good = lost <= slack * tol[:, 0] * (lengths(y) + size * lengths(x))
        messages.of_derivative(self.spec.function, good, lost, lengths(y), iterations)
        x = jnp.where(good[:, None], x, jnp.nan)
        return x + combine(inner(right, v), v) / shift
