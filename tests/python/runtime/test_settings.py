"""Results do not change under JAX's settings for debugging and strictness."""

import contextlib

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import random, weighted

A = random("a", (2, 3, 3)) + np.diag([0.0, 2.0, 5.0])
B = random("b", (2, 3, 3)) * 0.1 + 2 * np.eye(3)
COMPLEX = A + 0.3j * random("c", (2, 3, 3))
SYMMETRIC = A + np.swapaxes(A, -1, -2)
HERMITIAN = COMPLEX + np.conj(np.swapaxes(COMPLEX, -1, -2))
DEFINITE = B + np.swapaxes(B, -1, -2)


def moduli(v):
    return jnp.sum(jnp.abs(v) ** 4)


# Every public function, made into a real loss of its matrices.
LOSSES = {
    "eigh": (lambda a: weighted(*ep.eigh(a)) + moduli(ep.eigh(a).eigenvectors), (A,)),
    "eigh of a triangle": (lambda a: moduli(ep.eigh(a, lower=True).eigenvectors), (COMPLEX,)),
    "eigh of a pair": (lambda a, b: moduli(ep.eigh(a, b).eigenvectors), (A, B)),
    "eigh of type 3": (lambda a, b: moduli(ep.eigh(a, b, type=3).eigenvectors), (COMPLEX, B.astype(complex))),
    "eigh of a part": (
        lambda a: moduli(ep.eigh(a, subset_by_index=(0, 2)).eigenvectors),
        (np.diag(np.arange(64.0)) + 0.1 * random("part", (64, 64)),),
    ),
    "eigvalsh": (lambda a: jnp.sum(ep.eigvalsh(a) ** 3), (COMPLEX,)),
    "eig": (lambda a: sum(moduli(x) for x in ep.eig(a, left=True)), (A,)),
    "eig of a pair": (lambda a, b: moduli(ep.eig(a, b).eigenvectors), (COMPLEX, B.astype(complex))),
    "eigvals": (lambda a: moduli(ep.eigvals(a)), (A,)),
    "condition_numbers": (lambda a: jnp.sum(ep.condition_numbers(a)), (A,)),
    "spectral_map": (lambda a: moduli(ep.spectral_map(jnp.exp, a)), (HERMITIAN,)),
    "spectral_sum": (lambda a: jnp.sum(ep.spectral_sum(jnp.exp, a)), (SYMMETRIC,)),
    "spectral_projector": (lambda a: moduli(ep.spectral_projector(a, 1)), (SYMMETRIC,)),
    "spectral_sum of a pair": (lambda a, b: jnp.sum(ep.spectral_sum(jnp.exp, a, b)), (SYMMETRIC, DEFINITE)),
    "matrix_function": (lambda a: moduli(ep.matrix_function(jnp.exp, a)), (A,)),
    "fix_gauge": (lambda a: jnp.sum(jnp.real(ep.fix_gauge(ep.eigh(a).eigenvectors)) ** 3), (COMPLEX,)),
}


@contextlib.contextmanager
def every_check():
    with jax.debug_nans(True), jax.enable_checks(True), jax.checking_leaks():
        yield


SETTINGS = {"checks": every_check, "disable_jit": jax.disable_jit}


# Their second derivatives take longest to compile; those of spectral_sum stand for them.
FIRST_ORDER_ONLY = {"spectral_map", "spectral_sum of a pair", "matrix_function"}


def derivatives(name, matrices):
    """Value, tangent, gradient, and the tangent of the gradient."""
    f = LOSSES[name][0]
    directions = tuple(0.1 * m for m in matrices)
    gradient = jax.grad(f, tuple(range(len(matrices))))
    first = f(*matrices), jax.jvp(f, matrices, directions)[1]
    return (*first, gradient(*matrices) if name in FIRST_ORDER_ONLY else jax.jvp(gradient, matrices, directions))


@pytest.fixture(scope="module")
def expected():
    found = {
        name: jax.jit(lambda *m, name=name: derivatives(name, m))(*matrices) for name, (_, matrices) in LOSSES.items()
    }
    assert not [name for name, results in found.items() for x in jax.tree.leaves(results) if np.isnan(x).any()]
    return found


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_changes(name, setting, expected):
    f, matrices = LOSSES[name]
    with SETTINGS[setting]():
        found = jax.jit(lambda *m: derivatives(name, m))(*matrices)
        np.testing.assert_allclose(jax.value_and_grad(f)(*matrices)[0], expected[name][0])
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected[name]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9 * np.abs(y).max())


EQUAL, JORDAN = np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]])
# Results that are NaN on purpose.
REFUSED = {
    "a matrix with NaN": (lambda a: ep.eigh(a * jnp.nan), EQUAL),
    "eigvals of a matrix with NaN": (lambda a: ep.eigvals(a * jnp.nan), EQUAL),
    "b not positive definite": (lambda a: ep.eigh(a, -a), EQUAL),
    "b not positive definite, values": (lambda a: ep.eigvalsh(a, -a, type=2), EQUAL),
    "a projector without a gap": (lambda a: ep.spectral_projector(a, 1), EQUAL),
    "gradient of a vector": (jax.grad(lambda a: ep.eigh(a).eigenvectors[1, 0]), EQUAL),
    "gradient of an eigenvalue": (jax.grad(lambda a: ep.eigvals(a)[0].real), EQUAL),
    "gradient at a defective matrix": (jax.grad(lambda a: jnp.sum(ep.eigvals(a) ** 2).real), JORDAN),
    "condition of a defective matrix": (ep.condition_numbers, JORDAN),
    "Hessian of eigenvalues": (jax.hessian(lambda a: jnp.sum(ep.eigvalsh(a) ** 2)), EQUAL),
}


@pytest.mark.parametrize("under", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name", REFUSED)
def test_nan_on_purpose_is_an_error_under_debug_nans(name, under):
    f, a = REFUSED[name]
    assert any(np.isnan(x).any() for x in jax.tree.leaves(f(a)))
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        jax.block_until_ready(under(f)(a))


def test_inf_under_debug_infs():
    a, b = np.eye(2), np.diag([1.0, 0.0])
    assert np.isinf(ep.eigvals(a, b)).any()
    for f in (ep.eigvals, jax.jit(ep.eigvals)):
        with jax.debug_infs(True), pytest.raises(FloatingPointError, match="inf"):
            f(a, b)
