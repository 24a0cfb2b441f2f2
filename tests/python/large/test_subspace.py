"""The projector and spectral sums of the `k` lowest: first and second derivatives, with a triple eigenvalue inside."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.large import spectral_projector, spectral_sum
from problems import positive, random, with_spectrum

N, K = 60, 4
W = np.concatenate([[0.0, 1.0, 1.0, 1.0], np.linspace(2, 9, N - K)])


def hermitian(seed):
    x = random(seed, (N, N))
    return (x + x.T) / 2 / np.sqrt(N)


@pytest.mark.parametrize("pair", [False, True])
def test_derivatives_through_a_triple_eigenvalue(pair):
    b0 = positive(0, (N, N)) if pair else np.eye(N)
    half = np.linalg.cholesky(b0)
    a0 = half @ with_spectrum(W, 0) @ half.T
    e1, e2, c = hermitian(1), hermitian(2), random("c", (N, N))

    def a(t):
        return a0 + t[0] * e1 + t[0] * t[1] * e2

    def options(t):
        return {"b": b0 + t[1] * e2 / 9} if pair else {}

    def large(t):
        p = spectral_projector(a(t), K, **options(t))
        return jnp.sum(c * p.todense()) + spectral_sum(lambda x: x**3, a(t), K, **options(t))

    def dense(t):
        # By hand: eigh of the reduced problem, where spectral_projector has all derivatives.
        inverse = jnp.linalg.inv(jnp.linalg.cholesky(options(t)["b"] if pair else jnp.eye(N)))
        reduced = inverse @ a(t) @ inverse.T
        p = eigenpair.spectral_projector(reduced, K)
        lowest = p @ reduced @ p
        return jnp.sum(c * (inverse.T @ p @ inverse)) + jnp.trace(lowest @ lowest @ lowest)

    t, d = jnp.zeros(2), jnp.array([1.0, 0.7])
    np.testing.assert_allclose(large(t), dense(t), rtol=1e-10)
    np.testing.assert_allclose(jax.grad(large)(t), jax.grad(dense)(t), rtol=1e-8, atol=1e-8)
    found = jax.jvp(jax.grad(large), (t,), (d,))[1]
    np.testing.assert_allclose(found, jax.jvp(jax.grad(dense), (t,), (d,))[1], rtol=1e-6, atol=1e-6)


def test_what_a_projector_does():
    a = with_spectrum(W, 3)
    p = spectral_projector(a, K)
    full = p.todense()
    x = random("x", (N, 2))
    np.testing.assert_allclose(full @ full, full, atol=1e-10)
    np.testing.assert_allclose(p @ x, full @ x, atol=1e-12)
    np.testing.assert_allclose(p @ x[:, 0], full @ x[:, 0], atol=1e-12)
    np.testing.assert_allclose(p.diagonal(), jnp.diagonal(full), atol=1e-12)
    assert (p.shape, p.rank, p.dtype) == ((N, N), K, "float64")
    assert "rank=4" in repr(p)
    np.testing.assert_allclose(full, eigenpair.spectral_projector(a, K), atol=1e-10)
    with pytest.raises(ValueError, match="x must be a vector"):
        p @ np.ones(3)
