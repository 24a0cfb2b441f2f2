"""For random spectra, clusters, scales and gauges, a result is right, or it is NaN."""

import jax
import jax.numpy as jnp
import numpy as np
from eigenpair import eigh, eigvalsh, fix_gauge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import adjoint, eps, inner, unitary, weights, with_spectrum

N = 4
quiet = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
seeds = st.integers(0, 10**6)
exponents = st.integers(-498, 498)  # of two: 1e-150 to 1e150
dtypes = st.sampled_from(["float64", "complex128"])


@st.composite
def clustered(draw):
    """Sizes of clusters that add up to N, and well separated levels for them: `(sizes, levels)`."""
    sizes = []
    while sum(sizes) < N:
        sizes.append(draw(st.integers(1, N - sum(sizes))))
    steps = draw(st.lists(st.integers(1, 5), min_size=len(sizes), max_size=len(sizes)))
    levels = np.cumsum(steps) + draw(st.integers(-8, 3)) - 0.5
    return sizes, levels


def matrix(sizes, levels, seed, dtype, exponent=0):
    return with_spectrum(np.repeat(levels, sizes), seed, dtype) * 2.0**exponent


@quiet
@given(clustered(), seeds, dtypes, exponents)
def test_decomposition(clusters, seed, dtype, exponent):
    a = matrix(*clusters, seed, dtype, exponent)
    w, v = (np.asarray(x) for x in eigh(a))
    unit = 40 * eps(dtype) * np.abs(w).max()
    np.testing.assert_allclose(a @ v, v * w, rtol=0, atol=unit)
    np.testing.assert_allclose(adjoint(v) @ v, np.eye(N), atol=40 * eps(dtype))
    np.testing.assert_allclose(w, np.repeat(*clusters[::-1]) * 2.0**exponent, rtol=0, atol=unit)
    np.testing.assert_allclose(eigvalsh(a), w, rtol=0, atol=unit)


def first_cluster(x, size):
    v = eigh(x).eigenvectors[:, :size]
    return inner(weights(N, v.dtype), v @ jnp.conj(v.T))


GRADIENTS = {size: jax.grad(lambda x, k=size: first_cluster(x, k)) for size in range(1, N + 1)}


@quiet
@given(clustered(), seeds, dtypes, exponents)
def test_projector_on_a_cluster(clusters, seed, dtype, exponent):
    """Compared with the exact gradient, from the spectral decomposition that the matrix was made from."""
    sizes, levels = clusters
    a = matrix(sizes, levels, seed, dtype, exponent)
    q = unitary(seed, N, dtype)
    w, k = np.repeat(levels, sizes), sizes[0]
    gap = w[:, None] - w[None, :]
    inside = np.arange(N) < k
    f = np.where(inside[:, None] & ~inside[None, :], 1 / np.where(gap == 0, 1, gap), 0)
    c = weights(N, dtype)
    c = (c + adjoint(c)) / 2
    expected = q @ ((f + f.T) * (adjoint(q) @ c @ q)) @ adjoint(q)
    found = np.conj(GRADIENTS[k](a)) * 2.0**exponent
    np.testing.assert_allclose(found, expected, rtol=0, atol=2000 * eps(dtype))


@quiet
@given(clustered(), seeds, dtypes, exponents, st.integers(1, N - 1))
def test_cut_through_a_cluster_is_refused(clusters, seed, dtype, exponent, k):
    """A projector is not NaN if and only if it ends where a cluster ends."""
    sizes, levels = clusters
    a = matrix(sizes, levels, seed, dtype, exponent)
    answered = k in np.cumsum(sizes)
    assert np.isfinite(GRADIENTS[k](a)).all() == answered
    assert np.isnan(GRADIENTS[k](a)).all() != answered


SQUARES = jax.grad(lambda x: jnp.sum((eigvalsh(x)) ** 2))


@quiet
@given(clustered(), seeds, dtypes, st.integers(-240, 240))
def test_symmetric_functions_of_eigenvalues(clusters, seed, dtype, exponent):
    a = matrix(*clusters, seed, dtype, exponent)
    np.testing.assert_allclose(SQUARES(a), 2 * a.conj(), rtol=0, atol=100 * eps(dtype) * np.abs(a).max())


@quiet
@given(st.integers(0, 40), seeds, dtypes, exponents)
def test_gap_of_any_size(bits, seed, dtype, exponent):
    """From well separated to equal eigenvalues: the error grows like a rounding error divided by the gap, until the
    result is NaN."""
    gap = 2.0**-bits
    a = with_spectrum([-1.0, 1, 1 + gap, 3], seed, dtype) * 2.0**exponent
    found = np.conj(GRADIENTS[2](a)) * 2.0**exponent
    if np.isnan(found).all():
        assert gap < 100 * eps(dtype)
        return
    # The matrix is rounded, so its own eigenvectors are the ones to compare with.
    w, v = np.linalg.eigh(a / 2.0**exponent)
    inside = np.arange(N) < 2
    f = np.where(inside[:, None] & ~inside[None, :], 1 / (w[:, None] - w[None, :] + np.eye(N)), 0)
    c = weights(N, dtype)
    expected = v @ ((f + f.T) * (adjoint(v) @ (c + adjoint(c)) / 2 @ v)) @ adjoint(v)
    np.testing.assert_allclose(found, expected, rtol=0, atol=400 * eps(dtype) / gap**2)


@quiet
@given(seeds, st.lists(st.floats(0, 6.28), min_size=N, max_size=N))
def test_gauge(seed, angles):
    """`fix_gauge` gives the same vectors for any phases of its argument."""
    v = unitary(seed, N, "complex128")
    np.testing.assert_allclose(fix_gauge(v * np.exp(1j * np.array(angles))), fix_gauge(v), atol=1e-14)


@quiet
@given(seeds, dtypes, st.sampled_from([1, 2, 3]), st.integers(-100, 100), st.integers(-60, 60))
def test_generalized_problems(seed, dtype, type, power_a, power_b):
    a = with_spectrum([-2.0, 0, 1, 5], seed, dtype) * 2.0**power_a
    b = with_spectrum([0.5, 1, 2, 3], seed + 1, dtype) * 2.0**power_b
    w, v = (np.asarray(x) for x in eigh(a, b, type=type))
    left, right = {1: (a @ v, b @ v * w), 2: (a @ b @ v, v * w), 3: (b @ a @ v, v * w)}[type]
    np.testing.assert_allclose(left, right, rtol=0, atol=400 * eps(dtype) * np.abs(left).max())
    metric = np.linalg.inv(b) if type == 3 else b
    np.testing.assert_allclose(adjoint(v) @ metric @ v, np.eye(N), atol=200 * eps(dtype))
