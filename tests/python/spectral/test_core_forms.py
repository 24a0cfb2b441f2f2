"""The forms of spectral functions by the core against those by XLA."""

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.runtime import native
from eigenpair.spectral import divided_differences, forms
from problems import adjoint, random

pytestmark = pytest.mark.skipif(not native.has_small_kernels(), reason="no kernels for small matrices")


def operands(n, dtype, batch, directions):
    """A jet, directions of the given batch shapes, and matrices with their eigenvalues and vectors; two eigenvalues are
    equal where there are enough of them."""
    a = random("a", (*batch, n, n), dtype)
    a = a + adjoint(a)
    w, v = (np.array(x) for x in np.linalg.eigh(a))
    if n >= 4:
        w[..., 1] = w[..., 0]
    derivative = divided_differences.derivative(jnp.exp)
    neighbours = divided_differences.of_neighbours(jnp.exp, w)
    half_second = divided_differences.derivative(derivative)(w) / 2
    jet = forms.Jet(jnp.exp(w), jnp.exp(w), derivative(w), neighbours[0], half_second, *neighbours[1:])
    moved = [random(f"x{i}", (*shape, n, n), dtype) for i, shape in enumerate(directions)]
    return [np.asarray(x) for x in (*jet, *moved, a, w, v)]


def assert_same(arrays, **params):
    found, expected = (
        jax.jit(lambda *xs, by_core=by_core: forms._evaluate(*xs, by_core=by_core, **params))(*arrays)
        for by_core in (True, False)
    )
    digits = np.finfo(arrays[-1].dtype).precision
    scale = np.max(np.abs(expected), initial=0)
    np.testing.assert_allclose(found, expected, rtol=10.0 ** (3 - digits), atol=10.0 ** (2 - digits) * scale)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("n", [1, 2, 4, 13])
def test_orders(n, dtype):
    for order in range(3):
        arrays = operands(n, dtype, (7,), [(7,)] * order)
        for step in (None, n // 2):
            if step is not None:
                arrays[2] = np.full_like(arrays[2], 0.7)  # the factor of the differences
            if n > 1 or step is None:
                assert_same(arrays, closed=False, step=step)
    assert_same(arrays, closed=True, step=None)


@pytest.mark.parametrize("n", [3, 6])
@pytest.mark.parametrize(
    ("batch", "directions"),
    [
        ((1, 5), [(4, 5), (1, 5)]),
        ((1, 5), [(4, 1), (4, 5)]),
        ((1, 1, 2, 3), [(2, 4, 2, 3), (1, 1, 2, 3)]),
        ((5, 1), [(5, 4), (5, 1)]),
        ((5, 1), [(1, 4), (5, 4)]),
        ((2, 1, 3), [(2, 4, 3), (2, 1, 3)]),
        ((1, 1), [(4, 5), (1, 5)]),
        ((4, 5), [(1, 5), (4, 1)]),
    ],
)
def test_axes_of_size_one(n, batch, directions):
    assert_same(operands(n, "float64", batch, directions), closed=False, step=None)


def test_they_are_computed_by_the_core():
    text = jax.jit(jax.grad(lambda a: jnp.sum(ep.spectral_map(jnp.exp, a)))).lower(np.eye(3)).as_text()
    assert "@eigenpair_spectral_form" in text
    text = jax.jit(lambda a: ep.spectral_map(lambda x: jnp.exp(1j * x.astype(complex)), a)).lower(np.eye(3)).as_text()
    assert "@eigenpair_spectral_form" not in text


def test_a_hessian_repeats_nothing_in_memory():
    """Eigenvectors are read once for all directions."""
    hessian = jax.vmap(jax.hessian(lambda a: ep.spectral_sum(jnp.exp, a)))
    compiled = jax.jit(hessian).lower(np.zeros((40, 3, 3))).compile().as_text()
    calls = [line for line in compiled.splitlines() if 'custom_call_target="eigenpair_spectral_form"' in line]
    assert calls
    for line in calls:
        assert "f64[40,1,3,3]" in line or "f64[40,9" not in line, line
