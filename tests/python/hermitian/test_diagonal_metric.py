"""Pairs with a diagonal `b`, given as a vector: the same results as with the matrix."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh, fix_gauge, functions, spectral_map, spectral_projector, spectral_sum
from eigenpair.degeneracy import DegeneracyWarning, check
from finite_differences import assert_gradient
from problems import DTYPES, LOSSES, TRIANGLES, eps, inner, problem, random, weights, with_spectrum

LUMPED = (1, 2, 3)


def diagonal(n=4, dtype="float64"):
    return (1 + abs(random("masses", (n,)))).astype(np.finfo(dtype).dtype)


@pytest.mark.parametrize("lower", TRIANGLES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", LUMPED)
def test_equals_the_matrix(type, dtype, lower):
    (a,), options = problem(0, dtype, 4, (2,), lower)
    b = diagonal(4, dtype)
    found = eigh(a, b, type=type, **options)
    expected = eigh(a, np.diag(b).astype(dtype), type=type, **options)
    assert found.eigenvectors.dtype == dtype
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=300 * eps(dtype))
    np.testing.assert_allclose(fix_gauge(found.eigenvectors), fix_gauge(expected.eigenvectors), atol=3000 * eps(dtype))
    np.testing.assert_allclose(eigvalsh(a, b, type=type, **options), found.eigenvalues, rtol=300 * eps(dtype))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("type", LUMPED)
def test_gradients(type, name):
    """With the shape of the diagonal."""
    (a,), options = problem(0, "complex128", 4, lower=True)
    b = diagonal()
    loss = LOSSES[name]
    of_a, of_b = jax.grad(lambda a, b: loss(*eigh(a, b, type=type, **options)), (0, 1))(a, b)
    matrix = jnp.diag(b).astype(a.dtype)
    right_a, right_b = jax.grad(lambda a, b: loss(*eigh(a, b, type=type, **options)), (0, 1))(a, matrix)
    assert of_b.shape == b.shape
    assert of_b.dtype == b.dtype
    np.testing.assert_allclose(of_a, right_a, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(of_b, jnp.real(jnp.diagonal(right_b)), rtol=1e-9, atol=1e-9)
    assert_gradient(lambda b: loss(*eigh(a, b, type=type, **options)), (b,))


@pytest.mark.parametrize("type", LUMPED)
def test_tangents_and_second_derivatives(type):
    a, b = problem(n=3)[0][0], diagonal(3)
    whole = lambda b: eigh(a, jnp.diag(b), type=type)  # noqa: E731
    lumped = lambda b: eigh(a, b, type=type)  # noqa: E731
    direction = random("direction", b.shape)
    for x, y in zip(*(jax.jvp(f, (b,), (direction,))[1] for f in (lumped, whole)), strict=True):
        np.testing.assert_allclose(np.abs(x), np.abs(y), rtol=1e-10, atol=1e-12)
    found, expected = (jax.hessian(lambda b, f=f: LOSSES["density"](*f(b)))(b) for f in (lumped, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("type", LUMPED)
def test_clusters(type):
    """In the metric of `b` eigenvalues repeat: the same verdicts as for the matrix."""
    b = diagonal(4)
    root = np.sqrt(b)
    c = with_spectrum([1.0, 1, 2, 3])
    a = c * np.outer(root, root) if type == 1 else c / np.outer(root, root)

    def space(b, count):
        v = eigh(a, b, type=type).eigenvectors[:, :count]
        return inner(weights(4), v @ v.T)

    for count in (1, 2):
        found = jax.grad(space)(b, count)
        expected = jnp.diagonal(jax.grad(space)(jnp.diag(b), count))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        assert np.isnan(found).all() == (count == 1)
    second = jax.hessian(lambda b: jnp.sum(spectral_map(jnp.tanh, a, b, type=type) * weights(4)))(b)
    matrix = lambda b: jnp.sum(spectral_map(jnp.tanh, a, jnp.diag(b), type=type) * weights(4))  # noqa: E731
    np.testing.assert_allclose(second, jax.hessian(matrix)(b), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("type", LUMPED)
def test_spectral_functions(type):
    a, b = problem(n=4, batch=(2,))[0][0], diagonal()
    a = (a + np.swapaxes(a, -1, -2)) / 2
    matrix = np.diag(b)
    for f in (
        lambda a, b: spectral_map(jnp.tanh, a, b, type=type),
        lambda a, b: spectral_sum(jnp.tanh, a, b, type=type),
        lambda a, b: spectral_projector(a, 2, b, type=type),
        lambda a, b: functions.chemical_potential(a, b, type=type, electrons=1.5, beta=2.0),
    ):
        np.testing.assert_allclose(f(a, b), f(a, matrix), rtol=1e-11, atol=1e-12)
        loss = lambda a, b, f=f: jnp.sum(jnp.sin(f(a, b)))  # noqa: E731
        of_a, of_b = jax.grad(loss, (0, 1))(a, b)
        right_a, right_b = jax.grad(loss, (0, 1))(a, matrix)
        np.testing.assert_allclose(of_a, right_a, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(of_b, np.diagonal(right_b), rtol=1e-9, atol=1e-10)


def test_graded_masses():
    """The standard problem is formed entry by entry, so small masses do not increase the errors of the others."""
    b = np.array([1e-10, 1, 1, 1])
    c = with_spectrum([1.0, 2, 3, 4])
    a = c * np.sqrt(np.outer(b, b))
    np.testing.assert_allclose(eigvalsh(a, b), [1, 2, 3, 4], rtol=1e-12)
    assert np.isfinite(jax.grad(lambda b: eigh(a, b).eigenvectors[1, 0] ** 2)(b)).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
@pytest.mark.parametrize("type", LUMPED)
def test_not_positive(type, bad):
    a, b = problem(n=3)[0][0], diagonal(3)
    b[1] = bad
    w, v = eigh(a, b, type=type)
    assert np.isnan(w).all()
    assert np.isnan(v).all()
    a = (a + a.T) / 2
    assert np.isnan(spectral_map(jnp.tanh, a, b, type=type)).all()
    mapped = jax.vmap(lambda b: eigvalsh(a, b, type=type))(np.stack([b, diagonal(3)]))
    assert np.isnan(mapped[0]).all()
    assert np.isfinite(mapped[1]).all()


def test_explained():
    def run():
        jax.block_until_ready(eigh(np.eye(3), np.array([1.0, -1, 1]), degeneracy=check(explain=True)))
        jax.effects_barrier()

    with pytest.warns(DegeneracyWarning, match="not positive definite: its lowest eigenvalue is -1"):
        run()


def test_two_axes_are_a_matrix():
    """Also where they could be the diagonals of a batch, which are mapped over."""
    a, b = problem(n=3, batch=(3,))[0][0], np.eye(3) + 0.1
    np.testing.assert_allclose(eigvalsh(a, b)[1], eigvalsh(a[1], b), rtol=1e-13)
    diagonals = 1 + abs(random("diagonals", (3, 3)))
    mapped = jax.vmap(eigvalsh)(a, diagonals)
    np.testing.assert_allclose(mapped[2], eigvalsh(a[2], np.diag(diagonals[2])), rtol=1e-12)
    with pytest.raises(ValueError, match=r"jax.vmap"):
        eigvalsh(np.ones((2, 3, 3)), np.ones((2, 3)))


def test_subsets_and_pullbacks():
    a, b = with_spectrum(np.arange(70.0)), diagonal(70)
    found = eigh(a, b, subset_by_index=(1, 2))
    expected = eigh(a, np.diag(b), subset_by_index=(1, 2))
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-11)
    (w, _), pull = eigenpair.eigh_pullback(a, b)
    of_a, of_b = pull(jnp.ones_like(w), None)
    assert of_a.shape == a.shape
    assert of_b.shape == b.shape
    (_, moved) = eigenpair.eigvalsh_pushforward((None, b), a, b)
    np.testing.assert_allclose(moved, -w, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("b", "error", "words"),
    [
        (np.ones(4), ValueError, "b must have the size of a"),
        (1j * np.ones(3), TypeError, "b, a diagonal, must be real"),
        (np.ones((3, 2)), ValueError, "or a diagonal with one axis"),
    ],
)
def test_bad_arguments(b, error, words):
    for call in (eigh, eigvalsh, lambda a, b: spectral_sum(jnp.exp, a, b)):
        with pytest.raises(error, match=words):
            call(np.eye(3), b)
    with pytest.raises(ValueError, match="type=2 is a problem in a and b"):
        eigh(np.eye(3), type=2)
