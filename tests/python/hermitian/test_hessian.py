"""Second order: every combination of modes, against differences of gradients; and right or NaN at clusters."""

import functools

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import degeneracy, eigh, eigvalsh
from finite_differences import derivative, directions
from problems import (
    DOUBLE,
    TRIANGLES,
    TYPES,
    around,
    density,
    fixed,
    inner,
    moduli,
    of_matrices,
    problem,
    projector,
    sum_squares,
    weighted,
    weights,
    with_spectrum,
)


def gradient(f, count):
    return jax.jit(jax.grad(f, tuple(range(count))))


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("loss", [weighted, projector, fixed], ids=lambda f: f.__name__)
def test_forward_over_reverse_against_differences(loss, type):
    dtype, lower = DOUBLE[type % 2], TRIANGLES[type % 3]
    matrices, options = problem(type, dtype, lower=lower)
    first = gradient(of_matrices(loss, **options), len(matrices))
    for direction in directions(matrices, 1):
        _, found = jax.jvp(first, matrices, direction)
        for x, y in zip(found, derivative(first, matrices, direction), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("type", TYPES)
def test_all_combinations_of_modes_agree(type):
    matrices, options = problem(type, lower=TRIANGLES[type % 3])

    @jax.jit
    def f(t):
        """A path that changes all entries, so that the second derivative is one number."""
        moved = [m + t * d for m, d in zip(matrices, directions(matrices, 1)[0], strict=True)]
        return of_matrices(moduli, **options)(*moved)

    modes = (jax.jacfwd, jax.jacrev)
    values = [outer(inner_mode(f))(0.0) for outer in modes for inner_mode in modes]
    np.testing.assert_allclose(values, values[0], rtol=1e-10)
    np.testing.assert_allclose(values[0], derivative(jax.jit(jax.grad(f)), (0.0,), (1.0,)), rtol=1e-7)


@pytest.mark.parametrize("type", TYPES)
def test_hessians_are_symmetric(type):
    matrices, options = problem(type)
    names = tuple(range(len(matrices)))
    blocks = jax.jit(jax.hessian(of_matrices(density, **options), names))(*matrices)
    whole = np.block([[np.reshape(blocks[i][j], (9, 9)) for j in names] for i in names])
    np.testing.assert_allclose(whole, whole.T, rtol=1e-9, atol=1e-10)


def test_third_order():
    (a,), _ = problem()
    direction = directions((a,), 1)[0][0]

    def f(t):
        return of_matrices(projector)(a + t * direction)

    second = jax.jit(jax.grad(jax.grad(f)))
    np.testing.assert_allclose(jax.grad(second)(0.0), derivative(second, (0.0,), (1.0,)), rtol=1e-6)


def test_compiled():
    (a, b), options = problem(1, "complex128")

    def product(x, y, dx, dy):
        return jax.jvp(gradient(of_matrices(moduli, **options), 2), (x, y), (dx, dy))[1]

    (direction,) = directions((a, b), 1)
    for x, y in zip(product(a, b, *direction), jax.jit(product)(a, b, *direction), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gap", [1e-2, 1e-5])
def test_coupling_that_vanishes_at_this_matrix_only(gap):
    """`v₀₀²` at a diagonal matrix has slope 0 and curvature `−2/gap²`, also at these small gaps."""
    a = np.diag([1.0, 1 + gap, 3])
    direction = np.zeros((3, 3))
    direction[0, 1] = direction[1, 0] = 1

    def f(x):
        return eigh(x).eigenvectors[0, 0] ** 2

    np.testing.assert_allclose(jax.grad(f)(a), 0, atol=1e-12)
    by_reverse = jax.jvp(jax.grad(f), (a,), (direction,))[1]
    np.testing.assert_allclose(by_reverse, -direction / gap**2, rtol=1e-9, atol=1e-9 / gap**2)
    by_forward = jax.jvp(lambda x: jax.jvp(f, (x,), (direction,))[1], (a,), (direction,))[1]
    np.testing.assert_allclose(by_forward, -2 / gap**2, rtol=1e-9)


# Exactly degenerate, and the derivatives that exist there.


def test_constant_hessian_of_the_sum_of_squares_is_right_or_nan():
    """`Σ λᵢ² = tr a²` has a known Hessian. In a cluster, every policy but `check` gives a wrong one; `check` gives
    NaN."""
    hessian = jax.hessian(lambda x: jnp.sum(eigvalsh(x) ** 2))
    n = 3
    part = (np.eye(n * n).reshape(n, n, n, n) + np.eye(n * n).reshape(n, n, n, n).transpose(0, 1, 3, 2)) / 2
    np.testing.assert_allclose(hessian(with_spectrum([1.0, 2, 3])), 2 * part, atol=1e-12)
    assert np.isnan(hessian(np.diag([1.0, 1, 2]))).all()
    assert np.isnan(hessian(np.eye(n))).all()


def test_a_cluster_in_a_batch_leaves_its_neighbours():
    a = np.stack([with_spectrum([1.0, 2, 3]), np.diag([1.0, 1, 2]), with_spectrum([0.0, 5, 7], 1)])
    hessian = jax.vmap(jax.hessian(lambda x: jnp.sum(eigvalsh(x) ** 2)))(a)
    assert np.isnan(hessian[1]).all()
    for k in (0, 2):
        np.testing.assert_allclose(hessian[k], jax.hessian(lambda x: jnp.sum(eigvalsh(x) ** 2))(a[k]), atol=1e-12)


def test_linear_losses_through_a_cluster():
    """The trace has no curvature: 0 would be right, NaN is allowed."""
    hessian = jax.hessian(lambda x: jnp.sum(eigvalsh(x)))(np.diag([1.0, 1, 2]))
    assert np.isnan(hessian).all() or np.abs(hessian).max() < 1e-14


@pytest.mark.parametrize(
    "policy", [degeneracy.mask(1e-8), degeneracy.broaden(1e-16), degeneracy.raw()], ids=lambda p: type(p).__name__
)
def test_other_policies_away_from_clusters(policy):
    (a,), _ = problem()

    def f(x, p):
        w, v = eigh(x, degeneracy=p)
        return inner(weights(3), v[:, :1] @ v[:, :1].T) + sum_squares(w, v)

    expected = jax.hessian(f)(a, degeneracy.check())
    np.testing.assert_allclose(jax.hessian(f)(a, policy), expected, rtol=1e-9, atol=1e-9)


# Near a cluster.


C4, D4 = weights(4) + weights(4).T, with_spectrum([-1.0, 0, 1, 2], "direction")


def cubes(x):
    return jnp.sum(eigvalsh(x) ** 3)


def lowest_two(x):
    v = eigh(x).eigenvectors[:, :2]
    return inner(C4, v @ v.T)


def exponential(x):
    w, v = eigh(x)
    return inner(C4, around(v, jnp.exp(w)))


# The same functions of the matrix, that are smooth at any gap.
EXACT = {
    lowest_two: lambda x: inner(C4, eigenpair.spectral_projector(x, 2)),
    exponential: lambda x: inner(C4, eigenpair.spectral_map(jnp.exp, x)),
}


@functools.cache
def second_derivative(f, over):
    """Of `f` along a direction, compiled once for all gaps."""
    if over == "forward":
        return jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (D4,))[1])
    return jax.jit(jax.grad(lambda x: inner(D4, jax.grad(f)(x))))


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 0.0])
@pytest.mark.parametrize("over", ["forward", "reverse"])
def test_second_derivatives_near_degeneracy_are_right_or_nan(gap, over):
    """Rounding errors grow with the inverse square of the gap through vectors, and with its inverse through eigenvalues
    alone."""
    a = with_spectrum([1.0, 1 + gap, 2, 3])
    for function, exact in EXACT.items():
        found = second_derivative(function, over)(a)
        assert np.isnan(found).all() == (gap < 1e-7)
        if gap > 1e-7:
            expected = second_derivative(exact, over)(a)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15 / gap**2 + 1e-12)
    found = second_derivative(cubes, over)(a)
    assert np.isnan(found).all() == (gap == 0)
    if gap > 0:
        np.testing.assert_allclose(found, 3 * (a @ D4 + D4 @ a), rtol=0, atol=5e-15 / gap + 1e-12)


def test_eigenvalues_beside_vectors_have_their_second_derivatives():
    """Forward over forward: eigenvalues have second derivatives even where those of vectors are NaN."""
    a, d = with_spectrum([1.0, 1 + 1e-9, 2, 3]), with_spectrum([-1.0, 0, 1, 2], "direction")
    expected = 6 * np.trace(a @ d @ d)
    for function in (lambda x: eigh(x)[0], lambda x: jnp.real(eigenpair.eig(x)[0])):
        second = jax.jacfwd(jax.jacfwd(lambda t, f=function: jnp.sum(f(a + t * d) ** 3)))(0.0)
        np.testing.assert_allclose(second, expected, rtol=1e-4)
    vectors = jax.jacfwd(jax.jacfwd(lambda t: jnp.sum(eigh(a + t * d)[1] ** 4)))(0.0)
    assert np.isnan(vectors)
