"""`check(refused="zero")` and a tally: a training step leaves out the refused matrices, and counts them."""

import dataclasses

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.degeneracy import check, mask, policy
from problems import adjoint, hermitian, inner, random, unitary, weights, with_spectrum

pytestmark = pytest.mark.filterwarnings("ignore::eigenpair.degeneracy.DegeneracyWarning")

ZERO = check(refused="zero")

N = 70


def of_eigh(a, tally=None, degeneracy=ZERO):
    return inner(weights(a.shape[-1]), ep.eigh(a, degeneracy=degeneracy, tally=tally).eigenvectors ** 2)


def of_explained(a, tally=None, degeneracy=ZERO):
    return of_eigh(a, tally, dataclasses.replace(degeneracy, explain=True))


def of_pair(a, tally=None, degeneracy=ZERO):
    b = np.broadcast_to(np.diag(np.arange(1.0, a.shape[-1] + 1)), a.shape)
    return inner(weights(a.shape[-1]), ep.eigh(a, b, degeneracy=degeneracy, tally=tally).eigenvectors ** 2)


def of_subset(a, tally=None, degeneracy=ZERO):
    v = ep.eigh(a, subset_by_index=(0, 3), degeneracy=degeneracy, tally=tally).eigenvectors
    return inner(weights(a.shape[-1])[:, :4], v**2)


def of_eig(a, tally=None, degeneracy=ZERO):
    _, left, right = ep.eig(a, left=True, degeneracy=degeneracy, tally=tally)
    return inner(weights(a.shape[-1]), left.real + right.real)


def of_eigvals(a, tally=None, degeneracy=ZERO):
    w = ep.eigvals(a, degeneracy=degeneracy, tally=tally)
    return jnp.sum(jnp.real(w[..., 0]))


LOSSES = {f.__name__: f for f in (of_eigh, of_explained, of_pair, of_subset, of_eig, of_eigvals)}


def batch(name, count=4):
    """Two of `count` matrices have a double eigenvalue."""
    n = N if name == "of_subset" else 4
    w = np.arange(1.0, n + 1)
    double = w.copy()
    double[0] = double[1]
    if name == "of_pair":
        root = np.sqrt(np.arange(1.0, n + 1))
        return np.stack([np.outer(root, root) * with_spectrum(double if k % 2 else w, k) for k in range(count)])
    return np.stack([with_spectrum(double if k % 2 else w, k) for k in range(count)])


@pytest.mark.parametrize("name", LOSSES)
def test_zero_for_the_refused_and_the_gradient_for_the_others(name):
    loss, a = LOSSES[name], batch(name)
    expected = jax.grad(loss)(a, None, check())
    np.testing.assert_array_equal(np.isnan(expected).any((1, 2)), [False, True, False, True])
    found = jax.grad(loss)(a)
    np.testing.assert_array_equal(found, np.where(np.isnan(expected), 0, expected))
    for degeneracy in (ZERO, check()):
        f = jax.jit(lambda a, t, d=degeneracy: jax.grad(loss, (0, 1))(a, t, d))
        gradient, count = f(a, jnp.zeros(()))
        np.testing.assert_array_equal(gradient, found if degeneracy is ZERO else expected)
        assert count == 2
        _, each = f(a, jnp.zeros(4))
        np.testing.assert_array_equal(each, [0, 1, 0, 1])


@pytest.mark.parametrize("name", LOSSES)
def test_counts_alone_and_values(name):
    """The count does not need the gradient, and no value depends on the tally."""
    loss, a = LOSSES[name], batch(name)
    assert jax.grad(loss, 1)(a, jnp.zeros(())) == 2
    assert loss(a, jnp.zeros(())) == loss(a)
    for direction in (np.ones(()), np.zeros(())):
        _, moved = jax.jvp(lambda t: loss(a, t), (np.zeros(()),), (direction,))
        assert moved == 0


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_no_refusal_stays_nan(name):
    loss, a = LOSSES[name], batch(name)
    for spoil in (lambda a, t: loss(a, t) * jnp.nan, lambda a, t: loss(a * jnp.nan, t)):
        gradient, count = jax.grad(spoil, (0, 1))(a, jnp.zeros(()))
        assert np.isnan(gradient).all()
        assert count == 0


def test_under_transformations():
    a = batch("of_eigh")
    single = jax.grad(of_eigh, (0, 1))
    expected, counts = single(a, jnp.zeros(4))
    # One tally for each, or one for all.
    for tallies, axis in ((jnp.zeros(4), 0), (jnp.zeros(()), None)):
        mapped = jax.vmap(single, (0, axis))(a, tallies)
        np.testing.assert_allclose(mapped[0], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(mapped[1], counts)
    total = jax.grad(lambda t: jnp.sum(jax.vmap(of_eigh, (0, None))(a, t)))(jnp.zeros(()))
    assert total == 2

    def scanned(a, t):
        return jax.lax.scan(lambda total, x: (total + jax.checkpoint(of_eigh)(x, t), None), jnp.zeros(()), a)[0]

    gradient, count = jax.jit(jax.grad(scanned, (0, 1)))(a, jnp.zeros(()))
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-12)
    assert count == 2
    value, gradient = jax.value_and_grad(of_eigh)(a, jnp.zeros(4))
    assert value == of_eigh(a)
    rows = jax.jacrev(lambda a: ep.eigh(a, degeneracy=ZERO).eigenvectors[0])(a[1])
    np.testing.assert_array_equal(rows[:2], 0)  # of the vectors in the cluster


def test_tangents_and_second_derivatives_stay_nan():
    a = batch("of_eigh")[1]
    x = hermitian(random("x", a.shape))
    assert np.isnan(jax.jvp(of_eigh, (a,), (x,))[1])
    assert np.isnan(jax.jvp(jax.grad(of_eigh), (a,), (x,))[1]).all()
    distinct = batch("of_eigh")[0]
    plain = jax.jvp(jax.grad(lambda a: of_eigh(a, None, check())), (distinct,), (x,))[1]
    np.testing.assert_allclose(jax.jvp(jax.grad(of_eigh), (distinct,), (x,))[1], plain, rtol=1e-12, atol=1e-12)


def test_a_defective_matrix_is_refused():
    a = jnp.array([[1.0, 1.0], [0.0, 1.0]])
    for f in (of_eig, of_eigvals, lambda a, t: jnp.sum(ep.eigvals(a, degeneracy=ZERO, tally=t) ** 2).real):
        gradient, count = jax.grad(f, (0, 1))(a, jnp.zeros(()))
        np.testing.assert_array_equal(gradient, 0)
        assert count == 1


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_precisions_and_two_matrices(dtype):
    a = batch("of_eigh").astype(dtype)
    b = (np.eye(4) + 0 * a).astype(dtype)

    def loss(a, b, t):
        return jnp.sum(jnp.abs(ep.eigh(a, b, type=2, tally=t, degeneracy=ZERO).eigenvectors[..., 0, :1]))

    ga, gb, count = jax.grad(loss, (0, 1, 2))(a, b, jnp.zeros((), "float32"))
    assert (ga.dtype, gb.dtype, count.dtype) == (dtype, dtype, np.dtype("float32"))
    assert count == 2
    for x in (ga, gb):
        np.testing.assert_array_equal(np.abs(x).max((1, 2)) == 0, [False, True, False, True])
    gb, count = jax.grad(loss, (1, 2))(a, b, jnp.zeros((), "float32"))
    assert count == 2


def test_other_policies_refuse_nothing():
    assert jax.grad(of_eigh, 1)(batch("of_eigh"), jnp.zeros(()), mask(1e-6)) == 0


def test_for_a_block_of_code():
    with policy(ZERO):
        np.testing.assert_array_equal(jax.grad(lambda a: inner(weights(3), ep.eigh(a)[1]))(np.eye(3)), 0)


@pytest.mark.parametrize(
    ("tally", "error", "word"),
    [(np.zeros(3), ValueError, "broadcast"), (1j, TypeError, "real"), ("zero", TypeError, "tally")],
)
def test_bad_tallies(tally, error, word):
    for f in (ep.eigh, ep.eig, ep.eigvals):
        with pytest.raises(error, match=word):
            f(np.eye(2), tally=tally)


def test_bad_policy():
    with pytest.raises(ValueError, match="refused must be 'nan' or 'zero'"):
        check(refused="mask")


def test_with_the_core_and_without():
    """Also a matrix so large that the core calls the BLAS."""
    w = np.arange(1.0, N + 1)
    w[3] = w[4]
    q = unitary("large", N)
    a = hermitian(q * w @ adjoint(q))
    gradient, count = jax.grad(of_eigh, (0, 1))(a, jnp.zeros(()))
    np.testing.assert_array_equal(gradient, 0)
    assert count == 1
