"""Functions of general matrices: values and two derivatives, wherever the function has them, and NaN elsewhere."""

import functools

import eigenpair as ep
import finite_differences
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from eigenpair.spectral import divided_differences, matrix_function_forms, triangular
from problems import random

FUNCTIONS = {
    "exp": (lambda x: jnp.exp(1j * x), lambda x: mp.exp(1j * x)),
    "sqrt": (jnp.sqrt, mp.sqrt),
    "log": (jnp.log, mp.log),
}
NAMED = {"sqrt": ep.sqrtm, "log": ep.logm}
WEIGHT = random("weight", (4, 4), "complex128")


def similar(seed, m):
    p = random(seed, m.shape) + 3 * np.eye(len(m))
    return p @ m @ np.linalg.inv(p)


def jordan(*blocks):
    return scipy.linalg.block_diag(*(x * np.eye(k) + np.diag(np.ones(k - 1), 1) for x, k in blocks))


MATRICES = {
    "distinct": similar("distinct", np.diag([1.0, 1.5, 2.2, 3.0])),
    "pairs": random("pairs", (4, 4)) + 4 * np.eye(4),
    "triple": similar("triple", np.diag([0.5, 0.5, 0.5, 2.0])),
    "scalar": 1.5 * np.eye(4),
    "close": similar("close", np.diag([1.0, 1.0 + 1e-9, 2.0, 2.0 + 1e-5])),
    "jordan": jordan((1.0, 2), (2.0, 2)),
    "chain": similar("chain", jordan((1.5, 4))),
    "nearly": similar("nearly", jordan((1.0, 3), (2.0, 1)) + np.diag([0, 1e-6, 0, 0])),
    "beside": similar("beside", jordan((1.0, 2), (1.0, 1), (1.0 + 1e-7, 1))),
    "graded": np.diag([1e-3, 1e-2, 0.1, 1.0]) @ (random("graded", (4, 4)) / 8 + np.eye(4)),
    "complex": random("complex", (4, 4), "complex128") / 4 + 2 * np.eye(4),
}
SINGLE = [name for name in MATRICES if name not in ("close", "graded")]


def exact(f, a):
    """`f(A)` by mpmath, from the eigenvalues of A plus a perturbation of 1e-60, which makes them distinct."""
    n = len(a)
    with mp.workdps(300):
        noise = random("noise", (n, n))
        m = mp.matrix(n, n)
        for i in range(n):
            for j in range(n):
                m[i, j] = mp.mpmathify(complex(a[i, j])) + mp.mpf(noise[i, j]) * mp.mpf(10) ** -60
        w, v = mp.eig(m)
        result = v * mp.diag([f(x) for x in w]) * mp.inverse(v)
        return np.array([[complex(result[i, j]) for j in range(n)] for i in range(n)])


def corner(f, a, *directions):
    """The derivative along the directions, one after the other, in the corner of a larger matrix."""
    n, blocks = len(a), len(directions) + 1
    m = np.zeros((blocks * n, blocks * n), complex)
    for k in range(blocks):
        m[k * n : (k + 1) * n, k * n : (k + 1) * n] = a
    for k, e in enumerate(directions):
        m[k * n : (k + 1) * n, (k + 1) * n : (k + 2) * n] = e
    return exact(f, m)[:n, -n:]


@functools.cache
def expected(name, matrix):
    a, f = MATRICES[matrix], FUNCTIONS[name][1]
    e = random("direction", (4, 4))
    return exact(f, a), corner(f, a, e), 2 * corner(f, a, e, e)


@functools.cache
def compiled(name, named):
    f = NAMED[name] if named else functools.partial(ep.matrix_function, FUNCTIONS[name][0])

    def derivatives(a, e):
        def slope(a):
            return jax.jvp(f, (a,), (e,))

        (value, first), (_, second) = jax.jvp(slope, (a,), (e,))
        return value, first, second

    def reverse(a, e):
        gradient, curvature = jax.jvp(jax.grad(lambda a: weighted(f(a))), (a,), (e,))
        return gradient, curvature

    return jax.jit(derivatives), jax.jit(reverse)


def weighted(x):
    return jnp.real(jnp.sum(jnp.einsum("...ij,ij->...", x, WEIGHT.astype(x.dtype))))


def close(found, right, tolerance):
    np.testing.assert_allclose(found, right, rtol=0, atol=tolerance * np.max(np.abs(right)))


@pytest.mark.parametrize("matrix", MATRICES)
# sqrtm and logm use special algorithms; without them, sqrt represents both.
@pytest.mark.parametrize(("name", "named"), [("exp", False), ("sqrt", False), ("sqrt", True), ("log", True)])
def test_derivatives(name, named, matrix):
    a, e = MATRICES[matrix], random("direction", (4, 4)).astype(MATRICES[matrix].dtype)
    right = expected(name, matrix)
    forward, reverse = compiled(name, named)
    tolerance = 1e-8 if matrix == "graded" else 1e-11
    for found, value in zip(forward(a, e), right, strict=True):
        close(found, value, tolerance)
    # The derivative along the same direction by reverse mode.
    gradient, curvature = reverse(a, e)
    np.testing.assert_allclose(np.sum(gradient * e).real, np.sum(right[1] * WEIGHT).real, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.sum(curvature * e).real, np.sum(right[2] * WEIGHT).real, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("matrix", SINGLE)
def test_single_precision(matrix, dtype):
    a = MATRICES[matrix]
    if np.iscomplexobj(a) and dtype == "float32":
        pytest.skip("complex")
    value, slope, _ = compiled("sqrt", False)[0](a.astype(dtype), random("direction", (4, 4)).astype(dtype))
    assert value.dtype == np.complex64
    right = expected("sqrt", matrix)
    close(value, right[0], 2e-4)
    close(slope, right[1], 2e-3)


def signs(matrix):
    return MATRICES[matrix] - 1.2 * np.eye(4)


@pytest.mark.parametrize("matrix", ["distinct", "triple", "jordan", "nearly", "beside", "pairs"])
def test_sign(matrix):
    a = signs(matrix)
    s = ep.signm(a)
    assert s.dtype == a.dtype
    np.testing.assert_allclose(s @ s, np.eye(4), atol=1e-11)
    e, zero = random("direction", (4, 4)), np.zeros((4, 4))
    close(s, newton(a), 1e-10)
    _, slope = jax.jvp(ep.signm, (a,), (e,))
    right = newton(np.block([[a, e], [zero, a]]))[:4, 4:]
    close(slope, right, 1e-8)
    c = random("c", (4, 4))
    gradient, curvature = jax.jvp(jax.grad(lambda a: jnp.sum(c * ep.signm(a))), (a,), (e,))
    np.testing.assert_allclose(np.sum(gradient * e), np.sum(c * right), rtol=1e-8)
    right = 2 * newton(np.block([[a, e, zero], [zero, a, e], [zero, zero, a]]))[:4, 8:]
    np.testing.assert_allclose(np.sum(curvature * e), np.sum(c * right), rtol=1e-6)


def newton(x):
    """The sign of a matrix by Newton's iteration."""
    for _ in range(60):
        x = (x + np.linalg.inv(x)) / 2
    return x


def test_sign_of_many_signs():
    t = np.triu(random("t", (8, 8), "complex128"), 1) + np.diag([1, -2, 1, 3, -1, -1 + 2j, 2, -2])
    close(triangular.sign(jnp.asarray(t)), newton(t), 1e-12)


@pytest.mark.parametrize("ordered", [False, True])
def test_groups_need_not_be_neighbours(ordered):
    w = np.array([1.0, 2.0, 1.0, 3.0, 2.0, 1.0], complex)
    w = np.sort(w) if ordered else w
    t = jnp.asarray(np.triu(random("t", (6, 6)), 1) + np.diag(w))
    same = w[:, None] == w[None, :]
    y, d = triangular.block_diagonal(t, jnp.asarray(same))
    np.testing.assert_allclose(t @ y, y @ d, atol=1e-12)
    np.testing.assert_array_equal(np.where(same, 0, d), 0)
    np.testing.assert_array_equal(np.where(same, y, 0), np.eye(6))


def test_second_differences_of_complex_numbers():
    w = np.array([1.0, 1.0, 1.0 + 1e-9j, 1.3 + 0.4j, 2.0, 1.3 - 0.4j])
    x, y = np.broadcast_arrays(w[:, None], w[None, :])
    slopes = divided_differences.slope(jnp.exp, jnp.asarray(x), jnp.asarray(y))
    for k in range(6):
        found = np.asarray(matrix_function_forms.second(slopes, jnp.asarray(w), k))
        for i in range(6):
            for j in range(6):
                t = np.diag(w[[i, k, j]]) + np.diag([1, 1], 1)
                np.testing.assert_allclose(found[i, j], scipy.linalg.expm(t)[0, 2], rtol=1e-12)


# ---- matrices without a function, or without a derivative ------------------------------------------------------------


def finite(x):
    return bool(np.isfinite(x).all())


ROOT = functools.partial(ep.matrix_function, jnp.sqrt)


@pytest.mark.parametrize("f", [ROOT, ep.sqrtm, ep.logm], ids=["f", "sqrt", "log"])
def test_at_a_branch_point_there_is_nothing(f):
    for a in (jordan((0.0, 2)), similar("zero", jordan((0.0, 2), (1.0, 1))), similar("zero", jordan((0.0, 3)))):
        assert not finite(f(a))
    # A negative real number is on the branch cut: rounding decides on which side.
    assert not finite(f(similar("cut", jordan((-1.0, 2), (1.0, 1))).astype(complex)))
    # Rounding splits a defective eigenvalue in any direction, along the cut too.
    turned = [np.linalg.qr(random(f"turned {i}", (2, 2), "complex128"))[0] for i in range(40)]
    for value in jax.vmap(f)(np.stack([q @ jordan((-1.0, 2)) @ q.conj().T for q in turned])):
        assert not finite(value)


def test_the_root_of_a_singular_matrix_has_no_derivative():
    for a in (np.diag([0.0, 1.0, 2.0]), similar("singular", np.diag([0.0, 1.0, 2.0]))):
        root = ep.sqrtm(a)
        np.testing.assert_allclose(root @ root, a, atol=1e-7)
        assert not finite(jax.grad(lambda a: jnp.sum(jnp.real(ep.sqrtm(a))))(a))


@pytest.mark.parametrize("f", [ROOT, ep.sqrtm], ids=["f", "sqrt"])
def test_negative_eigenvalues_of_a_real_matrix(f):
    a = similar("negative", np.diag([-1.0, -2.0, 1.0, 3.0]))
    root = f(a)
    np.testing.assert_allclose(root @ root, a, atol=1e-12)
    w = np.linalg.eigvals(root)
    np.testing.assert_allclose(np.sort(w.imag)[-2:], [1, np.sqrt(2)], rtol=1e-12)
    finite_differences.assert_gradient(jax.jit(lambda a: weighted(f(a))), (a,), 1e-7)


def test_not_analytic():
    a = MATRICES["pairs"]
    for f in (lambda x: jnp.abs(x).astype(x.dtype), lambda x: jnp.real(x).astype(x.dtype), jnp.conj):
        assert not finite(ep.matrix_function(f, a))


def test_what_is_not_finite_stays_alone():
    a = np.stack([MATRICES["jordan"], np.full((4, 4), np.nan), MATRICES["distinct"]])
    for f in (lambda a: ep.matrix_function(jnp.exp, a), ep.sqrtm):
        found = f(a)
        assert not np.isfinite(found[1]).any()
        assert finite(found[np.array([0, 2])])
        gradient = jax.grad(lambda a, f=f: jnp.sum(jnp.real(f(a))))(a)
        assert finite(gradient[np.array([0, 2])])


# ---- transformations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", ["triple", "chain"])
def test_what_f_closes_over(matrix):
    a, c = MATRICES[matrix], random("c", (4, 4))

    def f(a, t):
        return jnp.sum(c * jnp.real(ep.matrix_function(lambda x: jnp.exp(t.astype(x.dtype) * x), a)))

    t, h = jnp.asarray(0.7), 1e-5
    value = jax.jit(f)
    right = np.sum(c * (a @ scipy.linalg.expm(0.7 * a)))
    np.testing.assert_allclose(jax.jit(jax.grad(f, 1))(a, t), right, rtol=1e-10)
    np.testing.assert_allclose(jax.jvp(lambda t: value(a, t), (t,), (jnp.ones_like(t),))[1], right, rtol=1e-10)
    gradient = jax.jit(jax.grad(f))
    mixed = (gradient(a, t + h) - gradient(a, t - h)) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda a: jax.grad(f, 1)(a, t)))(a), mixed, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(gradient, 1))(a, t), mixed, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("named", [False, True])
def test_batches(named):
    f = jax.jit(ep.sqrtm if named else functools.partial(ep.matrix_function, jnp.sqrt))
    a = np.stack([MATRICES[name] for name in ("distinct", "chain", "triple", "jordan")])
    each = np.stack([f(m) for m in a])
    np.testing.assert_allclose(f(a), each, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(a), each, atol=1e-12)
    np.testing.assert_allclose(f(a.reshape(2, 2, 4, 4)).reshape(4, 4, 4), each, atol=1e-12)
    gradient = jax.jit(jax.grad(lambda a: weighted(f(a))))
    each = np.stack([gradient(m) for m in a])
    np.testing.assert_allclose(gradient(a), each, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.vmap(gradient))(a), each, rtol=1e-9, atol=1e-9)


def test_hessian():
    a = MATRICES["triple"][1:, 1:]
    h = jax.jit(jax.hessian(lambda a: jnp.sum(jnp.real(ep.matrix_function(lambda x: x**2, a)))))(a)
    right = jax.hessian(lambda a: jnp.sum(a @ a))(a)
    np.testing.assert_allclose(h, right, atol=1e-11)
    with pytest.raises(NotImplementedError, match="a higher one was requested"):
        jax.grad(lambda a: jnp.sum(jax.hessian(lambda x: jnp.sum(ep.sqrtm(x)).real)(a)))(a)


@pytest.mark.parametrize("scale", [2.0**-300, 2.0**-40, 2.0**40, 2.0**300])
def test_scales(scale):
    for name in ("triple", "chain", "nearly"):
        a = MATRICES[name]
        for f in (ep.sqrtm, functools.partial(ep.matrix_function, jnp.sqrt)):
            g = jax.grad(lambda a, f=f: weighted(f(a)))
            close(np.asarray(f(a * scale)) / np.sqrt(scale), f(a), 1e-11)
            close(g(a * scale) * np.sqrt(scale), g(a), 1e-10)


def test_uniform_layer():
    """The matrix of a patterned layer where it is uniform: diagonal, every eigenvalue twice or more. `√A` and a
    propagator of it have gradients."""
    q = np.fft.fftfreq(5, 1 / 5) * 0.7
    kx, ky = (x.ravel() for x in np.meshgrid(q, q))
    weight = random("layer", (25, 25), "complex128")

    def modes(eps):
        k = np.diag(kx**2 + ky**2).astype(complex) - eps
        return jnp.real(jnp.sum(weight * ep.matrix_function(lambda x: jnp.exp(-0.3 * jnp.sqrt(x)), k)))

    uniform = (2.0 + 0.1j) * np.eye(25)
    e = random("pattern", (25, 25), "complex128")
    value = jax.jit(modes)
    h = 1e-3
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    right = sum(w * (value(uniform + k * h * e) - value(uniform - k * h * e)) for k, w in weights.items())
    gradient = jax.jit(jax.grad(modes))(uniform)
    np.testing.assert_allclose(np.sum(gradient * e).real, right / h, rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ep.matrix_function("exp", np.eye(2)), "f must"),
        (lambda: ep.matrix_function(np.eye(2), jnp.exp), "order is f, a"),
        (lambda: ep.matrix_function(lambda x: jnp.stack([x, x]), np.eye(2)), "f must"),
        (lambda: ep.matrix_function(jnp.abs, np.eye(2)), "analytic"),
        (lambda: ep.matrix_function(jnp.sign, np.eye(2)), "signm"),
        (lambda: ep.matrix_function(jnp.floor, np.eye(2)), "f must"),
        (lambda: ep.matrix_function(jnp.exp, [1.0]), "a must"),
        (lambda: ep.sqrtm([[1.0, 2.0]]), "a must"),
        (lambda: ep.logm(np.eye(2), disp=False), "disp"),
        (lambda: ep.matrix_function(jnp.exp, np.eye(2), b=np.eye(2)), "no argument b"),
    ],
)
def test_bad_arguments(call, word):
    with pytest.raises((TypeError, ValueError), match=word):
        call()


def test_empty():
    assert ep.matrix_function(jnp.exp, np.zeros((3, 0, 0))).shape == (3, 0, 0)
