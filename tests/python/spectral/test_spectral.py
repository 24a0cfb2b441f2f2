"""Spectral maps, sums and projectors: exact at any degeneracy, to second order."""

import functools

import eigenpair as ep
import finite_differences
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from eigenpair.spectral import divided_differences
from problems import random, with_spectrum

SPECTRA = {
    "distinct": [0.7, 1.1, 1.9, 2.6],
    "double": [1.0, 1.0, 1.9, 2.6],
    "triple": [1.0, 1.0, 1.0, 2.6],
    "close": [1.0, 1.0 + 1e-9, 1.3, 2.6],
    "scalar": [1.5, 1.5, 1.5, 1.5],
}
FUNCTIONS = {
    "exp": ep.functions.exp,
    "log": ep.functions.log,
    "sqrt": ep.functions.sqrt,
    "inv_sqrt": ep.functions.inv_sqrt,
    "power": ep.functions.power(3.3),
    "fermi_dirac": ep.functions.fermi_dirac(1.4, 5.0),
    "phase": lambda x: jnp.exp(1j * x.astype(complex)),
}


def matrix(spectrum, dtype="float64"):
    return with_spectrum(SPECTRA[spectrum], spectrum, dtype)


def second_order(f, x, tolerance):
    gradient = jax.grad(f)
    (direction,) = finite_differences.directions((x,), 1)
    _, found = jax.jvp(gradient, (x,), direction)
    np.testing.assert_allclose(
        found, finite_differences.derivative(gradient, (x,), direction), rtol=tolerance, atol=tolerance
    )
    reverse = jax.grad(lambda y: jnp.real(jnp.sum(gradient(y) * direction[0])))(x)
    np.testing.assert_allclose(reverse, found, rtol=1e-9, atol=1e-9)


# One function for all spectra, so that each of its derivatives is compiled once.


@functools.cache
def coupled_map(name):
    c = random("c", (4, 4), "complex128")
    return jax.jit(lambda a: jnp.real(jnp.sum(c * ep.spectral_map(FUNCTIONS[name], a).astype(complex))))


@functools.cache
def coupled_projector(k):
    c = random("c", (4, 4))
    return jax.jit(lambda a: jnp.sum(c * ep.spectral_projector(a, k)))


SUM = jax.jit(lambda a: ep.spectral_sum(jnp.exp, a))
HESSIAN_OF_SQUARES = jax.jit(jax.hessian(lambda a: ep.spectral_sum(lambda x: x**2, a)))
HESSIAN_OF_TRACE = jax.jit(jax.hessian(lambda a: ep.spectral_sum(lambda x: x, a)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("spectrum", ["distinct", "triple", "close"])
def test_map(name, spectrum):
    a = matrix(spectrum, "complex128" if name in ("log", "phase") else "float64")
    finite_differences.assert_gradient(coupled_map(name), (a,), 1e-7)
    second_order(coupled_map(name), a, 1e-6)


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_sum(spectrum):
    a = matrix(spectrum)
    np.testing.assert_allclose(jax.grad(SUM)(a), ep.spectral_map(jnp.exp, a), rtol=1e-12, atol=1e-12)
    second_order(SUM, a, 1e-6)
    # Σ λ² is the sum of the squares of the entries of the Hermitian part.
    part = (np.eye(16).reshape(4, 4, 4, 4) + np.eye(16).reshape(4, 4, 4, 4).swapaxes(2, 3)) / 2
    np.testing.assert_allclose(HESSIAN_OF_SQUARES(a), 2 * part, atol=1e-12)
    np.testing.assert_allclose(HESSIAN_OF_TRACE(a), 0, atol=1e-13)


@pytest.mark.parametrize(
    ("spectrum", "k"), [("distinct", 2), ("double", 2), ("triple", 3), ("close", 2), ("double", 3)]
)
def test_projector(spectrum, k):
    a, f = matrix(spectrum), coupled_projector(k)
    p = np.asarray(ep.spectral_projector(a, k))
    np.testing.assert_allclose(p @ p, p, atol=1e-13)
    np.testing.assert_allclose(np.trace(p), k)
    finite_differences.assert_gradient(f, (a,), 1e-7)
    second_order(f, a, 1e-6)


def test_projector_without_a_gap_is_nan():
    assert np.all(np.isnan(ep.spectral_projector(matrix("double"), 1)))
    for k in (0, 4):
        assert np.all(np.isfinite(jax.grad(lambda a, k=k: jnp.sum(ep.spectral_projector(a, k)))(matrix("double"))))


def test_what_f_closes_over():
    """Gradients with respect to parameters of `f`, mixed with those of the matrix, at a triple eigenvalue."""
    a, c = matrix("triple"), random("c", (4, 4))
    for f in (
        lambda a, beta: jnp.sum(c * ep.spectral_map(ep.functions.fermi_dirac(1.2, beta), a)),
        lambda a, beta: ep.spectral_sum(ep.functions.fermi_dirac(1.2, beta), a),
    ):
        h, f = 1e-5, jax.jit(f)
        slope = (f(a, 2 + h) - f(a, 2 - h)) / (2 * h)
        np.testing.assert_allclose(jax.jit(jax.grad(f, 1))(a, 2.0), slope, rtol=1e-8)
        gradient = jax.jit(jax.grad(f))
        mixed = (gradient(a, 2 + h) - gradient(a, 2 - h)) / (2 * h)
        np.testing.assert_allclose(jax.jit(jax.grad(lambda a, f=f: jax.grad(f, 1)(a, 2.0)))(a), mixed, atol=1e-8)
        np.testing.assert_allclose(jax.jacfwd(lambda b, g=gradient: g(a, b))(2.0), mixed, atol=1e-8)


def test_a_third_derivative_is_refused():
    a = matrix("distinct")
    with pytest.raises(NotImplementedError, match="a higher one was requested"):
        jax.grad(lambda a: jnp.sum(jax.hessian(lambda x: jnp.sum(ep.spectral_map(jnp.exp, x)))(a)))(a)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "inv_sqrt", "fermi_dirac"])
def test_differences_at_every_gap(name):
    """The error does not jump where one formula replaces the other."""
    f, exact = {
        "exp": (jnp.exp, mp.exp),
        "log": (jnp.log, mp.log),
        "tanh": (jnp.tanh, mp.tanh),
        "inv_sqrt": (ep.functions.inv_sqrt, lambda x: 1 / mp.sqrt(x)),
        "fermi_dirac": (ep.functions.fermi_dirac(1.5, 20.0), lambda x: 1 / (1 + mp.exp(20 * (x - mp.mpf("1.5"))))),
    }[name]
    x = np.full(120, 1.3)
    y = x + 10.0 ** np.linspace(0.3, -16.5, 120)
    with mp.workdps(80):
        pairs = [(mp.mpf(p), mp.mpf(q)) for p, q in zip(x, y, strict=True)]
        first = [(exact(q) - exact(p)) / (q - p) if p != q else mp.diff(exact, p) for p, q in pairs]
        slope = [
            (mp.diff(exact, q) - d) / (q - p) if p != q else mp.diff(exact, p, 2) / 2
            for (p, q), d in zip(pairs, first, strict=True)
        ]
    np.testing.assert_allclose(divided_differences.first(f, x, y), np.array(first, float), rtol=2e-14)
    np.testing.assert_allclose(divided_differences.slope(f, x, y), np.array(slope, float), rtol=1e-13)


CHAIN = [-0.4, -0.4, -0.4 + 3e-16, 0.3, 0.3 + 2e-9, 0.3 + 2e-4, 0.35, 1.1, 2.4]


@pytest.mark.parametrize("name", ["exp", "tanh", "shifted_exp"])
def test_differences_follow_from_those_of_neighbours(name):
    f, exact = {
        "exp": (jnp.exp, mp.exp),
        "tanh": (jnp.tanh, mp.tanh),
        # The quotient of two values has lost seven digits.
        "shifted_exp": (lambda x: jnp.exp(x) + 1e7, lambda x: mp.exp(x) + 10**7),
    }[name]

    def tables(w):
        derivative = divided_differences.derivative(f)
        first, left, right = divided_differences.of_neighbours(f, w)
        half_second = divided_differences.derivative(derivative)(w) / 2
        return (
            divided_differences.first_of_all(derivative(w), first, w),
            divided_differences.slopes_of_all(half_second, left, right, w),
        )

    def slope(x, y):
        if x == y:
            return mp.diff(exact, x, 2) / 2
        return (mp.diff(exact, y) - (exact(y) - exact(x)) / (y - x)) / (y - x)

    with mp.workdps(80):
        w = [mp.mpf(x) for x in CHAIN]
        first = [[(exact(y) - exact(x)) / (y - x) if x != y else mp.diff(exact, x) for y in w] for x in w]
        slopes = [[slope(x, y) for y in w] for x in w]
    for compiled in (tables, jax.jit(tables)):
        found = compiled(jnp.asarray(CHAIN))
        tolerance = 2e-14 if name != "shifted_exp" else 1e-8
        np.testing.assert_allclose(found[0], np.array(first, float), rtol=tolerance)
        np.testing.assert_allclose(found[1], np.array(slopes, float), rtol=5 * tolerance, atol=tolerance)
        np.testing.assert_array_equal(found[0], found[0].T)


def test_jumps_are_seen():
    a = np.diag([-1.0, 2.0, 3.0])
    np.testing.assert_allclose(ep.spectral_map(ep.functions.sign, a), np.diag([-1.0, 1.0, 1.0]))
    gradient = jax.grad(lambda a: ep.spectral_map(ep.functions.sign, a)[0, 1])(a)
    np.testing.assert_allclose(gradient[0, 1], 1 / 3)


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**-40, 2.0**30, 2.0**500])
def test_scales(scale):
    a = matrix("triple")
    f = lambda a: ep.spectral_sum(lambda x: x**2, a / scale)  # noqa: E731
    np.testing.assert_allclose(jax.grad(f)(a * scale) * scale, 2 * a, rtol=1e-12, atol=1e-12)
    p = ep.spectral_projector(a * scale, 3)
    np.testing.assert_allclose(p, ep.spectral_projector(a, 3), atol=1e-13)


def test_float32_stays():
    a = matrix("triple").astype("float32")
    value, gradient = jax.value_and_grad(lambda a: ep.spectral_sum(jnp.exp, a))(a)
    assert value.dtype == gradient.dtype == jnp.float32
    np.testing.assert_allclose(gradient, ep.spectral_map(jnp.exp, a.astype("float64")), rtol=1e-5, atol=1e-6)


def test_vmap_and_batch():
    a = np.stack([matrix(name) for name in SPECTRA])
    f = lambda a: jnp.sum(ep.spectral_map(jnp.exp, a)[..., 0, 1])  # noqa: E731
    gradient = jax.grad(f)
    each = np.stack([gradient(m) for m in a])
    np.testing.assert_allclose(gradient(a), each, atol=1e-13)
    np.testing.assert_allclose(jax.vmap(gradient)(a), each, atol=1e-13)
    hessian = jax.hessian(lambda a: ep.spectral_sum(jnp.exp, a))
    np.testing.assert_allclose(jax.jit(jax.vmap(hessian))(a)[1], jax.jit(hessian)(a[1]), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ep.spectral_map("exp", np.eye(2)), "f must"),
        (lambda: ep.spectral_map(lambda x: jnp.stack([x, x]), np.eye(2)), "f must"),
        (lambda: ep.spectral_sum(jnp.exp, [1.0]), "a must"),
        (lambda: ep.spectral_projector(np.eye(2), 3), "k must"),
        (lambda: ep.spectral_projector(np.eye(2), 1.0), "k must"),
    ],
)
def test_bad_arguments(call, word):
    with pytest.raises((TypeError, ValueError), match=word):
        call()
