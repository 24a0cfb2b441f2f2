"""Reverse mode: gradients against finite differences and against forward mode, and the entries in which they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh
from finite_differences import assert_gradient
from problems import (
    DOUBLE,
    DTYPES,
    LOSSES,
    TRIANGLES,
    TYPES,
    eps,
    of_matrices,
    problem,
    projector,
    random,
    restricted,
    sum_squares,
    weighted,
)


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_against_differences(name, type):
    """Every loss and type; dtypes and triangles take turns, in a different order from the reference cases."""
    dtype, lower = DOUBLE[(type + len(name)) % 2], TRIANGLES[(type + len(name)) % 3]
    matrices, options = problem(type, dtype, lower=lower)
    assert_gradient(of_matrices(LOSSES[name], **options), matrices)


@pytest.mark.parametrize("lower", TRIANGLES)
@pytest.mark.parametrize("type", TYPES)
def test_every_triangle_of_every_type(type, lower):
    for loss in (projector, weighted):
        matrices, options = problem(type, "complex128", lower=lower)
        function = of_matrices(loss, **options)
        assert_gradient(function, matrices)
        together = jax.grad(function, tuple(range(len(matrices))))(*matrices)
        for i, expected in enumerate(together):
            alone = jax.grad(function, i)(*matrices)
            np.testing.assert_allclose(alone, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("lower", TRIANGLES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_live_where_the_function_reads(dtype, lower):
    matrices, options = problem(1, dtype, lower=lower)
    for loss in (projector, weighted):
        for g in jax.grad(of_matrices(loss, **options), (0, 1))(*matrices):
            g = np.conj(g)
            assert g.dtype == dtype
            np.testing.assert_allclose(restricted(g, lower), g, rtol=0, atol=4 * eps(dtype) * np.abs(g).max())


@pytest.mark.parametrize("type", TYPES)
def test_triangles_and_hermitian_part_agree(type):
    """One function, three descriptions: the triangle's gradient is the Hermitian one, off-diagonals doubled."""
    from problems import hermitian

    matrices, options = problem(type, "complex128")
    matrices = tuple(hermitian(m) for m in matrices)
    names = tuple(range(len(matrices)))
    whole = jax.grad(of_matrices(projector, **options), names)(*matrices)
    for lower in (True, False):
        part = jax.grad(of_matrices(projector, **{**options, "lower": lower}), names)(*matrices)
        for g, h in zip(whole, part, strict=True):
            doubled = (2 * np.tril(g, -1) if lower else 2 * np.triu(g, 1)) + np.diag(np.diag(g))
            np.testing.assert_allclose(h, doubled, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose_of_forward_mode(dtype, type):
    """`⟨y, J x⟩ = ⟨Jᵀ y, x⟩` for any cotangent, also those of losses that depend on the gauge."""
    matrices, options = problem(type, dtype, lower=TRIANGLES[type % 3])
    primal, pull = jax.vjp(lambda *m: tuple(eigh(*m, **options)), *matrices)
    x = tuple(random(("x", i), m.shape, dtype) for i, m in enumerate(matrices))
    y = tuple(random(("y", i), p.shape, p.dtype) for i, p in enumerate(primal))
    _, pushed = jax.jvp(lambda *m: tuple(eigh(*m, **options)), matrices, x)

    def pairing(p, q):
        return sum(np.sum((np.asarray(s) * np.asarray(t)).real) for s, t in zip(p, q, strict=True))

    size = sum(np.abs(s).sum() for s in pushed)
    assert abs(pairing(y, pushed) - pairing(pull(y), x)) <= 200 * eps(dtype) * size


@pytest.mark.parametrize("type", TYPES)
def test_one_cotangent_alone(type):
    """Only values used, or only vectors: the same as both with a zero for the other."""
    matrices, options = problem(type)
    primal, pull = jax.vjp(lambda *m: tuple(eigh(*m, **options)), *matrices)
    w_bar, v_bar = random("w", (3,)), random("v", (3, 3))
    names = tuple(range(len(matrices)))
    from_values = jax.grad(lambda *m: jnp.sum(w_bar * eigh(*m, **options)[0]), names)(*matrices)
    from_vectors = jax.grad(lambda *m: jnp.sum(v_bar * eigh(*m, **options)[1]), names)(*matrices)
    of_values_only = jax.grad(lambda *m: jnp.sum(w_bar * eigvalsh(*m, **options)), names)(*matrices)
    zero = tuple(np.zeros_like(p) for p in primal)
    for found, cotangent in (
        (from_values, (w_bar, zero[1])),
        (of_values_only, (w_bar, zero[1])),
        (from_vectors, (zero[0], v_bar)),
    ):
        for g, h in zip(found, pull(cotangent), strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("type", [1, 2, 3])
def test_broadcast_gradients_are_sums(type):
    (a, b), options = problem(type, batch=(3,))
    b = b[0]
    loss = of_matrices(projector, **options)
    ga, gb = jax.grad(loss, (0, 1))(a, b)
    assert (ga.shape, gb.shape) == (a.shape, b.shape)
    each = [jax.grad(loss, (0, 1))(a[k], b) for k in range(3)]
    np.testing.assert_allclose(ga, np.stack([g[0] for g in each]), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(gb, sum(np.asarray(g[1]) for g in each), rtol=1e-11, atol=1e-12)


def test_mixed_precision_gradients_have_the_precision_of_their_argument():
    (a, b), options = problem(1, "float32")
    loss = of_matrices(weighted, **options)
    with jax.numpy_dtype_promotion("standard"):
        ga, gb = jax.grad(loss, (0, 1))(a, b.astype("complex128"))
    assert (ga.dtype, gb.dtype) == ("float32", "complex128")
    wide = jax.grad(loss, (0, 1))(a.astype("float64"), b.astype("float64"))
    np.testing.assert_allclose(ga, wide[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gb, wide[1], rtol=1e-10, atol=1e-10)


def test_same_matrix_twice():
    """`A v = λ A v`: every eigenvalue is 1, whatever A is."""
    (_, b), _ = problem(1)
    gradient = jax.grad(lambda m: sum_squares(eigvalsh(m, m), None))(b)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_gradients_of_a_symmetric_matrix_are_not_halved():
    """A usual mistake of rules that read a triangle. The gradient of the trace is the identity, that of λ₀ is `v₀
    v₀ᵀ`."""
    a = np.array([[1.0, 2.0], [2.0, 3.0]])
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(eigvalsh(x)))(a), np.eye(2), atol=1e-14)
    expected = [
        [[0.7236067977499790, -0.4472135954999579], [-0.4472135954999579, 0.2763932022500210]],
        [[0.2763932022500210, 0.4472135954999579], [0.4472135954999579, 0.7236067977499790]],
    ]
    np.testing.assert_allclose(jax.jacrev(eigvalsh)(a), expected, atol=1e-14)
    np.testing.assert_allclose(jax.jacfwd(eigvalsh)(a), expected, atol=1e-14)


def test_empty_and_single():
    assert jax.grad(lambda x: jnp.sum(eigvalsh(x)))(np.zeros((0, 0))).shape == (0, 0)
    assert jax.grad(lambda x: jnp.sum(eigh(x)[1]))(np.zeros((2, 0, 3, 3))).shape == (2, 0, 3, 3)
    np.testing.assert_array_equal(jax.grad(lambda x: sum_squares(*eigh(x)))(np.array([[3.0]])), [[6.0]])
    # For 1×1 matrices the vector is 1/√b: its derivative comes from the normalization alone.
    a, b = np.array([[3.0]]), np.array([[4.0]])
    gradient = jax.grad(lambda *m: jnp.sum(eigh(*m)[1] ** 2), (0, 1))(a, b)
    np.testing.assert_allclose(gradient, [[[0.0]], [[-1 / 16]]], atol=1e-15)
