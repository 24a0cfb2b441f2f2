"""`eigs` against `eig`: values, left and right vectors, and derivatives, of matrices and pairs."""

import warnings

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from eigenpair.large import ConvergenceWarning, eigs
from jax.experimental import sparse
from problems import eps, random

N, K = 60, 3


def matrices(dtype, pair):
    a = np.diag(np.linspace(1, 20, N)) + 0.1 * random("a", (N, N), dtype)
    e, f = 0.1 * random("e", (N, N), dtype), 0.1 * random("f", (N, N), dtype)
    b = np.eye(N) + 0.01 * random("b", (N, N), dtype)
    a, b = a.astype(dtype), b.astype(dtype)

    def of(t):
        t = t.astype(dtype)
        first = a + t[0] * e + t[0] * t[1] * f
        return (first, b + t[1] * f / 9) if pair else (first + t[1] * f,)

    return of


def loss(w, vl, v):
    c = jnp.asarray(random("c", N), w.dtype)
    of_values = jnp.sum(jnp.abs(w) ** 2) + jnp.sum(w.real**3) / 100
    of_right = jnp.sum(jnp.abs(c @ v) ** 2 * w.real) + jnp.sum(v[3].real)
    return of_values + of_right + jnp.sum(jnp.abs(c @ vl) ** 4)


def nearest(w, options):
    w = np.asarray(w)
    return np.argsort(np.abs(w - options["sigma"]) if "sigma" in options else -w.real)[:K]


@pytest.mark.parametrize(
    ("dtype", "pair", "options"),
    [
        ("complex128", True, {"sigma": 5.3 + 0.1j}),
        ("float64", False, {"sigma": 5.3}),
        ("float64", False, {"which": "LR"}),
        ("float32", False, {"sigma": 5.3}),
    ],
    ids=str,
)
def test_values_vectors_and_derivatives(dtype, pair, options):
    f = matrices(dtype, pair)
    t, d = (jnp.asarray(x, np.finfo(dtype).dtype) for x in ([0.1, 0.2], [1.0, -0.5]))
    chosen = nearest(eigenpair.eigvals(*f(t)), options)

    def large(t):
        a, *b = f(t)
        return loss(*eigs(a, K, b=b[0] if b else None, left=True, **options))

    def dense(t):
        w, vl, v = eigenpair.eig(*f(t), left=True)
        return loss(w[chosen], vl[:, chosen], v[:, chosen])

    tol = 3e5 * eps(dtype)
    found, expected = jax.value_and_grad(large)(t), jax.value_and_grad(dense)(t)
    np.testing.assert_allclose(found[0], expected[0], rtol=tol)
    np.testing.assert_allclose(found[1], expected[1], rtol=tol, atol=tol * np.max(np.abs(expected[1])))
    if dtype == "complex128":
        np.testing.assert_allclose(jax.jvp(large, (t,), (d,))[1], jax.jvp(dense, (t,), (d,))[1], rtol=1e-9)
        second = jax.jvp(jax.grad(large), (t,), (d,))[1]
        np.testing.assert_allclose(second, jax.jvp(jax.grad(dense), (t,), (d,))[1], rtol=1e-7)


def test_sparse_gradient_on_its_pattern():
    rng = np.random.default_rng(0)
    entries = 0.2 * rng.random((90, 90)) * (rng.random((90, 90)) < 0.05)
    a = scipy.sparse.coo_array(np.diag(np.linspace(1, 9, 90)) + entries)
    indices = jnp.asarray(np.stack([a.row, a.col], axis=1))

    def large(data):
        w, v = eigs(sparse.BCOO((data, indices), shape=a.shape), 2, sigma=4.0)
        return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(v[:5]) ** 2)

    data = jnp.asarray(a.data)
    gradient = jax.jit(jax.grad(large))(data)
    direction = rng.normal(size=data.shape)
    h = 1e-5
    rate = (large(data + h * direction) - large(data - h * direction)) / (2 * h)
    np.testing.assert_allclose(gradient @ direction, rate, rtol=1e-6)


def test_every_copy():
    a = np.diag(np.concatenate([[2.0] * 4, np.linspace(3, 9, 56)])) + np.triu(0.1 * random("u", (60, 60)), 1)
    a[:4, :4] = 2 * np.eye(4)
    found = eigs(a, 4, sigma=1.9)
    np.testing.assert_allclose(found.eigenvalues, 2, atol=1e-10)
    assert np.all(found.converged)


def test_nearly_defective_is_nan():
    a = np.diag(np.concatenate([[2.0, 2.0], np.linspace(3, 9, 58)]))
    a[0, 1] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # or the residuals are too large
        gradient = jax.grad(lambda a: eigs(a, 2, sigma=1.9).eigenvalues[0].real)(a)
    assert np.all(np.isnan(gradient))


def test_bad_input():
    a = np.diag(np.arange(1.0, 61.0))
    for arguments, options, kind, words in [
        ((a, 58), {}, ValueError, "k must be at most 57"),
        ((a, 60), {}, ValueError, "k must be less"),
        ((a, 2), {"which": "SM"}, ValueError, "which must be one of"),
        ((a, 2), {"sigma": 2.5, "which": "LM"}, ValueError, "leave out which"),
        ((a, 2), {"sigma": "x"}, TypeError, "sigma must be"),
        ((a, 2), {"sigma": 3.0}, ValueError, "move it a little"),
        ((a, 2), {"left": 1}, TypeError, "left must be True or False"),
    ]:
        with pytest.raises(kind, match=words):
            eigs(*arguments, **options)
    a[1, 1] = np.nan
    with pytest.warns(ConvergenceWarning, match="NaN or Inf"):
        assert np.all(np.isnan(eigs(a, 2, sigma=1.5).eigenvalues))
