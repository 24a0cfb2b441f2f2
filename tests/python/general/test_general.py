"""General problems: every entry is a variable, one order, one gauge, and NaN where there is no derivative."""

import eigenpair as ep
import finite_differences
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import DOUBLE, adjoint, random


def loss(a, b=None):
    """A loss of eigenvalues, right and left vectors, in the gauge of `eig`."""
    w, vl, v = ep.eig(a, b, left=True)
    n = w.shape[-1]
    c, r, s = random("c", (n,), "complex128"), random("r", (n, n), "complex128"), random("s", (n, n), "complex128")
    return jnp.real(jnp.sum(c * w) + jnp.sum(r * v) + jnp.sum(s * vl))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("pair", [False, True])
def test_values_and_vectors(dtype, pair):
    a = random("a", (3, 5, 5), dtype)
    b = random("b", (3, 5, 5), dtype) + 4 * np.eye(5, dtype=dtype) if pair else None
    w, vl, v = (np.asarray(x) for x in ep.eig(a, b, left=True))
    right, left = (b @ v, adjoint(vl) @ b) if pair else (v, adjoint(vl))
    tolerance = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(a @ v, right * w[:, None, :], atol=tolerance * 5)
    np.testing.assert_allclose(adjoint(vl) @ a, w[:, :, None] * left, atol=tolerance * 5)
    assert w.dtype == np.result_type(dtype, np.complex64)
    for x in (v, vl):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=tolerance)
        largest = np.take_along_axis(x, np.argmax(np.abs(x), axis=1)[:, None], axis=1)
        assert np.all(largest.imag == 0)
        assert np.all(largest.real > 0)
    for row in w:
        assert sorted(row, key=lambda z: (z.real, z.imag)) == list(row)


@pytest.mark.parametrize("dtype", DOUBLE)
@pytest.mark.parametrize("pair", [False, True])
def test_first_and_second_order(dtype, pair):
    x = (random("x", (4, 4), dtype),) + ((random("y", (4, 4), dtype) + 3 * np.eye(4),) if pair else ())
    compiled = jax.jit(loss)
    finite_differences.assert_tangent(compiled, x, 1e-6)
    finite_differences.assert_gradient(compiled, x, 1e-6)
    gradient = jax.jit(jax.grad(loss, tuple(range(len(x)))))
    (direction,) = finite_differences.directions(x, 1)
    _, found = jax.jvp(gradient, x, direction)
    for f, e in zip(found, finite_differences.derivative(gradient, x, direction), strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-5, atol=1e-5)


def test_the_trap():
    """A matrix that happens to be symmetric still has nine free entries, not six."""
    jacobian = jax.jacobian(lambda a: jnp.real(ep.eigvals(a)))(np.array([[1.0, 2.0], [2.0, 3.0]]))
    expected = [[0.7236068, -0.4472136, -0.4472136, 0.2763932], [0.2763932, 0.4472136, 0.4472136, 0.7236068]]
    np.testing.assert_allclose(np.reshape(jacobian, (2, 4)), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", DOUBLE)
def test_gradient_is_continuous_through_symmetry(dtype):
    x, k = random("x", (4, 4), dtype), random("k", (4, 4), dtype)
    symmetric, skew = x + adjoint(x), k - adjoint(k)
    c = random("c", (4,))
    for f in (lambda a: jnp.sum(c * jnp.real(ep.eigvals(a))), lambda a: jnp.sum(jnp.abs(ep.eig(a)[1]) ** 2 @ c)):
        at = jax.jit(jax.grad(f))
        centre = at(symmetric)
        for t in (1e-9, -1e-9, 1e-13, 2.0**-52):
            np.testing.assert_allclose(at(symmetric + t * skew), centre, atol=1e-6 * max(1, abs(t) / 1e-9))
        bumped = symmetric.copy()
        bumped[0, 1] *= 1 + np.finfo(float).eps
        np.testing.assert_allclose(at(bumped), centre, atol=1e-12)


@pytest.mark.parametrize("part", [np.tril, np.triu])
def test_strictly_triangular_directions(part):
    x = random("x", (3, 3))
    a, direction = x + x.T, part(random("d", (3, 3)), -1 if part is np.tril else 1)
    f = lambda a: jnp.real(ep.eigvals(a))  # noqa: E731
    _, moved = jax.jvp(f, (a,), (direction,))
    np.testing.assert_allclose(moved, finite_differences.derivative(f, (a,), (direction,)), atol=1e-8)
    assert np.any(np.abs(moved) > 1e-3)


def test_hessians_of_traces():
    a = random("a", (3, 3))
    zero = jax.jit(jax.hessian(lambda a: jnp.real(jnp.sum(ep.eigvals(a)))))(a)
    np.testing.assert_allclose(zero, 0, atol=1e-12)
    square = jax.jit(jax.hessian(lambda a: jnp.real(jnp.sum(ep.eigvals(a) ** 2))))(a)
    np.testing.assert_allclose(square, jax.hessian(lambda a: jnp.trace(a @ a))(a), atol=1e-11)


def test_repeated_eigenvalues():
    s = random("s", (4, 4)) + 3 * np.eye(4)
    a = s @ np.diag([1.0, 1.0, 1.0, 3.0]) @ np.linalg.inv(s)
    symmetric = jax.grad(lambda a: jnp.real(jnp.sum(ep.eigvals(a) ** 3)))(a)
    np.testing.assert_allclose(symmetric, 3 * (a @ a).T, atol=1e-11)
    assert np.all(np.isnan(jax.grad(lambda a: jnp.real(ep.eigvals(a)[0]))(a)))
    assert np.all(np.isnan(jax.grad(lambda a: jnp.sum(jnp.abs(ep.eig(a)[1][0, :2]) ** 2))(a)))


def test_nearly_and_exactly_defective():
    for distance in (1e-2, 1e-4, 1e-6):
        a = np.array([[1.0, 1.0], [distance**2 / 4, 1.0]])  # eigenvalues 1 ± distance/2
        condition = np.asarray(ep.condition_numbers(a))
        np.testing.assert_allclose(condition, 1 / distance, rtol=0.1)
        size = np.linalg.norm(jax.grad(lambda a: jnp.real(ep.eigvals(a)[0]))(a))
        np.testing.assert_allclose(size, condition[0], rtol=1e-3)
    jordan = np.array([[1.0, 1.0], [0.0, 1.0]])
    assert np.all(np.isnan(jax.grad(lambda a: jnp.real(ep.eigvals(a)[0]))(jordan)))
    assert np.all(np.isnan(ep.condition_numbers(jordan)))
    # Next to a Jordan block on a coordinate axis, this loss hardly couples the vectors but still depends on them.
    c = random("c", (2, 2))
    beside = jax.grad(lambda a: jnp.sum(jnp.abs(ep.eig(a)[1]) ** 2 @ c))(np.array([[1.0, 1.0], [1e-15, 1.0]]))
    assert np.all(np.isnan(beside))


def test_infinite_eigenvalues():
    a, b = random("a", (4, 4)), random("b", (4, 4))
    b[:, 0] = b[:, 1]
    w = ep.eigvals(a, b)
    assert np.all(np.isfinite(w[:-1]))
    assert w[-1] == np.inf
    # `b` is not perturbed: it would become regular, and the infinite eigenvalue a large finite one at any place of the
    # order.
    finite_differences.assert_gradient(lambda a: jnp.sum(jnp.real(ep.eigvals(a, b)[:-1])), (a,), 1e-6)
    assert np.all(np.isnan(jax.grad(lambda a: jnp.real(ep.eigvals(a, b)[-1]))(a)))
    undetermined = ep.eigvals(np.diag([1.0, 0.0]), np.diag([1.0, 0.0]))
    assert undetermined[0] == 1
    assert np.isnan(undetermined[1])


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-150, 1e150, 1e200])
def test_any_size(scale):
    a = np.array([[1.0, 2.0], [3.0, 5.0]])
    expected = np.array([-0.16227766016837933, 6.16227766016838]) * scale
    np.testing.assert_allclose(np.real(ep.eigvals(a * scale)), expected, rtol=1e-14 if scale > 1e-300 else 1e-12)


def test_bad_matrices_alone():
    a = random("a", (5, 3, 3))
    clean = ep.eig(a)
    a[2, 1, 0], a[4, 0, 0] = np.nan, np.inf
    for x, y in zip(clean, ep.eig(a), strict=True):
        assert np.all(np.isnan(np.asarray(y)[[2, 4]]))
        np.testing.assert_array_equal(np.asarray(x)[[0, 1, 3]], np.asarray(y)[[0, 1, 3]])


def test_batches_and_empty_ones():
    a, b = random("a", (2, 1, 3, 3)), random("b", (4, 3, 3)) + 3 * np.eye(3)
    np.testing.assert_allclose(ep.eigvals(a, b)[1, 2], ep.eigvals(a[1, 0], b[2]), rtol=1e-12)
    f = lambda a: jnp.real(jnp.sum(ep.eigvals(a) ** 2))  # noqa: E731
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(b), jax.grad(f)(b), rtol=1e-12)
    assert ep.eig(np.zeros((0, 0)))[1].shape == (0, 0)
    assert ep.eigvals(np.zeros((0, 3, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(([1.0],), "a must"), ((np.eye(3), np.eye(2)), "b must"), ((None,), "a must"), ((np.eye(2), "text"), "b must")],
)
def test_bad_arguments(arguments, word):
    with pytest.raises((TypeError, ValueError), match=word):
        ep.eig(*arguments)
