"""Solvers on the host, for matrices: ARPACK and SuperLU by SciPy, and PRIMME.

This code uses NumPy and compiled libraries; it never calls JAX. A call that is not traced runs it directly, so it can
be interrupted. Under a transformation it runs in a callback.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import messages
from .frame import Parameters, Spec
from .host_eigenpairs import HostProblem, eigenpairs, nothing_found
from .host_factors import (
    Indefinite,
    Matrix,
    Singular,
    is_finite,
    matrix_of,
    shifted_factor,
)
from .krylov_state import Found
from .linear_systems import minres


def solve(spec: Spec, parameters: Parameters, traced: bool) -> Found:
    """The eigenpairs by ARPACK or PRIMME, as JAX arrays."""
    real = jnp.finfo(spec.dtype).dtype
    n, k = spec.forms[0].n, spec.k
    shapes = Found(
        *(
            jax.ShapeDtypeStruct(shape, dtype)
            for shape, dtype in (
                ((k,), real), ((k, n), spec.dtype), ((k,), real), ((k,), real), ((2,), real), ((2,), real), ((), int),
                ((), bool),
            )
        )
    )  # fmt: skip
    shapes = shapes._replace(iterations=jax.ShapeDtypeStruct((), jnp.int32))
    given = (parameters.a, parameters.b, parameters.start)
    run = functools.partial(_eigenpairs_on_host, spec, shapes)
    if not traced:
        a, b, start = jax.tree.map(np.asarray, given)
        return Found(*(jnp.asarray(x) for x in run(a, b, start, eager=True)))
    return Found(*jax.pure_callback(run, tuple(shapes), *given, vmap_method="sequential"))


def _eigenpairs_on_host(spec: Spec, shapes: Found, a: Any, b: Any, start: Any, eager: bool = False) -> tuple[Any, ...]:
    matrix = matrix_of(spec.forms[0], a).astype(spec.dtype)
    metric = None if spec.forms[1] is None else matrix_of(spec.forms[1], b).astype(spec.dtype)
    try:
        found = eigenpairs(spec, matrix, metric, start)
    except (Singular, Indefinite) as error:
        message = messages.of_factor(spec, error)
        if eager:
            raise ValueError(message) from None
        messages.warn(message)
        found = nothing_found(HostProblem(spec, matrix, metric))
    return tuple(np.asarray(x, s.dtype) for x, s in zip(found, shapes, strict=True))


def complement(spec: Spec, parameters: Parameters, v: Any, w: Any, tol: Any, right: Any, most: int) -> tuple[Any, Any]:
    """`(A − λⱼB) xⱼ = yⱼ` orthogonal to `v`, for rows `y` orthogonal to `v`: `x` and the number of iterations."""
    shapes = (jax.ShapeDtypeStruct(right.shape, right.dtype), jax.ShapeDtypeStruct((), jnp.int32))
    run = functools.partial(_complement_on_host, spec, most)
    x, count = jax.pure_callback(run, shapes, parameters.a, parameters.b, v, w, tol, right, vmap_method="sequential")
    return x, count


def _complement_on_host(spec: Spec, most: int, a: Any, b: Any, v: Any, w: Any, tol: Any, right: Any) -> tuple[Any, Any]:
    a = matrix_of(spec.forms[0], a).astype(spec.dtype)
    b = None if spec.forms[1] is None else matrix_of(spec.forms[1], b).astype(spec.dtype)
    v, w, tol, right = (np.asarray(x) for x in (v, w, tol, right))
    if not all(np.all(np.isfinite(x)) for x in (v, w, right)) or not is_finite(a):
        return np.full_like(right, np.nan), np.int32(0)
    w = w[:, None]

    def times(m: Matrix, x: Any) -> Any:
        return (m @ x.T).T

    def times_b(x: Any) -> Any:
        return x if b is None else times(b, x)

    bv = times_b(v)

    def dual(x: Any) -> Any:
        return x - (x @ v.conj().T) @ bv

    def primal(x: Any) -> Any:
        return x - (times_b(x) @ v.conj().T) @ v

    if spec.sigma is None:

        def system(x: Any) -> Any:
            x = primal(x)
            return dual(times(a, x) - w * times_b(x))

        x, count = minres(system, dual(right), tol, most, xp=np)
        return primal(x).astype(right.dtype), np.int32(count)
    try:
        factor = shifted_factor(a, b, spec.sigma)
    except Singular:
        return np.full_like(right, np.nan), np.int32(0)

    def inverse(x: Any) -> Any:
        return primal(np.ascontiguousarray(factor.solve(np.ascontiguousarray(x.T)).T))

    # (A − σB)⁻¹(A − λB) = I − (λ − σ)(A − σB)⁻¹B, self-adjoint in the metric of B, close to I far from σ.
    def preconditioned(x: Any) -> Any:
        return x - (w - spec.sigma) * inverse(dual(times_b(x)))

    x = np.zeros_like(right)
    count = 0
    left = dual(right)
    size = np.linalg.norm(left, axis=1, keepdims=True)
    for _ in range(4):  # refined, since the factors have errors of their own
        step, steps = minres(
            preconditioned,
            inverse(left),
            np.maximum(tol, 1e-13),
            most,
            metric=times_b if b is not None else None,
            xp=np,
        )
        count += steps
        x = x + primal(step)
        left = dual(right) - dual(times(a, x) - w * times_b(x))
        if np.all(np.linalg.norm(left, axis=1, keepdims=True) <= tol * size):
            break
    return x.astype(right.dtype), np.int32(count)
