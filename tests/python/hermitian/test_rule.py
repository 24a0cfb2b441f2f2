"""The core's first derivatives against the same rules written in JAX: same numbers, same refusals."""

import functools

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import native
from eigenpair.degeneracy import broaden, check, mask, raw
from eigenpair.hermitian import primitive
from eigenpair.hermitian import rule as rules
from problems import DTYPES, adjoint, eps, generator, random, unitary

pytestmark = pytest.mark.skipif(not native.has_small_kernels(), reason="no kernels for small matrices")

SIZES = (1, 2, 3, 4, 5, 9, 17, 33)
# Clusters under the third policy are wider than the range in which rounding noise is sought.
POLICIES = (check(), check(c=1e4), check(c=1e12), mask(1e-3), broaden(1e-2), raw())


def spectra(n):
    """Distinct, close, clustered, zero, and tiny."""
    w = np.arange(1.0, n + 1)
    close, cluster = w.copy(), w.copy()
    close[: n // 2] = 1 + 1e-5 * np.arange(n // 2)
    cluster[: n // 2 + 1] = 1
    return [w, close, cluster, np.zeros(n), 1e-200 * w]


def residuals(n, type, dtype, seed=0):
    """A batch of residuals, one for each spectrum. The rules do not need an eigenproblem that they belong to."""
    real = np.dtype(dtype).type(0).real.dtype
    w = np.stack(spectra(n)).astype(real)
    v, u = (np.stack([unitary((seed, name, k), n, dtype) for k in range(len(w))]).astype(dtype) for name in "vu")
    scale = np.maximum(np.abs(w).max(-1, keepdims=True), np.finfo(real).tiny)
    return [jnp.asarray(x) for x in (w, v, *([u] if type >= 2 else []), *([scale] if type else []))]


def both(linear, kept, reverse, **static):
    """From the core and from JAX, compiled."""
    present = [x for x in linear if x is not None]
    return _compiled(reverse, tuple(sorted(static.items())))(present, list(kept))


@functools.cache
def _compiled(reverse, static):
    """One compiled function for all cases that differ in numbers only."""
    static = dict(static)
    rule, flags = (rules.pullback, "outputs") if reverse else (rules.pushforward, "inputs")

    def by_core_and_by_jax(linear, kept):
        kernel = primitive.on_cpu(kept, reverse=reverse, **static)
        assert kernel is not None
        given = iter(linear)
        return kernel(linear, kept), rule([next(given) if flag else None for flag in static[flags]], kept, **static)

    return jax.jit(by_core_and_by_jax)


def agree(found, expected, dtype, n, sizes=(1e-300,) * 5):
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.isfinite(x), np.isfinite(y))
        x, y = (np.where(np.isfinite(m), m, 0) for m in (x, y))
        # Each matrix on its own scale, since they differ in size.
        for a, b, size in zip(x, y, sizes, strict=True):
            assert np.abs(a - b).max() <= 64 * n * eps(dtype) * max(np.abs(b).max(), size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", [0, 1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_the_core_agrees_with_jax(dtype, type, reverse):
    # Policies, triangles and outputs take turns, in a different order for each size and test.
    d = DTYPES.index(dtype)
    for turn, n in enumerate(SIZES):
        kept = residuals(n, type, dtype)
        batch, policy = kept[0].shape[0], POLICIES[(turn + d + 4 * type + 4 * reverse) % 6]
        triangle = ("hermitian", "lower", "upper")[(turn + type) % 3]
        asked = (turn // 2 + d + type) % 3
        inputs = (True, False) if type == 0 else [(True, True), (True, False), (False, True)][asked]
        outputs = [(True, True, type >= 2), (False, True, False), (True, False, False)][asked]
        x = [random((turn, "linear", k), (batch, n, n), dtype) for k in range(4)]
        if reverse:
            dw = random((turn, "w"), (batch, n), dtype).real.astype(kept[0].dtype)
            linear = [z if flag else None for z, flag in zip((dw, *x[:2]), outputs, strict=True)]
        else:
            linear = [z if flag else None for z, flag in zip(x[2:], inputs, strict=True)]
        static = {"inputs": inputs, "outputs": outputs, "type": type, "triangle": triangle, "policy": policy}
        agree(*both(linear, kept, reverse, **static), dtype, n)


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
@pytest.mark.parametrize("type", [0, 1, 2, 3])
def test_large_ones_agree_with_jax(dtype, type):
    """With products by BLAS."""
    for turn, (n, policy) in enumerate(zip((65, 96, 70, 70, 130, 70), POLICIES, strict=True)):
        kept = residuals(n, type, dtype)
        triangle = ("hermitian", "lower", "upper")[(turn + type) % 3]
        inputs = (True, False) if type == 0 else [(True, True), (True, False), (False, True)][turn % 3]
        outputs = [(True, True, type >= 2), (False, True, False), (True, False, False)][(turn + turn // 3) % 3]
        dw = random((turn, "w"), kept[0].shape, dtype).real.astype(kept[0].dtype)
        x = [random((turn, "linear", k), kept[1].shape, dtype) for k in range(2)]
        linear = [z if flag else None for z, flag in zip((dw, *x), outputs, strict=True)]
        static = {"inputs": inputs, "outputs": outputs, "type": type, "triangle": triangle, "policy": policy}
        agree(*both(linear, kept, True, **static), dtype, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(2, 3, 4, 7), (70,)], ids=["small", "large"])
def test_refusals_and_noise(dtype, sizes):
    """Cotangents of losses that have a gradient at the cluster, of losses that have none, and with rounding noise at
    close eigenvalues."""
    for n in sizes:
        (w, v), rng = residuals(n, 0, dtype), generator("noise", n)
        k = n // 2 + 1
        c = random((n, "c"), (n, n), dtype)
        c = c + adjoint(c)
        v_bar = np.zeros(v.shape, dtype)
        v_bar[..., :k] = np.conj(2 * c @ np.asarray(v[..., :k]))
        noisy = v_bar + (eps(dtype) * rng.normal(size=v.shape)).astype(dtype)
        spoiled = v_bar + (1e-2 * rng.normal(size=v.shape)).astype(dtype)
        w_bar = np.ones(w.shape, w.dtype)
        # Rounding of the cotangent, over the smallest gap.
        noise = [1 / min((gap for gap in np.diff(row) if gap > 0), default=1.0) for row in np.asarray(w, float)]
        split = (1 + np.arange(n) * np.ones_like(w)).astype(w.dtype)
        static = {"inputs": (True, False), "type": 0, "triangle": "hermitian"}
        for policy in (check(), check(c=1e3)):
            for first in (None, w_bar, split):
                for second in (v_bar, noisy, spoiled):
                    outputs = (first is not None, True, False)
                    found, expected = both(
                        [first, second, None], (w, v), True, outputs=outputs, policy=policy, **static
                    )
                    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(expected[0]))
                    if second is not noisy:
                        agree(found, expected, dtype, 16 * n, sizes=noise)


def test_a_cluster_that_spans_tiles():
    """A chain of eigenvalues, each close to the next, whose ends are farther apart than the gaps that the core examines
    closely."""
    n = 224
    w = (1 + 1e-5 * np.arange(n)).astype(np.float32)
    v = unitary("chain", n, "float32").astype(np.float32)
    coupled = np.zeros((n, n), np.float32)
    coupled[2, n - 3] = 1
    static = {"inputs": (True, False), "outputs": (False, True, False), "type": 0, "triangle": "hermitian"}
    kept = tuple(jnp.asarray(x)[None] for x in (w, v))
    for found in both([None, (v @ coupled)[None], None], kept, True, policy=check(), **static):
        assert np.isnan(found[0]).all()


def test_nan_and_empty_batches():
    w, v = residuals(4, 0, "float64")
    w, v = w.at[0].set(jnp.nan), v.at[0].set(jnp.nan)
    x = random("x", v.shape)
    static = {"inputs": (True, False), "outputs": (True, True, False), "type": 0, "triangle": "hermitian"}
    found, expected = both([random("w", w.shape), x, None], (w, v), True, policy=raw(), **static)
    assert np.isnan(found[0][0]).all()
    np.testing.assert_allclose(found[0][1], expected[0][1], rtol=1e-10)
    gradient = jax.grad(lambda a: jnp.sum(eigenpair.eigh(a).eigenvectors))(jnp.zeros((0, 3, 3)))
    assert gradient.shape == (0, 3, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("triangle", ["hermitian", "lower", "upper"])
def test_same_bits_at_any_place_of_the_batch(dtype, triangle):
    """Small orders are computed one per lane, except matrices with close eigenvalues; here groups of lanes have
    both."""
    for n in (2, 3, 4):
        count = 11
        (w, v), rng = residuals(n, 0, dtype), generator("order", n)
        w, v = (np.concatenate([np.asarray(x)] * count) for x in (w, v))
        w[::7] = np.arange(1, n + 1)
        dw, dv = random("dw", w.shape, dtype), random("dv", v.shape, dtype)
        static = {"inputs": (True, False), "outputs": (True, True, False), "type": 0, "policy": check()}

        def gradient(order, given=(dw, dv), kept=(w, v), static=static):
            linear = [jnp.asarray(x[order]) for x in given]
            residuals_ = [jnp.asarray(x[order]) for x in kept]
            kernel = primitive.on_cpu(residuals_, reverse=True, triangle=triangle, **static)
            return np.asarray(jax.jit(kernel)(linear, residuals_)[0])

        order = rng.permutation(len(w))
        whole = gradient(np.arange(len(w)))
        assert np.isnan(whole).any()
        assert np.isfinite(whole).any()
        assert whole[order].tobytes() == gradient(order).tobytes()
        for k in (0, 1, 7, len(w) - 1):
            assert whole[k : k + 1].tobytes() == gradient(np.array([k])).tobytes()
        expected = both([dw, dv, None], [w, v], True, triangle=triangle, **static)[1][0]
        agree([whole], [expected], dtype, 64 * n, sizes=(1e-300,) * len(w))


def test_residuals_that_lack_batch_axes():
    """As under jacrev, where cotangents have an axis that the solution has not."""
    a = jnp.asarray(random("a", (3, 3)))
    for function in (lambda x: eigenpair.eigvalsh(x), lambda x: eigenpair.eigh(x).eigenvectors ** 2):
        np.testing.assert_allclose(jax.jacrev(function)(a), jax.jacfwd(function)(a), rtol=1e-11, atol=1e-11)


def test_who_asks_for_an_explanation_gets_it():
    """The core refuses without an explanation, so JAX computes and explains."""
    static = {"inputs": (True, False), "outputs": (True, True, False), "reverse": True, "type": 0}
    kept = (jnp.zeros(2), jnp.eye(2))
    assert primitive.on_cpu(kept, triangle="lower", policy=check(explain=True), **static) is None
    assert primitive.on_cpu(kept, triangle="lower", policy=check(), **static) is not None
