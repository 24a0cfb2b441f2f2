"""The inner part of second derivatives: in few products of matrices, against the sum term by term."""

import itertools

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.spectral import contraction, divided_differences, step_differences
from problems import random

N = 24
SPECTRA = {
    "distinct": np.linspace(-1, 2, N) ** 3,
    "clustered": np.repeat(np.arange(N // 8), 8) + 1e-9 * np.arange(N),
    "repeated": np.repeat(np.arange(N // 4), 4).astype(float),
    "scalar": np.ones(N),
    "graded": 10.0 ** -np.linspace(12, 0, N),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_quotients_agree_with_the_sum(dtype):
    w = np.stack(list(SPECTRA.values())).astype(np.finfo(dtype).dtype)
    x, y = (random(name, (len(w), N, N), dtype) for name in "xy")
    eps = np.finfo(dtype).eps

    @jax.jit
    def both(w, x, y, rate):
        def f(t):
            return jnp.exp(-rate * t) + t

        _, left, right = divided_differences.of_neighbours(f, w)
        half_second = divided_differences.derivative(divided_differences.derivative(f))(w) / 2
        slopes = divided_differences.slopes_of_all(half_second, left, right, w)
        by_quotients = contraction.by_quotients(slopes, left + right, x, y, w)
        return by_quotients, contraction.by_all(slopes, x, y, w)

    for rate in (1e-3, 1.0, 8.0):
        found, expected = both(w, x, y, w.dtype.type(rate))
        size = np.max(np.abs(expected), axis=(-1, -2))
        assert (np.max(np.abs(found - expected), axis=(-1, -2)) < 8 * N * eps * size).all()


@pytest.mark.parametrize("lowest", [1e-2, 1e-6, 1e-10, 1e-14])
@pytest.mark.parametrize("f", [jnp.log, lambda x: 1 / x], ids=["log", "inverse"])
def test_a_large_difference_does_not_hide_the_others(f, lowest):
    """Directions that leave the lowest eigenvector alone give what they give without it."""
    n = 80
    others = np.linspace(0.5, 1.5, n - 1)
    x, e = (np.zeros((n, n)) for _ in range(2))
    x[1:, 1:], e[1:, 1:] = (z + z.T for z in (random(name, (n - 1, n - 1)) for name in "xy"))

    def product(a, x, e):
        return jax.jvp(jax.grad(lambda a: jnp.sum(x * ep.spectral_map(f, a))), (a,), (e,))[1]

    found = product(np.diag(np.r_[lowest, others]), x, e)[1:, 1:]
    expected = product(np.diag(others), x[1:, 1:], e[1:, 1:])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("step", [0, 1, 3, 5])
def test_the_sum_of_a_step(step):
    n = 5
    w = np.array([-2.0, -2, 0, 1, 3]) if step != 1 else np.array([-2.0, 0, 1, 1, 3])
    x, y = (random(name, (n, n), "float64") for name in "xy")
    below = np.arange(n) < step
    expected = np.zeros((n, n))
    for i, k, j in itertools.product(range(n), repeat=3):
        if below[i] == below[k] == below[j]:
            continue
        # The divided difference of 1 and 0, of three points of which two may be equal, by the recurrence.
        (a, b, c) = sorted((i, k, j))
        step_between = lambda p, q: 0 if below[p] == below[q] else -1 / (w[q] - w[p])  # noqa: E731
        second = (step_between(b, c) - step_between(a, b)) / (w[c] - w[a])
        expected[i, j] += second * (x[i, k] * y[k, j] + y[i, k] * x[k, j])
    np.testing.assert_allclose(step_differences.contracted(x, y, w, step), expected, rtol=1e-13, atol=1e-13)


def test_a_hessian_of_a_larger_matrix():
    n = 66
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    a = q @ np.diag(np.round(np.linspace(-2, 2, n))) @ q.T  # five eigenvalues
    c, e = (x + x.T for x in rng.standard_normal((2, n, n)))
    found = jax.jvp(jax.grad(lambda a: jnp.sum(c * ep.spectral_map(lambda x: x**3, a))), (a,), (e,))[1]
    expected = sum(p @ q @ r for p, q, r in itertools.permutations((a, c, e)))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11 * np.max(np.abs(expected)))
