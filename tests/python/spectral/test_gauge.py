"""`fix_gauge` makes a loss of eigenvectors a function of the matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, fix_gauge
from finite_differences import assert_gradient, assert_tangent
from problems import DTYPES, TYPES, eps, fixed, of_matrices, problem, random


@pytest.mark.parametrize("dtype", DTYPES)
def test_largest_component_is_real_and_positive(dtype):
    v = random("v", (2, 4, 3), dtype)
    found = np.asarray(fix_gauge(v))
    assert found.dtype == dtype
    largest = np.take_along_axis(found, np.abs(found).argmax(-2)[:, None], -2)
    np.testing.assert_allclose(largest, np.abs(largest), rtol=1e-6)
    np.testing.assert_allclose(np.abs(found), np.abs(v), rtol=10 * eps(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_gauge_gives_the_same(dtype):
    v = random("v", (4, 4), dtype)
    phases = random("phases", (4,), dtype)
    phases = phases / np.abs(phases)
    np.testing.assert_allclose(fix_gauge(v * phases), fix_gauge(v), rtol=20 * eps(dtype), atol=20 * eps(dtype))


def test_twice_is_once():
    v = fix_gauge(random("v", (3, 3), "complex128"))
    np.testing.assert_allclose(fix_gauge(v), v, rtol=1e-15)


@pytest.mark.parametrize("type", TYPES)
def test_gradients_of_losses_that_need_it(type):
    matrices, options = problem(type, "complex128")
    assert_gradient(of_matrices(fixed, **options), matrices)
    assert_tangent(lambda *m: fix_gauge(eigh(*m, **options).eigenvectors), matrices)


def test_gradient_does_not_depend_on_the_gauge_that_the_solver_chose():
    """The cotangent of `fix_gauge(v Diag(phases))` is that of `fix_gauge(v)`, times the phases."""
    v, c = random("v", (3, 3), "complex128"), random("c", (3, 3), "complex128")
    phases = np.exp(1j * np.arange(3))

    def loss(x):
        return jnp.sum(jnp.real(c * fix_gauge(x)))

    np.testing.assert_allclose(jax.grad(loss)(v * phases), np.asarray(jax.grad(loss)(v)) / phases, rtol=1e-12)


def test_ties_go_to_the_first():
    """Components that are equal up to rounding: the choice must not depend on the machine."""
    s = np.sqrt(0.5)
    for v in ([[s, -s]], [[-s, s]], [[s, -s * (1 + 1e-15)]]):
        np.testing.assert_allclose(fix_gauge(np.array(v).T)[0], s, rtol=1e-14)
    np.testing.assert_allclose(fix_gauge(np.array([[1j * s], [s]]))[0], s, rtol=1e-14)


def test_zero_columns_and_empty_arrays():
    np.testing.assert_array_equal(fix_gauge(np.zeros((3, 2), complex)), 0)
    assert np.isfinite(jax.grad(lambda v: jnp.sum(jnp.real(fix_gauge(v))))(np.zeros((3, 2), complex))).all()
    assert fix_gauge(np.zeros((0, 0))).shape == (0, 0)
    assert fix_gauge(np.zeros((2, 3, 0))).shape == (2, 3, 0)


def test_nan_stays_nan():
    v = np.full((2, 2, 2), np.nan)
    v[1] = [[0.0, -1], [1, 0]]
    found = fix_gauge(v)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], [[0, 1], [1, 0]])


@pytest.mark.parametrize("bad", [None, "text", np.zeros(3), np.zeros((2, 2), "float16")], ids=str)
def test_bad_input(bad):
    with pytest.raises((TypeError, ValueError), match=r"\bv\b"):
        fix_gauge(bad)
