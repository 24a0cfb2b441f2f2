"""Where eigenvalues coincide, a result is right, or it is NaN."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh
from eigenpair.degeneracy import check, mask
from finite_differences import assert_gradient, assert_tangent, derivative, directions
from problems import (
    DOUBLE,
    adjoint,
    around,
    density,
    eps,
    inner,
    keywords,
    moduli,
    of_matrices,
    projector,
    sum_squares,
    unitary,
    weights,
    with_spectrum,
)


def degenerate(type=0, dtype="float64", spectrum=(1.0, 1, 3, 4)):
    """A problem with this spectrum, up to rounding: `(a,)` or `(a, b)`."""
    w = np.asarray(spectrum)
    if type == 0:
        return (with_spectrum(w, 7, dtype),)
    n = len(w)
    basis = unitary(1, n, dtype) @ np.diag(1 + np.arange(n) / n) @ unitary(2, n, dtype)
    dual = adjoint(np.linalg.inv(basis))
    a = (basis if type == 2 else dual) * w @ adjoint(basis if type == 2 else dual)
    b = basis @ adjoint(basis) if type == 3 else dual @ adjoint(dual)
    return tuple(((m + adjoint(m)) / 2).astype(dtype) for m in (a, b))


def resolvent(w, v):
    return jnp.sum(w / (w**2 + 5))


def whole(w, v):
    """Uses the projector on the two lowest eigenvectors, which are one cluster. For pairs it depends on b as well."""
    return projector(w, v, k=2)


def from_vectors(w, v):
    """Uses the basis inside the cluster, so it is not a function of the matrix."""
    return jnp.sum(weights(v.shape[-1]) * jnp.abs(v) ** 2)


SMOOTH = [sum_squares, resolvent, whole]
# The first two use one vector of a cluster. The third is smooth, but its gradient does not follow from (w, v) and their
# cotangents.
REFUSED = [from_vectors, projector, density]


@pytest.mark.parametrize("type", [0, 1, 2, 3])
@pytest.mark.parametrize("loss", SMOOTH, ids=lambda f: f.__name__)
def test_smooth_losses_are_answered(loss, type):
    """Finite differences work at equal eigenvalues too, since the loss itself is smooth."""
    matrices = degenerate(type, DOUBLE[type % 2])
    assert_gradient(of_matrices(loss, **keywords(type)), matrices)


@pytest.mark.parametrize("type", [0, 1, 2, 3])
@pytest.mark.parametrize("loss", REFUSED, ids=lambda f: f.__name__)
def test_others_are_refused(loss, type):
    matrices = degenerate(type, DOUBLE[type % 2])
    for gradient in jax.grad(of_matrices(loss, **keywords(type)), tuple(range(len(matrices))))(*matrices):
        assert np.isnan(gradient).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("spectrum", [(1.0, 1, 1, 4), (-1.0, -1, 2, 2), (2.0, 2, 2, 2), (0.0, 0, 0, 1)], ids=str)
def test_clusters_of_any_kind(dtype, spectrum):
    """A triple eigenvalue, two clusters, all equal, and a cluster at zero, where only the largest eigenvalue shows the
    size of rounding errors."""
    (a,) = degenerate(0, dtype, spectrum)
    size = spectrum.index(4.0) if 4.0 in spectrum else {(-1.0, -1, 2, 2): 2, (0.0, 0, 0, 1): 3}.get(spectrum, 4)

    def symmetric(x):
        w, v = eigh(x)
        p = v[:, :size] @ jnp.conj(v[:, :size].T)
        return inner(weights(4, dtype), p) + jnp.sum(w**2)

    def cutting(x):
        return projector(*eigh(x), k=1)

    part = np.conj(jax.grad(symmetric)(a))
    wide = a.astype(np.result_type(dtype, np.float64))
    p = sum(np.outer(v, v.conj()) for v in np.linalg.eigh(wide)[1].T[:size])
    c = weights(4, dtype)
    c = (c + adjoint(c)) / 2
    levels = sorted(set(spectrum))
    rest = np.eye(4) - p
    expected = 2 * wide
    if size < 4:  # two levels, or one cluster and one more: the projector moves by (P c Q + Q c P)/gap
        expected = expected + (p @ c @ rest + rest @ c @ p) / (levels[0] - levels[-1])
    np.testing.assert_allclose(part, expected, rtol=0, atol=2000 * eps(dtype))
    assert np.isnan(jax.grad(cutting)(a)).all()


def test_one_refusal_in_a_batch_is_one_matrix():
    a = np.stack([with_spectrum([1.0, 2, 3], 1), with_spectrum([1.0, 1, 3], 2), with_spectrum([4.0, 5, 6], 3)])
    gradient = jax.grad(of_matrices(moduli))(a)
    assert np.isnan(gradient[1]).all()
    for k in (0, 2):
        np.testing.assert_allclose(gradient[k], jax.grad(of_matrices(moduli))(a[k]), rtol=1e-12)
    nested = jax.vmap(jax.grad(of_matrices(moduli)))(a)
    np.testing.assert_array_equal(np.isnan(nested).all((1, 2)), [False, True, False])


def test_a_refusal_in_the_gradient_of_b_too():
    ga, gb = jax.grad(of_matrices(from_vectors, type=1), (0, 1))(*degenerate(1))
    assert np.isnan(ga).all()
    assert np.isnan(gb).all()
    only_b = jax.grad(of_matrices(from_vectors, type=1), 1)(*degenerate(1))
    assert np.isnan(only_b).all()


@pytest.mark.parametrize("type", [0, 1, 2, 3])
def test_rotating_the_basis_of_a_cluster_changes_no_answer(type):
    """A gradient that is not NaN does not depend on which vectors the solver happened to return."""
    matrices = degenerate(type, "complex128")
    names = tuple(range(len(matrices)))
    for loss in SMOOTH:
        f = of_matrices(loss, **keywords(type))
        special = jax.grad(f, names)(*matrices)
        turned = of_matrices(loss, **keywords(type), degeneracy=check(generic_basis=True))
        for x, y in zip(special, jax.grad(turned, names)(*matrices), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


def test_any_rotation_of_any_basis():
    """The rule itself, given the same loss in many bases of its cluster."""
    w = jnp.array([1.0, 1, 1, 4])
    v = unitary(3, 4)
    answers = []
    for seed in range(4):
        turn = np.eye(4)
        turn[:3, :3] = unitary(seed, 3)
        basis = v @ turn
        v_bar = jax.grad(lambda x: projector(w, x, k=3))(basis)
        (answer,) = eigenpair.hermitian.rule.pullback(
            (jnp.zeros(4), v_bar, None),
            (w, jnp.asarray(basis)),
            inputs=(True, False),
            outputs=(True, True, False),
            type=0,
            triangle="hermitian",
            policy=check(),
        )
        answers.append(answer)
    for answer in answers:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-11, atol=1e-13)


def test_eigenvalue_losses_need_no_policy():
    """Symmetric ones have a gradient, others a Clarke subgradient: never NaN."""
    (a,) = degenerate()
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(eigvalsh(x) ** 3))(a), 3 * a @ a, rtol=1e-12, atol=1e-13)
    lowest = jax.grad(lambda x: eigvalsh(x)[0])(a)
    np.testing.assert_allclose(lowest @ lowest, lowest, atol=1e-12)  # a projector on one vector of the cluster
    np.testing.assert_allclose(a @ lowest, lowest, atol=1e-12)
    np.testing.assert_allclose(np.trace(lowest), 1, rtol=1e-12)


def test_values_only_of_eigh_too():
    (a,) = degenerate()
    with_vectors = jax.grad(lambda x: jnp.sum(eigh(x)[0] ** 2))(a)
    np.testing.assert_allclose(with_vectors, 2 * a, rtol=1e-12, atol=1e-13)


def test_masked_forward_mode_agrees_where_reverse_mode_answers():
    """By default, forward mode returns NaN if the perturbation rotates the vectors, because it does not see the loss:
    see test_coupled.py."""
    (a,) = degenerate(0, "complex128")
    for loss in SMOOTH:
        assert_tangent(of_matrices(loss, degeneracy=check(coupled="mask")), (a,))


def test_masked_forward_mode_keeps_the_normalization():
    a, b = degenerate(1)
    da, db = directions((a, b), 1)[0]
    da, db = (da + da.T) / 2, (db + db.T) / 2
    (w, v), (dw, dv) = jax.jvp(lambda *m: eigh(*m, degeneracy=check(coupled="mask")), (a, b), (da, db))
    assert np.isfinite(dw).all()
    assert w.shape == (4,)
    np.testing.assert_allclose(dv.T @ b @ v + v.T @ db @ v + v.T @ b @ dv, 0, atol=1e-12)


def test_nan_in_the_cotangent_is_not_masked():
    (a,) = degenerate()
    gradient = jax.grad(lambda x: jnp.sum(eigh(x)[1] * jnp.nan))(a)
    assert np.isnan(gradient).all()


def test_width_of_a_cluster():
    """`c·√n·ε·max|λ|`: gaps on either side of it, and of a wider one."""
    width = 10 * np.sqrt(2) * eps("float64")
    for factor, policy, refused in (
        (0.5, check(), True),
        (4, check(), False),
        (4, check(c=100.0), True),
        (0.5, check(c=1.0), False),
    ):
        a = np.diag([1.0, 1 + factor * width])
        gradient = jax.grad(lambda x, p=policy: eigh(x, degeneracy=p).eigenvectors[0, 1])(a)
        assert np.isnan(gradient).all() == refused, (factor, policy)


def test_two_different_losses_with_one_cotangent():
    """Any mask is wrong for one of the two losses. In a generic basis both are refused."""
    sigma = jnp.array([[0.0, 1], [1, 0]])

    def function(x):
        w, v = eigh(x, degeneracy=check(generic_basis=True))
        return jnp.trace(sigma @ around(v, w))

    assert np.isnan(jax.grad(function)(np.eye(2))).all()
    through_map = jax.grad(lambda x: jnp.trace(sigma @ eigenpair.spectral_map(lambda y: y, x)))(np.eye(2))
    np.testing.assert_allclose(through_map, sigma, atol=1e-14)


def test_masked_normalization_is_exact():
    """Inside a cluster of a generalized problem the vectors cannot rotate, but their length still follows b."""
    a, b = degenerate(1)

    def lengths(x, y):
        v = eigh(x, y, degeneracy=mask(1e-6)).eigenvectors
        return inner(weights(4), v @ v.T)  # = tr(C b⁻¹)

    ga, gb = jax.grad(lengths, (0, 1))(a, b)
    inverse = np.linalg.inv(b)
    c = weights(4)
    np.testing.assert_allclose(gb, -inverse @ (c + c.T) / 2 @ inverse, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(ga, 0, atol=1e-10)


def test_close_eigenvalues_that_a_loss_tells_apart():
    """They are no cluster: the plain formula still has correct digits, so it is used."""
    for gap, tolerance in ((1e-4, 1e-9), (1e-7, 1e-6), (1e-10, 1e-3)):
        a = np.diag([1.0, 1 + gap, 3])
        rate = jax.grad(lambda x: eigh(x, lower=True).eigenvectors[0, 1])(a)[1, 0]
        np.testing.assert_allclose(abs(rate), 1 / gap, rtol=tolerance)


def test_through_the_dirac_point():
    """Two bands that touch: their sum is smooth, and its derivative is followed through the crossing."""

    def bands(k):
        h = jnp.array([[0.0, k], [k, 0.0]]) + jnp.diag(jnp.array([1.0, 1.0])) * k**2
        return eigvalsh(h)

    for k in (-0.1, 0.0, 0.1):
        np.testing.assert_allclose(jax.grad(lambda t: jnp.sum(bands(t)))(k), 4 * k, atol=1e-14)
        np.testing.assert_allclose(jax.grad(lambda t: jnp.sum(bands(t) ** 2))(k), 4 * k + 8 * k**3, atol=1e-14)
    np.testing.assert_allclose(derivative(lambda t: jnp.sum(bands(t) ** 2), (0.1,), (1.0,)), 0.408, rtol=1e-9)
