"""Divided differences of a scalar function, accurate whether their arguments are far apart, close, or equal.

The differences of all eigenvalues follow from those of neighbours, so a function is evaluated `O(n)` times:
`f[λᵢ, λⱼ]` is a mean of the differences of the neighbours between `λᵢ` and `λⱼ`. The weights are positive, so nothing
cancels. See `docs/derivations.md`, "Spectral functions".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime.matrices import matmul, of_rank

Function = Callable[[Array], Array]


def _gauss(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Nodes and weights of Gauss–Legendre quadrature on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


# The coarse rule only estimates the error of the fine one.
_FINE, _COARSE = _gauss(10), _gauss(7)


def derivative(f: Function) -> Function:
    """`f'` of an elementwise function."""
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


def _mean(g: Function, x: Array, y: Array, weighted: bool) -> tuple[Array, Array]:
    """`∫₀¹ g(x + t(y − x)) dt`, with weight `t` if `weighted`, and an estimate of its error."""
    results = []
    for nodes, weights in (_FINE, _COARSE):
        # A convex combination, exact at x = y; one call of g for all nodes.
        t = jnp.asarray(nodes, x.dtype).reshape((-1,) + (1,) * x.ndim)
        values = g((1 - t) * x[None] + t * y[None])
        factors = jnp.asarray(weights * nodes if weighted else weights, values.dtype)
        results.append(jnp.tensordot(factors, values, axes=(0, 0)))
    return results[0], jnp.abs(results[0] - results[1])


def _better(quotient: Array, rounding: Array, mean: Array, error: Array) -> Array:
    """The mean if its error is smaller than the quotient's rounding error and the two agree; otherwise the quotient.

    They disagree if `f` jumps between the points, as `sign` does, because the derivative does not contain the jump.
    """
    agree = jnp.abs(quotient - mean) <= 8 * (rounding + error)
    return jnp.where(lax.stop_gradient((error <= rounding) & agree), mean, quotient)


def _terms(x: Array, *derivatives: Array) -> Array:
    """The size of the terms of `f(x)` that may cancel, in addition to `|f(x)|`: `|x f'| + |x² f''|/2`. If `f` is a
    difference of larger terms, its rounding error is that of the terms. `derivatives` are `f'` and optionally `f''`,
    near `x`."""
    size = jnp.abs(x)
    total, power = jnp.zeros_like(size), size
    for k, slope in enumerate(derivatives, 1):
        total, power = total + power * jnp.abs(slope) / k, power * size
    return jnp.where(jnp.isfinite(total), total, 0)


def first(f: Function, x: Array, y: Array) -> Array:
    """`f[x, y]`, elementwise."""
    gap = y - x
    fx, fy = f(x), f(y)
    safe = jnp.where(gap == 0, 1, gap).astype(fx.dtype)
    eps = jnp.finfo(x.dtype).eps
    mean, error = _mean(derivative(f), x, y, weighted=False)
    size = jnp.abs(fx) + jnp.abs(fy) + lax.stop_gradient(_terms(x, mean, derivative(derivative(f))(x)))
    rounding = jnp.where(gap == 0, jnp.inf, 4 * eps * size / jnp.abs(safe))
    return _better((fy - fx) / safe, rounding, mean, error)


def slope(f: Function, x: Array, y: Array) -> Array:
    """`∂f[x, y]/∂y`, elementwise."""
    gap = y - x
    df = derivative(f)
    end, through = df(y), first(f, x, y)
    safe = jnp.where(gap == 0, 1, gap).astype(end.dtype)
    eps = jnp.finfo(x.dtype).eps
    mean, error = _mean(derivative(df), x, y, weighted=True)
    size = jnp.abs(end) + jnp.abs(through) + lax.stop_gradient(_terms(x, 2 * mean))
    rounding = jnp.where(gap == 0, jnp.inf, 8 * eps * size / jnp.abs(safe))
    return _better((end - through) / safe, rounding, mean, error)


# ---- of eigenvalues, from those of neighbours ------------------------------------------------------------------------


def of_neighbours(f: Function, w: Array) -> tuple[Array, Array, Array]:
    """`f[λₖ, λₖ₊₁]`, `f[λₖ, λₖ, λₖ₊₁]` and `f[λₖ, λₖ₊₁, λₖ₊₁]`, shape `(…, n − 1)` each."""
    x, y = w[..., :-1], w[..., 1:]
    return first(f, x, y), slope(f, y, x), slope(f, x, y)


def first_of_all(derivative: Array, of_neighbours: Array, w: Array) -> Array:
    """`f[λᵢ, λⱼ]`, shape `(…, n, n)`, from `f'(λᵢ)` and the differences of neighbours: the mean of these, weighted with
    the gaps."""
    ahead, _, after, before = _masks(w)
    gap = jnp.abs(w[..., :, None] - w[..., None, :]).astype(of_neighbours.dtype)
    steps = of_neighbours * jnp.diff(w, axis=-1).astype(of_neighbours.dtype)
    total = matmul(jnp.where(after, steps[..., None, :], 0), before.astype(steps.dtype))
    apart = gap != 0
    upper = jnp.where(apart, total / jnp.where(apart, gap, 1), derivative[..., :, None])
    # Exactly symmetric in spite of rounding.
    upper = jnp.where(ahead, upper, 0)
    diagonal = of_rank(jnp.eye(w.shape[-1], dtype=upper.dtype), upper.ndim) * derivative[..., :, None]
    return upper + jnp.swapaxes(upper, -1, -2) + diagonal


def slopes_of_all(half_second: Array, left: Array, right: Array, w: Array) -> Array:
    """`∂f[λᵢ, λⱼ]/∂λⱼ = f[λᵢ, λⱼ, λⱼ]`, shape `(…, n, n)`, from `f''(λᵢ)/2` and the second differences of neighbours:
    the mean of these, weighted with the integrals of `(t − λᵢ)/(λⱼ − λᵢ)²`."""
    ahead, behind, after, before = _masks(w)
    dtype = right.dtype
    span = w[..., -1:] - w[..., :1]
    # Only ratios of gaps matter, and squares would underflow.
    gap = (w[..., None, :] - w[..., :, None]) / jnp.where(span > 0, span, 1)[..., None]
    to_ends = [g.astype(dtype) for g in (gap[..., :-1], gap[..., 1:])]
    steps = to_ends[0] * left[..., None, :] + to_ends[1] * right[..., None, :]
    steps = steps * jnp.diagonal(gap, 1, -2, -1).astype(dtype)[..., None, :]
    upward = matmul(jnp.where(after, steps, 0), before.astype(dtype))
    downward = matmul(jnp.where(after, 0, -steps), (~before).astype(dtype))
    apart = jnp.abs(gap) > jnp.sqrt(jnp.finfo(w.dtype).tiny)
    square = jnp.where(apart, gap, 1).astype(dtype) ** 2
    total = jnp.where(ahead, upward, jnp.where(behind, downward, 0))
    return jnp.where(apart & (ahead | behind), total / square, half_second[..., :, None])


def _masks(w: Array) -> tuple[Array, Array, Array, Array]:
    """`i < j`, `i > j`, `i ≤ k` and `k < j`, for eigenvalues `i`, `j` and the gap after eigenvalue `k`."""
    every = jnp.arange(w.shape[-1])
    gaps = every[:-1]
    i, j = every[:, None], every[None, :]
    masks = (i < j, i > j, i <= gaps[None, :], gaps[:, None] < j)
    return tuple(of_rank(mask, w.ndim + 1) for mask in masks)  # type: ignore[return-value]


def second(slopes: Array, w: Array, k: Array) -> Array:
    """`f[λᵢ, λₖ, λⱼ]` for one `k`, shape `(…, n, n)`, from `slopes[i, j] = slope(f, λᵢ, λⱼ)`."""
    n = w.shape[-1]
    i = jnp.arange(n)[:, None]
    j = jnp.arange(n)[None, :]
    # Eigenvalues are ascending, so their indices sort them.
    low = jnp.minimum(jnp.minimum(i, j), k)
    high = jnp.maximum(jnp.maximum(i, j), k)
    middle = i + j + k - low - high
    a, b, c = (jnp.take(w, index, axis=-1) for index in (low, middle, high))
    width = c - a
    p = jnp.where(width > 0, (b - a) / jnp.where(width > 0, width, 1), 0.5).astype(slopes.dtype)
    flat = slopes.reshape(*slopes.shape[:-2], n * n)
    from_low = jnp.take(flat, low * n + middle, axis=-1)
    from_high = jnp.take(flat, high * n + middle, axis=-1)
    return p * from_low + (1 - p) * from_high
