"""Finite differences of a function, with which its derivatives are compared."""

from __future__ import annotations

import jax
import numpy as np
from problems import random


def derivative(f, x, direction, step=1e-3):
    """The derivative of `f(*x)` along `direction`, by central differences of sixth order. Accurate to about 1e-10."""

    def at(t):
        return jax.tree.map(np.asarray, f(*(a + t * d for a, d in zip(x, direction, strict=True))))

    weights = {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
    total = None
    for k, weight in weights.items():
        slope = jax.tree.map(lambda p, m, c=weight: c * (p - m) / step, at(k * step), at(-k * step))
        total = slope if total is None else jax.tree.map(np.add, total, slope)
    return total


def directions(x, count=2):
    """Random directions in the shape of `x`, neither symmetric nor triangular."""
    return [tuple(random(("direction", k, i), a.shape, a.dtype) for i, a in enumerate(x)) for k in range(count)]


def assert_tangent(f, x, tolerance=1e-8):
    """Forward mode against finite differences."""
    for direction in directions(x):
        _, found = jax.jvp(f, x, direction)
        expected = derivative(f, x, direction)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), found, expected)


def assert_gradient(f, x, tolerance=1e-8):
    """Reverse mode of a real function against finite differences."""
    gradient = jax.grad(f, tuple(range(len(x))))(*x)
    for direction in directions(x):
        expected = derivative(f, x, direction)
        # JAX's gradient is the conjugate of ∂f/∂Re + i ∂f/∂Im.
        found = sum(np.sum((np.asarray(g) * d).real) for g, d in zip(gradient, direction, strict=True))
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
