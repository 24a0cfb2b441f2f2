"""The Krylov method on a Chebyshev polynomial, which long vectors have: the cube's repeated eigenvalues."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.large import ConvergenceWarning, eigsh, filtered
from operators_by_hand import cube_eigenvalues

SIZE = 13
N = SIZE**3


def cube(w):
    """`−∇·(w ∇)` on a cube with fixed walls; a weight for each plane of edges across the first axis."""

    def product(x):
        x = x.reshape(SIZE, SIZE, SIZE)
        total = jnp.zeros_like(x)
        for axis in range(3):
            flow = jnp.diff(jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(3)]), axis=axis)
            total = total - jnp.diff(w[:, None, None] * flow if axis == 0 else flow, axis=axis)
        return total.reshape(-1)

    return product


def test_every_copy_and_derivatives():
    assert N >= filtered.FILTERED_FROM
    c = np.random.default_rng(0).normal(size=N)

    def loss(w):
        found = eigsh(cube(w), 4, n=N, dtype=float)
        e, v = found
        return jnp.sum(e**2) + jnp.sum((c @ v) ** 2), found

    w = jnp.ones(SIZE + 1)
    (_, found), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(w)
    exact = cube_eigenvalues(SIZE)[:4]  # 1 and 3 copies
    assert np.all(found.converged)
    assert found.iterations < 15
    np.testing.assert_allclose(found.eigenvalues, exact, atol=1e-11)
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(4), atol=1e-11)
    d = np.linspace(0, 1, SIZE + 1)
    h = 1e-4
    f = jax.jit(lambda w: loss(w)[0])
    np.testing.assert_allclose(gradient @ d, (f(w + h * d) - f(w - h * d)) / (2 * h), rtol=1e-5)


def test_the_highest_in_single_precision():
    found = eigsh(cube(jnp.ones(SIZE + 1, jnp.float32)), 4, which="LA", n=N, dtype="float32")
    assert np.all(found.converged)
    np.testing.assert_allclose(found.eigenvalues, cube_eigenvalues(SIZE)[-4:], rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_scale_and_shift(scale):
    """Far from zero, with the wanted end of the spectrum at the larger modulus."""
    w = jnp.ones(SIZE + 1)
    found = eigsh(lambda x: scale * (cube(w)(x) - 100 * x), 4, n=N, dtype=float)
    np.testing.assert_allclose(found.eigenvalues / scale, cube_eigenvalues(SIZE)[:4] - 100, atol=1e-9)


def test_nan_where_it_does_not_converge():
    w = jnp.ones(SIZE + 1)
    with pytest.warns(ConvergenceWarning, match="Raise max_iterations"):
        assert np.all(np.isnan(eigsh(cube(w), 4, n=N, dtype=float, max_iterations=2).eigenvalues))
    with pytest.warns(ConvergenceWarning, match="NaN or Inf"):
        assert np.all(np.isnan(eigsh(lambda x: x * jnp.nan, 4, n=N, dtype=float).eigenvalues))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = eigsh(lambda x: 0 * x, 2, n=N, dtype=float)
    np.testing.assert_array_equal(found.eigenvalues, 0)
