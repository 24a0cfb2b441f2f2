"""Some of the eigenpairs: SciPy's subset_by_index, with derivatives."""

from concurrent.futures import ThreadPoolExecutor

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from eigenpair import eigh, eigvalsh, fix_gauge
from eigenpair.degeneracy import check, mask
from eigenpair.hermitian.subset import _solve_by_xla, _solve_p
from eigenpair.hermitian.subset_rule import _complement_by_xla, complement_p
from finite_differences import assert_gradient
from problems import TYPES, adjoint, eps, moduli, of_matrices, problem, random, unitary, with_spectrum


@pytest.mark.parametrize("subset", [(0, 0), (1, 2), (3, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("type", TYPES)
def test_values(type, subset):
    matrices, options = problem(type, "complex128", 4, (2,))
    whole = eigh(*matrices, **options)
    part = eigh(*matrices, **options, subset_by_index=subset)
    chosen = slice(subset[0], subset[1] + 1)
    np.testing.assert_allclose(part.eigenvalues, whole.eigenvalues[..., chosen], rtol=1e-12)
    expected = fix_gauge(whole.eigenvectors[..., chosen])
    np.testing.assert_allclose(fix_gauge(part.eigenvectors), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        eigvalsh(*matrices, **options, subset_by_index=subset), part.eigenvalues, rtol=1e-12, atol=1e-13
    )


def test_equals_scipy():
    (a, b), _ = problem(1, n=5, lower=True)
    expected = scipy.linalg.eigh(a, b, subset_by_index=(1, 3))
    found = eigh(a, b, lower=True, subset_by_index=(1, 3))
    np.testing.assert_allclose(found.eigenvalues, expected[0], rtol=1e-12)
    assert found.eigenvectors.shape == expected[1].shape


@pytest.mark.parametrize("type", TYPES)
def test_gradients(type):
    """The vectors outside the subset contribute to the gradient, because those inside rotate into them."""
    matrices, options = problem(type, lower=True)
    assert_gradient(of_matrices(moduli, **options, subset_by_index=(1, 1)), matrices)


def test_clusters_outside_do_not_matter_and_inside_do():
    a = with_spectrum([1.0, 1, 2, 3])

    def loss(x, first, last):
        return moduli(*eigh(x, subset_by_index=(first, last)))

    assert np.isfinite(jax.grad(loss)(a, 2, 3)).all()
    assert np.isnan(jax.grad(loss)(a, 0, 0)).all()
    assert np.isnan(jax.grad(loss)(a, 1, 2)).all()


def test_numpy_integers_and_lists():
    (a,), _ = problem()
    expected = eigvalsh(a, subset_by_index=(0, 1))
    for subset in ([0, 1], (np.int64(0), np.int32(1)), np.array([0, 1])):
        np.testing.assert_array_equal(eigvalsh(a, subset_by_index=subset), expected)


# For large matrices the rest is not computed at all: `eigenpair.hermitian.subset`.


def large(dtype="float64", n=64, seed="large", spectrum=None):
    if spectrum is not None:
        return with_spectrum(spectrum, seed, dtype)
    m = random(seed, (n, n), dtype)
    return m + adjoint(m)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("spectrum", ["spread", "two values", "all equal", "tiny", "diagonal"])
def test_few_values_alone(spectrum, dtype):
    """Computed by bisection, unless that miscounts equal eigenvalues."""
    n = 80
    w = {
        "spread": np.linspace(-1, 1, n),
        "two values": np.repeat([-1.0, 1], n // 2),
        "all equal": np.full(n, 3.0),
        "tiny": np.linspace(-1, 1, n) * (1e-30 if dtype == "float32" else 1e-290),
        "diagonal": np.sort(np.arange(n) % 5.0),
    }[spectrum]
    a = jnp.diag(jnp.asarray(w[::-1], dtype)) if spectrum == "diagonal" else large(dtype, spectrum=w)
    for count in (1, 3):
        for first in (0, 17, n // 2 - 1, n - count):
            found = eigvalsh(a, subset_by_index=(first, first + count - 1))
            off = np.abs(found.astype(float) - w[first : first + count]).max()
            assert off <= 10 * n**0.5 * eps(dtype) * np.abs(w).max(), (first, count, off)


def by_slicing(x, subset, **options):
    w, v = eigh(x, **options)
    return w[..., subset[0] : subset[1] + 1], v[..., subset[0] : subset[1] + 1]


def test_a_large_matrix_goes_this_way():
    a = large()
    for subset, expected in (((0, 3), True), ((60, 63), True), ((0, 40), False)):
        assert (
            "eigenpair_subset" in str(jax.make_jaxpr(lambda x, s=subset: eigh(x, subset_by_index=s))(a))
        ) == expected
    for policy in (mask(1e-9), check(generic_basis=True)):
        text = str(jax.make_jaxpr(lambda x, p=policy: eigvalsh(x, subset_by_index=(0, 3), degeneracy=p))(a))
        assert "eigenpair_subset" not in text


@pytest.mark.parametrize(
    ("subset", "dtype", "lower"),
    [
        ((0, 4), "float64", None),
        ((20, 26), "float64", True),
        ((63, 63), "float64", False),
        ((0, 4), "complex128", True),
        ((20, 27), "complex128", None),
        ((60, 63), "float32", False),
        ((20, 22), "complex64", None),
    ],
)
def test_large_equals_the_slice_of_all(subset, dtype, lower):
    a, direction = large(dtype), random("direction", (64, 64), dtype)
    weights = random("weights", (64, subset[1] - subset[0] + 1), np.finfo(dtype).dtype)

    def loss(w, v):
        return jnp.sum(jnp.sin(w)) + jnp.sum(weights * jnp.abs(v) ** 2)

    def part(x):
        return loss(*eigh(x, lower=lower, subset_by_index=subset))

    def whole(x):
        return loss(*by_slicing(x, subset, lower=lower))

    def check_equal(found, expected, factor):
        assert found.dtype == expected.dtype
        # The loss is a sum of terms larger than itself.
        assert np.abs(found - expected).max() <= factor * eps(dtype) * max(np.abs(expected).max(), 1)

    def first_order(f):
        return jax.jit(lambda x: (*jax.value_and_grad(f)(x), jax.jvp(f, (x,), (direction,))[1]))(a)

    for found, expected, factor in zip(first_order(part), first_order(whole), (1e3, 1e4, 1e4), strict=True):
        check_equal(found, expected, factor)
    chosen = eigvalsh(a, lower=lower)[subset[0] : subset[1] + 1]
    check_equal(eigvalsh(a, lower=lower, subset_by_index=subset), chosen, 1e3)
    if eps(dtype) < 1e-10:

        def product(f, along):
            return jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (along,))[1])(a)

        check_equal(product(part, direction), product(whole, direction), 1e5)
        if dtype == "float64":
            reverse = jax.jit(jax.grad(lambda x: jnp.vdot(direction, jax.grad(part)(x))))(a)
            symmetric = (direction + direction.T) / 2 if lower is None else direction
            check_equal(reverse, product(whole, symmetric), 1e5)


def test_large_by_finite_differences():
    a = large()
    assert_gradient(lambda x: moduli(*eigh(x, lower=True, subset_by_index=(2, 5))), (a,))
    assert_gradient(lambda x: jnp.sum(jnp.sin(eigvalsh(x, subset_by_index=(61, 63)))), (a,))


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-12, 1e10, 1e150])
def test_large_at_any_scale(scale):
    a = large()
    w, v = eigh(scale * a, subset_by_index=(3, 6))
    w_one, v_one = eigh(a, subset_by_index=(3, 6))
    np.testing.assert_allclose(w / scale, w_one, rtol=1e-11)
    np.testing.assert_allclose(np.abs(v), np.abs(v_one), atol=1e-10)
    gradient = jax.grad(lambda x: moduli(*eigh(x, subset_by_index=(3, 6))))
    np.testing.assert_allclose(scale * gradient(scale * a), gradient(a), rtol=1e-8, atol=1e-10)


def test_clusters_of_a_large_matrix():
    """A cluster inside the subset is decided as in a whole spectrum; one that the subset cuts is refused if its vectors
    are used; one outside does not matter."""
    spectrum = np.concatenate([[1, 1, 1, 2, 3, 3], np.arange(4, 62)]).astype(float)
    a = large(spectrum=spectrum)

    def projector(x, subset):
        v = eigh(x, subset_by_index=subset).eigenvectors
        return jnp.sum(np.arange(64.0 * 64).reshape(64, 64) % 7 * (v @ v.T))

    for subset in ((0, 2), (0, 3), (3, 5), (4, 5), (6, 9)):
        found = jax.grad(projector)(a, subset)
        whole = jax.grad(lambda x, s=subset: jnp.sum(np.arange(64.0 * 64).reshape(64, 64) % 7 * projection(x, s)))(a)
        np.testing.assert_allclose(found, whole, rtol=1e-9, atol=1e-9)
    for subset in ((0, 0), (1, 3), (4, 4), (5, 9)):
        assert np.isnan(jax.grad(projector)(a, subset)).all()
        assert np.isfinite(jax.grad(lambda x, s=subset: jnp.sum(eigvalsh(x, subset_by_index=s) ** 2))(a)).all()
    direction = large(seed="direction")
    forward = jax.jvp(lambda x: eigh(x, subset_by_index=(2, 4)).eigenvectors, (a,), (direction,))[1]
    np.testing.assert_array_equal(np.isnan(forward).any(0), [True, False, True])


def projection(x, subset):
    return eigenpair.spectral_projector(x, subset[1] + 1) - eigenpair.spectral_projector(x, subset[0])


def test_second_derivatives_where_only_the_rest_is_degenerate():
    """The rule does not divide by gaps between two eigenvalues that are both left out."""
    spectrum = np.concatenate([[1, 2, 3], np.full(61, 5.0)])
    a, direction = large(spectrum=spectrum), large(seed="direction")

    def exact(x):
        return jnp.sum(np.arange(64.0 * 64).reshape(64, 64) % 5 * projection(x, (0, 1)))

    def found(x):
        v = eigh(x, subset_by_index=(0, 1)).eigenvectors
        return jnp.sum(np.arange(64.0 * 64).reshape(64, 64) % 5 * (v @ v.T))

    products = [jax.jvp(jax.grad(f), (a,), (direction,))[1] for f in (found, exact)]
    np.testing.assert_allclose(*products, rtol=1e-9, atol=1e-8)


def test_batches_of_large_matrices_and_a_bad_one():
    a = np.stack([large(seed=k) for k in range(3)])
    a[1, 5, 2] = np.nan
    w, v = map(np.asarray, jax.jit(lambda x: eigh(x, subset_by_index=(0, 3)))(a))
    assert np.isnan(w[1]).all()
    assert np.isnan(v[1]).all()
    for k in (0, 2):
        np.testing.assert_allclose(a[k] @ v[k], v[k] * w[k], atol=1e-11)
    gradient = jax.grad(lambda x: moduli(*eigh(x, subset_by_index=(0, 3))))(a)
    assert np.isnan(gradient[1]).all()
    for k in (0, 2):
        alone = jax.grad(lambda x: moduli(*eigh(x, subset_by_index=(0, 3))))(a[k])
        np.testing.assert_allclose(gradient[k], alone, rtol=1e-10, atol=1e-12)
    mapped = jax.vmap(lambda x: eigvalsh(x, subset_by_index=(0, 3)))(a)
    np.testing.assert_allclose(mapped, w, rtol=1e-12)


def test_where_there_is_no_kernel():
    """The same primitives on XLA's own eigh."""
    a, y = large("complex128"), random("y", (64, 3), "complex128")
    params = {"first": 4, "count": 3, "triangle": "hermitian", "policy": check(), "vectors": True}
    w, v, edges, factor = _solve_p.bind(a, **params)
    w_xla, v_xla, edges_xla, _ = jax.jit(lambda x: _solve_by_xla(x, **params))(a)
    np.testing.assert_allclose(w, w_xla, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(edges, edges_xla, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.abs(v), np.abs(v_xla), atol=1e-11)
    y = y - v @ (adjoint(v) @ y)
    x = complement_p.bind(y, w, v, factor, a, first=4)
    np.testing.assert_allclose(x, _complement_by_xla(y, w, v, factor, a, first=4), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(a @ x - np.asarray(x) * np.asarray(w), y, atol=1e-10)


def test_several_threads_use_one_factor():
    """LAPACK temporarily changes a factor that it only reads, and restores it."""
    a, y = large(n=128), random("y", (128, 1))
    params = {"first": 5, "count": 1, "triangle": "hermitian", "policy": check(), "vectors": True}
    w, v, _, factor = _solve_p.bind(a, **params)
    solve = jax.jit(lambda y: complement_p.bind(y, w, v, factor, a, first=5))
    expected = solve(y)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: jax.block_until_ready(solve(y)), range(400)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("spread", [0.0, 1e-13, 1e-10])
def test_however_singular_the_shifted_matrix_is(spread):
    """Many equal eigenvalues lead to a tridiagonal matrix whose off-diagonal entries are rounding errors, so that
    pivots may have any size."""
    n, count, many = 64, 2, 150
    spectrum = np.concatenate([[1.0, 2, 3], 5 + spread * np.arange(n - 3)])
    bases = np.stack([unitary(("singular", k), n) for k in range(many)])
    c = random("c", (n, n))
    c = c + c.T

    def density(a):
        v = eigh(a, subset_by_index=(0, count - 1)).eigenvectors
        return jnp.sum(c * (v @ v.T))

    a = (bases * spectrum) @ adjoint(bases)
    found = jax.jit(jax.vmap(jax.grad(density)))((a + adjoint(a)) / 2)
    inverse = np.zeros((n, n))
    for j in range(count):
        inverse[count:, j] = 1 / (spectrum[j] - spectrum[count:])
    coupling = adjoint(bases) @ c @ bases * inverse
    expected = bases @ (coupling + adjoint(coupling)) @ adjoint(bases)
    np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())
