"""Right and left eigenvectors of a large general operator or pair, and their derivatives."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from . import general_device, host_general, messages
from .frame import _derivative, _gram, _zero
from .host_factors import Singular, matrix_of
from .operators import Form, Operator, combine, inner, products, require_adjoint
from .request import traced


@dataclasses.dataclass(frozen=True)
class GeneralSpec:
    """The static part of a general problem."""

    forms: tuple[Form, Form | None]
    k: int
    which: str
    sigma: complex | None
    tol: float
    most: int
    dtype: str
    solver: str
    given: int  # how many rows of the start come from v0
    left: bool  # whether left vectors are wanted, which derivatives need
    watch: Callable[..., None] | None = None


class GeneralFrame(NamedTuple):
    """`AX = BXΛ`, `YᴴBX = I`; vectors are rows. The other fields have no derivative."""

    matrix: Array
    right: Array
    left: Array
    residuals: Array
    edge: Array
    scale: Array
    iterations: Array
    complete: Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def general_frame(spec: GeneralSpec, a: Any, b: Any, start: Array) -> GeneralFrame:
    """Eigenvalues, right and left vectors, by the chosen solver."""
    eager = not traced(a, b, start)
    if spec.solver == "krylov":
        found: Any = general_device.eigenpairs(
            spec.forms, (a, b), spec.k, spec.which, spec.tol, spec.most, start, spec.given, spec.left, spec.watch,
            not eager,
        )  # fmt: skip
        return GeneralFrame(jnp.diag(found[0]), *found[1:])
    real = jnp.finfo(spec.dtype).dtype
    n, k = spec.forms[0].n, spec.k
    kinds = [((k,), spec.dtype), ((k, n), spec.dtype), ((k, n), spec.dtype), ((k,), real), ((), real), ((2,), real)]
    shapes = tuple(jax.ShapeDtypeStruct(*kind) for kind in [*kinds, ((), jnp.int32), ((), bool)])
    run = functools.partial(_on_host, spec, shapes)
    if eager:
        found = [jnp.asarray(x) for x in run(jax.tree.map(np.asarray, a), jax.tree.map(np.asarray, b), eager=True)]
    else:
        found = jax.pure_callback(run, shapes, a, b, vmap_method="sequential")
    return GeneralFrame(jnp.diag(found[0]), *found[1:])


def _matrices(spec: GeneralSpec, a: Any, b: Any) -> tuple[Any, Any]:
    matrix = matrix_of(spec.forms[0], a).astype(spec.dtype)
    return matrix, None if spec.forms[1] is None else matrix_of(spec.forms[1], b).astype(spec.dtype)


def _on_host(spec: GeneralSpec, shapes: Any, a: Any, b: Any, eager: bool = False) -> tuple[Any, ...]:
    matrix, metric = _matrices(spec, a, b)
    try:
        found = host_general.eigenpairs(matrix, metric, spec.k, spec.sigma, spec.which, spec.tol, spec.most)
    except Singular as error:
        message = messages.of_factor(spec, error)
        if eager:
            raise ValueError(message) from None
        messages.warn(message)
        found = host_general.nothing_found(spec.forms[0].n, spec.k, np.dtype(spec.dtype))
    return tuple(np.asarray(x, s.dtype) for x, s in zip(found, shapes, strict=True))


@functools.partial(general_frame.defjvp, symbolic_zeros=True)
def _frame_jvp(spec: GeneralSpec, primals: Any, tangents: Any) -> tuple[GeneralFrame, GeneralFrame]:
    spec = dataclasses.replace(spec, left=True)
    a, b = (None if f is None else Operator(f, p) for f, p in zip(spec.forms, primals[:2], strict=True))
    for name, given in (("operator", a), ("b", b)):
        if given is not None:
            require_adjoint(name, given)
    result = general_frame(spec, *primals)
    x, y, matrix = result.right, result.left, result.matrix
    still = GeneralFrame(*(_zero(z) for z in result))
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
    dx = -_outside(spec, primals[:2], result, right, False)
    dy = -_outside(spec, primals[:2], result, under, True) - tilt
    return result, still._replace(matrix=d_matrix, right=dx, left=dy)


def _outside(spec: GeneralSpec, parameters: Any, result: GeneralFrame, z: Array, adjoint: bool) -> Array:
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
        """`S⁻¹`, or `(Sᴴ)⁻¹`, which is that of the adjoint problem."""
        now = adjoint != transposed
        values, frame = fixed
        w = jnp.diagonal(frame.matrix)
        if spec.solver == "krylov":
            x = general_device.complement(spec.forms, values, spec.tol, spec.most, frame, w, right, now)
        else:
            run = functools.partial(_complement_on_host, spec, now)
            shape = jax.ShapeDtypeStruct(right.shape, right.dtype)
            x = jax.pure_callback(run, shape, *values, frame.right, frame.left, w, right, vmap_method="sequential")
        here, there = (lax.stop_gradient(m) for m in ((u, v) if transposed else (v, u)))
        factor = jnp.conj(shift) if transposed else shift
        return x + combine(inner(right, there), here) / factor

    def solve(_: Any, right: Array) -> Array:
        return solved(right, False)

    def solve_transposed(_: Any, right: Array) -> Array:
        return jnp.conj(solved(jnp.conj(right), True))

    return lax.custom_linear_solve(system, dual(z), solve, solve_transposed)


def _complement_on_host(
    spec: GeneralSpec, adjoint: bool, a: Any, b: Any, x: Any, y: Any, w: Any, right: Any
) -> np.ndarray[Any, Any]:
    matrix, metric = _matrices(spec, a, b)
    x, y, w, right = (np.asarray(z) for z in (x, y, w, right))
    found = host_general.complement(matrix, metric, spec.sigma, x, y, w, right, adjoint)
    if np.any(np.isnan(found)):
        messages.warn(
            "a derivative of eigenvectors of eigs is NaN: GMRES did not solve its linear system. "
            "Move sigma closer to the eigenvalues, or request one more or one fewer of them."
        )
    return found.astype(right.dtype)
