"""Policies: for one call, for a block of code, their text, and what the policies without a check compute."""

import warnings

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.degeneracy import DegeneracyWarning, broaden, check, mask, policy, raw
from problems import around, exponential, moduli, of_matrices, random, wait_for, with_spectrum

C = random("c", (3, 3)) + random("c", (3, 3)).T


trace_of_exponential = of_matrices(exponential)


def projector(a):
    _, v = ep.eigh(a)
    return jnp.sum(C * (v[:, :2] @ v[:, :2].T))


DOUBLE = with_spectrum([1.0, 1.0, 2.0])


def test_block_of_code_reaches_jitted_functions():
    gradient = jax.jit(jax.grad(trace_of_exponential))
    assert np.all(np.isnan(gradient(DOUBLE)))
    with policy(mask(1e-6)):
        assert np.all(np.isfinite(gradient(DOUBLE)))
        with policy(check()):
            assert np.all(np.isnan(gradient(DOUBLE)))
    assert np.all(np.isnan(gradient(DOUBLE)))


def test_argument_beats_the_block():
    with policy(mask(1e-6)):
        gradient = jax.grad(lambda a: jnp.sum(C * jnp.exp(ep.eigh(a, degeneracy=check())[1])))(DOUBLE)
    assert np.all(np.isnan(gradient))


@pytest.mark.parametrize("under", [lambda f: f, jax.jit])
def test_explanation(under):
    gradient = under(jax.grad(trace_of_exponential))
    with policy(check(explain=True)), pytest.warns(DegeneracyWarning, match=r"eigenvalues 0 and 1.*spectral_map"):
        wait_for(gradient(np.eye(3)))
    with policy(check(explain=True)), warnings.catch_warnings():
        warnings.simplefilter("error")
        wait_for(gradient(np.diag([1.0, 2.0, 3.0])))


def test_explanation_names_the_matrix_of_a_batch():
    gradient = jax.jit(jax.vmap(jax.grad(trace_of_exponential)))
    with policy(check(explain=True)), pytest.warns(DegeneracyWarning, match=r"1 matrix.*of matrix \(2,\)"):
        wait_for(gradient(np.stack([np.diag([1.0, 2.0, 3.0])] * 2 + [np.eye(3)])))


def test_generic_basis_finds_out_what_the_special_one_hides():
    """At A = I two losses have the same cotangents but different derivatives, 2 and 0."""
    b = np.array([[0.0, 1.0], [1.0, 0.0]])

    def one(a):
        w, v = ep.eigh(a)
        return jnp.sum(b * around(v, w))

    def other(a):
        w, v = ep.eigh(a)
        return jnp.mean(w) * jnp.sum(b * (v @ v.T))

    with policy(check(generic_basis=True)):
        assert np.all(np.isnan(jax.grad(one)(np.eye(2))))
        np.testing.assert_allclose(jax.grad(other)(np.eye(2)), 0, atol=1e-15)
        for dtype in (float, complex):
            w, v = ep.eigh(np.eye(4, dtype=dtype))
            np.testing.assert_allclose(np.conj(v).T @ v, np.eye(4), atol=1e-15)
            assert not np.allclose(v, np.eye(4))
            np.testing.assert_array_equal(w, 1)


@pytest.mark.parametrize("gap", [10.0**-e for e in range(0, 17)] + [0.0])
def test_projector_from_pairs_at_every_gap(gap):
    """Rounding noise in the cotangent is not divided by the gap."""
    a = with_spectrum([1.0, 1.0 + gap, 2.0])
    expected = jax.grad(lambda a: jnp.sum(C * ep.spectral_projector(a, 2)))(a)
    np.testing.assert_allclose(jax.grad(projector)(a), expected, atol=1e-12)


@pytest.mark.parametrize("gap", [1e-4, 1e-8, 1e-12, 0.0])
def test_projector_from_pairs_of_a_large_matrix(gap):
    """Beyond the sizes that the core differentiates."""
    n = 70
    a = with_spectrum(np.concatenate([[1.0, 1.0 + gap], np.linspace(2, 8, n - 2)]))
    c = random("c", (n, n))

    def loss(x, k):
        v = ep.eigh(x).eigenvectors[:, :k]
        return jnp.sum(c * (v @ v.T))

    expected = jax.grad(lambda x: jnp.sum(c * ep.spectral_projector(x, 2)))(a)
    np.testing.assert_allclose(jax.grad(loss)(a, 2), expected, atol=1e-11)
    # One of the two eigenvectors alone is not a function of the matrix where the eigenvalues coincide.
    assert np.isnan(jax.grad(loss)(a, 1)).all() == (gap == 0)
    # Nor is a function of both that is not a function of their projector.
    weighted = jax.grad(lambda x: (lambda w, v: jnp.sum(c * around(v, w**2)))(*ep.eigh(x)))(a)
    assert np.isnan(weighted).all() == (gap == 0)


@pytest.mark.parametrize("gap", [1e-6, 1e-9])
def test_projector_from_general_pairs_at_small_gaps(gap):
    a = with_spectrum([1.0, 1.0 + gap, 3.0])

    def loss(x):
        v = ep.eig(x).eigenvectors
        return jnp.sum(C * jnp.real(v[:, :2] @ jnp.linalg.inv(v)[:2]))

    w, v = np.linalg.eigh(a)
    low = np.arange(3) < 2
    g = np.where(low[:, None] == low, 0, -1 / np.where(low[:, None] == low, 1, np.abs(w[:, None] - w)))
    np.testing.assert_allclose(jax.grad(loss)(a), v @ (g * (v.T @ C @ v)) @ v.T, atol=1e-11)


def test_policies_of_general_problems():
    s = random("s", (3, 3)) + 2 * np.eye(3)
    a = s @ np.diag([1.0, 1.0, 2.0]) @ np.linalg.inv(s)
    f = lambda a: jnp.sum(jnp.abs(ep.eig(a)[1][0]) ** 2)  # noqa: E731
    assert np.all(np.isnan(jax.grad(f)(a)))
    for lenient in (mask(1e-6), broaden(1e-8)):
        with policy(lenient):
            assert np.all(np.isfinite(jax.grad(f)(a)))


def test_policies_are_values():
    assert check() == check(10.0)
    assert len({check(), check(10.0), mask(1e-3), mask(1e-3), raw(), raw()}) == 3
    with pytest.raises(AttributeError):
        check().c = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("bad", [None, 3, "mask", ep.degeneracy.Policy()])
def test_not_a_policy(bad):
    if bad is not None:
        with pytest.raises(TypeError, match="degeneracy must be a policy"):
            ep.eigh(np.eye(2), degeneracy=bad)
        with pytest.raises(TypeError, match="degeneracy must be a policy"):
            policy(bad)


def test_bad_parameters():
    for make in (lambda: mask(-1.0), lambda: broaden(float("nan")), lambda: check(c=0.0)):
        with pytest.raises(ValueError, match="must be"):
            make()
    with pytest.raises(TypeError, match="generic_basis"):
        check(generic_basis=1)
    assert raw() == raw()


# Policies without a check.


def rotation_rate(policy, w):
    """`F₀₁` of a diagonal matrix, read off the gradient of a component of an eigenvector."""
    gradient = jax.grad(lambda x: ep.eigh(x, lower=True, degeneracy=policy).eigenvectors[0, 1])(np.diag(w))
    sign = ep.eigh(np.diag(w)).eigenvectors
    return float(gradient[1, 0] * sign[0, 0] * sign[1, 1])


@pytest.mark.parametrize("gap", [1e-9, 1e-3, 1.0])
def test_raw_divides(gap):
    np.testing.assert_allclose(rotation_rate(raw(), [1.0, 1 + gap]), 1 / ((1 + gap) - 1.0), rtol=1e-12)


def test_raw_at_no_gap():
    gradient = jax.grad(of_matrices(moduli, degeneracy=raw()))(np.eye(3))
    assert not np.isfinite(gradient).any()


def test_mask_leaves_out_what_is_closer_than_its_tolerance():
    for gap, tolerance, expected in ((0.5, 0.5, 0), (0.5, 0.4, 2), (0.0, 0.0, 0), (1e-9, 1e-8, 0), (1e-9, 0.0, 1e9)):
        found = rotation_rate(mask(tolerance), [1.0, 1 + gap])
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=str((gap, tolerance)))


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-3, 1.0])
def test_broaden_is_a_lorentzian(gap):
    epsilon = 1e-4
    exact = ((1 + gap) - 1.0) / (((1 + gap) - 1.0) ** 2 + epsilon)
    np.testing.assert_allclose(rotation_rate(broaden(epsilon), [1.0, 1 + gap]), exact, rtol=1e-12)
    assert np.isfinite(jax.grad(of_matrices(moduli, degeneracy=broaden(epsilon)))(np.eye(3))).all()


def test_broaden_of_tiny_matrices_does_not_underflow():
    found = rotation_rate(broaden(1e-306), [1e-160, 3e-160])
    np.testing.assert_allclose(found, 2e-160 / 1e-306, rtol=1e-9)  # the square of the gap is far below eps


@pytest.mark.parametrize("policy", [check(), mask(1e-9), broaden(1e-30), raw()], ids=lambda p: type(p).__name__)
def test_all_agree_on_distinct_eigenvalues(policy):
    a = with_spectrum([1.0, 2, 4])
    expected = jax.grad(of_matrices(moduli))(a)
    np.testing.assert_allclose(jax.grad(of_matrices(moduli, degeneracy=policy))(a), expected, rtol=1e-12)
