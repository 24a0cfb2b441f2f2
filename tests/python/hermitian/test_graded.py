"""Pairs whose eigenvectors have components of very different sizes: a gradient is right, or NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh, native, spectral_projector
from eigenpair.degeneracy import check
from eigenpair.general import rule as general_rules
from eigenpair.hermitian import primitive
from eigenpair.hermitian import rule as rules
from problems import RULES, eps, hermitian, inner, random, unitary, with_spectrum

pytestmark = pytest.mark.filterwarnings("ignore::eigenpair.degeneracy.DegeneracyWarning")

DTYPES = ("float32", "float64", "complex128")
# How much longer the first component of all eigenvectors is: a harmless factor, and one beyond all digits.
MILD, STEEP = {"float32": 10.0, "float64": 1e3}, {"float32": 1e5, "float64": 3e12}
SPECTRUM = (-2.0, -1.0, 0.5, 1.0, 2.0)


def of(sizes, dtype):
    return sizes[np.finfo(dtype).dtype.name]


def graded(a, s, type, dtype):
    """A pair with the eigenvalues of `a` and the eigenvectors `diag(s) y`."""
    a_by, b_by = (s, 1 / s) if type == 2 else (1 / s, 1 / s if type == 1 else s)
    return (a_by[:, None] * a * a_by).astype(dtype), np.diag(b_by**2).astype(dtype)


def long_first(n, size):
    return np.array([size] + [1.0] * (n - 1))


def weights(n, dtype):
    """The weights of a loss that does not use the first component."""
    c = hermitian(random("weights", (n, n), dtype))
    c[0], c[:, 0] = 0, 0
    return c


def double(dtype):
    return np.result_type(dtype, np.float64)


def assert_right_or_nan(found, expected, dtype, s, type):
    """Compared entry by entry, each in its own units."""
    unit = np.outer(1 / s, 1 / s) if type == 1 or type == 3 else np.outer(s, s)
    found, expected = np.asarray(found) * unit, np.asarray(expected) * unit
    if np.isnan(found).any():
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e3 * len(s) * eps(dtype) * np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", [1, 2, 3])
def test_a_cut_between_distinct_eigenvalues(type, dtype, rule):
    """With rounding errors of the size of the scale, all eigenvalues would form one cluster."""
    for n in (5, 40, 80) if type == 1 else (5, 70):
        a = with_spectrum(np.linspace(-1, 2, n) if n > 5 else SPECTRUM, n, double(dtype))
        c = weights(n, dtype)

        def loss(a, c, **options):
            v = eigh(a, **options).eigenvectors[:, :2]
            return inner(c, v @ jnp.conj(v.T))

        flat = np.asarray(jax.grad(loss)(a, c.astype(double(dtype))))
        for size in (1.0, of(STEEP, dtype) ** 0.5, of(STEEP, dtype), of(STEEP, dtype) ** 1.2):
            s = long_first(n, size)
            by = s if type == 2 else 1 / s
            pair = graded(a, s, type, dtype)

            def of_pair(a, b, c=c):
                v = eigh(a, b, type=type, degeneracy=RULES[rule]).eigenvectors[:, :2]
                return inner(c, v @ jnp.conj(v.T))

            found = jax.grad(of_pair)(*pair)
            assert_right_or_nan(found, flat / np.outer(by, by), dtype, s, type)
            assert np.isnan(found).all() if size >= of(STEEP, dtype) else size > 1 or np.isfinite(found).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", [1, 2, 3])
def test_the_space_of_a_cluster(type, dtype, rule):
    """A loss that uses only the space has a gradient, if rounding leaves enough digits of the space."""
    for n in (5, 70):
        a = with_spectrum([-1.0] * 2 + [0.5] * (n - 4) + [2.0] * 2, n, double(dtype))
        c = weights(n, dtype)
        flat = np.asarray(jax.grad(lambda a, c=c: inner(c, spectral_projector(a, 2)))(a))
        s = long_first(n, of(MILD, dtype))
        by = s if type == 2 else 1 / s

        def loss(a, b, c=c):
            v = eigh(a, b, type=type, degeneracy=RULES[rule]).eigenvectors[:, :2]
            return inner(c, v @ jnp.conj(v.T))

        found = jax.grad(loss)(*graded(a, s, type, dtype))
        assert np.isfinite(found).all()
        assert_right_or_nan(found, flat / np.outer(by, by), dtype, s, type)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "condition"), [("float32", 1e2), ("float64", 1e4), ("complex128", 1e4)])
def test_the_energy_of_a_cluster(dtype, condition, rule):
    """A loss whose cotangent is a small difference of large numbers."""
    n = 12
    half = with_spectrum(np.geomspace(condition**-0.25, condition**0.25, n), "b", double(dtype))
    a = half @ with_spectrum([-2.0] * 3 + [-1.0] * 2 + [1.0] * (n - 5), "a", double(dtype)) @ half
    pair = [hermitian(x).astype(dtype) for x in (a, half @ half)]

    def energy(a, b):
        v = eigh(a, b, degeneracy=RULES[rule]).eigenvectors[:, :5]
        return inner(a, v @ jnp.conj(v.T))

    for found, expected in zip(
        jax.grad(energy, (0, 1))(*pair), jax.grad(lambda a, b: jnp.sum(eigvalsh(a, b)[:5]), (0, 1))(*pair), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e3 * condition * eps(dtype) * np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", [1, 2, 3])
def test_a_basis_beside_a_long_vector(type, dtype, rule):
    """One eigenvector is longer, or shorter, than those of a cluster. The loss depends on the basis of the cluster."""
    for n in (5, 70):
        a = np.zeros((n, n), double(dtype))
        a[0, 0] = 0.25
        a[1:, 1:] = with_spectrum([1.0] * 2 + [*range(2, n - 1)], n, double(dtype))
        c, real = random(n, (n, n), dtype), random(n, (n, n), np.finfo(dtype).dtype)
        losses = (lambda v, c=c: inner(c, v), lambda v, c=real: jnp.sum(c * jnp.abs(v) ** 2))
        for size in (of(STEEP, dtype), 1 / of(STEEP, dtype)):
            for loss in losses:
                pair = graded(a, long_first(n, size), type, dtype)

                def of_pair(a, b, loss=loss):
                    return loss(eigh(a, b, type=type, degeneracy=RULES[rule]).eigenvectors)

                assert np.isnan(jax.grad(of_pair)(*pair)).all()


# ---- the rules themselves, in bases of no matrix ------------------------------------------------------------------


def by_core_and_jax(linear, kept, type, policy=RULES["core"]):
    """Gradients of a pair, for cotangents of values, vectors and dual vectors (or `None`)."""
    static = {
        "inputs": (True, type > 0),
        "outputs": tuple(x is not None for x in linear),
        "type": type,
        "triangle": "hermitian",
        "policy": policy,
    }
    given = [jnp.asarray(x)[None] for x in linear if x is not None]
    kept = [jnp.asarray(x)[None] for x in kept]
    kernel = primitive.on_cpu(kept, reverse=True, **static)
    optional = [None if x is None else jnp.asarray(x)[None] for x in linear]
    return jax.jit(kernel)(given, kept), rules.pullback(optional, kept, **static)


needs_core = pytest.mark.skipif(not native.has_small_kernels(), reason="no rules in the core")


@needs_core
@pytest.mark.parametrize("dtype", [*DTYPES, "complex64"])
@pytest.mark.parametrize("n", [5, 70])
def test_the_core_and_jax_refuse_the_same(dtype, n):
    real = np.finfo(dtype).dtype
    w = np.arange(1.0, n + 1).astype(real)
    w[2], w[4] = w[1], w[3] * (1 + 1e-5)
    scale = np.array([n], real)
    count = {True: 0, False: 0}
    for turn in range(24):
        type = 1 + turn % 3
        span = float(of(STEEP, dtype)) ** (turn / 24)
        s, t = (span ** random((turn, "s", k), (n,)).clip(-1, 1) for k in range(2))
        v, u = ((s[:, None] * unitary((turn, k), n, dtype) * t).astype(dtype) for k in "vu")
        # Hermitian couplings in the cluster, plus their rounding errors.
        c = hermitian(random((turn, "c"), (n, n), dtype))
        v_bar, u_bar = (np.conj(c @ x + 10.0 ** -(turn % 12) * random((turn, "r"), (n, n), dtype)) for x in (v, u))
        linear = [None if turn % 2 else np.ones(n, real), v_bar.astype(dtype), None]
        if type > 1 and turn % 4 > 1:
            linear[2] = u_bar.astype(dtype)
        found, expected = by_core_and_jax(linear, (w, v, *([u] if type > 1 else []), scale), type)
        for x, y in zip(found, expected, strict=True):
            assert np.isfinite(x).all() == np.isfinite(y).all()
        count[bool(np.isfinite(found[0]).all())] += 1
    assert min(count.values()) >= 2


@needs_core
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 70])
def test_what_overflows_is_refused(dtype, n):
    real = np.finfo(dtype).dtype
    large = {"float32": 1e25, "float64": 1e200}[real.name]
    w = np.arange(1.0, n + 1).astype(real)
    w[1] = w[0]
    v, v_bar = np.eye(n, dtype=dtype), np.zeros((n, n), dtype)
    v[0, 0] = large
    v_bar[2, 0] = v_bar[2, 1] = 1
    kept = (w, v, np.array([n], real))
    for answer in by_core_and_jax([None, v_bar, None], kept, 1):
        assert np.isfinite(answer[0]).all()
    # The two vectors are not coupled, but rounding of that size could hide anything.
    for answer in by_core_and_jax([None, v_bar * real.type(large), None], kept, 1):
        assert np.isnan(answer[0]).all()
        assert np.isnan(answer[1]).all()


@needs_core
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 70])
def test_sizes_whose_squares_overflow_or_vanish(dtype, n):
    """Also a vector that is 0 with a cotangent that is not."""
    real = np.finfo(dtype).dtype
    far = {"float32": 1e30, "float64": 1e250}[real.name]
    w = np.arange(1.0, n + 1).astype(real)
    w[2] = w[1]
    v = unitary("v", n, dtype).astype(dtype)
    c = hermitian(random("c", (n, n), dtype))
    for turns in (False, True):
        for size in (1.0, 1 / far):
            for first in (1.0, 0.0, size):
                x = v * np.array([first] + [size] * (n - 1), real)
                x_bar = np.conj(c @ v + np.outer(1e-2 * turns * v[:, 2], np.arange(n) == 1)) / real.type(size)
                kept = (w, x.astype(dtype), np.array([n], real))
                for answer in by_core_and_jax([None, x_bar.astype(dtype), None], kept, 1):
                    assert np.isnan(answer[0]).all() == turns
                    assert np.isnan(answer[0]).any() == turns


# ---- subsets and general problems ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_subset_of_a_graded_pair(dtype):
    n, k = 12, 5
    a = with_spectrum([-3.0, -2.0, -2.0, -1.0, 0.0, *range(3, n - 2)], "subset", double(dtype))
    for size in (of(MILD, dtype), of(STEEP, dtype)):
        s = long_first(n, size)
        pair, c = graded(a, s, 1, dtype), weights(n, dtype)
        for cut in (2, 3):

            def loss(a, b, c=c, cut=cut):
                v = eigh(a, b, subset_by_index=(0, k)).eigenvectors[:, :cut]
                return inner(c, v @ jnp.conj(v.T))

            found = jax.grad(loss)(*pair)
            assert np.isfinite(found).all() == (cut == 3 and size == of(MILD, dtype))
            if cut == 3:
                flat = np.asarray(jax.grad(lambda a, c=c: inner(c, spectral_projector(a, 3)))(a))
                assert_right_or_nan(found, flat * np.outer(s, s), dtype, s, 1)


@pytest.mark.parametrize(
    ("length", "coupled", "refused"), [(1.0, 0, False), (1e12, 1, True), (1e12, 0, False), (1e200, 0, True)]
)
def test_long_left_vectors_of_general_problems(length, coupled, refused):
    """Next to a cluster, or in it with an equally large cotangent. In the latter case the size of rounding errors is
    unknown."""
    k = 0 if length > 1e100 else 2
    w, one = jnp.array([1.0 + 0j, 1, 3])[None], jnp.ones((1, 3))
    u, u_bar = np.eye(3, dtype=complex), np.zeros((3, 3), complex)
    u[k, k], u_bar[2, k], u_bar[0, 1], u_bar[1, 1] = length, length, coupled, 1 if k else length
    residuals = (w, jnp.eye(3, dtype=complex)[None], jnp.asarray(u)[None], one, one)
    static = {"inputs": (True, False), "outputs": (False, False, False, True), "policy": check()}
    (found,) = general_rules.pullback([None, None, None, jnp.asarray(u_bar)[None]], residuals, **static)
    assert np.isnan(found).all() == refused
    assert np.isnan(found).any() == refused
