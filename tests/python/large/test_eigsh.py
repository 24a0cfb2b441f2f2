"""`eigsh` against `eigh`: values and derivatives, over problems, precisions and modes; and spectra known by hand."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from eigenpair.large import eigsh
from jax.experimental import sparse
from operators_by_hand import chain, chain_matrix, cube, cube_eigenvalues
from problems import DTYPES, adjoint, eps, inner, positive, random, with_spectrum

N, K = 60, 4
SPECTRA = {
    "distinct": [-3.0, -2.2, -1.0, 0.5],
    "repeated": [-3.0, -1.0, -1.0, -1.0],
    "clustered": [-3.0, -1.0, -1.0 + 1e-4, 0.5],
}


def spectrum(name):
    return np.concatenate([SPECTRA[name], np.linspace(2, 9, N - K)])


def hermitian_direction(seed, dtype, n=N):
    x = random(seed, (n, n), dtype)
    return ((x + adjoint(x)) / 2 / np.sqrt(n)).astype(dtype)


def matrices(name, dtype, generalized):
    """`t ↦ A(t)` or `(A(t), B(t))`, two parameters."""
    a = with_spectrum(spectrum(name), name, dtype)
    e1, e2 = (hermitian_direction(i, dtype) for i in "ab")
    if not generalized:

        def one(t):
            t = t.astype(dtype)
            return (a + t[0] * e1 + t[0] * t[1] * e2 + t[1] ** 2 * e1,)

        return one
    b = positive("b", (N, N), dtype)
    half = np.linalg.cholesky(b.astype(np.result_type(dtype, np.float64)))
    a = (half @ a @ adjoint(half)).astype(dtype)
    a = (a + adjoint(a)) / 2

    def both(t):
        t = t.astype(dtype)
        return a + t[0] * e1 + t[0] * t[1] * e2, b + t[1] * e2 / 8 + t[0] * t[1] * e1 / 8

    return both


def loss(w, v):
    """A loss of the projector and of symmetric functions of the eigenvalues, which has a derivative at any degeneracy
    inside."""
    c = random("loss", (N, N), v.dtype)
    return inner(c, v @ jnp.conj(v.T)) + jnp.sum(w**2)


@pytest.mark.parametrize("generalized", [False, True], ids=["standard", "generalized"])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_gradients(dtype, name, generalized):
    f = matrices(name, dtype, generalized)
    tol = 2e3 * eps(dtype) ** (0.8 if eps(dtype) < 1e-10 else 0.9)
    if name == "clustered" and eps(dtype) > 1e-10:
        pytest.skip("a gap of 1e-4 between vectors in single precision")

    def large(t):
        a, *b = f(t)
        w, v = eigsh(a, K, b=b[0] if b else None, solver="krylov")
        return loss(w, v), w

    def dense(t):
        w, v = eigenpair.eigh(*f(t))
        return loss(w[:K], v[:, :K]), w[:K]

    t = jnp.zeros(2, np.finfo(dtype).dtype) + (0.1 if name == "distinct" else 0)
    (value, w), gradient = jax.value_and_grad(large, has_aux=True)(t)
    (expected, expected_w), expected_gradient = jax.value_and_grad(dense, has_aux=True)(t)
    np.testing.assert_allclose(w, expected_w, atol=tol)
    np.testing.assert_allclose(value, expected, rtol=30 * tol, atol=30 * tol)
    scale = np.max(np.abs(expected_gradient))
    np.testing.assert_allclose(gradient, expected_gradient, atol=300 * tol * scale)


@pytest.mark.parametrize("generalized", [False, True], ids=["standard", "generalized"])
def test_forward_mode_and_second_order(generalized):
    f = matrices("distinct", "complex128", generalized)
    c = random("vector", N, "complex128")

    def of(w, v):
        return jnp.sum(w**3) + jnp.sum(jnp.abs(jnp.conj(c) @ v) ** 2 * jnp.arange(1.0, K + 1))

    def large(t):
        a, *b = f(t)
        return of(*eigsh(a, K, b=b[0] if b else None, tol=1e-14))

    def dense(t):
        w, v = eigenpair.eigh(*f(t))
        return of(w[:K], v[:, :K])

    t, d = jnp.array([0.1, 0.2]), jnp.array([1.0, -0.5])
    np.testing.assert_allclose(jax.jvp(large, (t,), (d,))[1], jax.jvp(dense, (t,), (d,))[1], rtol=1e-8)
    # Forward over reverse, in one direction: half of the Hessian is half of the compilation.
    found = jax.jvp(jax.grad(large), (t,), (d,))[1]
    np.testing.assert_allclose(found, jax.jvp(jax.grad(dense), (t,), (d,))[1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("solver", ["krylov", "lobpcg", "arpack", "primme"])
def test_every_copy_of_the_cube(solver):
    """1, 3, 3, 1, 3 and 6 in a discrete cube."""
    if solver == "primme":
        pytest.importorskip("primme")
    a, w = cube(7), cube_eigenvalues(7)
    ends = np.flatnonzero(np.diff(w) > 1e-9)[:6] + 1
    assert list(np.diff(ends)) == [3, 3, 1, 3, 6] or list(np.diff(ends)) == [3, 3, 3, 1, 6]
    for k in ends if solver != "lobpcg" else ends[:3]:
        found = eigsh(a, int(k), solver=solver)
        assert np.all(found.converged)
        assert found.solver == f"{solver}: as asked"
        np.testing.assert_allclose(found.eigenvalues, w[:k], atol=1e-11)
        gram = found.eigenvectors.T @ found.eigenvectors
        np.testing.assert_allclose(gram, np.eye(k), atol=1e-10)


def test_missed_copies_are_found_by_the_search():
    """Five copies and blocks of two: in exact arithmetic, the Krylov space of the first pass cannot contain all
    copies."""
    w = np.concatenate([np.ones(5), np.linspace(2, 3, 95)])
    for k in (2, 5):
        found = eigsh(jnp.diag(w), k, solver="krylov")
        np.testing.assert_allclose(found.eigenvalues, np.ones(k), atol=1e-12)
        assert np.all(found.converged)


@pytest.mark.parametrize("solver", ["krylov", "arpack"])
@pytest.mark.parametrize("which", ["SA", "LA", "LM", "BE"])
def test_which(which, solver):
    w = np.concatenate([np.linspace(-5, -2, 40), np.linspace(0, 1, 30), np.linspace(3, 7, 50)])
    a = with_spectrum(w, "which")
    order = {"SA": np.argsort(w), "LA": np.argsort(-w), "LM": np.argsort(-np.abs(w))}
    expected = w[order[which][:5]] if which != "BE" else np.concatenate([w[:2], w[-3:]])
    found = eigsh(a, 5, which=which, solver=solver)
    np.testing.assert_allclose(found.eigenvalues, np.sort(expected), atol=1e-11)

    def projected(a):
        v = eigsh(a, 5, which=which, solver=solver).eigenvectors
        return jnp.sum(v[3] ** 2)

    def by_eigh(a):
        w, v = eigenpair.eigh(a)
        chosen = np.sort(np.argsort(np.asarray(jax.lax.stop_gradient(w)))[np.isin(np.arange(120), places)])
        return jnp.sum(v[3, chosen] ** 2)

    places = np.searchsorted(w, np.sort(expected))
    np.testing.assert_allclose(jax.grad(projected)(a), jax.grad(by_eigh)(jnp.asarray(a)), atol=1e-9)


def test_operators_in_every_form_agree():
    lineax = pytest.importorskip("lineax")
    n = 90
    weights = jnp.asarray(1 + 0.5 * np.cos(np.arange(n)))
    pattern = np.nonzero(np.asarray(chain_matrix(jnp.ones(n))))
    indices = jnp.asarray(np.stack(pattern, axis=1))

    def entries(w):
        return chain_matrix(w)[pattern]

    def bcoo(w):
        return sparse.BCOO((entries(w), indices), shape=(n, n))

    def of_lineax(w):
        return lineax.FunctionLinearOperator(chain(w), jax.ShapeDtypeStruct((n,), w.dtype), lineax.symmetric_tag)

    forms = {
        "dense": chain_matrix,
        "bcoo": bcoo,
        "bcsr": lambda w: sparse.BCSR.from_bcoo(bcoo(w)),
        "function": chain,
        "lineax function": of_lineax,
        "lineax matrix": lambda w: lineax.MatrixLinearOperator(chain_matrix(w)),
    }
    c = random("c", n)

    def of(form):
        def total(w):
            e, v = eigsh(form(w), 3, solver="krylov", n=n, dtype=w.dtype)
            return jnp.sum(e) + jnp.sum((c @ v) ** 2)

        return total

    def dense(w):
        e, v = eigenpair.eigh(chain_matrix(w))
        return jnp.sum(e[:3]) + jnp.sum((c @ v[:, :3]) ** 2)

    expected = jax.grad(dense)(weights)
    for name, form in forms.items():
        np.testing.assert_allclose(jax.grad(of(form))(weights), expected, atol=1e-8, err_msg=name)
    found = eigsh(scipy.sparse.csr_array(np.asarray(chain_matrix(weights))), 3, solver="arpack")
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(chain_matrix(weights))[:3], atol=1e-12)


@pytest.mark.parametrize("options", [{"solver": "arpack"}, {"sigma": -0.1}, {"sigma": 1.7}], ids=str)
@pytest.mark.parametrize("traced", [False, True])
def test_sparse_gradients_by_the_host(options, traced):
    a = cube(6)
    rng = np.random.default_rng(0)
    a.data = a.data + 0.3 * rng.random(a.nnz)
    a = ((a + a.T) / 2).tocoo()
    indices = jnp.asarray(np.stack([a.row, a.col], axis=1))
    c = rng.normal(size=a.shape[0])

    def large(data):
        w, v = eigsh(sparse.BCOO((data, indices), shape=a.shape), 3, **options)
        return jnp.sum(w**2) + jnp.sum((c @ v) ** 2 * jnp.arange(3.0))

    def dense(data):
        w, v = eigenpair.eigh(jnp.zeros(a.shape).at[a.row, a.col].add(data))
        near = (
            np.argsort(np.abs(w0 - options.get("sigma", -np.inf)), kind="stable")[:3]
            if "sigma" in options
            else range(3)
        )
        near = np.sort(np.asarray(near))
        return jnp.sum(w[near] ** 2) + jnp.sum((c @ v[:, near]) ** 2 * jnp.arange(3.0))

    w0 = np.linalg.eigvalsh(a.toarray())
    data = jnp.asarray(a.data)
    gradient = jax.grad(large)
    found = (jax.jit(gradient) if traced else gradient)(data)
    np.testing.assert_allclose(found, jax.grad(dense)(data), atol=1e-9)


def test_sigma_of_a_pair():
    a = with_spectrum(np.concatenate([[1.0, 1.0, 2.0], np.linspace(4, 9, 57)]), 3)
    b = positive("sigma", (60, 60))
    w = np.linalg.eigvals(np.linalg.solve(b, a))
    expected = np.sort(np.sort(w.real)[np.argsort(np.abs(np.sort(w.real) - 2.3))[:4]])
    found = eigsh(a, 4, b=b, sigma=2.3)
    np.testing.assert_allclose(found.eigenvalues, expected, atol=1e-11)
    np.testing.assert_allclose(found.eigenvectors.T @ b @ found.eigenvectors, np.eye(4), atol=1e-11)
    e = hermitian_direction("e", "float64")

    def large(t):
        w, v = eigsh(a + t * e, 4, b=b + t * e / 9, sigma=2.3)
        return jnp.sum(v[2] ** 2) + jnp.sum(w)

    h = 1e-4
    rate = (large(h) - large(-h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(large)(0.0), rate, rtol=1e-6)


def test_preconditioner_serves_solve_and_derivatives():
    n = 300
    steep = jnp.asarray(np.linspace(1.0, 1e3, n) ** 2)
    couple = jnp.asarray(random("couple", n))

    def operator(t):
        return lambda x: steep * x + t * couple * jnp.dot(couple, x)

    def loss(t, **options):
        w, v = eigsh(operator(t), 2, n=n, dtype=float, tol=1e-9, **options)
        return jnp.sum(w) + jnp.sum(v[:5] ** 2)

    helped = eigsh(operator(0.3), 2, n=n, dtype=float, tol=1e-9, preconditioner=lambda x: x / steep)
    assert helped.solver == "lobpcg: there is a preconditioner"
    assert helped.iterations < 60
    assert np.all(helped.converged)
    slope = jax.grad(loss)(0.3, preconditioner=lambda x: x / steep)
    dense = jnp.diag(steep)

    def by_eigh(t):
        w, v = eigenpair.eigh(dense + t * jnp.outer(couple, couple))
        return jnp.sum(w[:2]) + jnp.sum(v[:5, :2] ** 2)

    np.testing.assert_allclose(slope, jax.grad(by_eigh)(0.3), rtol=1e-6)


def test_start_from_the_last_step():
    n = 150
    w = jnp.asarray(1 + 0.1 * np.sin(np.arange(n)))
    cold = eigsh(chain(w), 4, n=n, dtype=float)
    warm = eigsh(chain(w * 1.0001), 4, v0=cold.eigenvectors)
    assert np.all(warm.converged)
    assert warm.iterations < 0.85 * cold.iterations
    np.testing.assert_allclose(warm.eigenvalues, 1.0001 * cold.eigenvalues, rtol=1e-8)


def test_vmap_and_jit():
    n = 80
    weights = jnp.asarray(1 + 0.3 * np.cos(np.arange(3 * n)).reshape(3, n))

    def loss(w):
        e, v = eigsh(chain(w), 2, n=n, dtype=float)
        return jnp.sum(e) + jnp.sum(v[7] ** 2)

    found = jax.jit(jax.vmap(jax.value_and_grad(loss)))(weights)
    for i in range(3):
        value, gradient = jax.value_and_grad(loss)(weights[i])
        np.testing.assert_allclose(found[0][i], value, rtol=1e-10)
        np.testing.assert_allclose(found[1][i], gradient, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e10])
def test_scales(scale):
    n = 80
    w = jnp.asarray(1 + 0.3 * np.cos(np.arange(n)))

    def first(w):
        return eigsh(chain(w), 2, n=n, dtype=float).eigenvectors[3, 0] ** 2

    one, other = eigsh(chain(w), 2, n=n, dtype=float), eigsh(chain(scale * w), 2, n=n, dtype=float)
    np.testing.assert_allclose(other.eigenvalues, scale * one.eigenvalues, rtol=1e-9)
    np.testing.assert_allclose(scale * jax.grad(first)(scale * w), jax.grad(first)(w), atol=1e-7)


def test_result_unpacks_and_says_what_was_chosen():
    a = with_spectrum(spectrum("distinct"), 1)
    result = eigsh(a, 2)
    w, v = result
    assert w.shape == (2,)
    assert v.shape == (N, 2)
    assert result.residuals.shape == (2,)
    assert result.converged.dtype == bool
    assert result.solver.startswith("krylov: ")
    assert len(result) == 2
    assert jax.tree.leaves(jax.jit(lambda a: eigsh(a, 2))(a))[0].shape == (2,)
