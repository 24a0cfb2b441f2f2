"""Divided differences of a scalar function, accurate whether their arguments are far apart, close, or equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

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
    """The mean where the quotient's rounding is the greater evil, and the two do not contradict each other.

    They do where `f` jumps between the points, as `sign` does: its derivative knows nothing of it.
    """
    agree = jnp.abs(quotient - mean) <= 8 * (rounding + error)
    return jnp.where(lax.stop_gradient((error <= rounding) & agree), mean, quotient)


def first(f: Function, x: Array, y: Array) -> Array:
    """`f[x, y]`, elementwise."""
    gap = y - x
    fx, fy = f(x), f(y)
    safe = jnp.where(gap == 0, 1, gap).astype(fx.dtype)
    eps = jnp.finfo(x.dtype).eps
    rounding = jnp.where(gap == 0, jnp.inf, 4 * eps * (jnp.abs(fx) + jnp.abs(fy)) / jnp.abs(safe))
    mean, error = _mean(derivative(f), x, y, weighted=False)
    return _better((fy - fx) / safe, rounding, mean, error)


def slope(f: Function, x: Array, y: Array) -> Array:
    """`∂f[x, y]/∂y`, elementwise."""
    gap = y - x
    df = derivative(f)
    end, through = df(y), first(f, x, y)
    safe = jnp.where(gap == 0, 1, gap).astype(end.dtype)
    eps = jnp.finfo(x.dtype).eps
    rounding = jnp.where(gap == 0, jnp.inf, 8 * eps * (jnp.abs(end) + jnp.abs(through)) / jnp.abs(safe))
    mean, error = _mean(derivative(df), x, y, weighted=True)
    return _better((end - through) / safe, rounding, mean, error)


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
