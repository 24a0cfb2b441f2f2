"""The kernels for small matrices: accuracy over spectra and scales, and the same bits whatever the other matrices of
the batch are."""

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from problems import DTYPES, KERNELS

SIZES = (*range(1, 18), 24, 32, 33)
BATCH = 37


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def family(kind, n, dtype, rng):
    """A batch of Hermitian matrices, as dtype."""
    single = np.finfo(dtype).eps > 1e-10
    x = rng.normal(size=(BATCH, n, n))
    if np.issubdtype(np.dtype(dtype), np.complexfloating):
        x = x + 1j * rng.normal(size=(BATCH, n, n))
    q = np.linalg.qr(x)[0]
    adjoint = q.conj().swapaxes(1, 2)
    steps = np.arange(n)
    made = {
        "random": lambda: x,
        "degenerate": lambda: (q * rng.integers(0, 2, (BATCH, 1, n))) @ adjoint,
        "clustered": lambda: (q * (1 + 1e-10 * rng.normal(size=(BATCH, 1, n)))) @ adjoint,
        "graded": lambda: x * 10.0 ** (-rng.uniform(0, 1, (BATCH, 1, 1)) * np.add.outer(steps, steps)),
        "rank one": lambda: x[:, :, :1] @ x[:, :, :1].conj().swapaxes(1, 2),
        "diagonal": lambda: np.eye(n) * x,
        "zero": lambda: 0 * x,
        "tiny": lambda: x * (1e-30 if single else 1e-150),
        "huge": lambda: x * (1e30 if single else 1e150),
        "denormal": lambda: x * (3e-40 if single else 3e-310),
        "of all sizes": lambda: x * 10.0 ** -rng.uniform(0, 45 if single else 320, x.shape),
        "Wilkinson": lambda: np.eye(n, k=1) + np.eye(n, k=-1) + np.diag(np.abs(steps - n // 2)) + 0 * x,
    }[kind]()
    return ((made + made.conj().swapaxes(1, 2)) / 2).astype(dtype)


KINDS = (
    "random",
    "degenerate",
    "clustered",
    "graded",
    "rank one",
    "diagonal",
    "zero",
    "tiny",
    "huge",
    "denormal",
    "of all sizes",
    "Wilkinson",
)
if not KERNELS:
    KINDS = tuple(kind for kind in KINDS if kind not in ("denormal", "of all sizes"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_residual_and_orthogonality(n, dtype, rng):
    eps, least = np.finfo(dtype).eps, float(np.finfo(dtype).smallest_subnormal)
    a = np.concatenate([family(kind, n, dtype, rng) for kind in KINDS])
    w, v = (np.asarray(x) for x in ep.eigh(a))
    values = np.asarray(ep.eigvalsh(a))
    wide = np.complex128 if np.iscomplexobj(a) else np.float64
    # Powers of two bring everything to size 1, where nothing underflows.
    size = np.abs(a).max(axis=(1, 2)).astype(float)
    up = np.ldexp(1.0, np.clip(-np.frexp(np.where(size > 0, size, 1))[1], -1000, 1000))[:, None]
    scaled, w, values = a.astype(wide) * up[:, :, None], w * up, values * up
    norm = np.maximum(np.linalg.norm(scaled, axis=(1, 2)), np.finfo(float).tiny)
    slack = 4 * n * least * up[:, 0]  # eigenvalues that are denormal numbers are as coarse as those
    residual = np.linalg.norm(scaled @ v - v * w[:, None, :], axis=(1, 2)) - slack
    assert np.all(residual <= 10 * n * eps * norm)
    assert np.all(np.abs(values - w).max(axis=1) - slack <= 10 * n * eps * norm)
    assert np.all(np.abs(v.conj().swapaxes(1, 2) @ v - np.eye(n)) <= 10 * n * eps)
    assert np.all(np.diff(w, axis=1) >= 0)


@pytest.mark.parametrize(
    ("dtype", "large", "beside", "last"),
    [("float32", 1.0, 2e-23, 6e-45), ("float32", 1e30, 1e7, 1e-13), ("float64", 1.0, 1e-162, 1e-322)],
)
def test_entries_whose_squares_vanish(dtype, large, beside, last):
    """Off-diagonal entries so small that their squares underflow, next to an even smaller difference of diagonal
    entries."""
    a = np.zeros((3, 3), dtype)
    a[0, 0], a[1, 2], a[2, 1], a[2, 2] = large, beside, beside, last
    eps = np.finfo(dtype).eps
    w, v = (np.asarray(x) for x in ep.eigh(a))
    np.testing.assert_allclose(w, [0, 0, large], atol=10 * eps * large)
    np.testing.assert_allclose(ep.eigvalsh(a), [0, 0, large], atol=10 * eps * large)
    np.testing.assert_allclose(v.T @ v, np.eye(3), atol=10 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 4, 7, 8, 16, 32])
def test_same_bits_at_any_place_of_the_batch(n, dtype, rng):
    a = np.concatenate([family("random", n, dtype, rng), family("degenerate", n, dtype, rng)])
    order = rng.permutation(len(a))
    w, v = ep.eigh(a)
    moved_w, moved_v = ep.eigh(a[order])
    assert np.asarray(w)[order].tobytes() == np.asarray(moved_w).tobytes()
    assert np.asarray(v)[order].tobytes() == np.asarray(moved_v).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_matrix_that_fails_leaves_every_bit_of_the_others(dtype, rng):
    a = family("random", 5, dtype, rng)
    spoiled = a.copy()
    spoiled[3, 4, 1] = np.nan
    spoiled[20, 0, 0] = np.inf
    good = np.setdiff1d(np.arange(BATCH), [3, 20])
    for clean, result in zip(ep.eigh(a), ep.eigh(spoiled), strict=True):
        clean, result = np.asarray(clean), np.asarray(result)
        assert np.all(np.isnan(result[[3, 20]]))
        assert clean[good].tobytes() == result[good].tobytes()


def test_gradient_of_a_small_batch(rng):
    a = family("random", 6, "float64", rng)
    c = rng.normal(size=6)
    gradient = jax.grad(lambda x: jnp.sum(ep.eigvalsh(x) @ c))(a)
    _, v = np.linalg.eigh(a)
    expected = (v * c) @ v.swapaxes(1, 2)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.skipif(not KERNELS, reason="XLA's Cholesky overflows here, and the result is NaN")
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "x", "small"),
    [("float32", 4.5e-19, 1.2e-38), ("float64", 5e-154, 2.3e-308), ("complex64", 4.5e-19, 1.2e-38)],
)
def test_nearly_singular_b(n, dtype, x, small):
    """The reduced matrix is large though a and b are of size one."""
    a, b = np.eye(n), np.eye(n)
    a[:2, :2], b[1, 1] = [[0, 1.99], [1.99, x]], small
    a, b = a.astype(dtype), b.astype(dtype)
    expected = scipy.linalg.eigh(a, b, eigvals_only=True)
    found = ep.eigvalsh(a, b)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    w, v = ep.eigh(a, b)
    np.testing.assert_allclose(w, found, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert np.isfinite(v).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_nothing_to_rotate_nothing_rounded(n, dtype, rng):
    """Eigenvectors of diagonal matrices are unit vectors, and their eigenvalues the entries."""
    entries = np.sort(rng.permuted(np.tile(np.arange(-7.0, 93), (BATCH, 1)), axis=1)[:, :n]).astype(dtype)
    w, v = ep.eigh(jnp.asarray(entries[:, None, ::-1] * np.eye(n, dtype=dtype)))
    np.testing.assert_array_equal(w, entries.real)
    np.testing.assert_array_equal(np.abs(v), np.broadcast_to(np.eye(n)[::-1], v.shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_singular_matrices_of_order_two(dtype):
    """Their lowest eigenvalue must not be negative, not even by rounding: its square root would be NaN."""
    i, j = np.meshgrid(np.arange(1.0, 33), 2.0 ** np.arange(-9, 10))
    x = np.stack([i, i * j], -1).reshape(-1, 2)
    a = (x[:, :, None] * x[:, None, :]).astype(dtype)
    low, high = np.asarray(ep.eigvalsh(jnp.asarray(a))).T
    assert np.all(np.abs(low) <= np.finfo(dtype).eps / 2 * high)
    np.testing.assert_array_equal(low[(j == 1).ravel()], 0)


@pytest.mark.parametrize("n", [2, 4, 5])
@pytest.mark.parametrize("type", [1, 2, 3])
@pytest.mark.parametrize("exponent", [*([-1074, -1060] if KERNELS else []), -900, 900])
def test_pairs_whose_sizes_make_up_for_each_other(exponent, type, n):
    """A denormal A with a tiny or huge B: intermediate results must not be denormal numbers."""
    whole = np.add.outer(np.arange(n), np.arange(n)) % 5 + np.diag(np.arange(n) * 2.0)
    a = np.ldexp(whole, exponent)
    shift = -1000 if (exponent < 0) == (type == 1) else 1000
    b = np.ldexp(3.1 * np.eye(n), shift)
    w = ep.eigvalsh(*(jnp.asarray(np.tile(x, (BATCH, 1, 1))) for x in (a, b)), type=type)
    expected = np.linalg.eigvalsh(whole)
    expected = expected / 3.1 if type == 1 else expected * 3.1
    found = np.ldexp(w, -exponent + (shift if type == 1 else -shift))
    assert np.abs(found - expected).max() <= 20 * n * np.finfo(float).eps * np.abs(expected).max()
