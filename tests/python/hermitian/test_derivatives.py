"""Pullbacks and pushforwards of `eigh` and `eigvalsh` on NumPy arrays, against finite differences and `jax.vjp`."""

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.degeneracy import check, mask
from finite_differences import derivative, directions
from problems import TYPES, problem, random, with_spectrum


def matrices(type, dtype="complex128", n=4):
    arrays, keywords = problem(type, n=n, dtype=dtype)
    return [np.asarray(x) for x in arrays], keywords


def loss(result, weights):
    """`Σ cᵢ λᵢ + Σ Cᵢⱼ |vᵢⱼ|²`, which no phase of the vectors changes."""
    w, v = result
    return np.sum(weights[0] * w) + np.sum(weights[1] * np.abs(v) ** 2)


def cotangents(result, weights):
    return weights[0], 2 * weights[1] * np.asarray(result[1])


def weights_for(result):
    return [random(i, x.shape, "float64") for i, x in enumerate(result)]


@pytest.mark.parametrize("options", [{}, {"lower": True}, {"subset_by_index": (1, 2)}], ids=str)
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_eigh_pullback_against_finite_differences(dtype, type, options):
    arrays, keywords = matrices(type, dtype)
    keywords |= options
    result, pullback = ep.eigh_pullback(*arrays, **keywords)
    np.testing.assert_array_equal(result.eigenvalues, ep.eigh(*arrays, **keywords)[0])
    weights = weights_for(result)
    along = directions(arrays, 1)[0]
    expected = derivative(lambda *x: loss(ep.eigh(*x, **keywords), weights), arrays, along)
    gradients = pullback(*cotangents(result, weights))
    found = sum(np.sum(np.real(np.conj(g) * d)) for g, d in zip(gradients, along, strict=False))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert (gradients[1] is None) == (len(arrays) == 1)
    for g, x in zip(gradients, arrays, strict=False):
        assert g.shape == x.shape
        assert g.dtype == x.dtype


@pytest.mark.parametrize("type", TYPES)
def test_eigh_pushforward_against_finite_differences(type):
    arrays, keywords = matrices(type)
    along = directions(arrays, 1)[0]
    (w, v), (w_dot, v_dot) = ep.eigh_pushforward(along, *arrays, **keywords)
    expected = derivative(lambda *x: np.asarray(ep.eigvalsh(*x, **keywords)), arrays, along)
    np.testing.assert_allclose(w_dot, expected, rtol=1e-6, atol=1e-7)
    expected = derivative(lambda *x: np.abs(ep.eigh(*x, **keywords)[1]) ** 2, arrays, along)
    np.testing.assert_allclose(2 * np.real(np.conj(v) * v_dot), expected, rtol=1e-6, atol=1e-7)
    w_alone, w_dot_alone = ep.eigvalsh_pushforward(along, *arrays, **keywords)
    np.testing.assert_array_equal(w_alone, w)
    np.testing.assert_allclose(w_dot_alone, w_dot, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("type", TYPES)
def test_the_pullback_is_the_adjoint_of_the_pushforward(type):
    arrays, keywords = matrices(type)
    along = directions(arrays, 1)[0]
    result, pullback = ep.eigh_pullback(*arrays, **keywords)
    _, dots = ep.eigh_pushforward(along, *arrays, **keywords)
    bars = [random(20 + i, x.shape, x.dtype.name) for i, x in enumerate(result)]
    left = sum(np.sum(np.real(np.conj(x) * y)) for x, y in zip(bars, dots, strict=True))
    right = sum(np.sum(np.real(np.conj(x) * y)) for x, y in zip(pullback(*bars), along, strict=False))
    np.testing.assert_allclose(left, right, rtol=1e-10)


@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
def test_none_is_zero(which):
    """Of cotangents and of tangents. JAX returns the conjugate of these gradients."""
    arrays, keywords = matrices(1)
    result, pullback = ep.eigh_pullback(*arrays, **keywords)
    bars = [random(0, x.shape, x.dtype.name) for x in result]
    given = [x if flag else None for x, flag in zip(bars, which, strict=True)]
    zeros = [x if flag else np.zeros_like(x) for x, flag in zip(bars, which, strict=True)]
    _, vjp = jax.vjp(lambda *x: tuple(ep.eigh(*x, **keywords)), *map(jnp.asarray, arrays))
    for found, expected in zip(pullback(*given), vjp(tuple(jnp.conj(x) for x in zeros)), strict=True):
        np.testing.assert_allclose(found, np.conj(expected), rtol=1e-12, atol=1e-12)
    along = directions(arrays, 1)[0]
    given = tuple(x if flag else None for x, flag in zip(along, which, strict=True))
    zeros = tuple(x if flag else np.zeros_like(x) for x, flag in zip(along, which, strict=True))
    for found, expected in zip(
        ep.eigh_pushforward(given, *arrays, **keywords)[1],
        ep.eigh_pushforward(zeros, *arrays, **keywords)[1],
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_nothing_given():
    (a,), _ = matrices(0)
    _, pullback = ep.eigh_pullback(a)
    assert pullback() == (None, None)
    _, dots = ep.eigh_pushforward((None,), a)
    assert not any(np.any(np.asarray(x)) for x in dots)


@jax.numpy_dtype_promotion("standard")
def test_broadcast_and_promoted_matrices():
    """The gradient of each matrix has the shape and type of that matrix."""
    a, b = random(0, (3, 4, 4)), np.eye(4, dtype="float32") * 2
    w, pullback = ep.eigvalsh_pullback(a, b)
    w_bar = random(1, w.shape)
    a_bar, b_bar = pullback(w_bar)
    assert (a_bar.shape, b_bar.shape, b_bar.dtype) == (a.shape, b.shape, b.dtype)
    single = [ep.eigvalsh_pullback(x, b)[1](y)[1] for x, y in zip(a, w_bar, strict=True)]
    np.testing.assert_allclose(b_bar, sum(np.asarray(x, float) for x in single), rtol=1e-5, atol=1e-6)


def test_refusals_and_policies():
    """A cluster whose basis the loss depends on has no gradient; the policy decides as in `eigh`."""
    a = np.asarray(with_spectrum([1.0, 1, 2]))
    v_bar = random(0, (3, 3))
    assert np.isnan(ep.eigh_pullback(a)[1](None, v_bar)[0]).all()
    assert np.isfinite(ep.eigh_pullback(a, degeneracy=mask(1e-9))[1](None, v_bar)[0]).all()
    assert (ep.eigh_pullback(a, degeneracy=check(refused="zero"))[1](None, v_bar)[0] == 0).all()
    assert np.isfinite(ep.eigvalsh_pullback(a)[1](np.ones(3))[0]).all()
    _, (w_dot, v_dot) = ep.eigh_pushforward((random(0, (3, 3)),), a)
    assert np.isfinite(w_dot).all()
    assert np.isnan(v_dot).all(0).tolist() == [True, True, False]


def test_under_jit():
    (a,), _ = matrices(0, "float64")

    @jax.jit
    def gradient(a):
        (w, _), pullback = ep.eigh_pullback(a)
        return pullback(2 * w)[0]

    np.testing.assert_allclose(gradient(a), a + a.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: ep.eigh_pullback(a)[1](np.ones(2)), ValueError, r"w_bar must have the shape"),
        (lambda a: ep.eigh_pullback(a)[1](None, np.ones(3)), ValueError, r"v_bar must have the shape"),
        (lambda a: ep.eigh_pushforward(a, a), TypeError, r"tangents must be a tuple \(a_dot,\)"),
        (lambda a: ep.eigh_pushforward((a,), a, np.eye(3)), TypeError, r"tuple \(a_dot, b_dot\)"),
        (lambda a: ep.eigh_pushforward((a[0],), a), ValueError, r"a_dot must have the shape of its matrix"),
        (lambda a: ep.eigvalsh_pushforward((1j * a,), a), TypeError, r"a_dot is complex .* cast the matrix"),
        (lambda a: ep.eigh_pullback(a[0]), ValueError, r"a must be a square matrix"),
        (lambda a: ep.eigh_pullback(a, UPLO="L"), TypeError, r"eigh_pullback has no argument UPLO: lower=True"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(np.diag([1.0, 2, 3]))
