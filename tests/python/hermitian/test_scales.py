"""Matrices far from 1 in size: nothing may depend on an absolute threshold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh
from problems import DTYPES, KERNELS, adjoint, eps, hermitian, inner, problem, weights, with_spectrum

# Powers of two, so that scaling rounds nothing; the extremes leave room for a gap's square root of precision.
POWERS = {
    "float64": (-1000, -500, -333, -40, -3, 3, 40, 333, 500, 1000),
    "float32": (-100, -60, -40, -3, 3, 40, 60, 100),
}


def powers(dtype):
    return POWERS[np.finfo(dtype).dtype.name]


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_scale(dtype):
    a = hermitian(problem(dtype=dtype, n=4)[0][0])
    w = eigh(a).eigenvalues
    for power in powers(dtype):
        scale = np.finfo(dtype).dtype.type(2.0**power)
        scaled = eigh(a * scale)
        np.testing.assert_allclose(scaled.eigenvalues / scale, w, rtol=0, atol=20 * eps(dtype) * np.abs(w).max())
        residual = a @ np.asarray(scaled.eigenvectors) - np.asarray(scaled.eigenvectors) * np.asarray(w)
        assert np.abs(residual).max() < 50 * eps(dtype) * np.abs(w).max()
        gram = adjoint(np.asarray(scaled.eigenvectors)) @ scaled.eigenvectors
        np.testing.assert_allclose(gram, np.eye(4), atol=50 * eps(dtype))
        np.testing.assert_allclose(eigvalsh(a * scale), scaled.eigenvalues, rtol=0, atol=50 * eps(dtype) * scale * 10)


def losses_of(dtype, k):
    """The gradient at `s` times a matrix is `1/s` times the gradient at the matrix."""

    def projector(a):
        v = eigh(a).eigenvectors[..., :k]
        return inner(weights(4, dtype), v @ jnp.conj(v.T))

    def splitting(a):
        v = eigh(a).eigenvectors
        return jnp.sum(weights(4, np.finfo(dtype).dtype) * jnp.abs(v) ** 2)

    return projector, splitting


SPECTRA = {
    "distinct": [-1.0, 0.5, 1, 2],
    "double": [-1.0, -1, 1, 2],
    "all": [1.0, 1, 1, 1],
    "close": [-1.0, -1 + 1e-6, 1, 2],
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_gradients_and_refusals_scale(dtype, spectrum):
    if spectrum == "close" and dtype == "complex64":
        pytest.skip("closer than single precision resolves")
    a = with_spectrum(SPECTRA[spectrum], 1, dtype)
    for loss in losses_of(dtype, 2):
        gradient = jax.grad(loss)
        expected = np.asarray(gradient(a))
        # Rounding errors of a multiple of I, squared, must not underflow: without them, I has a special basis.
        for power in powers(dtype)[1:-1]:
            scale = np.finfo(dtype).dtype.type(2.0**power)
            found = np.asarray(gradient(a * scale)) * scale
            assert np.isnan(found).all() == np.isnan(expected).all(), (loss.__name__, power)
            tolerance = eps(dtype) * (1e8 if spectrum == "close" else 500)
            size = np.abs(np.nan_to_num(expected)).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * size, err_msg=str(power))


@pytest.mark.parametrize("type", [1, 2, 3])
def test_generalized_gradients_scale_with_both_matrices(type):
    (a, b), options = problem(type)

    def loss(x, y):
        v = eigh(x, y, **options).eigenvectors
        p = v[:, :1] @ v[:, :1].T
        return inner(weights(3), p / jnp.trace(p))  # in any normalization

    expected = jax.grad(loss, (0, 1))(a, b)
    for power_a, power_b in ((-330, 0), (330, 0), (0, -100), (0, 100), (-200, 60), (-40, 33)):
        found = jax.grad(loss, (0, 1))(a * 2.0**power_a, b * 2.0**power_b)
        np.testing.assert_allclose(found[0] * 2.0**power_a, expected[0], rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found[1] * 2.0**power_b, expected[1], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("scale", [1e-12, 1e10, 1e-150, 1e150])
def test_degenerate_at_any_scale(scale):
    """The matrix is rounded, so that LAPACK's eigenvalues differ in the last bits."""
    a = with_spectrum([1.0, 1, 2, 3], 2) * scale

    def whole(x):
        v = eigh(x).eigenvectors[:, :2]
        return inner(weights(4), v @ v.T)

    def cut(x):
        v = eigh(x).eigenvectors[:, :1]
        return inner(weights(4), v @ v.T)

    unit = jax.grad(whole)(a / scale)
    np.testing.assert_allclose(jax.grad(whole)(a) * scale, unit, rtol=1e-9, atol=1e-12)
    assert np.isnan(jax.grad(cut)(a)).all()
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(eigvalsh(x) ** 2) / scale)(a), 2 * a / scale, rtol=1e-12)


@pytest.mark.parametrize("exponent", [24, 30, 60, 100])
def test_single_precision_beyond_its_integers(exponent):
    """From 2²⁴ on, adding 1 to an eigenvalue changes nothing, so zero gaps cannot be avoided in that way."""
    scale = np.float32(2.0**exponent)
    a = with_spectrum([1.0, 2, 3], 3, "float32")

    def loss(x):
        v = eigh(x).eigenvectors
        return jnp.sum(weights(3, "float32") * v**2)

    found = np.asarray(jax.grad(loss)(a * scale)) * scale
    np.testing.assert_allclose(found, jax.grad(loss)(a), rtol=1e-3, atol=1e-4)
    assert found.dtype == np.float32


@pytest.mark.parametrize("exponent", [53, 60, 200])
def test_double_precision_beyond_its_integers(exponent):
    a = with_spectrum([1.0, 2, 3], 3)

    def loss(x):
        v = eigh(x).eigenvectors
        return jnp.sum(weights(3) * v**2)

    found = np.asarray(jax.grad(loss)(a * 2.0**exponent)) * 2.0**exponent
    np.testing.assert_allclose(found, jax.grad(loss)(a), rtol=1e-11, atol=1e-12)


@pytest.mark.skipif(not KERNELS, reason="XLA takes denormal numbers for zero")
@pytest.mark.parametrize("dtype", DTYPES)
def test_denormal_numbers(dtype):
    """Absolute errors are no larger than the last bit of denormal numbers."""
    real = np.finfo(dtype).dtype
    smallest = float(np.finfo(real).smallest_subnormal)
    a = with_spectrum([-2.0, 1, 3], 5, dtype) * real.type(smallest * 2**12)
    w, v = eigh(a)
    in_units = [np.asarray(part, np.float64) / smallest for part in (a.real, a.imag)]  # complex division overflows
    exact = np.linalg.eigvalsh(in_units[0] + 1j * in_units[1])
    assert np.isfinite(w).all()
    np.testing.assert_allclose(np.asarray(w, np.float64) / smallest, exact, atol=4)
    gram = adjoint(np.asarray(v)) @ v
    np.testing.assert_allclose(gram, np.eye(3), atol=50 * eps(dtype))


def test_zero_matrix():
    w, v = eigh(np.zeros((3, 3)))
    np.testing.assert_array_equal(w, 0)
    np.testing.assert_allclose(v @ v.T, np.eye(3), atol=1e-15)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(eigvalsh(x)))(np.zeros((3, 3))), np.eye(3))
    assert np.isnan(jax.grad(lambda x: eigh(x)[1][0, 1])(np.zeros((3, 3)))).all()


def test_neighbours_of_other_sizes():
    """Each matrix of a batch needs a threshold of its own."""
    scales = np.array([1e-150, 1e-12, 1.0, 1e10, 1e150])[:, None, None]
    a = with_spectrum([1.0, 1, 2, 4], 4)

    def loss(x):
        v = eigh(x).eigenvectors[..., :2]
        return inner(weights(4), v @ jnp.swapaxes(v, -1, -2))

    found = jax.grad(loss)(a * scales) * scales
    np.testing.assert_allclose(found, np.broadcast_to(jax.grad(loss)(a), found.shape), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("n", [33, 64, 100, 128, 130])
def test_steep_spectra_of_one_matrix(n, dtype):
    """Most of the eigenvalues are below the rounding error of the largest."""
    for last in (1e-15, 1e-17, 1e-30):
        spectrum = np.geomspace(1, last, n)[::-1]
        a = with_spectrum(spectrum, ("steep", n), dtype)
        w, v = map(np.asarray, eigh(a))
        np.testing.assert_allclose(w, spectrum, atol=1e-14)
        np.testing.assert_allclose(eigvalsh(a), spectrum, atol=1e-14)
        np.testing.assert_allclose(a @ v, v * w, atol=1e-14)
        np.testing.assert_allclose(adjoint(v) @ v, np.eye(n), atol=1e-13)
