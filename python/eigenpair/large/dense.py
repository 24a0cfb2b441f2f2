"""Small problems: the operator is formed as a dense matrix and diagonalized."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import selection
from .krylov_state import Found
from .operators import Operator, common_dtype, lengths, products, safe_lengths, scaled


def small(plan_k: int, which: str, a: Operator, b: Operator | None, dtype: Any) -> Found:
    """Eigenpairs of a problem so small that a Krylov basis would span the whole space: its matrix is formed and
    diagonalized."""
    n = a.form.n
    times_a = products(a, dtype)
    eye = jnp.eye(n, dtype=dtype)
    full = times_a(eye).T
    full = (full + jnp.conj(full).T) / 2
    times_b = None if b is None else products(b, dtype)
    if times_b is None:
        finite = jnp.all(jnp.isfinite(full))
        theta, v = jnp.linalg.eigh(jnp.where(finite, full, eye))
        x = v.T
    else:
        metric = times_b(eye).T
        metric = (metric + jnp.conj(metric).T) / 2
        factor = jnp.linalg.cholesky(metric)
        finite = jnp.all(jnp.isfinite(full)) & jnp.all(jnp.isfinite(factor))
        factor = jnp.where(finite, factor, eye)

        def half(y: Array) -> Array:
            return jax.scipy.linalg.solve_triangular(factor, y, lower=True)

        reduced = half(jnp.conj(half(jnp.where(finite, full, eye))).T)
        theta, v = jnp.linalg.eigh((reduced + jnp.conj(reduced).T) / 2)
        x = jax.scipy.linalg.solve_triangular(jnp.conj(factor).T, v, lower=False).T
    theta = jnp.where(finite, theta, jnp.nan)
    order = jnp.argsort(selection.sort_keys(which, theta, jnp.ones(n, bool)))
    wanted = jnp.sort(order[:plan_k])
    free = ~jnp.any(jnp.arange(n)[:, None] == wanted[None, :], axis=1)
    low, high = (theta[i] for i in selection.edges(which, theta, free))
    use = selection.sides(which)
    none_left = ~jnp.any(free)
    x, values = x[wanted], theta[wanted]
    ax, bx = times_a(x), (x if times_b is None else times_b(x))
    sizes = [jnp.max(jnp.abs(theta)) if b is None else jnp.sqrt(jnp.sum(jnp.abs(full) ** 2))]
    sizes.append(jnp.ones_like(sizes[0]) if b is None else jnp.sqrt(jnp.sum(jnp.abs(metric) ** 2)))
    infinity = jnp.full_like(low, jnp.inf)
    return Found(
        values=values,
        vectors=x,
        residuals=safe_lengths(ax - scaled(values, bx)),
        lengths=lengths(x),
        edges=jnp.stack(
            [jnp.where(none_left | (not use[1]), -infinity, high), jnp.where(none_left | (not use[0]), infinity, low)]
        ),
        scale=jnp.stack(sizes),
        iterations=jnp.array(0),
        complete=finite,
    )


def dtype_of(a: Operator, b: Operator | None) -> Any:
    """The precision of vectors."""
    return common_dtype([a, b])
