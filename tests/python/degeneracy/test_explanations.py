"""`check(explain=True)`: the text of the warning when something is NaN, the function it names, and the line it points
at."""

import inspect
import re
import warnings

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.degeneracy import DegeneracyWarning, check, policy
from problems import inner, random, unitary, wait_for, weights, with_spectrum

IDENTITY = np.eye(3)
ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])
DEFECTIVE = np.array([[1.0, 1.0], [0.0, 1.0]])
LARGE, INSIDE = np.diag([1.0, 1, 1, *range(2, 79)]), np.diag([0.0, 1, 2, 3, 3, *range(4, 79)])


def of_basis(v):
    return inner(weights(v.shape[0])[:, : v.shape[1]], v)


def of_vectors(x):
    return of_basis(ep.eigh(x).eigenvectors)


def of_eig(x):
    return of_basis(ep.eig(x).eigenvectors)


def of_pair(x):
    return of_basis(ep.eigh(x, np.eye(3)).eigenvectors)


def in_direction(f, x):
    return jax.jvp(f, (x,), (np.ones_like(x),))


# What is run, what the message must contain, and what it must not contain.
CASES = {
    "eigh": (lambda: jax.grad(of_vectors)(IDENTITY), "gradient of eigh is NaN.*arbitrary.*spectral_map", "eig "),
    "eigh, forward": (lambda: in_direction(of_vectors, IDENTITY), 'tangent of eigh.*coupled="mask"', "eig "),
    "pair": (lambda: jax.grad(of_pair)(IDENTITY), r"gradient of eigh\(a, b\).*spectral_map.*take b", "eig "),
    "order": (
        lambda: jax.grad(lambda x: jnp.real(ep.eigvals(x)[0]))(IDENTITY),
        "gradient of eig .*uses them differently.*expm",
        "spectral_sum",
    ),
    "eig": (
        lambda: jax.grad(of_eig)(IDENTITY),
        "gradient of eig .*arbitrary.*matrix_function.*for a Hermitian matrix",
        "projector",
    ),
    "eig, forward": (lambda: in_direction(of_eig, IDENTITY), "tangent of eig .*couples.*expm", "projector"),
    "defective": (lambda: jax.grad(of_eig)(DEFECTIVE), "derivative of eig .*defective.*expm", "projector"),
    "defective, values": (
        lambda: jax.grad(lambda x: jnp.real(jnp.sum(ep.eigvals(x) ** 2)))(DEFECTIVE),
        "defective.*trace",
        "projector",
    ),
    "defective, forward": (lambda: in_direction(of_eig, DEFECTIVE), "derivative of eig .*defective", "mask"),
    "Hessian": (
        lambda: jax.hessian(lambda x: jnp.sum(ep.eigvalsh(x) ** 2))(IDENTITY),
        r"second derivative of eigh .*too close.*spectral_sum.*trace\(a @ spectral_projector\(a, k\)\)",
        "fermi",
    ),
    "Hessian of eig": (
        lambda: jax.hessian(lambda x: jnp.real(jnp.sum(ep.eigvals(x) ** 2)))(np.diag([1.0, 1, 2])),
        "second derivative of eig .*too close",
        "projector",
    ),
    "projector": (
        lambda: ep.spectral_projector(np.diag([1.0, 2, 2]), 2),
        "spectral_projector is NaN.*eigenvalues 1 and 2.*choose k|Choose k.*fermi_dirac",
        "eigh",
    ),
    "map": (
        lambda: ep.spectral_map(jnp.exp, ROTATION),
        "spectral_map is NaN.*100%.*hermitian_part=True.*expm",
        "lower",
    ),
    "sum": (lambda: ep.spectral_sum(jnp.exp, ROTATION), "spectral_sum is NaN.*100%", "lower"),
    "map, f not finite": (
        lambda: ep.spectral_map(ep.functions.inv_sqrt, np.diag([0.0, 1, 2])),
        "spectral_map is NaN or infinite for 1 matrix: f is inf at eigenvalue 0, 0.0",
        "hermitian_part",
    ),
    "sum, f not finite": (
        lambda: ep.spectral_sum(jnp.log, np.stack([IDENTITY, np.diag([1.0, 2, -3])])),
        r"spectral_sum .*1 matrix: f is nan at eigenvalue 0 of matrix \(1,\), -3.0",
        "hermitian_part",
    ),
    "root on its cut": (lambda: ep.sqrtm(np.diag([-1.0, -2j])), "sqrtm is NaN for 1 matrix.*branch cut", "eigh"),
    "NaN in a matrix": (
        lambda: ep.eigvalsh(np.stack([IDENTITY, np.nan * IDENTITY])),
        r"NaN for 1 matrix: a of matrix \(1,\) contains NaN",
        "spectral",
    ),
    "projector of a rotation": (lambda: ep.spectral_projector(ROTATION, 1), "spectral_projector is NaN.*100%", "lower"),
    "triangle": (lambda: ep.eigh(np.tril(np.ones((3, 3)))), "Hermitian part.*far from Hermitian.*lower=True", "NaN"),
    "indefinite": (
        lambda: ep.eigh(np.eye(2), np.diag([1.0, -2.0])),
        r"b is not positive definite.*-2.*eig\(a, b\)",
        "spectral",
    ),
    "edge": (
        lambda: jax.grad(lambda x: of_basis(ep.eigh(x, subset_by_index=(0, 1))[1]))(LARGE),
        "derivative of eigh .*eigenvalues 1 and 2.*subset_by_index.*whole cluster",
        "projector",
    ),
    "edge, forward": (
        lambda: in_direction(lambda x: of_basis(ep.eigh(x, subset_by_index=(1, 3))[1]), LARGE),
        "eigenvalues 0 and 1.*subset_by_index",
        "spectral_map, s.*subset",
    ),
    "inside a subset": (
        lambda: jax.grad(lambda x: of_basis(ep.eigh(x, subset_by_index=(3, 5))[1]))(INSIDE),
        "eigenvalues 3 and 4",
        "eig ",
    ),
}


def messages(f):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jax.block_until_ready(f())
        jax.effects_barrier()
    return [w for w in caught if issubclass(w.category, DegeneracyWarning)]


@pytest.mark.parametrize("name", CASES)
def test_what_is_said(name):
    run, said, unsaid = CASES[name]
    with policy(check(explain=True)):
        said_here = messages(run)
    matching = [w for w in said_here if w.message.args[0] and re.search(said, str(w.message))]
    assert matching, [str(w.message) for w in said_here]
    assert not any(re.search(unsaid, str(w.message)) for w in matching)
    assert not messages(run), "nobody asked"


@pytest.mark.parametrize("under", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_it_points_at_the_line_of_the_call(under):
    """Also at the second of two calls that are otherwise equal."""

    def one(x):
        return of_basis(ep.eigh(x).eigenvectors)

    def other(x):
        return of_basis(ep.eigh(x).eigenvectors)

    with policy(check(explain=True)):
        for f in (one, other):
            (said,) = messages(lambda f=f: under(jax.grad(f))(IDENTITY))
            assert said.filename == __file__
            assert said.lineno == inspect.getsourcelines(f)[1] + 1


def test_the_argument_of_a_call_explains_too():
    with pytest.warns(DegeneracyWarning, match="eigenvalues 0 and 1"):
        wait_for(jax.grad(lambda x: of_basis(ep.eigh(x, degeneracy=check(explain=True)).eigenvectors))(IDENTITY))


def test_under_vmap_only_of_those_it_is_about():
    batch = np.stack([np.diag([1.0, 2.0]), ROTATION])
    with policy(check(explain=True)):
        (said,) = messages(lambda: jax.jit(jax.vmap(lambda x: ep.spectral_map(jnp.exp, x)))(batch))
        assert "100%" in str(said.message)
        assert not messages(lambda: jax.vmap(lambda x: ep.spectral_map(jnp.exp, x))(batch[:1]))


def test_a_loop_hears_of_it_once():
    with policy(check(explain=True)), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            wait_for(jax.grad(of_vectors)(2 * IDENTITY))
    assert len(caught) == 1


# ---- matrices that are not Hermitian ------------------------------------------------------------------------------


SPECTRAL = {
    "map": lambda a, **o: ep.spectral_map(jnp.cosh, a, **o),
    "constant": lambda a, **o: ep.spectral_map(lambda x: jnp.where(x > 0, 1.0, 2.0).astype(x.dtype), a, **o),
    "sum": lambda a, **o: ep.spectral_sum(jnp.cosh, a, **o),
    "projector": lambda a, **o: ep.spectral_projector(a, 1, **o),
}


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_far_from_hermitian(name, dtype):
    f = SPECTRAL[name]
    a = with_spectrum([1.0, 2, 4], dtype=dtype)
    skew = random("skew", (3, 3), dtype)
    skew = (skew - skew.conj().T) / np.linalg.norm(skew - skew.conj().T) * np.linalg.norm(a)
    loss = lambda x, **o: jnp.sum(jnp.abs(f(x, **o)) ** 2)  # noqa: E731
    for part, near in ((0, True), (0.009, True), (0.011, False), (1, False)):
        x = (a + part * skew).astype(dtype)
        for scale in (1, 1e-30, 1e30) if name == "projector" else (1,):
            scaled = (x * np.dtype(dtype).type(scale)).astype(dtype)
            assert np.isfinite(f(scaled)).all() == near, (part, scale)
            assert near or np.isnan(f(scaled)).all()
            assert np.isfinite(jax.grad(loss)(scaled)).all() == near or scale != 1
        np.testing.assert_array_equal(f(x, hermitian_part=True), f((x + x.conj().T) / 2, hermitian_part=True))
        expected = jax.grad(lambda x: loss(x, hermitian_part=True))(x)
        assert np.isfinite(expected).all()
        if near:
            np.testing.assert_array_equal(jax.grad(loss)(x), expected)


def test_one_of_a_batch_is_not_hermitian():
    batch = np.stack([np.diag([1.0, 2.0]), ROTATION])
    np.testing.assert_array_equal(np.isnan(ep.spectral_map(jnp.exp, batch)).any((1, 2)), [False, True])
    gradient = jax.grad(lambda x: jnp.nansum(ep.spectral_sum(jnp.exp, x)))(batch)
    np.testing.assert_array_equal(np.isnan(gradient).any((1, 2)), [False, True])


def test_zero_and_empty_matrices_are_hermitian():
    assert np.isfinite(ep.spectral_map(jnp.exp, np.zeros((2, 2)))).all()
    assert ep.spectral_map(jnp.exp, np.zeros((0, 0))).shape == (0, 0)


def test_eigh_takes_the_hermitian_part_of_anything():
    """That is its definition. Finite differences need it: they change one entry at a time."""
    np.testing.assert_array_equal(ep.eigvalsh(ROTATION), 0)
    q = unitary("q", 3)
    np.testing.assert_allclose(ep.eigvalsh(q), np.linalg.eigvalsh((q + q.T) / 2), atol=1e-14)


def test_the_argument_is_a_flag():
    with pytest.raises(TypeError, match="hermitian_part must be True or False"):
        ep.spectral_map(jnp.exp, IDENTITY, hermitian_part=1)
