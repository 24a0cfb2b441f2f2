"""Some of the eigenpairs of a large definite pair `A v = λ B v`: the rest is not computed, forward or backward."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh
from eigenpair.degeneracy import check, mask, raw
from eigenpair.hermitian.subset import _solve_by_xla, _solve_p
from eigenpair.hermitian.subset_rule import _complement_by_xla, complement_p
from finite_differences import assert_gradient, assert_tangent, derivative
from problems import adjoint, eps, moduli, pair_with, positive, problem, random, spoiled, unitary

N = 64


def pair(spectrum, dtype="float64", smallest=1.0):
    """`(a, b)` with these eigenvalues, where `b` has the given smallest eigenvalue."""
    n = len(spectrum)
    root = unitary("left", n, dtype) * np.sqrt(np.geomspace(smallest, 2, n)) @ unitary("right", n, dtype)
    return pair_with(np.diag(np.asarray(spectrum, float)), root)


def loss(w, v):
    return jnp.sum(jnp.sin(w)) + moduli(w, v)


def of_part(subset, f=loss, **options):
    return lambda *m: f(*eigh(*m, subset_by_index=subset, **options))


def of_whole(subset, f=loss, **options):
    def slices(*m):
        w, v = eigh(*m, **options)
        return f(w[..., subset[0] : subset[1] + 1], v[..., subset[0] : subset[1] + 1])

    return slices


def solves_subset_alone(f, *matrices):
    return "eigenpair_subset" in str(jax.make_jaxpr(f)(*matrices))


def assert_close(found, expected, tolerance):
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max())


def test_what_goes_this_way():
    matrices, _ = problem(1, n=N)
    assert solves_subset_alone(of_part((0, 3)), *matrices)
    assert solves_subset_alone(of_part((0, 3), degeneracy=raw()), *matrices)
    assert not solves_subset_alone(of_part((0, 40)), *matrices)
    for options in ({"type": 2}, {"type": 3}, {"degeneracy": mask(1e-9)}, {"degeneracy": check(generic_basis=True)}):
        assert not solves_subset_alone(of_part((0, 3), **options), *matrices)


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
def test_equals_the_slice_of_all(subset, dtype, lower):
    matrices, options = problem(1, dtype, N, lower=lower)
    direction = tuple(random(k, (N, N), dtype) for k in "ab")
    part, whole = of_part(subset, **options), of_whole(subset, **options)
    assert solves_subset_alone(part, *matrices)
    tolerance = 1e4 * eps(dtype)
    chosen = eigvalsh(*matrices, **options)[subset[0] : subset[1] + 1]
    assert_close(eigvalsh(*matrices, **options, subset_by_index=subset), chosen, tolerance)

    def first_order(f):
        return jax.jit(lambda *m: (jax.value_and_grad(f, (0, 1))(*m), jax.jvp(f, m, direction)))(*matrices)

    (_, gradients), _ = expected = first_order(whole)
    assert_close(first_order(part), expected, tolerance)
    for k in (0, 1):
        assert_close(jax.jit(jax.grad(part, k))(*matrices), gradients[k], tolerance)
    if eps(dtype) > 1e-10:
        return

    def slope(f, *m):
        return sum(jnp.vdot(d, g) for d, g in zip(direction, jax.grad(f, (0, 1))(*m), strict=True))

    def second_order(f):
        forward = jax.jvp(jax.grad(f, (0, 1)), matrices, direction)[1]
        return forward, jax.grad(lambda *m: slope(f, *m), (0, 1))(*matrices) if dtype == "float64" else ()

    products = [jax.jit(lambda f=f: second_order(f))() for f in (part, whole)]
    assert_close(*products, 10 * tolerance)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_by_finite_differences(dtype):
    a, b = pair(8.0 * np.arange(N), dtype)
    # The step along random directions must be small compared with the gaps.
    zero, options = np.zeros((2, N, N), dtype), {"lower": True}
    for subset in ((0, 1), (2, 5)):
        part = of_part(subset, **options)
        assert_gradient(lambda x, y, f=part: 20 * f(a + x / 20, b + y / 20), tuple(zero))
        assert_tangent(lambda x, y, f=part: 20 * f(a + x / 20, b + y / 20), tuple(zero))
    last = jax.jit(lambda *m: jnp.sum(jnp.sin(eigvalsh(*m, subset_by_index=(61, 63), **options) / 100)))
    assert_gradient(lambda x, y: 20 * last(a + x / 20, b + y / 20), tuple(zero))


@pytest.mark.parametrize("varied", [0, 1])
def test_second_derivatives_by_finite_differences(varied):
    """With respect to each matrix alone, so that errors of two terms cannot cancel."""
    matrices, options = problem(1, n=N, lower=True)
    direction = random("direction", (N, N))
    direction = tuple(direction if k == varied else np.zeros((N, N)) for k in (0, 1))
    gradient = jax.jit(jax.grad(of_part((2, 4), **options), (0, 1)))
    found = jax.jvp(gradient, matrices, direction)[1]
    assert_close(found, derivative(gradient, matrices, direction), 1e-8)


def test_vectors_alone_and_values_alone():
    matrices, options = problem(1, n=N)
    for f in (lambda w, v: moduli(w, v), lambda w, v: jnp.sum(w**3)):
        part, whole = (of((3, 6), f, **options) for of in (of_part, of_whole))
        assert_close(jax.grad(part, (0, 1))(*matrices), jax.grad(whole, (0, 1))(*matrices), 1e-11)
    found = eigh(*matrices, subset_by_index=(3, 6), eigvals_only=True)
    assert_close(found, eigvalsh(*matrices)[3:7], 1e-12)
    w, v = map(np.asarray, eigh(*matrices, subset_by_index=(3, 6)))
    a, b = ((m + m.T) / 2 for m in matrices)
    np.testing.assert_allclose(v.T @ b @ v, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(a @ v, b @ v * w, atol=1e-10)


@pytest.mark.parametrize(("of_a", "of_b"), [(1e-150, 1.0), (1e150, 1.0), (1.0, 1e-100), (1e100, 1e100), (1e-12, 1e10)])
def test_at_any_scale(of_a, of_b):
    (a, b), _ = problem(1, n=N)
    w, v = eigh(of_a * a, of_b * b, subset_by_index=(3, 6))
    w_one, v_one = eigh(a, b, subset_by_index=(3, 6))
    np.testing.assert_allclose(w / (of_a / of_b), w_one, rtol=1e-11)
    np.testing.assert_allclose(np.abs(v) * np.sqrt(of_b), np.abs(v_one), atol=1e-10)

    def vectors(x, y):
        return moduli(*eigh(x, y, subset_by_index=(3, 6)))

    found, expected = (jax.grad(vectors, (0, 1))(*m) for m in ((of_a * a, of_b * b), (a, b)))
    for x, y, unit in zip(found, expected, (of_a, of_b), strict=True):
        np.testing.assert_allclose(x * unit * of_b, y, rtol=1e-7, atol=1e-9)


# Degeneracy.


def density(w, v):
    """Smooth in a cluster; through the normalization it depends on `b` there too."""
    return jnp.sum(np.arange(float(N * N)).reshape(N, N) % 7 * (v @ v.T))


def density_by_projectors(a, b, subset):
    root = jnp.linalg.cholesky(b)
    inverse = jnp.linalg.inv(root)
    c = inverse @ ((a + a.T) / 2) @ inverse.T
    p = eigenpair.spectral_projector(c, subset[1] + 1) - eigenpair.spectral_projector(c, subset[0])
    return jnp.sum(np.arange(float(N * N)).reshape(N, N) % 7 * (inverse.T @ p @ inverse))


CLUSTERS = np.concatenate([[1, 1, 1, 2, 3, 3], np.arange(4, 62)])


def test_clusters():
    """A cluster inside the subset is decided as in a whole spectrum; one that the subset cuts is refused if its vectors
    are used; one outside does not matter."""
    matrices = pair(CLUSTERS)
    for subset in ((0, 2), (0, 3), (3, 5), (4, 5), (6, 9)):
        assert_close(
            jax.grad(of_part(subset, density), (0, 1))(*matrices),
            jax.grad(lambda *m, s=subset: density_by_projectors(*m, s), (0, 1))(*matrices),
            1e-9,
        )
    for subset in ((0, 0), (1, 3), (4, 4), (5, 9)):
        for gradient in jax.grad(of_part(subset, density), (0, 1))(*matrices):
            assert np.isnan(gradient).all()
        values = jax.grad(lambda *m, s=subset: jnp.sum(eigvalsh(*m, subset_by_index=s) ** 2), (0, 1))(*matrices)
        assert np.isfinite(values).all()
    for gradient in jax.grad(of_part((0, 2), moduli), (0, 1))(*matrices):
        assert np.isnan(gradient).all()
    direction = problem(1, n=N)[0]
    forward = jax.jvp(lambda *m: eigh(*m, subset_by_index=(2, 4)).eigenvectors, matrices, direction)[1]
    np.testing.assert_array_equal(np.isnan(forward).any(0), [True, False, True])


def test_second_derivatives_where_only_the_rest_is_degenerate():
    matrices = pair(np.concatenate([[1, 2, 3], np.full(N - 3, 5.0)]))
    direction = problem(1, n=N)[0]
    functions = (of_part((0, 1), density), lambda *m: density_by_projectors(*m, (0, 1)))
    products = [jax.jvp(jax.grad(f, (0, 1)), matrices, direction)[1] for f in functions]
    assert_close(*products, 1e-9)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("gap", "refused"), [(1e-4, False), (1e-6, False), (1e-8, None), (1e-10, True), (1e-12, True), (1e-14, True)]
)
def test_close_eigenvalues_are_answered_rightly_or_not_at_all(gap, refused, inside):
    """With an ill-conditioned `b`, rounding errors are larger than the size of the eigenvalues suggests. `None`: either
    outcome is right."""
    matrices = pair(np.concatenate([[1, 1 + gap], np.arange(3, N + 1)]), smallest=1e-4)
    subset = (0, 1) if inside else (1, 2)
    found, expected = (jax.grad(of(subset, moduli), (0, 1))(*matrices) for of in (of_part, of_whole))
    if refused is not None:
        assert np.isnan(found).all() == refused
    if refused is False:
        # Each has the rounding error of its own eigenvalues, over their gap.
        assert_close(found, expected, 1e-11 / gap)
    second = jax.jvp(jax.grad(of_part(subset, moduli), (0, 1)), matrices, matrices[::-1])[1]
    assert np.isnan(second).all()


@pytest.mark.parametrize("gap", [1e-7, 1e-9, 1e-11, 0])
def test_smooth_losses_lose_nothing_by_a_gap(gap):
    """Eigenvalues that form a cluster only because of an ill-conditioned `b` are a cluster in both modes. In forward
    mode, `coupled="mask"` says that the loss uses no more than the space."""
    matrices = pair(np.concatenate([[1, 1 + gap], np.arange(3, N + 1)]), smallest=1e-4)
    direction = tuple((m + m.T) / 2 for m in problem(1, n=N)[0])
    subset = (0, 2)
    part, exact = of_part(subset, density), lambda *m: density_by_projectors(*m, subset)
    assert_close(jax.grad(part, (0, 1))(*matrices), jax.grad(exact, (0, 1))(*matrices), 1e-8)
    assert np.isnan(jax.jvp(part, matrices, direction)[1])
    masked = of_part(subset, density, degeneracy=check(coupled="mask"))
    assert_close(jax.jvp(masked, matrices, direction), jax.jvp(exact, matrices, direction), 1e-8)


@pytest.mark.parametrize("n", [128, 256, 512])
def test_ordinary_pairs_are_answered(n):
    matrices, _ = problem(1, n=n)
    for subset in ((0, 5), (n // 2, n // 2 + 5)):
        for gradient in jax.grad(of_part(subset), (0, 1))(*matrices):
            assert np.isfinite(gradient).all()
    if n == 128:
        for product in jax.jvp(jax.grad(of_part((60, 65)), (0, 1)), matrices, matrices)[1]:
            assert np.isfinite(product).all()


# Batches, and matrices that cannot be solved.


def test_a_bad_pair_in_a_batch_is_one_pair():
    a = np.stack([problem(n=N, seed=k)[0][0] for k in range(6)])
    b = np.stack([positive(k, (N, N)) for k in range(6)])
    a[1, 5, 2] = np.nan
    b[2, 3, 3] = np.inf
    b[4] -= 3 * np.eye(N)
    part = of_part((0, 3))
    w, v = map(np.asarray, jax.jit(lambda *m: eigh(*m, subset_by_index=(0, 3)))(a, b))
    gradients = jax.grad(lambda *m: jnp.sum(jax.vmap(part)(*m)), (0, 1))(a, b)
    together = jax.grad(part, (0, 1))(a, b)
    for k in range(6):
        if k in (1, 2, 4):
            for x in (w, v, *gradients, *together):
                assert np.isnan(x[k]).all()
            continue
        np.testing.assert_allclose((a[k] + a[k].T) / 2 @ v[k], b[k] @ v[k] * w[k], atol=1e-10)
        alone = jax.grad(part, (0, 1))(a[k], b[k])
        for found in (gradients, together):
            assert_close([g[k] for g in found], alone, 1e-11)


def test_batches_share_a_matrix():
    """Axes of one operand only, under vmap and by broadcasting."""
    (a, b), _ = problem(1, n=N)
    many = np.stack([a, a + np.eye(N), 2 * a])
    part = of_part((1, 3))
    expected = jnp.stack([part(x, b) for x in many])
    np.testing.assert_allclose(jax.vmap(part, (0, None))(many, b), expected, rtol=1e-12)
    np.testing.assert_allclose(jnp.sum(expected), part(many, b), rtol=1e-12)
    gradient = jax.grad(part, 1)(many, b)
    assert_close(gradient, sum(jax.grad(part, 1)(x, b) for x in many), 1e-11)
    jacobian = jax.jacrev(lambda x: eigh(x, b, subset_by_index=(1, 3)).eigenvalues)(a)
    assert_close(jacobian, jax.jacfwd(lambda x: eigh(x, b, subset_by_index=(1, 3)).eigenvalues)(a), 1e-11)
    jacobian = jax.jacrev(lambda y: jnp.abs(eigh(a, y, subset_by_index=(1, 3)).eigenvectors[:2]))(b)
    assert_close(jacobian, jax.jacfwd(lambda y: jnp.abs(eigh(a, y, subset_by_index=(1, 3)).eigenvectors[:2]))(b), 1e-11)


def test_the_gradient_of_a_batch_does_not_hang():
    a = np.stack([problem(n=N, seed=k)[0][0] for k in range(40)])
    b = np.stack([positive(k, (N, N)) for k in range(40)])
    several = jax.jit(lambda *m: [jax.grad(of_part((k, k + 2)), (0, 1))(*m) for k in range(8)])
    assert all(np.isfinite(g).all() for gs in several(a, b) for g in gs)


def test_where_there_is_no_kernel():
    """The same primitives on XLA's own eigh."""
    matrices, _ = problem(1, "complex128", N)
    a, b = matrices = tuple((m + adjoint(m)) / 2 for m in matrices)
    y = random("y", (N, 3), "complex128")
    params = {"first": 4, "count": 3, "triangle": "hermitian", "policy": check(), "vectors": True}
    w, v, edges, factor = _solve_p.bind(*matrices, **params)
    w_xla, v_xla, edges_xla, factor_xla = jax.jit(lambda *m: _solve_by_xla(*m, **params))(*matrices)
    np.testing.assert_allclose(w, w_xla, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(edges[:2], edges_xla[:2], rtol=1e-12, atol=1e-12)
    assert edges_xla[2] <= edges[2] <= 10 * edges_xla[2]
    np.testing.assert_allclose(np.abs(v), np.abs(v_xla), atol=1e-11)
    assert factor.shape == factor_xla.shape
    x = complement_p.bind(y, w, v, factor, *matrices, first=4)
    by_xla = _complement_by_xla(y, w, v, factor, *matrices, first=4)
    np.testing.assert_allclose(x, by_xla, rtol=1e-10, atol=1e-11)
    x, w = np.asarray(x), np.asarray(w)
    np.testing.assert_allclose(a @ x - b @ x * w, y - b @ v @ (adjoint(v) @ y), atol=1e-10)
    np.testing.assert_allclose(adjoint(v) @ b @ x, 0, atol=1e-11)


def test_only_the_triangle_is_read():
    matrices, _ = problem(1, "complex128", N)
    expected = eigvalsh(*matrices, subset_by_index=(2, 5))
    for lower in (True, False):
        hermitian = [(m + adjoint(m)) / 2 for m in matrices]
        found = eigvalsh(*(spoiled(m, lower) for m in hermitian), lower=lower, subset_by_index=(2, 5))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
