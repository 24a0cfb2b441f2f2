"""Small Hermitian problems by element-wise operations, on the CPU, with `EIGENPAIR_KERNELS=off`.

`make test-elementwise` runs the conformance suite that way.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.elementwise import solver
from processes import quick, run

ORDERS = range(1, solver.LARGEST + 1)


def families(n, dtype, rng):
    """Hermitian matrices: random, graded, clustered, exactly degenerate, with many zeros."""
    x = rng.standard_normal((40, n, n))
    if np.issubdtype(dtype, np.complexfloating):
        x = x + 1j * rng.standard_normal(x.shape)
    q, w = np.linalg.qr(x)[0], rng.standard_normal((40, n))
    spectra = (w, w * 10.0 ** rng.uniform(-16, 0, w.shape), np.round(w) + 1e-12 * w, np.round(w))
    found = [(q * w[:, None, :]) @ q.conj().swapaxes(-1, -2) for w in spectra]
    found += [x * (rng.random(x.shape) < 0.4), np.round(x), np.zeros_like(x)]
    graded = 10.0 ** rng.uniform(-10, 0, (40, n))
    found.append((x + x.conj().swapaxes(-1, -2)) * graded[:, :, None] * graded[:, None, :])
    a = np.concatenate(found).astype(dtype)
    return (a + a.conj().swapaxes(-1, -2)) / 2


def assert_solution(a, w, v):
    """Residual and orthogonality, in units of rounding."""
    n, eps = a.shape[-1], np.finfo(a.dtype).eps
    wide = np.promote_types(a.dtype, np.float64)
    a, v = a.astype(wide), v.astype(wide)
    size = np.maximum(np.abs(a).max((-1, -2), keepdims=True), np.finfo(wide).tiny)
    assert np.abs(a @ v - v * w[:, None, :]).max(initial=0) < np.inf
    assert (np.abs(a @ v - v * w[:, None, :]) <= 8 * n * eps * size).all()
    assert (np.abs(v.conj().swapaxes(-1, -2) @ v - np.eye(n)) <= 8 * n * eps).all()
    assert (np.diff(w) >= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("n", ORDERS)
def test_as_accurate_as_lapack(n, dtype):
    a = families(n, np.dtype(dtype), np.random.default_rng(n))
    (w, v), solved = jax.jit(lambda a: solver.eigh(a, True))(a)
    assert np.asarray(solved).all()
    assert w.dtype == np.finfo(dtype).dtype
    assert_solution(a, np.asarray(w), np.asarray(v))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("n", range(2, solver.LARGEST_BY_ENTRIES + 1))
def test_by_entries(n, dtype):
    a = families(n, np.dtype(dtype), np.random.default_rng(n))
    # XLA for CPUs would compile for minutes.
    with jax.disable_jit(jax.default_backend() == "cpu"):
        (w, v), solved = jax.jit(lambda a: solver.eigh(a, True, by_entries=True))(jnp.asarray(a))
    assert np.asarray(solved).all()
    assert_solution(a, np.asarray(w), np.asarray(v))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e150, 1e300])
def test_neither_overflow_nor_underflow(scale):
    a = np.array([[2.0, -1, 0], [-1, 2, -1], [0, -1, 2]]) * scale
    (w, v), solved = jax.jit(lambda a: solver.eigh(a, True))(a)
    assert solved
    expected = (2 + np.sqrt(2) * np.arange(-1, 2)) * scale
    np.testing.assert_allclose(w, expected, rtol=1e-14, atol=5e-324)
    np.testing.assert_allclose(v.T @ v, np.eye(3), atol=1e-14)


def test_what_did_not_converge_is_not_solved(monkeypatch):
    a = families(5, np.dtype("float64"), np.random.default_rng(0))
    monkeypatch.setattr(solver, "_MOST_SWEEPS", 1)
    (_, _), solved = solver.eigh(jnp.asarray(a), True)
    assert not np.asarray(solved)[:40].any()


FORCED = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    import eigenpair
    results = {}
    rng = np.random.default_rng(0)
    def put(name, *values):
        results.update({f"{name} {i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(values))})
    def loss(w, v):
        p = v[..., :1] @ jnp.conj(jnp.swapaxes(v[..., :1], -1, -2))
        weights = jnp.expand_dims(jnp.arange(1.0, 1.0 + w.shape[-1]), range(p.ndim - 1))
        return jnp.sum(w**3) + jnp.sum(jnp.abs(p) ** 2 * weights)
    def hvp(m):
        return jax.jvp(jax.grad(lambda m: jnp.sum(eigenpair.eigvalsh(m) ** 3)), (m,), (m,))[1]
    # XLA compiles seconds for each: every type of problem at one size, what differs by size at the others.
    for n, dtype, types in ((2, "float64", (0,)), (3, "complex128", (0, 1, 2, 3)), (8, "complex128", (1,))):
        x = rng.normal(size=(2, n, n)) + 1j * rng.normal(size=(2, n, n))
        a = np.asarray(x if dtype == "complex128" else x.real)
        b = a @ a.conj().swapaxes(-1, -2) / n + np.eye(n)
        for type in types:
            for lower in (None, True) if type < 2 else (False,):
                matrices = (a, b) if type else (a,)
                options = {"lower": lower, **({"type": type} if type else {})}
                f = lambda *m: loss(*eigenpair.eigh(*m, **options))
                g = jax.jit(jax.value_and_grad(f, tuple(range(len(matrices)))))
                put(f"{n} {type} {lower}", g(*matrices))
        put(f"{n} values", eigenpair.eigvalsh(a), jax.jit(hvp)(a))
        put(f"{n} spectral", eigenpair.spectral_map(jnp.exp, a))
    bad = np.stack([np.eye(3), np.full((3, 3), np.nan), np.diag([1.0, 2, np.inf]), -np.eye(3)])
    put("isolated", eigenpair.eigh(bad))
    put("definite", eigenpair.eigvalsh(np.eye(3), bad), eigenpair.eigvalsh(np.eye(3), np.zeros((3, 3))))
    triangle = np.array([[1.0, np.nan], [2.0, 3.0]])
    put("one triangle", eigenpair.eigvalsh(triangle, lower=True), eigenpair.eigvalsh(triangle, lower=False))
    put("identity", jax.grad(lambda m: jnp.sum(eigenpair.eigh(m)[1][:, 0] ** 4))(np.eye(3)))
    put("empty", eigenpair.eigh(np.zeros((2, 0, 0))), eigenpair.eigh(np.zeros((0, 3, 3))))
    np.savez(sys.argv[1], **results)
"""


def test_forced_on_it_agrees_with_the_core(tmp_path):
    """Values, gradients, second derivatives, refusals, and NaN for the same matrices."""
    for name in ("on", "off"):
        run(FORCED, arguments=[tmp_path / f"{name}.npz"], timeout=900, EIGENPAIR_KERNELS=name, **quick())
    expected, found = np.load(tmp_path / "on.npz"), np.load(tmp_path / "off.npz")
    assert set(expected) == set(found)
    for name in expected:
        if name == "isolated 1":  # signs of vectors are free
            continue
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-10, err_msg=name)
