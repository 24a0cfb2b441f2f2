"""`eigs` of functions and lineax operators, on the device: against `eig`, and what it says when it cannot."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.large import ConvergenceWarning, eigs
from problems import eps, random

N, K = 90, 3


def product(a):
    return lambda x: a @ x


def matrices(dtype, pair):
    a = (np.diag(np.linspace(1, 20, N)) + 0.1 * random("a", (N, N), dtype)).astype(dtype)
    e, f = (0.1 * random(name, (N, N), dtype) for name in "ef")
    b = (np.eye(N) + 0.01 * random("b", (N, N), dtype)).astype(dtype)

    def of(t):
        t = t.astype(dtype)
        first = a + t[0] * e + t[0] * t[1] * f
        return (first, b + t[1] * f / 9) if pair else (first + t[1] * f,)

    return of


def loss(w, vl, v):
    c = jnp.asarray(random("c", N), w.dtype)
    of_right = jnp.sum(jnp.abs(c @ v) ** 2 * w.real) + jnp.sum(v[3].real)
    return jnp.sum(jnp.abs(w) ** 2) + of_right + jnp.sum(jnp.abs(c @ vl) ** 4)


@pytest.mark.parametrize(("dtype", "pair"), [("complex128", True), ("float64", False), ("float32", False)], ids=str)
def test_values_vectors_and_derivatives(dtype, pair):
    f = matrices(dtype, pair)
    t, d = (jnp.asarray(x, np.finfo(dtype).dtype) for x in ([0.1, 0.2], [1.0, -0.5]))

    def large(t):
        a, *b = (product(m) for m in f(t))
        found = eigs(a, K, b=b[0] if b else None, which="LR", left=True, n=N, dtype=dtype)
        return loss(*found), found

    def dense(t):
        w, vl, v = eigenpair.eig(*f(t), left=True)
        return loss(w[-K:], vl[:, -K:], v[:, -K:])

    tol = 3e5 * eps(dtype) if dtype != "float32" else 2e-2
    (value, found), gradient = jax.jit(jax.value_and_grad(large, has_aux=True))(t)
    expected, expected_gradient = jax.value_and_grad(dense)(t)
    assert np.all(found.converged)
    assert found.solver == "krylov: products on the device"
    assert np.all(np.diff(found.eigenvalues.real) <= 1e-3)
    np.testing.assert_allclose(value, expected, rtol=tol)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=tol, atol=tol * np.max(np.abs(expected_gradient)))
    if dtype != "float64":
        return
    found, expected = (jax.jvp(jax.value_and_grad(g), (t,), (d,))[1] for g in (lambda t: large(t)[0], dense))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-7)


def convection(speed, n):
    """`−u″ + speed u′` on a line: real eigenvalues of a matrix far from normal."""

    def apply(x):
        padded = jnp.pad(x, 1)
        return (2 + 0.0 * speed) * x - (1 + speed) * padded[:-2] - (1 - speed) * padded[2:]

    return apply


def test_lineax_operator_and_gradient_of_a_parameter():
    lineax = pytest.importorskip("lineax")
    n, k = 90, 2

    def last(speed):
        a = lineax.FunctionLinearOperator(convection(speed, n), jax.ShapeDtypeStruct((n,), jnp.float64))
        return eigs(a, k, which="LR", tol=1e-10).eigenvalues

    speed = 0.02
    exact = 2 + 2 * np.sqrt(1 - speed**2) * np.cos(np.pi * np.arange(1, k + 1) / (n + 1))
    np.testing.assert_allclose(last(speed), exact, atol=1e-9)
    slope = jax.grad(lambda s: jnp.sum(last(s).real))(speed)
    np.testing.assert_allclose(slope, np.sum(exact - 2) * -speed / (1 - speed**2), rtol=1e-6)


def test_every_copy():
    spectrum = np.concatenate([[-8.0] * 4, np.linspace(1, 5, N - 4)])
    mixing = np.eye(N) + 0.1 * np.triu(random("mix", (N, N)), 1)
    a = mixing @ np.diag(spectrum) @ np.linalg.inv(mixing)
    found = eigs(product(a), 4, n=N, dtype=float)
    assert np.all(found.converged)
    np.testing.assert_allclose(found.eigenvalues, -8, atol=1e-9)


def test_a_small_problem_is_formed():
    a = random("small", (12, 12))
    found = eigs(product(a), 3, left=True, n=12, dtype=float)
    w = np.linalg.eigvals(a)
    np.testing.assert_allclose(np.abs(found.eigenvalues), np.sort(np.abs(w))[-3:][::-1], atol=1e-12)
    w, vl, v = (np.asarray(x) for x in found)
    np.testing.assert_allclose(a @ v, v * w, atol=1e-11)
    np.testing.assert_allclose(a.T @ vl, vl * np.conj(w), atol=1e-11)


def test_a_function_that_has_no_transpose():
    a = np.diag(np.linspace(1, 9, N) ** 2) + 0.1 * random("no", (N, N))

    def looped(x):
        return jax.lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, a @ s[1]), (0, x))[1]

    found = eigs(looped, 2, n=N, dtype=float)  # right vectors do not need it
    expected = np.linalg.eigvals(a)
    np.testing.assert_allclose(np.abs(found.eigenvalues), np.sort(np.abs(expected))[-2:][::-1], rtol=1e-10)
    with pytest.raises(TypeError, match="JAX cannot transpose"):
        eigs(looped, 2, left=True, n=N, dtype=float)
    with pytest.raises(TypeError, match="JAX cannot transpose"):
        jax.grad(lambda s: eigs(lambda x: looped(s * x), 2, n=N, dtype=float).eigenvalues[0].real)(1.0)


def test_nan_where_it_does_not_converge():
    far = product(np.diag(np.linspace(1, 2, 400)) + 1e-3 * np.eye(400, k=1))
    with pytest.warns(ConvergenceWarning, match="Raise max_iterations"):
        assert np.all(np.isnan(eigs(far, 2, n=400, dtype=float, max_iterations=1).eigenvalues))
    with pytest.warns(ConvergenceWarning, match="NaN or Inf"):
        assert np.all(np.isnan(eigs(lambda x: x * jnp.nan, 2, n=N, dtype=float).eigenvalues))


def test_bad_input():
    a = product(np.diag(np.arange(1.0, N + 1)))
    for options, kind, words in [
        ({}, TypeError, "operator is a function"),
        ({"n": N, "dtype": float, "sigma": 2.5}, ValueError, "sigma needs a factorization"),
        ({"n": N, "dtype": float, "solver": "arpack"}, ValueError, "'krylov' solves this problem"),
        ({"n": N, "dtype": float, "solver": "lobpcg"}, ValueError, "solver must be one of"),
        ({"n": N, "dtype": float, "k": N}, ValueError, "k must be less"),
        ({"n": N, "dtype": float, "v0": np.ones(3)}, ValueError, "v0"),
    ]:
        with pytest.raises(kind, match=words):
            eigs(a, **{"k": 2, **options})
    with pytest.raises(ValueError, match="progress is for solver='krylov'"):
        eigs(np.eye(N), 2, progress=True)
