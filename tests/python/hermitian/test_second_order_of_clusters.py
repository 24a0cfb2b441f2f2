"""Second derivatives of losses that are linear, with equal weights, in whole clusters of eigenvalues (band energies).

The reference is the same number as a function of the projector on the cluster, which has all derivatives.
"""

import functools

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh, spectral_projector
from problems import DOUBLE, TYPES, adjoint, pair_with, positive, random, with_spectrum

N, K = 6, 4
SPECTRA = {
    "repeated": [-1.0, 0, 0, 0, 1, 1],
    "rounding": [-1.0, 0, 2e-16, 3e-16, 1, 1],
    "inside and outside": [-1.0, -1, 0, 0, 2, 2],
    "distinct": [-1.0, -0.5, 0, 0.5, 1, 2],
}


def problem(spectrum, type, dtype):
    """A pair with these eigenvalues, and a direction for each matrix; `b` is `None` for type 0."""
    a = with_spectrum(spectrum, "clusters", dtype)
    directions = [random(("direction", i), (N, N), dtype) for i in range(2)]
    da, db = (x + adjoint(x) for x in directions)
    if type == 0:
        return (a,), (da,)
    return pair_with(a, np.linalg.cholesky(positive("metric", (N, N), dtype)), type), (da, db)


def by_projector(type, *operands):
    a, *b = operands
    p = spectral_projector(a, K, *b, type=max(type, 1))
    product = p @ b[0] @ a @ b[0] if type == 2 else p @ a
    return jnp.real(jnp.trace(product))


def by_values(type, *operands):
    options = {"type": type} if type else {}
    return jnp.sum(eigvalsh(*operands, **options)[:K])


def by_both(type, *operands):
    options = {"type": type} if type else {}
    return jnp.sum(eigh(*operands, **options).eigenvalues[:K])


def compare(found, expected, tolerance, operands, **options):
    """Equal up to `tolerance` of the largest entry; NaN where two eigenvalues are the same number, as for kinks."""
    tied = np.any(np.diff(eigh(*operands, **options).eigenvalues) == 0)  # those that derivatives are computed from
    for x, y in zip(found, expected, strict=True):
        expected_here = np.full_like(y, np.nan) if tied else y
        np.testing.assert_allclose(x, expected_here, rtol=0, atol=tolerance * np.max(np.abs(y)))


def hessian_vector_product(f, operands, directions, over):
    gradient = jax.grad(f, argnums=tuple(range(len(operands))))
    if over == "forward":
        return jax.jvp(gradient, operands, directions)[1]

    def along(*xs):
        return sum(jnp.real(jnp.vdot(jnp.conj(d), g)) for d, g in zip(directions, gradient(*xs), strict=True))

    return jax.grad(along, argnums=tuple(range(len(operands))))(*operands)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("dtype", DOUBLE)
@pytest.mark.parametrize("over", ["forward", "reverse"])
def test_band_energies_have_second_derivatives(name, type, dtype, over):
    operands, directions = problem(SPECTRA[name], type, dtype)
    product = jax.jit(functools.partial(hessian_vector_product, over=over), static_argnums=0)
    expected = product(functools.partial(by_projector, type), operands, directions)
    for loss in (by_values, by_both):
        found = product(functools.partial(loss, type), operands, directions)
        compare(found, expected, 1e-11, operands, **({"type": type} if type else {}))


def test_each_triangle_and_each_precision():
    for lower in (True, False):
        for dtype, tolerance in (("float32", 3e-4), ("float64", 1e-11)):
            (a,), (d,) = problem(SPECTRA["repeated"], 0, dtype)
            loss = lambda x, lower=lower: jnp.sum(eigvalsh(x, lower=lower)[:K])  # noqa: E731
            (expected,) = hessian_vector_product(functools.partial(by_projector, 0), (a,), (d,), "forward")
            found = hessian_vector_product(loss, (a,), (d,), "forward")
            one = np.tril(expected) if lower else np.triu(expected)
            compare(found, [2 * one - np.diag(np.diag(expected))], tolerance, (a,), lower=lower)


def test_a_batch_of_which_some_have_clusters():
    a = np.stack([problem(SPECTRA[name], 0, "float64")[0][0] for name in SPECTRA])
    whole = jax.jit(jax.vmap(jax.hessian(functools.partial(by_values, 0))))(a)
    expected = jax.jit(jax.vmap(jax.hessian(functools.partial(by_projector, 0))))(a)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("pair", [False, True])
def test_subsets(pair):
    n, k = 72, 4
    a = with_spectrum([-3.0, -2, -2, -2, *np.linspace(0, 5, n - 4)], "subset")
    d = random("subset direction", (n, n))
    d = d + d.T
    b = [positive("subset metric", (n, n))] if pair else []
    operands, directions = ((b[0] @ a @ b[0], b[0]), (d, d[::-1, ::-1])) if pair else ((a,), (d,))

    def subset(*xs):
        return jnp.sum(eigh(*xs, subset_by_index=(0, k - 1)).eigenvalues)

    def whole(*xs):
        return jnp.trace(spectral_projector(xs[0], k, *xs[1:]) @ xs[0])

    if pair:  # B A B has the eigenvalues of A in the metric of B only by accident, use the projector alone
        operands = (np.linalg.cholesky(b[0]) @ a @ np.linalg.cholesky(b[0]).T, b[0])
    found = jax.jit(lambda: hessian_vector_product(subset, operands, directions, "forward"))()
    expected = jax.jit(lambda: hessian_vector_product(whole, operands, directions, "forward"))()
    compare(found, expected, 1e-10, operands, subset_by_index=(0, k - 1))


def test_a_cluster_cut_by_the_subset_has_none():
    n = 72
    a = with_spectrum([-3.0, -2, -2, -2, *np.linspace(0, 5, n - 4)], "subset")
    f = jax.grad(lambda x: jnp.sum(eigvalsh(x, subset_by_index=(0, 2))))
    assert np.isnan(jax.jit(lambda: jax.jvp(f, (a,), (np.eye(n),))[1])()).all()


def refused(f, a):
    d = random("refused", a.shape)
    return np.isnan(hessian_vector_product(f, (a,), (d + d.T,), "forward")[0]).all()


def test_what_tells_the_eigenvalues_of_a_cluster_apart_is_refused():
    (a,), _ = problem(SPECTRA["repeated"], 0, "float64")
    weights = jnp.array([1.0, 1, 1, 2, 0, 0])
    assert refused(lambda x: jnp.sum(weights * eigvalsh(x)), a)  # no derivative: the weights differ
    assert refused(lambda x: jnp.sum(eigvalsh(x)[:3]), a)  # cuts a cluster
    assert refused(lambda x: jnp.sum(eigvalsh(x)[:K] ** 2), a)  # not linear: equal slopes say nothing of the curvature
    assert not refused(lambda x: jnp.sum(jnp.array([3.0, 1, 1, 1, 5, 5]) * eigvalsh(x)), a)


@pytest.mark.parametrize(
    "kinked",
    [
        lambda w: jnp.max(w),
        lambda w: jnp.linalg.norm(w, jnp.inf),
        lambda w: jnp.ptp(w),
        lambda w: jnp.sum(jnp.clip(w, 0.2, 1.0)),
        lambda w: jnp.sum(jnp.abs(w - 1)),
    ],
    ids=["max", "norm", "ptp", "clip", "abs"],
)
def test_a_kink_at_a_tie_is_refused(kinked):
    """JAX's derivatives of these have equal weights at a tie, as a linear loss has."""
    a, d = jnp.diag(jnp.array([1.0, 1, 0])), jnp.array([[0, 1, 0.3], [1, 2, -1], [0.3, -1, 1]])
    f = jax.grad(lambda x: kinked(eigvalsh(x)))
    assert np.isnan(jax.jvp(f, (a,), (d,))[1]).all()


def test_derivatives_with_respect_to_the_weights_are_refused():
    """The second derivative holds for these weights only. So it has no derivative with respect to them, in either order
    of differentiation."""
    (a,), (d,) = problem(SPECTRA["repeated"], 0, "float64")
    weights = jnp.array([1.0, 1, 1, 1, 0, 0])

    def second(c):
        return jnp.sum(d * jax.jvp(jax.grad(lambda x: jnp.sum(c * eigvalsh(x))), (a,), (d,))[1])

    assert np.isfinite(second(weights))
    assert np.isnan(jax.grad(second)(weights)).all()
    assert np.isnan(jax.jvp(second, (weights,), (jnp.arange(6.0),))[1])


def test_vectors_of_a_cluster_are_still_refused():
    (a,), (d,) = problem(SPECTRA["repeated"], 0, "float64")
    assert refused(lambda x: jnp.sum(eigh(x).eigenvectors[:, :K] ** 4), a)
    # Forward over forward: each eigenvalue is decided by itself, and none of a cluster has a second derivative.
    values = lambda t: eigh(a + t * d)[0]  # noqa: E731
    second = jax.jacfwd(jax.jacfwd(values))(0.0)
    np.testing.assert_array_equal(np.isnan(second), True)
    vectors = jax.jacfwd(lambda t: eigh(a + t * d)[1])(0.0)
    np.testing.assert_array_equal(np.isnan(vectors).all(axis=0), [False, True, True, True, True, True])


def test_third_derivatives_are_refused():
    (a,), (d,) = problem(SPECTRA["repeated"], 0, "float64")
    f = lambda t: by_both(0, a + t * d)  # noqa: E731
    assert np.isfinite(jax.grad(jax.grad(f))(0.0))
    assert np.isnan(jax.jacfwd(jax.grad(jax.grad(f)))(0.0))


def test_an_observable_beside_the_energy_is_refused_as_before():
    """With a cotangent of the vectors, `check` tests both cotangents, as before."""
    (a,), (d,) = problem(SPECTRA["repeated"], 0, "float64")

    def loss(x):
        w, v = eigenpair.eigh(x)
        return jnp.sum(w[:K]) + jnp.trace(v[:, :K].T @ d @ v[:, :K])

    assert np.isfinite(jax.grad(loss)(a)).all()
    assert refused(loss, a)
