"""`vmap` of everything: a batch gives what its members give alone."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh, fix_gauge
from problems import TYPES, moduli, of_matrices, problem, projector, random


def same(found, expected, tolerance=1e-12):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), found, expected)


def one_by_one(f, *stacks):
    results = [f(*members) for members in zip(*stacks, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *results)


@pytest.mark.parametrize("type", TYPES)
def test_values(type):
    matrices, options = problem(type, "complex128", batch=(3,))

    def f(*m):
        w, v = eigh(*m, **options)
        return w, fix_gauge(v), eigvalsh(*m, **options)

    expected = one_by_one(f, *matrices)
    same(jax.vmap(f)(*matrices), expected)
    same(f(*matrices), expected)
    same(jax.vmap(f, in_axes=1)(*(m[:, None] for m in matrices)), jax.tree.map(lambda x: x[None], expected))


@pytest.mark.parametrize("type", TYPES)
def test_gradients(type):
    matrices, options = problem(type, "complex128", batch=(3,))
    gradient = jax.grad(of_matrices(projector, **options), tuple(range(len(matrices))))
    same(jax.vmap(gradient)(*matrices), one_by_one(gradient, *matrices))
    same(gradient(*matrices), one_by_one(gradient, *matrices))  # a batch is the same as a sum over it


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (2, 0), (0, -1), (1, None)], ids=str)
def test_axes(axes):
    """Values, gradients and tangents, for arguments that are mapped or not, along any axis."""
    (a, b), options = problem(1, batch=(3,))
    stacks = (a, b)
    members = [s if axis is not None else s[:1] for s, axis in zip(stacks, axes, strict=True)]
    full = [np.broadcast_to(m, (3, 3, 3)) for m in members]
    given = [m[0] if axis is None else np.moveaxis(m, 0, axis) for m, axis in zip(members, axes, strict=True)]
    gradient = jax.grad(of_matrices(moduli, **options), (0, 1))
    same(jax.vmap(gradient, axes)(*given), one_by_one(gradient, *full))

    def tangent(x, y):
        return jax.jvp(lambda *m: tuple(eigh(*m, **options)), (x, y), (y, x))[1]

    same(jax.vmap(tangent, axes)(*given), one_by_one(tangent, *full))


@pytest.mark.parametrize("mapped", ["a", "b", "direction"])
def test_only_one_of_matrices_and_direction_is_mapped(mapped):
    (a, b), options = problem(1, batch=(2,))
    d = random("direction", (2, 3, 3))
    axes = tuple(0 if name == mapped else None for name in ("a", "b", "direction"))
    given = [x if axis == 0 else x[0] for x, axis in zip((a, b, d), axes, strict=True)]
    full = [np.broadcast_to(x if axis == 0 else x[:1], (2, 3, 3)) for x, axis in zip((a, b, d), axes, strict=True)]

    def tangent(x, y, z):
        return jax.jvp(lambda m: tuple(eigh(m, y, **options)), (x,), (z,))[1]

    same(jax.vmap(tangent, axes)(*given), one_by_one(tangent, *full))

    def curvature(x, y, z):
        return jax.jvp(jax.grad(lambda m: of_matrices(moduli, **options)(m, y)), (x,), (z,))[1]

    same(jax.vmap(curvature, axes)(*given), one_by_one(curvature, *full), 1e-11)


def test_jacobians():
    """jacfwd and jacrev are vmaps of tangents and of cotangents over one set of residuals."""
    (a, b), options = problem(1)
    forward = jax.jacfwd(lambda *m: tuple(eigh(*m, **options)), (0, 1))(a, b)
    same(jax.jacrev(lambda *m: tuple(eigh(*m, **options)), (0, 1))(a, b), forward)
    stacks, _ = problem(1, batch=(2,))
    jacobian = jax.jacrev(lambda *m: eigvalsh(*m, **options), (0, 1))
    same(jax.vmap(jacobian)(*stacks), one_by_one(jacobian, *stacks))


@pytest.mark.parametrize("name", ["left and right", "pair", "map"])
def test_jacobians_of_other_functions(name):
    (a, b), _ = problem(1)
    functions = {
        "left and right": lambda x, y: jax.tree.map(jnp.abs, tuple(eigenpair.eig(x, left=True))),
        "pair": lambda x, y: jax.tree.map(jnp.abs, tuple(eigenpair.eig(x, y, left=True))),
        "map": lambda x, y: eigenpair.spectral_map(jnp.tanh, x, hermitian_part=True),
    }
    by_reverse, by_forward = (jax.jit(mode(functions[name], (0, 1))) for mode in (jax.jacrev, jax.jacfwd))
    same(by_reverse(a, b), by_forward(a, b))


def test_nested():
    stacks, options = problem(3, batch=(2, 3))
    gradient = jax.grad(of_matrices(projector, **options), (0, 1))
    nested = jax.vmap(jax.vmap(gradient))(*stacks)
    same(nested, gradient(*stacks))
    crossed = jax.vmap(jax.vmap(gradient, (0, None)), (None, 0))(stacks[0][:, 0], stacks[1][0])
    assert crossed[0].shape == (3, 2, 3, 3)
    same(tuple(g[1, 0] for g in crossed), gradient(stacks[0][0, 0], stacks[1][0, 1]))


def test_over_a_batch_that_the_function_sees():
    """`vmap` over calls that have batch axes themselves, along some of which b is shared."""
    (a, b), options = problem(1, batch=(2, 3))

    def f(x, y):
        return jax.grad(of_matrices(moduli, **options), (0, 1))(x, y[0])

    same(jax.vmap(f)(a, b), one_by_one(f, a, b))


def test_hessians():
    stacks, options = problem(2, batch=(2,))
    hessian = jax.jit(jax.hessian(of_matrices(moduli, **options), (0, 1)))
    same(jax.vmap(hessian)(*stacks), one_by_one(hessian, *stacks), 1e-10)


def test_compiled_and_collected():
    stacks, options = problem(2, "complex128", batch=(3,))
    gradient = jax.grad(of_matrices(moduli, **options), (0, 1))
    same(jax.jit(jax.vmap(gradient))(*stacks), one_by_one(gradient, *stacks))
    same(jax.lax.map(lambda m: gradient(*m), stacks), one_by_one(gradient, *stacks))
    total = jax.grad(lambda *m: jnp.sum(jax.vmap(of_matrices(moduli, **options))(*m)), (0, 1))(*stacks)
    same(total, one_by_one(gradient, *stacks))


def test_empty_batch():
    f = jax.grad(lambda x: jnp.sum(eigh(x)[1]))
    assert jax.vmap(f)(np.zeros((0, 3, 3))).shape == (0, 3, 3)
