"""Forward mode: the tangents satisfy the differentiated equations, to rounding, in the documented gauge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh
from finite_differences import assert_tangent
from problems import DOUBLE, DTYPES, LOSSES, TRIANGLES, TYPES, adjoint, eps, hermitian, of_matrices, problem, random


def residuals(type, matrices, tangents, w, v, dw, dv):
    """The residuals of the tangents in the differentiated equations: the eigenvalue problem, and its normalization."""
    (a, *b), (da, *db) = matrices, tangents
    n = a.shape[-1]
    if type == 0:
        b, db = [np.eye(n)], [np.zeros((n, n))]
    if type in (0, 1):
        problem_ = da @ v + a @ dv - db[0] @ v * w - b[0] @ dv * w - b[0] @ v * dw
        normal = adjoint(dv) @ b[0] @ v + adjoint(v) @ db[0] @ v + adjoint(v) @ b[0] @ dv
        dual = b[0] @ v
    elif type == 2:
        problem_ = da @ b[0] @ v + a @ db[0] @ v + a @ b[0] @ dv - dv * w - v * dw
        normal = adjoint(dv) @ b[0] @ v + adjoint(v) @ db[0] @ v + adjoint(v) @ b[0] @ dv
        dual = b[0] @ v
    else:
        problem_ = db[0] @ a @ v + b[0] @ da @ v + b[0] @ a @ dv - dv * w - v * dw
        inverse = np.linalg.inv(b[0])
        dinverse = -inverse @ db[0] @ inverse
        normal = adjoint(dv) @ inverse @ v + adjoint(v) @ dinverse @ v + adjoint(v) @ inverse @ dv
        dual = inverse @ v
    phase = np.imag(np.diagonal(adjoint(dual) @ dv))  # parallel transport
    return problem_, normal, phase


@pytest.mark.parametrize("moving", ["a", "b", "ab"])
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tangents_satisfy_the_equations(dtype, type, moving):
    if type == 0 and "b" in moving:
        pytest.skip("there is no b")
    lower = TRIANGLES[(type + len(moving)) % 3]
    matrices, options = problem(type, dtype, lower=lower)
    tangents = tuple(
        random(("tangent", name), x.shape, dtype) * (name in moving) for name, x in zip("ab", matrices, strict=False)
    )
    if moving != "ab":
        (w, v), (dw, dv) = jax.jvp(
            lambda x: eigh(*[x if name == moving else m for name, m in zip("ab", matrices, strict=False)], **options),
            [m for name, m in zip("ab", matrices, strict=False) if name == moving],
            [t for name, t in zip("ab", tangents, strict=False) if name == moving],
        )
    else:
        (w, v), (dw, dv) = jax.jvp(lambda *m: eigh(*m, **options), matrices, tangents)
    assert (dw.dtype, dv.dtype) == (w.dtype, dtype)
    wide = [
        [hermitian(x.astype(np.result_type(dtype, np.float64)), lower) for x in group] for group in (matrices, tangents)
    ]
    for error in residuals(type, *wide, *(np.asarray(x) for x in (w, v, dw, dv))):
        assert np.abs(error).max() <= 3000 * eps(dtype)


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_against_differences(name, type):
    dtype, lower = DOUBLE[type % 2], TRIANGLES[(type + len(name)) % 3]
    matrices, options = problem(type, dtype, lower=lower)
    assert_tangent(of_matrices(LOSSES[name], **options), matrices)


@pytest.mark.parametrize("type", TYPES)
def test_values_alone_have_the_tangent_of_the_pair(type):
    matrices, options = problem(type, "complex128", batch=(2,))
    tangents = tuple(random(i, m.shape, m.dtype) for i, m in enumerate(matrices))
    _, (dw, _) = jax.jvp(lambda *m: eigh(*m, **options), matrices, tangents)
    _, alone = jax.jvp(lambda *m: eigvalsh(*m, **options), matrices, tangents)
    np.testing.assert_allclose(alone, dw, rtol=1e-12, atol=1e-12)


def test_linear_in_the_tangent():
    (a, b), options = problem(1, "complex128")
    _, push = jax.linearize(lambda *m: eigh(*m, **options), a, b)
    x, y = (tuple(random((k, i), (3, 3), "complex128") for i in range(2)) for k in range(2))
    together = push(*(2 * p - 3 * q for p, q in zip(x, y, strict=True)))
    apart = jax.tree.map(lambda p, q: 2 * p - 3 * q, push(*x), push(*y))
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-12, atol=1e-12), together, apart)


@pytest.mark.parametrize("lower", TRIANGLES)
def test_directions_that_are_not_read_do_nothing(lower):
    (a,), _ = problem(dtype="complex128", lower=lower)
    direction = random("unread", (3, 3), "complex128")
    if lower is None:
        unread = direction - direction.conj().T
    else:
        unread = (np.triu if lower else np.tril)(direction, 1 if lower else -1) + 1j * np.eye(3)
    _, (dw, dv) = jax.jvp(lambda x: eigh(x, lower=lower), (a,), (unread,))
    np.testing.assert_allclose(dw, 0, atol=1e-15)
    np.testing.assert_allclose(dv, 0, atol=1e-14)


def test_jacobian_of_a_real_matrix():
    """d λ / d a by forward mode, column by column, is `vᵢ vᵢᵀ`."""
    (a,), _ = problem()
    w, v = eigh(a)
    expected = np.einsum("ik,jk->kij", v, v)
    np.testing.assert_allclose(jax.jacfwd(eigvalsh)(a), expected, atol=1e-13)
    assert w.shape == (3,)


def test_zero_tangents():
    (a, b), options = problem(1)
    _, tangent = jax.jvp(lambda *m: eigh(*m, **options), (a, b), (np.zeros_like(a), np.zeros_like(b)))
    jax.tree.map(lambda t: np.testing.assert_array_equal(t, 0), tangent)


def test_integer_input_has_no_tangent():
    """Integers become floats first; their tangents are of the kind JAX calls float0."""
    a = jnp.arange(4).reshape(2, 2)
    _, dw = jax.jvp(eigvalsh, (a,), (np.zeros((2, 2), jax.dtypes.float0),))
    np.testing.assert_array_equal(dw, 0)
