"""A few eigenpairs of a general operator or pair on the device, with right and left vectors, and the linear systems of
their derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import arnoldi, messages
from .arnoldi import Pencil, Side, eig, sort_keys
from .basis import random_rows
from .host_general import FoundGeneral
from .krylov_state import Plan
from .krylov_state import plan as make_plan
from .linear_systems import shifted_systems
from .operators import Operator, combine, inner, lengths, safe_lengths


def eigenpairs(
    forms: Any,
    parameters: Any,
    k: int,
    which: str,
    tol: float,
    cycles: int,
    start: Array,
    given: int,
    left: bool,
    watch: Callable[..., None] | None,
    traced: bool,
) -> FoundGeneral:
    """The requested eigenpairs. Without `left`, the left vectors are zero."""
    plan = make_plan(forms[0].n, k, which, tol, cycles)
    if plan is None:
        return _small(forms, parameters, k, which, str(start.dtype))
    sides = [arnoldi.solve(plan, forms, parameters, start, given, False, watch, traced)]
    if left:
        rows = random_rows(8, start[: plan.block])
        sides.append(arnoldi.solve(plan, forms, parameters, rows, 0, True, None, traced))
    return _joined(plan, forms, parameters, tuple(sides))


def _gram(x: Array, y: Array) -> Array:
    """`XᴴY`, where the columns of `X` and `Y` are the rows of `x` and `y`."""
    return combine(jnp.conj(x), y.T)


def _pencils(forms: Any, parameters: Any, dtype: Any) -> tuple[Pencil, Pencil]:
    a, b = (None if f is None else Operator(f, p) for f, p in zip(forms, parameters, strict=True))
    return Pencil.of(a, b, dtype, False), Pencil.of(a, b, dtype, True)  # type: ignore[arg-type]


@functools.partial(jax.jit, static_argnames=("plan", "forms"))
def _joined(plan: Plan, forms: Any, parameters: Any, sides: tuple[Side, ...]) -> FoundGeneral:
    """Eigenvectors from the computed bases: of the operator projected from both sides, or from the right."""
    x = sides[0].basis
    problem, adjoint = _pencils(forms, parameters, x.dtype)
    ax, bx = problem.a(x), problem.b(x)
    y = sides[1].basis if len(sides) == 2 else None
    if y is None:
        matrix = inner(problem.solve(ax), x).T
    else:
        overlap = _gram(y, bx)
        matrix = jnp.linalg.solve(overlap, _gram(y, ax))
    w, z = eig(matrix)
    order = jnp.argsort(sort_keys(plan.which, w))
    w, z = w[order], z[:, order]
    right = combine(z.T, x)
    residuals = safe_lengths(combine(z.T, ax) - w[:, None] * combine(z.T, bx))
    dual = jnp.zeros_like(x)
    if y is not None:
        c = jnp.conj(jnp.linalg.inv(overlap @ z))
        dual = combine(c, y)
        lost = adjoint.a(dual) - jnp.conj(w)[:, None] * adjoint.b(dual)
        residuals = jnp.maximum(residuals, safe_lengths(lost) / lengths(dual))
    return FoundGeneral(
        w, right, dual, residuals, sides[0].edge, functools.reduce(jnp.maximum, [s.scale for s in sides]),
        functools.reduce(jnp.add, [s.iterations for s in sides]),
        functools.reduce(jnp.logical_and, [s.complete for s in sides]),
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("forms", "k", "which", "dtype"))
def _small(forms: Any, parameters: Any, k: int, which: str, dtype: str) -> FoundGeneral:
    """Solves a problem so small that a Krylov basis would span the whole space: its matrix is formed and
    diagonalized."""
    n = forms[0].n
    problem, adjoint = _pencils(forms, parameters, jnp.dtype(dtype))
    eye = jnp.eye(n, dtype=dtype)
    a, b = problem.a(eye).T, problem.b(eye).T
    w, v = eig(a, b if problem.pair else None)
    order = jnp.argsort(sort_keys(which, w))
    key = sort_keys(which, w)[order]
    w, v = w[order], v[:, order]
    dual = jnp.conj(jnp.linalg.inv(b @ v))[:k]
    w, v = w[:k], v[:, :k].T
    residuals = safe_lengths(problem.a(v) - w[:, None] * problem.b(v))
    lost = safe_lengths(adjoint.a(dual) - jnp.conj(w)[:, None] * adjoint.b(dual)) / lengths(dual)
    size = jnp.stack([jnp.sqrt(jnp.sum(jnp.abs(a) ** 2)), jnp.sqrt(jnp.sum(jnp.abs(b) ** 2)) if problem.pair else 1.0])
    return FoundGeneral(
        w, v, dual, jnp.maximum(residuals, lost), key[k] - key[k - 1], size.astype(residuals.dtype), jnp.array(0),
        jnp.all(jnp.isfinite(a)) & jnp.all(jnp.isfinite(b)),
    )  # fmt: skip


def complement(
    forms: Any, parameters: Any, tol: float, cycles: int, frame: Any, w: Array, right: Array, adjoint: bool
) -> Array:
    """`(A − λⱼB) zⱼ = rⱼ` outside the span of the right vectors, or the adjoint systems outside that of the left ones;
    rows. NaN where GMRES fails."""
    problem, other = _pencils(forms, parameters, right.dtype)
    v, u = frame.right, frame.left
    if adjoint:
        problem, other, v, u, w = other, problem, u, v, jnp.conj(w)
    bv, bu = problem.b(v), other.b(u)

    def primal(x: Array) -> Array:
        return x - combine(inner(x, bu), v)

    def dual(x: Array) -> Array:
        return x - combine(inner(x, u), bv)

    right = dual(right)
    z, count = shifted_systems(
        lambda x: primal(problem.solve(problem.a(x))), w, primal(problem.solve(right)), tol, cycles
    )
    z = primal(z)
    lost = lengths(right - dual(problem.a(z) - w[:, None] * problem.b(z)))
    size = frame.scale[0] + jnp.abs(w) * (frame.scale[1] if problem.pair else 0)
    good = lost <= 100 * tol * (lengths(right) + size * lengths(z))
    messages.of_derivative("eigs", good, lost, lengths(right), count)
    return jnp.where(good[:, None], z, jnp.nan)
