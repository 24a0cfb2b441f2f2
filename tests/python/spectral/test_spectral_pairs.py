"""Spectral functions of pairs: density matrices, twice differentiable at any degeneracy."""

import functools

import eigenpair as ep
import finite_differences
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from eigenpair.degeneracy import DegeneracyWarning, check, policy
from problems import adjoint, hermitian, pair_with, positive, random, wait_for

SPECTRA = {
    "distinct": [0.3, 0.9, 1.7, 2.6],
    "double": [0.4, 0.9, 0.9, 2.6],
    "triple": [0.7, 0.7, 0.7, 2.6],
    "close": [0.3, 0.9, 0.9 + 1e-10, 2.6],
}
FUNCTIONS = {
    "tanh": (jnp.tanh, np.tanh),
    "phase": (lambda x: jnp.exp(1j * x.astype(complex)), lambda x: np.exp(1j * x)),
}
WEIGHT = random("weight", (4, 4), "complex128")
K = 3


def pair(spectrum, type, dtype):
    """A pair with these eigenvalues."""
    return pair_with(np.diag(SPECTRA[spectrum]), random(("pair", type), (4, 4), dtype) + 2 * np.eye(4), type)


def small_direction(seed, dtype):
    return hermitian(random(seed, (4, 4), dtype)) / 10


def by_scipy(kind, name, type, a, b):
    w, v = scipy.linalg.eigh(a, b, type=type)
    if kind == "projector":
        return v[:, :K] @ adjoint(v[:, :K])
    values = FUNCTIONS[name][1](w)
    return np.sum(values) if kind == "sum" else (v * values) @ adjoint(v)


def ours(kind, name, type, a, b):
    if kind == "projector":
        return ep.spectral_projector(a, K, b, type=type)
    f = ep.spectral_sum if kind == "sum" else ep.spectral_map
    return f(FUNCTIONS[name][0], a, b, type=type)


@functools.cache
def compiled(kind, name, type):
    def loss(a, b):
        x = ours(kind, name, type, a, b)
        return jnp.real(x) if x.ndim == 0 else jnp.real(jnp.sum(x.astype(complex) * WEIGHT))

    def moved(a, b, da, db):
        gradient = jax.grad(loss, (0, 1))
        return jax.jvp(gradient, (a, b), (da, db))

    return loss, jax.jit(moved)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("type", [1, 2, 3])
@pytest.mark.parametrize(("kind", "name"), [("map", "tanh"), ("map", "phase"), ("sum", "tanh"), ("projector", "")])
def test_two_derivatives(kind, name, type, spectrum):
    dtype = "complex128" if type == 2 or name == "phase" else "float64"
    a, b = pair(spectrum, type, dtype)
    da, db = small_direction("da", dtype), small_direction("db", dtype)
    np.testing.assert_allclose(ours(kind, name, type, a, b), by_scipy(kind, name, type, a, b), rtol=1e-11, atol=1e-11)
    loss, moved = compiled(kind, name, type)

    def along(t):
        x = by_scipy(kind, name, type, a + t * da, b + t * db)
        return np.real(x) if np.ndim(x) == 0 else np.sum(x * WEIGHT).real

    gradient, curvature = moved(a, b, da, db)
    first = sum(np.sum(g * d).real for g, d in zip(gradient, (da, db), strict=True))
    second = sum(np.sum(g * d).real for g, d in zip(curvature, (da, db), strict=True))
    h = 4e-3
    values = np.array([along(k * h) for k in range(-3, 4)])
    np.testing.assert_allclose(first, values @ [-1, 9, -45, 0, 45, -9, 1] / (60 * h), rtol=1e-7, atol=1e-9)
    right = values @ [2, -27, 270, -490, 270, -27, 2] / (180 * h**2)
    np.testing.assert_allclose(second, right, rtol=1e-6, atol=1e-7)
    twice = jax.jvp(lambda t: jax.jvp(lambda s: loss(a + s * da, b + s * db), (t,), (1.0,))[1], (0.0,), (1.0,))[1]
    np.testing.assert_allclose(twice, second, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("type", [1, 2, 3])
def test_third_derivative_of_a_sum(type):
    a, b = pair("triple", type, "float64")
    da, db = small_direction("da", "float64"), small_direction("db", "float64")
    f = lambda t: ep.spectral_sum(jnp.tanh, a + t * da, b + t * db, type=type)  # noqa: E731
    second = jax.jit(jax.grad(jax.grad(f)))
    np.testing.assert_allclose(
        jax.jit(jax.grad(second))(0.0), finite_differences.derivative(second, (0.0,), (1.0,)), rtol=1e-7
    )


def test_a_density_matrix():
    a, b = pair("double", 1, "float64")
    p = np.asarray(ep.spectral_projector(a, K, b))
    np.testing.assert_allclose(p @ b @ p, p, atol=1e-13)
    np.testing.assert_allclose(np.trace(p @ b), K)
    # The identity as f: A itself, seen through B twice.
    x = np.asarray(ep.spectral_map(lambda x: x, a, b))
    np.testing.assert_allclose(b @ x @ b, a, atol=1e-12)


def test_an_ill_conditioned_metric():
    scale = np.array([1.0, 1e-3, 1e-6, 1e-9])
    a, b = pair("double", 1, "float64")
    a, b = scale[:, None] * a * scale, scale[:, None] * b * scale
    right = ep.spectral_map(jnp.tanh, *pair("double", 1, "float64")) / (scale[:, None] * scale)
    np.testing.assert_allclose(ep.spectral_map(jnp.tanh, a, b), right, rtol=1e-10)
    c = WEIGHT.real
    gradient = jax.grad(lambda a, b: jnp.sum(c * ep.spectral_map(jnp.tanh, a, b)), (0, 1))
    scaled = jax.grad(lambda a, b: jnp.sum(c / (scale[:, None] * scale) * ep.spectral_map(jnp.tanh, a, b)), (0, 1))(
        *pair("double", 1, "float64")
    )
    for found, x in zip(gradient(a, b), scaled, strict=True):
        np.testing.assert_allclose(found * (scale[:, None] * scale), x, rtol=1e-8, atol=1e-9 * np.abs(x).max())


def test_batches_and_broadcasting():
    a = np.stack([pair(name, 1, "float64")[0] for name in SPECTRA])
    b = pair("double", 1, "float64")[1]
    each = np.stack([ep.spectral_map(jnp.tanh, x, b) for x in a])
    np.testing.assert_allclose(ep.spectral_map(jnp.tanh, a, b), each, atol=1e-13)
    np.testing.assert_allclose(jax.vmap(lambda x: ep.spectral_map(jnp.tanh, x, b))(a), each, atol=1e-13)
    gradient = jax.grad(lambda b: jnp.sum(ep.spectral_sum(jnp.tanh, a, b)))(b)
    assert gradient.shape == b.shape


def test_without_a_metric_there_is_nothing():
    a, b = pair("distinct", 1, "float64")
    for bad in (-b, np.full_like(b, np.nan), np.zeros_like(b)):
        assert not np.isfinite(ep.spectral_map(lambda x: 0 * x, a, bad)).any()
        assert not np.isfinite(ep.spectral_sum(lambda x: 0 * x, a, bad))
    assert not np.isfinite(ep.spectral_projector(pair("double", 1, "float64")[0], 2, b)).any()
    skew = np.triu(np.ones((4, 4)))
    assert not np.isfinite(ep.spectral_map(jnp.tanh, a, b + skew)).any()


def test_single_precision():
    a, b = (x.astype("float32") for x in pair("triple", 1, "float64"))
    value, gradient = jax.value_and_grad(lambda a: ep.spectral_sum(jnp.tanh, a, b))(a)
    assert value.dtype == gradient.dtype == jnp.float32
    np.testing.assert_allclose(value, by_scipy("sum", "tanh", 1, a, b), rtol=1e-5)


@pytest.mark.parametrize("spectrum", ["double", "triple"])
@pytest.mark.parametrize("metric", [False, True])
def test_chemical_potential(spectrum, metric):
    """A fixed number of electrons, differentiated through the chemical potential."""
    a, b = pair(spectrum, 1, "float64")
    if not metric:
        b = np.eye(4)
    matrices = (a, b) if metric else (a,)
    da, db = small_direction("da", "float64"), small_direction("db", "float64") * metric
    beta, electrons, c = 3.0, 2.3, WEIGHT.real

    def loss(t, electrons=electrons, beta=beta):
        moved = [x + t * d for x, d in zip(matrices, (da, db), strict=False)]
        mu = ep.functions.chemical_potential(*moved, electrons=electrons, beta=beta)
        p = ep.spectral_map(ep.functions.fermi_dirac(mu, beta), *moved)
        return jnp.sum(c * p)

    def right(t, electrons=electrons, beta=beta):
        w, v = scipy.linalg.eigh(a + t * da, b + t * db)
        mu = scipy.optimize.brentq(lambda m: np.sum(1 / (1 + np.exp(beta * (w - m)))) - electrons, -20, 20, xtol=1e-15)
        return np.sum(c * ((v / (1 + np.exp(beta * (w - mu)))) @ v.T))

    np.testing.assert_allclose(loss(0.0), right(0.0), rtol=1e-11)
    h = 4e-3
    values = np.array([right(k * h) for k in range(-3, 4)])
    np.testing.assert_allclose(jax.grad(loss)(0.0), values @ [-1, 9, -45, 0, 45, -9, 1] / (60 * h), rtol=1e-7)
    second = values @ [2, -27, 270, -490, 270, -27, 2] / (180 * h**2)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.grad(loss)))(0.0), second, rtol=1e-5)
    x = [0.0, electrons, beta]
    for number in (1, 2):
        at = lambda s, n=number: right(*[y + s * (i == n) for i, y in enumerate(x)])  # noqa: E731
        found = jax.grad(loss, number)(*x)
        np.testing.assert_allclose(found, (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h), rtol=1e-6)


def test_chemical_potential_of_a_batch():
    a = np.stack([pair(name, 1, "float64")[0] for name in SPECTRA])
    b = positive("b", (4, 4))
    mu = ep.functions.chemical_potential(a, b, electrons=jnp.asarray([1.0, 2.0, 3.0, 0.5]), beta=5.0)
    assert mu.shape == (4,)
    w = np.asarray(ep.eigvalsh(a, b))
    np.testing.assert_allclose(np.sum(1 / (1 + np.exp(5 * (w - mu[:, None]))), -1), [1, 2, 3, 0.5], rtol=1e-12)


@pytest.mark.parametrize("beta", [20.0, 60.0, 200.0])
def test_chemical_potential_in_a_gap(beta):
    """Where all but rounding of the levels below is filled: μ is in the middle, and moves with both edges."""
    potential = lambda a: ep.functions.chemical_potential(a, electrons=1.0, beta=beta)  # noqa: E731
    value, gradient = jax.value_and_grad(potential)(np.diag([0.0, 1.0]))
    np.testing.assert_allclose(value, 0.5, rtol=1e-14)
    np.testing.assert_allclose(gradient, np.eye(2) / 2, atol=1e-12)
    assert np.isnan(ep.functions.chemical_potential(np.diag([0.0, 1.0]), electrons=1.0, beta=5000.0))


@pytest.mark.parametrize("given", [{"electrons": 5.0, "beta": 1.0}, {"electrons": 2.0, "beta": -1.0}])
def test_chemical_potential_of_impossible_traced_numbers(given):
    traced = jax.jit(lambda given: ep.functions.chemical_potential(np.diag([1.0, 2, 3, 4]), **given))
    with policy(check(explain=True)), pytest.warns(DegeneracyWarning, match="chemical_potential is NaN: .* must be"):
        wait_for(mu := traced(given))
    assert np.isnan(mu)
