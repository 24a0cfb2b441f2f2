"""The results of eigh and eigvalsh, against the definition of the problem and against SciPy."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from eigenpair import eigh, eigvalsh
from problems import DTYPES, TRIANGLES, TYPES, adjoint, eps, hermitian, keywords, problem, random, spoiled


def assert_solves(w, v, matrices, type, lower):
    """`A v = λ v` or one of its relatives, with the documented normalization, in every matrix of the batch."""
    a, *b = (hermitian(np.asarray(x), lower).astype(np.result_type(x.dtype, np.float64)) for x in matrices)
    w, v = np.asarray(w), np.asarray(v)
    n = a.shape[-1]
    unit = eps(w.dtype)
    diagonal = w[..., None, :]
    metric, residual = {
        0: lambda: (np.eye(n), a @ v - v * diagonal),
        1: lambda: (b[0], a @ v - b[0] @ v * diagonal),
        2: lambda: (b[0], a @ b[0] @ v - v * diagonal),
        3: lambda: (np.linalg.inv(b[0]), b[0] @ a @ v - v * diagonal),
    }[type]()
    scale = np.abs(a).max() * np.abs(v).max() * (1 if not b else np.abs(b[0]).max())
    assert np.abs(residual).max() <= 60 * n * unit * scale
    identity = adjoint(v) @ metric @ v
    assert np.abs(identity - np.eye(n)).max() <= 60 * n * unit
    assert (np.diff(w, axis=-1) >= 0).all()


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("lower", TRIANGLES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_solves(dtype, lower, type):
    for batch in ((), (2, 3)):
        matrices, options = problem(type, dtype, 4, batch, lower)
        untouched = [m.copy() for m in matrices]
        w, v = eigh(*matrices, **options)
        assert (w.dtype, v.dtype) == (np.finfo(dtype).dtype, dtype)
        assert (w.shape, v.shape) == ((*batch, 4), (*batch, 4, 4))
        assert_solves(w, v, matrices, type, lower)
        np.testing.assert_array_equal(untouched, matrices)
        alone = eigvalsh(*matrices, **options)
        assert alone.dtype == w.dtype
        np.testing.assert_allclose(alone, w, rtol=0, atol=50 * eps(dtype) * np.abs(w).max())


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_equals_scipy(dtype, lower, type):
    matrices, options = problem(type, dtype, 5, lower=lower)
    w, v = eigh(*matrices, **options)
    expected_w, expected_v = scipy.linalg.eigh(*matrices, **options)
    tolerance = 200 * eps(dtype)
    np.testing.assert_allclose(w, expected_w, rtol=tolerance, atol=tolerance * np.abs(expected_w).max())
    np.testing.assert_allclose(
        eigenpair.fix_gauge(v), eigenpair.fix_gauge(expected_v), atol=50 * tolerance * np.abs(v).max()
    )


@pytest.mark.parametrize("n", [1, 2, 17, 70])
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_sizes(dtype, n):
    """Small orders, and orders just below and above the tiles in which the kernels copy."""
    for lower, type in ((None, 0), (True, 1), (False, 3)):
        matrices, options = problem(type, dtype, n, lower=lower)
        w, v = jax.jit(lambda *m, o=options: eigh(*m, **o))(*matrices)
        assert_solves(w, v, matrices, type, lower)
        np.testing.assert_allclose(
            eigvalsh(*matrices, **options), w, rtol=0, atol=20 * n * eps(dtype) * np.abs(w).max()
        )


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_compiled_equals_eager(dtype):
    for type in TYPES:
        matrices, options = problem(type, dtype, batch=(2,))
        eager = eigh(*matrices, **options)
        compiled = jax.jit(lambda *m, o=options: eigh(*m, **o))(*matrices)
        np.testing.assert_array_equal(eager.eigenvalues, compiled.eigenvalues)
        np.testing.assert_array_equal(eager.eigenvectors, compiled.eigenvectors)


def test_result_is_named_and_unpacks():
    result = eigh(np.eye(2))
    w, v = result
    assert result.eigenvalues is w
    assert result.eigenvectors is v
    assert isinstance(result, eigenpair.EighResult)
    assert isinstance(eigh(np.eye(2), eigvals_only=True), jax.Array)


@pytest.mark.parametrize("type", [1, 2, 3])
def test_batches_broadcast(type):
    (a, b), options = problem(type, batch=(2, 3))
    whole = eigh(a, np.broadcast_to(b[:1, :], b.shape), **options)
    for shared in (b[0], b[:1]):
        found = eigh(a, shared, **options)
        np.testing.assert_array_equal(found.eigenvalues, whole.eigenvalues)
        np.testing.assert_array_equal(found.eigenvectors, whole.eigenvectors)
    assert eigh(a[0, 0], b, **options).eigenvectors.shape == (2, 3, 3, 3)


def test_input_is_never_modified_even_when_donated_or_aliased():
    a = jnp.asarray(problem()[0][0])
    before = np.array(a)
    b = jnp.eye(3)
    eigh(a), eigvalsh(a), eigh(b, b)
    np.testing.assert_array_equal(a, before)
    np.testing.assert_array_equal(b, np.eye(3))


def test_diagonal_matrices_are_exact():
    w, v = eigh(np.diag([3.0, -1.0, 2.0]))
    np.testing.assert_array_equal(w, [-1, 2, 3])
    np.testing.assert_array_equal(np.abs(v), np.eye(3)[:, [1, 2, 0]])
    np.testing.assert_array_equal(np.abs(eigh(np.eye(4)).eigenvectors), np.eye(4))


@pytest.mark.parametrize("lower", [True, False])
def test_only_one_triangle_is_read(lower):
    """A NaN in the other triangle changes nothing, nor does, in a complex matrix, the imaginary part of the
    diagonal."""
    (a,), _ = problem(dtype="complex128")
    a = hermitian(a)
    expected = eigvalsh(a)
    poisoned = a + (np.triu if lower else np.tril)(np.full((3, 3), np.nan), 1 if lower else -1)
    np.testing.assert_allclose(eigvalsh(poisoned, lower=lower), expected, rtol=1e-14)
    np.testing.assert_allclose(eigvalsh(spoiled(a, lower), lower=lower), expected, rtol=1e-14)
    assert np.isnan(eigvalsh(poisoned)).all()


def test_hermitian_part_is_what_is_decomposed():
    a = random("any", (4, 4), "complex128")
    part = (a + a.conj().T) / 2
    np.testing.assert_allclose(eigvalsh(a), np.linalg.eigvalsh(part), rtol=1e-13)


def test_large_entries_do_not_overflow_on_the_way():
    """(a + aᴴ)/2 of numbers near the largest double must not become Inf."""
    big = 1.5e308
    np.testing.assert_allclose(eigvalsh(np.diag([big, -big])), [-big, big], rtol=1e-14)
    np.testing.assert_allclose(jax.jit(eigvalsh)(np.diag([big, -big])), [-big, big], rtol=1e-14)


@pytest.mark.parametrize("type", [1, 2, 3])
def test_types_are_related(type):
    """Types 2 and 3 of (a, b) have the same eigenvalues as type 1 of (a, b⁻¹)."""
    (a, b), _ = problem(1, lower=True)
    inverse = np.linalg.inv(hermitian(b, True))
    partner = b if type > 1 else inverse
    expected = np.sort(np.linalg.eigvals((hermitian(b, True) if type > 1 else inverse) @ hermitian(a, True)).real)
    assert partner.shape == (3, 3)
    np.testing.assert_allclose(eigvalsh(a, b, **keywords(type, True)), expected, rtol=1e-12)
