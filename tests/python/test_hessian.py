"""Second order: every combination of modes, against differences of gradients; and right or NaN at clusters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import derivative, directions
from eigenpair import degeneracy, eigh, eigvalsh
from problems import (
    DOUBLE,
    TRIANGLES,
    TYPES,
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
    return jax.grad(f, tuple(range(count)))


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

    def f(t):
        """A path through all entries, so that a second derivative is one number."""
        moved = [m + t * d for m, d in zip(matrices, directions(matrices, 1)[0], strict=True)]
        return of_matrices(moduli, **options)(*moved)

    modes = (jax.jacfwd, jax.jacrev)
    values = [outer(inner_mode(f))(0.0) for outer in modes for inner_mode in modes]
    np.testing.assert_allclose(values, values[0], rtol=1e-10)
    np.testing.assert_allclose(values[0], derivative(jax.grad(f), (0.0,), (1.0,)), rtol=1e-7)


@pytest.mark.parametrize("type", TYPES)
def test_hessians_are_symmetric(type):
    matrices, options = problem(type)
    names = tuple(range(len(matrices)))
    blocks = jax.hessian(of_matrices(density, **options), names)(*matrices)
    whole = np.block([[np.reshape(blocks[i][j], (9, 9)) for j in names] for i in names])
    np.testing.assert_allclose(whole, whole.T, rtol=1e-9, atol=1e-10)


def test_third_order():
    (a,), _ = problem()
    direction = directions((a,), 1)[0][0]

    def f(t):
        return of_matrices(projector)(a + t * direction)

    third = jax.grad(jax.grad(jax.grad(f)))(0.0)
    np.testing.assert_allclose(third, derivative(jax.grad(jax.grad(f)), (0.0,), (1.0,)), rtol=1e-6)


def test_compiled():
    (a, b), options = problem(1, "complex128")

    def product(x, y, dx, dy):
        return jax.jvp(gradient(of_matrices(moduli, **options), 2), (x, y), (dx, dy))[1]

    (direction,) = directions((a, b), 1)
    for x, y in zip(product(a, b, *direction), jax.jit(product)(a, b, *direction), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gap", [1e-2, 1e-5])
def test_coupling_that_vanishes_at_this_matrix_only(gap):
    """`v₀₀²` at a diagonal matrix: no slope, and a curvature of `−2/gap²`, between eigenvalues as close as these."""
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
    """`Σ λᵢ² = tr a²`: its Hessian is known. Under any policy but `check` a cluster makes it wrong; here it is NaN."""
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
