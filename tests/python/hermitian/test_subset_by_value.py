"""The eigenvalues in an interval: SciPy's subset_by_value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from eigenpair import eigh, eigh_banded, eigh_tridiagonal, eigvalsh, eigvalsh_tridiagonal, fix_gauge
from finite_differences import assert_gradient
from problems import DTYPES, TYPES, eps, moduli, of_matrices, problem, with_spectrum

A = with_spectrum([-1.0, 0, 1, 2, 4])


@pytest.mark.parametrize("interval", [(-0.5, 2.5), (-np.inf, 0.5), (1.5, np.inf), (-np.inf, np.inf), (5, 6)], ids=str)
def test_equals_scipy(interval):
    w, v = scipy.linalg.eigh(A, subset_by_value=interval)
    found = eigh(A, subset_by_value=interval)
    assert found.eigenvectors.shape == v.shape
    np.testing.assert_allclose(found.eigenvalues, w, atol=1e-13)
    np.testing.assert_allclose(fix_gauge(found.eigenvectors), fix_gauge(v), atol=1e-13)
    np.testing.assert_allclose(eigvalsh(A, subset_by_value=interval), w, atol=1e-13)


def test_the_upper_end_is_included_and_the_lower_is_not():
    np.testing.assert_array_equal(eigvalsh(np.diag([1.0, 2, 3]), subset_by_value=(1, 3)), [2, 3])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", TYPES)
def test_pairs_and_precisions(type, dtype):
    matrices, options = problem(type, dtype, 4, lower=True)
    w = eigvalsh(*matrices, **options)
    interval = (float(w[0] + w[1]) / 2, float(w[2] + w[3]) / 2)
    found = eigh(*matrices, **options, subset_by_value=interval)
    padded = eigh(*matrices, **options, subset_by_value=interval, subset_size=3)
    np.testing.assert_allclose(found.eigenvalues, w[1:3], rtol=100 * eps(dtype))
    np.testing.assert_allclose(padded.eigenvalues, [*w[1:3], np.nan], rtol=100 * eps(dtype))
    np.testing.assert_allclose(
        fix_gauge(padded.eigenvectors[:, :2]), fix_gauge(found.eigenvectors), atol=1e4 * eps(dtype)
    )
    assert np.isnan(padded.eigenvectors[:, 2]).all()
    assert padded.eigenvectors.dtype == dtype


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("type", TYPES)
def test_gradients(type, size):
    matrices, options = problem(type, n=4, lower=True)
    w = eigvalsh(*matrices, **options)
    options |= {"subset_by_value": (float(w[0] + w[1]) / 2, float(w[2] + w[3]) / 2), "subset_size": size}

    def loss(*matrices):
        w, v = eigh(*matrices, **options)
        return moduli(w[:2], v[:, :2]) + jnp.sum(w[:2] ** 2)

    assert_gradient(loss, matrices)
    if size:
        assert_gradient(jax.jit(loss), matrices)


def test_a_large_matrix_is_solved_for_the_subset_alone():
    a = with_spectrum(np.arange(80.0))
    found = eigh(a, subset_by_value=(9.5, 12.5))
    np.testing.assert_allclose(found.eigenvalues, [10, 11, 12], atol=1e-11)
    gradient = jax.grad(of_matrices(moduli, subset_by_value=(9.5, 12.5)))(a)
    expected = jax.grad(of_matrices(moduli, subset_by_index=(10, 12)))(a)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-10)


def test_bands():
    d, e = np.arange(5.0), np.ones(4)
    a = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
    expected = eigh(a, subset_by_value=(1, 3.5))
    for found in (
        eigh_tridiagonal(d, e, subset_by_value=(1, 3.5)),
        eigh_banded(np.stack([d, np.append(e, 0)]), lower=True, subset_by_value=(1, 3.5)),
    ):
        np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-13)
        np.testing.assert_allclose(abs(found.eigenvectors), abs(expected.eigenvectors), atol=1e-13)
    traced = jax.jit(lambda d: eigvalsh_tridiagonal(d, e, subset_by_value=(1, 3.5), subset_size=4))(d)
    np.testing.assert_allclose(traced, [*expected.eigenvalues, *[np.nan] * (4 - len(expected.eigenvalues))])


# ---- the number of results ----------------------------------------------------------------------------------------


def test_more_than_there_is_room_for():
    """A result that leaves some out would be wrong."""
    w, v = eigh(A, subset_by_value=(-2, 3), subset_size=3)
    assert np.isnan(w).all()
    assert np.isnan(v).all()
    np.testing.assert_allclose(eigvalsh(A, subset_by_value=(-2, 3), subset_size=4), [-1, 0, 1, 2], atol=1e-13)
    assert np.isnan(eigvalsh(A, subset_by_value=(-2, 3), subset_size=0)).size == 0


def test_the_ends_may_be_traced_with_a_size():
    f = jax.jit(lambda low, high: eigvalsh(A, subset_by_value=(low, high), subset_size=2))
    np.testing.assert_allclose(f(-0.5, 1.5), [0, 1], atol=1e-13)
    np.testing.assert_allclose(f(3.0, 9.0), [4, np.nan], atol=1e-13)


def test_batches():
    a = np.stack([A, A + 2 * np.eye(5)])
    # As many in both, though not the same ones.
    np.testing.assert_allclose(eigvalsh(a, subset_by_value=(0.5, 2.5)), [[1, 2], [1, 2]], atol=1e-13)
    with pytest.raises(ValueError, match=r"between 3 and 5 .*subset_size=5"):
        eigvalsh(a, subset_by_value=(0.5, 6.5))
    expected = [[1, 2, 4, np.nan], [1, 2, 3, 4]]
    np.testing.assert_allclose(eigvalsh(a, subset_by_value=(0.5, 5), subset_size=4), expected, atol=1e-13)
    mapped = jax.vmap(lambda a: eigvalsh(a, subset_by_value=(0.5, 5), subset_size=4))(a)
    np.testing.assert_allclose(mapped, expected, atol=1e-13)
    assert eigvalsh(np.zeros((0, 3, 3)), subset_by_value=(0, 1)).shape == (0, 0)


def test_a_matrix_that_cannot_be_solved():
    bad = np.full((2, 2), np.nan)
    with pytest.raises(ValueError, match="cannot count eigenvalues that are NaN"):
        eigvalsh(bad, subset_by_value=(0, 1))
    assert np.isnan(eigvalsh(np.stack([bad, np.eye(2)]), subset_by_value=(0, 2), subset_size=2)[0]).all()


def test_an_interval_that_cuts_a_cluster_is_refused():
    a = with_spectrum([0.0, 1, 1 + 2e-15, 2])
    middle = float(np.mean(eigvalsh(a)[1:3]))
    loss = lambda v: jnp.sum(v[0] ** 2)  # noqa: E731
    for size in (None, 2):

        def f(a, low, size=size):
            v = eigh(a, subset_by_value=(low, 1.5), subset_size=size).eigenvectors
            return loss(v[:, : 1 if low == middle else 2])

        assert np.isnan(jax.grad(f)(a, middle)).all()
        whole = jax.grad(f)(a, 0.5)
        np.testing.assert_allclose(whole, jax.grad(lambda a: loss(eigh(a).eigenvectors[:, 1:3]))(a), atol=1e-12)


# ---- under transformations ----------------------------------------------------------------------------------------


def test_traced_matrices_need_a_size():
    for transformed in (jax.jit, jax.vmap, jax.jacrev):
        with pytest.raises(TypeError, match=r"concrete matrix.*subset_size=k"):
            jax.block_until_ready(transformed(lambda a: eigvalsh(a, subset_by_value=(0, 3)))(np.stack([A, A])))
        if transformed is jax.vmap:
            break
    with pytest.raises(TypeError, match="traced: the number"):
        jax.jit(lambda x: eigvalsh(A, subset_by_value=(x, 3)))(0.0)


def test_gradients_outside_of_jit_do_not_need_one():
    """The matrix is known there."""
    expected = jax.jacrev(lambda a: eigvalsh(a, subset_by_index=(2, 3)))(A)
    np.testing.assert_allclose(
        jax.jacfwd(lambda a: eigvalsh(a, subset_by_value=(0.5, 3), subset_size=2))(A), expected, atol=1e-12
    )
    w, pull = jax.vjp(lambda a: eigvalsh(a, subset_by_value=(0.5, 3)), A)
    np.testing.assert_allclose(pull(np.array([1.0, 0]))[0], expected[0], atol=1e-12)
    moved = jax.jvp(lambda a: eigvalsh(a, subset_by_value=(0.5, 3)), (A,), (A @ A,))[1]
    np.testing.assert_allclose(moved, w**2, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"subset_by_value": (0, 1), "subset_by_index": (0, 1)}, ValueError, "not both"),
        ({"subset_by_value": (1, 0)}, ValueError, "low < high"),
        ({"subset_by_value": (np.nan, 0)}, ValueError, "low < high"),
        ({"subset_by_value": (1, 1)}, ValueError, "low < high"),
        ({"subset_by_value": 3}, TypeError, "two numbers"),
        ({"subset_by_value": (0, 1, 2)}, TypeError, "two numbers"),
        ({"subset_by_value": (0, 1j)}, TypeError, "two real numbers"),
        ({"subset_by_value": ("a", "b")}, TypeError, "two real numbers"),
        ({"subset_size": 3}, ValueError, "give that too"),
        ({"subset_by_value": (0, 1), "subset_size": -1}, ValueError, "negative"),
        ({"subset_by_value": (0, 1), "subset_size": 1.5}, TypeError, "subset_size must be a Python integer"),
    ],
)
def test_bad_arguments(options, error, words):
    for function in (eigh, eigvalsh):
        with pytest.raises(error, match=words):
            function(A, **options)
    with pytest.raises(error, match=words):
        eigh_tridiagonal(np.ones(3), np.ones(2), **options)
