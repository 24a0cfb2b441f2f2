"""Tridiagonal and band matrices: against the same matrix given whole, and against SciPy."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from eigenpair import eigh, eigh_banded, eigh_tridiagonal, eigvalsh_banded, eigvalsh_tridiagonal, fix_gauge
from eigenpair.degeneracy import broaden, check, mask, raw
from eigenpair.hermitian import bands
from eigenpair.hermitian.banded import _solve_by_xla, _solve_p
from eigenpair.hermitian.banded_complement import _complement_by_xla, complement_p
from finite_differences import assert_gradient, assert_tangent, directions
from problems import DTYPES, KERNELS, around, eps, inner, random, weights

N = 6


def tridiagonal(seed=0, n=N, batch=(), dtype="float64"):
    d = random(("d", seed), (*batch, n), dtype) + 2 * np.arange(n).astype(dtype)
    return d, random(("e", seed), (*batch, n - 1), dtype)


def band(u=2, lower=False, seed=0, n=N, batch=(), dtype="float64"):
    """The band with NaN in entries that are not read, except the imaginary part of the diagonal."""
    x = random(("band", seed, u), (*batch, u + 1, n), dtype)
    x[..., 0 if lower else u, :] += 2 * np.arange(n)
    for m in range(1, u + 1):
        x[..., m if lower else u - m, n - m if lower else 0 : n if lower else m] = np.nan
    return x


def whole(a_band, lower=False):
    """The matrix, written out entry by entry."""
    u, n = a_band.shape[-2] - 1, a_band.shape[-1]
    a = jnp.zeros((*a_band.shape[:-2], n, n), a_band.dtype)
    for j in range(n):
        for m in range(0, min(u, n - 1 - j) + 1):
            entry = a_band[..., m, j] if lower else jnp.conj(a_band[..., u - m, j + m])
            entry = entry if m else jnp.real(entry).astype(entry.dtype)
            a = a.at[..., j + m, j].set(entry)
            if m:
                a = a.at[..., j, j + m].set(jnp.conj(entry))
    return a


def whole_tridiagonal(d, e):
    """The matrix."""
    n = d.shape[-1]
    i = np.arange(n - 1)
    a = jnp.zeros((*d.shape, n), d.dtype).at[..., np.arange(n), np.arange(n)].set(d)
    return a.at[..., i + 1, i].set(e).at[..., i, i + 1].set(e)


def loss(w, v):
    """A loss of every gap and every vector that does not depend on the gauge."""
    n, k = v.shape[-2:]
    shapes = inner(weights(n, v.dtype), around(v, jnp.tanh(w)))
    return shapes + inner(weights(n, w.dtype)[:, :k], jnp.real(v * jnp.conj(v))) + jnp.sum(w**3) / 10


def known(x):
    """The entries of a gradient that belong to the band."""
    return np.nan_to_num(np.asarray(x))


# ---- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("u", "lower", "subset"),
    [
        (0, True, None),
        (1, False, None),
        (3, True, None),
        (N - 1, False, None),
        (1, True, (1, 3)),
        (3, False, (0, 0)),
        (3, True, (0, N - 2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_of_bands(dtype, u, lower, subset):
    x = band(u, lower, batch=(2,), dtype=dtype)
    a = np.asarray(whole(x, lower))
    first, last = subset or (0, N - 1)
    w, v = map(np.asarray, eigh_banded(x, lower=lower, subset_by_index=subset))
    assert w.dtype == np.finfo(dtype).dtype
    assert v.dtype == dtype
    assert v.shape == (2, N, last - first + 1)
    tolerance = 200 * eps(dtype)
    np.testing.assert_allclose(w, np.linalg.eigvalsh(a)[:, first : last + 1], rtol=tolerance, atol=10 * tolerance)
    np.testing.assert_allclose(a @ v, v * w[:, None, :], atol=100 * tolerance)
    np.testing.assert_allclose(
        np.conj(np.swapaxes(v, -1, -2)) @ v, np.eye(last - first + 1)[None].repeat(2, 0), atol=tolerance
    )
    alone = eigvalsh_banded(x, lower=lower, subset_by_index=subset)
    np.testing.assert_allclose(alone, w, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_of_tridiagonals(dtype, n):
    d, e = tridiagonal(n=n, dtype=dtype)
    expected = scipy.linalg.eigh_tridiagonal(d.astype("float64"), e.astype("float64"))
    w, v = eigh_tridiagonal(d, e)
    np.testing.assert_allclose(w, expected[0], rtol=100 * eps(dtype), atol=300 * eps(dtype))
    np.testing.assert_allclose(fix_gauge(v), fix_gauge(expected[1].astype(dtype)), atol=3000 * eps(dtype))
    for subset in {(0, 0), (n // 2, n - 1), (n // 3, n // 2)}:
        part = eigh_tridiagonal(d, e, subset_by_index=subset)
        np.testing.assert_allclose(
            part.eigenvalues, w[subset[0] : subset[1] + 1], rtol=100 * eps(dtype), atol=300 * eps(dtype)
        )
        found = eigvalsh_tridiagonal(d, e, subset_by_index=subset)
        np.testing.assert_allclose(found, part.eigenvalues, rtol=100 * eps(dtype), atol=300 * eps(dtype))


def test_nothing():
    w, v = eigh_tridiagonal(np.zeros((3, 0)), np.zeros((3, 0)))
    assert w.shape == (3, 0)
    assert v.shape == (3, 0, 0)
    assert eigvalsh_banded(np.zeros((2, 0))).shape == (0,)
    assert eigh_tridiagonal(np.zeros((0, 4)), np.zeros((0, 3))).eigenvectors.shape == (0, 4, 4)


def test_more_diagonals_than_there_are():
    x = random("wide", (5, 3))
    for lower in (True, False):
        chosen = x[:3] if lower else x[2:]
        np.testing.assert_array_equal(
            eigvalsh_banded(x, lower=lower), eigvalsh_banded(chosen, lower=lower), err_msg=str(lower)
        )


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e300])
def test_scales(scale):
    d, e = tridiagonal()
    expected = eigvalsh_tridiagonal(d, e) * scale
    for subset in (None, (2, 3)):
        chosen = expected if subset is None else expected[2:4]
        found = eigh_tridiagonal(d * scale, e * scale, subset_by_index=subset)
        np.testing.assert_allclose(found.eigenvalues, chosen, rtol=1e-12)
        values = eigvalsh_tridiagonal(d * scale, e * scale, subset_by_index=subset)
        np.testing.assert_allclose(values, chosen, rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_matrix_is_nan_and_its_neighbours_are_not(bad):
    d, e = tridiagonal(batch=(3,))
    good = eigh_tridiagonal(d, e)
    d[1, 2] = bad
    for subset in (None, (1, 2)):
        found = eigh_tridiagonal(d, e, subset_by_index=subset)
        assert np.isnan(found.eigenvalues[1]).all()
        assert np.isnan(found.eigenvectors[1]).all()
        chosen = slice(None) if subset is None else slice(1, 3)
        np.testing.assert_allclose(found.eigenvalues[::2], good.eigenvalues[::2, chosen], rtol=1e-13)


def test_batches_broadcast():
    d, e = tridiagonal(batch=(4, 1))[0], tridiagonal(batch=(3,))[1]
    found = eigvalsh_tridiagonal(d, e)
    assert found.shape == (4, 3, N)
    np.testing.assert_allclose(found[2, 1], eigvalsh_tridiagonal(d[2, 0], e[1]), rtol=1e-13)
    mapped = jax.vmap(jax.vmap(eigvalsh_tridiagonal, (None, 0)), (0, None))(d[:, 0], e)
    np.testing.assert_allclose(mapped, found, rtol=1e-13)
    gradient = jax.grad(lambda x: jnp.sum(eigvalsh_tridiagonal(d, x) ** 3))(e)
    assert gradient.shape == e.shape


# ---- first derivatives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subset", [None, (1, 3)], ids=str)
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
def test_derivatives_of_tridiagonals(batch, subset):
    x = tridiagonal(batch=batch)

    def f(d, e):
        return loss(*eigh_tridiagonal(d, e, subset_by_index=subset))

    def g(d, e):
        return jnp.sum(jnp.tanh(eigvalsh_tridiagonal(d, e, subset_by_index=subset)) ** 2)

    for function in (f, g):
        assert_gradient(function, x)
        assert_tangent(function, x)
        assert_gradient(jax.jit(function), x)


@pytest.mark.parametrize(
    ("dtype", "u", "lower", "subset"),
    [
        ("float64", 2, False, None),
        ("float64", 2, True, (1, 3)),
        ("complex128", 2, True, None),
        ("complex128", 2, False, (1, 3)),
        ("complex128", 1, True, (1, 3)),
    ],
    ids=str,
)
def test_derivatives_of_bands(dtype, u, lower, subset):
    """Against the whole matrix, built from the band: the corners get zeros."""
    x = band(u, lower, batch=(2,), dtype=dtype)

    def f(x):
        return loss(*eigh_banded(x, lower=lower, subset_by_index=subset))

    def expected(x):
        return loss(*eigh(whole(x, lower), lower=True, subset_by_index=subset))

    gradient = jax.grad(f)(x)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient, known(jax.grad(expected)(x)), rtol=1e-9, atol=1e-9)
    (direction,) = directions((x,), 1)[0]
    found, right = (jax.jvp(function, (x,), (direction,))[1] for function in (f, expected))
    np.testing.assert_allclose(found, right, rtol=1e-9)
    values = jax.grad(lambda x: jnp.sum(eigvalsh_banded(x, lower=lower, subset_by_index=subset) ** 3))(x)
    other = jax.grad(lambda x: jnp.sum(eigh(whole(x, lower), subset_by_index=subset)[0] ** 3))(x)
    np.testing.assert_allclose(values, known(other), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_precisions(dtype):
    x = known(band(2, dtype=dtype))
    double = x.astype(np.result_type(dtype, "float64"))
    gradient = jax.grad(lambda x: loss(*eigh_banded(x, subset_by_index=(1, 2))))(x)
    expected = jax.grad(lambda x: loss(*eigh_banded(x, subset_by_index=(1, 2))))(double)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, expected, atol=2e3 * eps(dtype))


def test_formula_of_the_eigenvalues():
    d, e = tridiagonal()
    v = eigh_tridiagonal(d, e).eigenvectors
    of_d, of_e = jax.jacrev(eigvalsh_tridiagonal, (0, 1))(d, e)
    np.testing.assert_allclose(of_d, (v**2).T, atol=1e-14)
    np.testing.assert_allclose(of_e, 2 * (v[:-1] * v[1:]).T, atol=1e-14)
    forward = jax.jacfwd(eigvalsh_tridiagonal, (0, 1))(d, e)
    np.testing.assert_allclose(forward[0], of_d, atol=1e-14)
    np.testing.assert_allclose(forward[1], of_e, atol=1e-14)


def shapes_in(jaxpr):
    """Of all arrays in a program, and in the programs inside of it."""
    for equation in jaxpr.eqns:
        for variable in (*equation.invars, *equation.outvars):
            yield getattr(variable.aval, "shape", ())
        for parameter in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inside = getattr(parameter, "jaxpr", parameter)
            if hasattr(inside, "eqns"):
                yield from shapes_in(inside)


@pytest.mark.skipif(not KERNELS, reason="without the core the matrix is solved whole")
def test_no_matrix_is_formed():
    n = 67
    d, e = tridiagonal(n=n)
    programs = {
        "values": (lambda d, e: jnp.sum(eigvalsh_tridiagonal(d, e) ** 2), False),
        "few": (jax.grad(lambda d, e: jnp.sum(eigvalsh_tridiagonal(d, e, subset_by_index=(3, 5)) ** 2)), False),
        "vectors": (jax.grad(lambda d, e: loss_of_few(*eigh_tridiagonal(d, e, subset_by_index=(3, 5)))), False),
        "all": (jax.grad(lambda d, e: loss_of_few(*eigh_tridiagonal(d, e))), True),
    }
    for name, (program, expected) in programs.items():
        lowered = jax.jit(program).lower(d, e).as_text()
        assert (f"tensor<{n}x{n}x" in lowered) == expected, name


def loss_of_few(w, v):
    return jnp.sum(jnp.tanh(w)[None, :] * v**2 * jnp.arange(1.0 * v.shape[0])[:, None])


def test_a_subset_costs_less():
    """Of a matrix of order 3000, whose dense solution would take a minute."""
    d, e = tridiagonal(n=3000)

    def f(d, e):
        return loss_of_few(*eigh_tridiagonal(d, e, subset_by_index=(10, 12)))

    gradient = jax.jit(jax.grad(f))(d, e)
    step = 1e-4 * random("far", d.shape)
    expected = (f(d + step, e) - f(d - step, e)) / 2
    np.testing.assert_allclose(np.sum(gradient * step), expected, rtol=1e-5)


# ---- second derivatives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subset", [None, (1, 2)], ids=str)
def test_second_derivatives(subset):
    x = jnp.concatenate(tridiagonal(n=4))

    def f(x):
        return loss_of_few(*eigh_tridiagonal(x[:4], x[4:], subset_by_index=subset))

    def expected(x):
        return loss_of_few(*eigh(whole_tridiagonal(x[:4], x[4:]), subset_by_index=subset))

    right = jax.hessian(expected)(x)
    for hessian in (jax.hessian(f), jax.jacrev(jax.grad(f)), jax.jacfwd(jax.jacfwd(f))):
        np.testing.assert_allclose(hessian(x), right, rtol=1e-7, atol=1e-8)


def test_second_derivatives_of_complex_bands():
    x = known(band(2, dtype="complex128", n=5))
    direction = known(band(2, dtype="complex128", n=5, seed=1))

    def along(f):
        return jax.grad(jax.grad(lambda t: f(x + t * direction)))(0.3)

    found = along(lambda x: loss(*eigh_banded(x, subset_by_index=(1, 2))))
    expected = along(lambda x: loss(*eigh(whole(x), subset_by_index=(1, 2))))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# ---- coinciding eigenvalues ---------------------------------------------------------------------------------------


def wilkinson():
    """W21+: no off-diagonal entry is zero, so all eigenvalues are distinct; the two largest agree to 13 digits."""
    return np.abs(np.arange(-10.0, 11)), np.ones(20)


def test_wilkinson():
    d, e = wilkinson()
    w = eigvalsh_tridiagonal(d, e)
    assert 0 <= w[-1] - w[-2] < 1e-13
    c = random("wilkinson", (21, 21))

    def space(d, e, **options):
        v = eigh_tridiagonal(d, e, **options).eigenvectors[:, -2:]
        return jnp.sum(c * (v @ v.T))

    def last(d, e, **options):
        v = eigh_tridiagonal(d, e, **options).eigenvectors[:, -1]
        return v @ c @ v

    # The space of both is well defined, a single vector is not.
    found = jax.grad(space, (0, 1))(d, e)
    expected = jax.grad(lambda d, e: jnp.sum(c * eigenpair.spectral_projector(-whole_tridiagonal(d, e), 2)), (0, 1))(
        d, e
    )
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-10)
    assert np.isnan(jax.grad(last)(d, e)).all()
    assert np.isfinite(jax.grad(last)(d, e, degeneracy=raw())).all()
    np.testing.assert_allclose(jax.grad(space)(d, e, degeneracy=mask(1e-8)), expected[0], atol=1e-10)
    assert np.isfinite(jax.grad(last)(d, e, degeneracy=broaden(1e-8))).all()
    # A subset with both of them may use their space, and one that cuts between them may not use the vector.
    both = jax.grad(lambda d: space(d, e, subset_by_index=(19, 20)))(d)
    np.testing.assert_allclose(both, expected[0], atol=1e-10)
    assert np.isnan(jax.grad(lambda d: last(d, e, subset_by_index=(20, 20)))(d)).all()
    v = eigh_tridiagonal(d, e, subset_by_index=(15, 20)).eigenvectors
    np.testing.assert_allclose(v.T @ v, np.eye(6), atol=1e-14)
    # Symmetric functions of both eigenvalues have a gradient, through vectors that are orthogonal to each other.
    values = jax.grad(lambda d, e: jnp.sum(eigvalsh_tridiagonal(d, e)[-2:] ** 2), (0, 1))(d, e)
    p = eigenpair.spectral_projector(-whole_tridiagonal(d, e), 2)
    np.testing.assert_allclose(values[0], 2 * w[-1] * np.diag(p), atol=1e-11)
    np.testing.assert_allclose(values[1], 4 * w[-1] * np.diag(p, 1), atol=1e-11)


def test_forward_mode_refuses_what_turns():
    d, e = wilkinson()
    direction = (random("turn", d.shape), np.zeros_like(e))
    tangent = jax.jvp(lambda d, e: eigh_tridiagonal(d, e).eigenvectors, (d, e), direction)[1]
    dense = jax.jvp(lambda d, e: eigh(whole_tridiagonal(d, e)).eigenvectors, (d, e), direction)[1]
    np.testing.assert_array_equal(np.isnan(tangent).all(0), np.isnan(dense).all(0))
    assert np.isnan(tangent[:, -2:]).all()
    assert np.isfinite(tangent[:, :10]).all()
    masked = jax.jvp(
        lambda d, e: eigh_tridiagonal(d, e, degeneracy=check(coupled="mask")).eigenvectors, (d, e), direction
    )[1]
    assert np.isfinite(masked).all()


def form(v):
    """A quadratic form, which depends on the vector's direction."""
    return v @ random("form", (len(v), len(v))) @ v


def test_exactly_repeated():
    """The zeros beside the diagonal allow it."""
    d, e = np.array([1.0, 1, 2, 3]), np.zeros(3)

    def f(d, e):
        v = eigh_tridiagonal(d, e).eigenvectors[:, :2]
        return jnp.sum(random("repeated", (4, 4)) * (v @ v.T))

    for x in jax.grad(f, (0, 1))(d, e):
        assert np.isfinite(x).all()
    for x in jax.grad(lambda d, e: form(eigh_tridiagonal(d, e).eigenvectors[:, 0]), (0, 1))(d, e):
        assert np.isnan(x).all()
    assert np.isnan(jax.hessian(lambda d: jnp.sum(eigvalsh_tridiagonal(d, e) ** 2))(d)).any()
    assert np.isfinite(jax.hessian(lambda d: jnp.sum(eigvalsh_tridiagonal(d, e + 1) ** 2))(d)).all()


def test_generic_basis():
    d, e = np.ones(3), np.zeros(2)
    turned = eigh_tridiagonal(d, e, degeneracy=check(generic_basis=True)).eigenvectors
    expected = eigh(np.eye(3), degeneracy=check(generic_basis=True)).eigenvectors
    np.testing.assert_allclose(turned, expected, atol=1e-14)
    part = eigh_tridiagonal(d, e, degeneracy=check(generic_basis=True), subset_by_index=(1, 1)).eigenvectors
    np.testing.assert_allclose(part, expected[:, 1:2], atol=1e-14)


def test_refused_and_counted():
    d, e = np.array([[1.0, 1, 2], [1, 2, 3]]), np.zeros((2, 2))

    def f(d, tally):
        options = {"degeneracy": check(refused="zero"), "tally": tally}
        return jnp.sum(jax.vmap(form)(eigh_tridiagonal(d, e, **options).eigenvectors[:, :, 0]))

    gradient, count = jax.grad(f, (0, 1))(d, jnp.zeros(()))
    assert count == 1
    np.testing.assert_array_equal(gradient[0], 0)


def test_explained():
    d, e = np.array([1.0, 1, 2]), np.zeros(2)

    def f(d):
        return form(eigh_tridiagonal(d, e, degeneracy=check(explain=True)).eigenvectors[:, 0])

    def run():
        jax.block_until_ready(jax.grad(f)(d))
        jax.effects_barrier()

    with pytest.warns(eigenpair.degeneracy.DegeneracyWarning, match="one cluster"):
        run()


# ---- by XLA -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_solution_by_xla(dtype):
    """What other platforms do."""
    x = band(2, True, batch=(2,), dtype=dtype)
    for first, count in ((0, N), (1, 3)):
        options = {"first": first, "count": count, "policy": check(), "vectors": True}
        found, expected = _solve_by_xla(x, **options), _solve_p.bind(x, **options)
        for i in (0, 2):
            np.testing.assert_allclose(found[i], expected[i], rtol=100 * eps(dtype), atol=300 * eps(dtype))
        np.testing.assert_allclose(fix_gauge(found[1]), fix_gauge(expected[1]), atol=3000 * eps(dtype))
        w, v = expected[:2]
        y = random("right", v.shape, dtype)
        operands = (y, w, v, x)
        np.testing.assert_allclose(
            _complement_by_xla(*operands, first=first), complement_p.bind(*operands, first=first), atol=1e5 * eps(dtype)
        )


def test_bands_and_matrices():
    x = band(2, True)
    a = np.asarray(whole(x, True))
    np.testing.assert_array_equal(bands.dense(bands.inside(x)), a)
    y = random("y", (N, 2))
    np.testing.assert_allclose(bands.times(x, y), a @ y, atol=1e-14)
    size = np.linalg.norm(np.asarray(bands.frobenius_bound(jnp.asarray(x))))
    np.testing.assert_allclose(size, np.linalg.norm(a), rtol=1e-14)


# ---- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: eigh_tridiagonal(np.ones(3), np.ones(3)), ValueError, "e must have one entry less than d, 2"),
        (lambda: eigh_tridiagonal(np.ones(3), 1j * np.ones(2)), TypeError, "e must be real.*eigh_banded"),
        (lambda: eigh_tridiagonal(1j * np.ones(3), np.ones(2)), TypeError, "d must be real"),
        (lambda: eigh_tridiagonal(1.0, np.ones(2)), ValueError, "d must be a vector"),
        (lambda: eigh_tridiagonal(np.ones((2, 3)), np.ones((3, 2))), ValueError, "batch axes of e do not broadcast"),
        (lambda: eigh_tridiagonal(np.ones(3), np.ones(2), subset_by_index=(0, 3)), ValueError, "subset_by_index"),
        (lambda: eigh_tridiagonal(np.ones(3), np.ones(2), select="i"), TypeError, "subset_by_index"),
        (lambda: eigh_tridiagonal(np.ones(3), np.ones(2), lapack_driver="stev"), TypeError, "leave it out"),
        (lambda: eigvalsh_tridiagonal(np.ones(3), np.ones(2), eigvals_only=True), TypeError, "eigh_tridiagonal has it"),
        (lambda: eigh_banded(np.ones(3)), ValueError, "a_band must have the diagonals in its rows"),
        (lambda: eigh_banded(np.ones((2, 3)), lower="L"), TypeError, "lower must be True or False"),
        (lambda: eigh_banded(np.ones((2, 3)), max_ev=3), TypeError, "subset_size"),
        (lambda: eigh_banded("x"), TypeError, "a_band must be an array"),
        (lambda: eigh_banded(np.ones((2, 3)), degeneracy=1e-9), TypeError, "degeneracy must be a policy"),
        (lambda: eigenpair.eig_banded, AttributeError, "eigh_banded"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()
