"""Forward mode at repeated eigenvalues: a tangent is right for every loss that has a derivative, or it is NaN."""

import dataclasses

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eig, eigh, eigvals, eigvalsh, native
from eigenpair.degeneracy import DegeneracyWarning, check, policy
from finite_differences import derivative
from problems import (
    DTYPES,
    RULES,
    adjoint,
    around,
    eps,
    exponential,
    hermitian,
    inner,
    keywords,
    random,
    unitary,
    wait_for,
    weights,
    with_spectrum,
)

pytestmark = pytest.mark.filterwarnings("ignore::eigenpair.degeneracy.DegeneracyWarning")

SPECTRUM = (-1.0, 0.5, 0.5, 0.5, 2.0, 3.0)
CLUSTER, OTHERS = [1, 2, 3], [0, 4, 5]


def masked(rule):
    return dataclasses.replace(rule, coupled="mask")


def pair_of(basis, w, type):
    """A problem with these eigenvalues. For types 1 and 3, its eigenvectors are the columns of `basis` times a
    factor."""
    dual = adjoint(np.linalg.inv(basis))
    a = (basis if type == 2 else dual) * w @ adjoint(basis if type == 2 else dual)
    b = basis @ adjoint(basis) if type == 3 else dual @ adjoint(dual)
    return [hermitian(a), hermitian(b)]


def degenerate(type, dtype, within=None):
    """A problem with a triple eigenvalue, and a direction: random, except inside the cluster, where it is `within`.
    `(matrices, direction)`."""
    wide = np.result_type(dtype, np.float64)
    n = len(SPECTRUM)
    w = np.asarray(SPECTRUM)
    if type == 0:
        basis = unitary("q", n, wide)
        x = hermitian(random("x", (n, n), wide))
        if within is not None:
            x[1:4, 1:4] = within
        problems = [hermitian(basis * w @ adjoint(basis))], [hermitian(basis @ x @ adjoint(basis))]
    else:
        basis = unitary(1, n, wide) @ np.diag(1 + np.arange(n) / n) @ unitary(2, n, wide)
        matrices = pair_of(basis, w, type)
        if within is None:
            directions = [hermitian(random(("x", k), (n, n), wide)) for k in range(2)]
        else:
            # Along a path of pairs whose eigenvalues are only shifted, and whose eigenvectors move by basis @ x.
            x = random("x", (n, n), wide)
            dual = adjoint(np.linalg.inv(basis))
            shift = within * np.eye(n)
            grown = x * w + w[:, None] * adjoint(x) + shift, x + adjoint(x)
            shrunk = shift - adjoint(x) * w - w[:, None] * x, -adjoint(x) - x
            directions = [
                hermitian(basis @ up @ adjoint(basis) if type == of_basis else dual @ down @ adjoint(dual))
                for up, down, of_basis in zip(grown, shrunk, (2, 3), strict=True)
            ]
        problems = matrices, directions
    return [[x.astype(dtype) for x in part] for part in problems]


def of_space(w, v):
    """A function of the projector on the cluster and of the sum of its eigenvalues."""
    inside = v[:, 1:4]
    return inner(weights(v.shape[-1]), inside @ jnp.conj(inside.T)) + jnp.sum(jnp.sin(w[1:4]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("type", [0, 1, 2, 3])
def test_coupled_vectors_have_no_tangent(type, dtype, rule):
    matrices, along = degenerate(type, dtype)
    for lower in (None, True, False):
        options = keywords(type, lower)
        _, (dw, dv) = jax.jvp(lambda *m, o=options: eigh(*m, **o, degeneracy=RULES[rule]), matrices, along)
        _, (mw, mv) = jax.jvp(lambda *m, o=options: eigh(*m, **o, degeneracy=masked(RULES[rule])), matrices, along)
        assert np.isnan(dv[:, CLUSTER]).all()
        # The two are different programs, which XLA may round differently.
        size = np.abs(mv).max()
        np.testing.assert_allclose(dv[:, OTHERS], mv[:, OTHERS], atol=8 * eps(dtype) * size)
        np.testing.assert_allclose(dw, mw, atol=8 * eps(dtype) * np.abs(mw).max())
        assert np.isfinite(mv).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("type", [0, 1, 2, 3])
def test_directions_that_couple_nothing_are_right_for_smooth_losses(type, dtype, rule):
    """Even for the loss whose gradient does not follow from its cotangents."""
    matrices, along = degenerate(type, dtype, within=0.7 if type else 0.7 * np.eye(3))
    losses = (of_space, exponential) if type == 0 else (of_space,)
    for loss in losses:

        def f(*m, loss=loss):
            return loss(*eigh(*m, **keywords(type), degeneracy=RULES[rule]))

        found = jax.jvp(f, matrices, along)[1]
        np.testing.assert_allclose(found, derivative(f, matrices, along), rtol=1e-7 if type else 1e-8)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("dtype", "gaps"), [("float32", (1, 1e-2)), ("float64", (1, 1e-3, 1e-5)), ("complex128", (1e-4,))]
)
def test_rounding_is_no_coupling(dtype, gaps, rule):
    """For matrices of all sizes, also where another eigenvalue is close, so that errors of the vectors are large."""
    wide = np.result_type(dtype, np.float64)
    for n in (4, 12, 70):
        for gap in gaps:
            for seed, size in enumerate((1e-20, 1, 1e20)):
                w = np.concatenate([[1.0] * 2, [1 + gap], np.linspace(2 + gap, 5, n - 3)])
                q = unitary((n, seed), n, wide)
                x = hermitian(random((n, seed), (n, n), wide))
                x[:2, :2] = 0.7 * np.eye(2)
                a, direction = hermitian(q * w @ adjoint(q)), hermitian(q @ x @ adjoint(q)) * size
                _, (_, dv) = jax.jvp(
                    lambda a: eigh(a, degeneracy=RULES[rule]), (a.astype(dtype),), (direction.astype(dtype),)
                )
                assert np.isfinite(dv).all(), (n, gap, size)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("coupling", [1e-3, 1e-6, 1e-9])
def test_small_couplings_are_no_rounding(coupling, rule):
    """A coupling is found although the direction, or the vectors of a pair, also contain much larger numbers."""
    n = 5
    a = np.diag([-1.0, 1, 1, 3, 4])
    turn = np.eye(n)
    turn[1:3, 1:3] = unitary(0, 2)
    x = np.zeros((n, n))
    x[1, 2] = x[2, 1] = coupling
    x[4, 4] = 1e9
    a, x = turn @ a @ turn.T, turn @ x @ turn.T
    for length in (1.0, 1e3, 1e8):
        # The vectors of the pair are diag(s) times those of a.
        s = np.array([1, 1, 1, 1, length])
        pair, along = (a / np.outer(s, s), np.diag(s**-2)), (x / np.outer(s, s), np.zeros((n, n)))
        for problem, direction in (((a,), (x,)), (pair, along)):
            _, (_, dv) = jax.jvp(lambda *m: eigh(*m, degeneracy=RULES[rule]), problem, direction)
            assert np.isnan(dv[:, 1:3]).all(), length


@pytest.mark.parametrize("rule", RULES)
def test_a_perturbation_that_is_not_finite_gives_no_number(rule):
    (a,), (x,) = degenerate(0, "float64", within=np.eye(3))
    for bad in (np.nan, np.inf, 1e308):
        spoiled = np.array(x)
        spoiled[0] = spoiled[:, 0] = bad
        _, (_, dv) = jax.jvp(lambda a: eigh(a, degeneracy=RULES[rule]), (a,), (spoiled,))
        assert not np.isfinite(dv[:, CLUSTER]).any()


def test_each_matrix_of_a_batch_and_each_direction_for_itself():
    (a,), (coupling,) = degenerate(0, "float64")
    _, (quiet,) = degenerate(0, "float64", within=np.eye(3))
    distinct = with_spectrum(np.arange(6.0))
    f = eigenpair.eigh
    _, (_, dv) = jax.jvp(f, (np.stack([a, a, distinct]),), (np.stack([coupling, quiet, coupling]),))
    np.testing.assert_array_equal(np.isnan(dv).any((1, 2)), [True, False, False])
    _, push = jax.linearize(f, a)
    moved = jax.vmap(push)(np.stack([coupling, quiet]))[1]
    np.testing.assert_array_equal(np.isnan(moved).any(1), [np.isin(np.arange(6), CLUSTER), [False] * 6])
    jacobian = jax.jacfwd(lambda t: f(a + t[0] * coupling + t[1] * quiet).eigenvectors)(np.zeros(2))
    np.testing.assert_array_equal(np.isnan(jacobian).any((0, 1)), [True, False])


@pytest.mark.parametrize("rule", RULES)
def test_reverse_mode_decides_by_the_cotangent(rule):
    """Also where JAX derives it from forward mode, and where forward mode ran first."""
    (a,), (x,) = degenerate(0, "float64")
    f = lambda a: of_space(*eigh(a, degeneracy=RULES[rule]))  # noqa: E731
    expected = jax.grad(f)(a)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(inner(expected, x), derivative(f, (a,), (x,)), rtol=1e-8)
    _, push = jax.linearize(f, a)
    assert np.isnan(push(x))
    (transposed,) = jax.linear_transpose(push, a)(1.0)
    np.testing.assert_allclose(transposed, expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jacrev(f)(a), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda x: jax.jvp(f, (a,), (x,))[1])(x), expected, rtol=1e-12)


def test_second_derivatives_of_distinct_spectra_are_what_they_were():
    a, x = with_spectrum([-1.0, 0.5, 2.0]), hermitian(random("x", (3, 3)))
    f = lambda a: exponential(*eigh(a))  # noqa: E731
    g = lambda a: jnp.sum(weights(3) * eigenpair.spectral_map(jnp.exp, a))  # noqa: E731
    for mode in (
        lambda f: jax.jvp(jax.grad(f), (a,), (x,))[1],
        lambda f: jax.grad(lambda a: jax.jvp(f, (a,), (x,))[1])(a),
    ):
        np.testing.assert_allclose(mode(f), mode(g), rtol=1e-9, atol=1e-10)


def test_at_the_identity():
    """LAPACK's basis there is special: diagonal directions couple nothing, so tangents are right for losses that have a
    derivative. Forward mode also detects a direction that rotates the vectors; reverse mode cannot."""
    sigma = np.array([[0.0, 1], [1, 0]])
    f = lambda a: jnp.trace(sigma @ around(*eigh(a)[::-1]))  # noqa: E731
    assert np.isnan(jax.jvp(f, (np.eye(2),), (sigma,))[1])
    (dw, dv) = jax.jvp(eigenpair.eigh, (np.eye(3),), (np.diag([2.0, 1, 3]),))[1]
    np.testing.assert_array_equal(dw, [2, 1, 3])
    np.testing.assert_array_equal(dv, 0)


@pytest.mark.parametrize("rule", RULES)
def test_eigenvalues_keep_their_tangents(rule):
    """They are right for symmetric losses; for others they belong to the subgradient that reverse mode gives."""
    (a,), (x,) = degenerate(0, "complex128")
    f = lambda a: jnp.sum(eigvalsh(a, degeneracy=RULES[rule]) ** 3)  # noqa: E731
    np.testing.assert_allclose(jax.jvp(f, (a,), (x,))[1], derivative(f, (a,), (x,)), rtol=1e-8)
    one = lambda a: eigvalsh(a, degeneracy=RULES[rule])[2]  # noqa: E731
    np.testing.assert_allclose(jax.jvp(one, (a,), (x,))[1], inner(jnp.conj(jax.grad(one)(a)), x), rtol=1e-12)


# ---- subsets ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not native.has_cpu_kernels(), reason="subsets are computed by the core")
@pytest.mark.parametrize("type", [0, 1])
def test_subsets(type):
    n, wide = 80, "float64"
    w = np.concatenate([[-1.0, 0.5, 0.5, 0.5, 0.9, 0.9], np.linspace(2, 9, n - 6)])
    basis = unitary("q", n, wide) if type == 0 else unitary(1, n) @ np.diag(1 + np.arange(n) / n) @ unitary(2, n)
    dual = np.linalg.inv(basis).T
    matrices = (hermitian(dual * w @ dual.T), hermitian(dual @ dual.T))[: 1 + type]
    x = hermitian(random("x", (n, n)))
    quiet = np.array(x)
    quiet[1:4, 1:4] = 0.7 * np.eye(3)
    elsewhere = np.zeros((n, n))
    elsewhere[10:, 10:] = x[10:, 10:]
    for direction, lost in ((x, [1, 2, 3]), (quiet, []), (elsewhere, [])):
        along = (hermitian(dual @ direction @ dual.T), np.zeros((n, n)))[: 1 + type]
        push = lambda s, a=along: jax.jvp(lambda *m: eigh(*m, subset_by_index=s).eigenvectors, matrices, a)[1]  # noqa: E731
        np.testing.assert_array_equal(np.isnan(push((0, 3))).any(0), np.isin(np.arange(4), lost))
        # A cluster that the subset cuts has no tangent in any direction.
        np.testing.assert_array_equal(np.isnan(push((1, 4))).any(0), np.isin(np.arange(1, 5), [*lost, 4]))


# ---- general problems ---------------------------------------------------------------------------------------------


def general(dtype, pencil, within=None):
    n = len(SPECTRUM)
    wide = np.result_type(dtype, np.complex128 if np.dtype(dtype).kind == "c" else np.float64)
    p = unitary("p", n, wide) @ np.diag(1 + np.arange(n) / n) @ unitary("r", n, wide)
    x = random("x", (n, n), wide)
    if within is not None:
        x[1:4, 1:4] = within
    inverse = np.linalg.inv(p)
    b = unitary("b", n, wide) + 2 * np.eye(n) if pencil else np.eye(n)
    matrices, along = [b @ (p * np.asarray(SPECTRUM)) @ inverse, b], [b @ p @ x @ inverse, 0 * b]
    return [[m.astype(dtype) for m in part[: 1 + pencil]] for part in (matrices, along)]


def exponential_of_general(a, b=None, **options):
    """tr(Cᵀ exp(B⁻¹A)) from eigenvalues and vectors."""
    w, v = eig(a, b, **options)
    return inner(weights(a.shape[-1]), (v * jnp.exp(w)[None]) @ jnp.linalg.inv(v))


@pytest.mark.parametrize("pencil", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_coupled_eigenpairs_of_general_problems_have_no_tangent(dtype, pencil):
    matrices, along = general(dtype, pencil)
    f = lambda *m, **o: eig(*m, left=True, **o)  # noqa: E731
    _, found = jax.jvp(f, matrices, along)
    _, expected = jax.jvp(lambda *m: f(*m, degeneracy=check(coupled="mask")), matrices, along)
    for x, y in zip(found, expected, strict=True):
        assert np.isnan(x[..., CLUSTER]).all()
        np.testing.assert_array_equal(x[..., OTHERS], y[..., OTHERS])
        assert np.isfinite(y).all()
    _, values = jax.jvp(eigvals, matrices, along)
    np.testing.assert_array_equal(np.isnan(values), np.isin(np.arange(6), CLUSTER))


@pytest.mark.parametrize("pencil", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_directions_that_couple_nothing_in_general_problems(dtype, pencil):
    matrices, along = general(dtype, pencil, within=0.7 * np.eye(3))
    found = jax.jvp(exponential_of_general, matrices, along)[1]
    np.testing.assert_allclose(found, derivative(exponential_of_general, matrices, along), rtol=1e-7)
    total = lambda *m: jnp.sum(eigvals(*m) ** 2).real  # noqa: E731
    np.testing.assert_allclose(jax.jvp(total, matrices, along)[1], derivative(total, matrices, along), rtol=1e-8)


def test_masked_tangents_are_right_for_invariant_subspaces():
    a, x = (m[0] for m in general("float64", False))

    def f(a):
        w, v = eig(a, degeneracy=check(coupled="mask"))
        inside = v[:, 1:4] @ jnp.linalg.inv(v)[1:4]
        return inner(weights(6), inside) + jnp.sum(w[1:4] ** 3).real

    np.testing.assert_allclose(jax.jvp(f, (a,), (x,))[1], derivative(f, (a,), (x,)), rtol=1e-8)
    (a,), (x,) = degenerate(0, "complex128")
    f = lambda a: of_space(*eigh(a, degeneracy=check(coupled="mask")))  # noqa: E731
    np.testing.assert_allclose(jax.jvp(f, (a,), (x,))[1], derivative(f, (a,), (x,)), rtol=1e-8)


@pytest.mark.parametrize("size", [0.0, 1e-9])
def test_nearly_defective_eigenvalues_have_no_tangents(size):
    """If left and right vectors are nearly orthogonal, no coupling is small enough to be a rounding error."""
    a = np.diag([1.0, 1, 3]) + np.diag([1.0, 0], 1)
    a[1, 0] = size**2
    _, found = jax.jvp(eigenpair.eig, (a,), (np.eye(3),))
    for x in found:
        assert np.isnan(x[..., :2]).all()


# ---- explanations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("under", [lambda f: f, jax.jit])
@pytest.mark.parametrize("function", ["eigh", "eig"])
def test_explanation(function, under):
    a = np.eye(3)
    solve = getattr(eigenpair, function)
    push = under(lambda a, x: jax.jvp(lambda a: solve(a, degeneracy=check(explain=True)), (a,), (x,))[1])
    with pytest.warns(DegeneracyWarning, match=r"tangent of eigh? .*eigenvalues 0 and 1.*couples.*coupled=\"mask\""):
        wait_for(push(a, np.ones((3, 3))))


def test_the_argument():
    with pytest.raises(ValueError, match="coupled must be 'nan' or 'mask'"):
        check(coupled="zero")
    (a,), (x,) = degenerate(0, "float64")
    push = jax.jit(lambda: jax.jvp(eigenpair.eigh, (a,), (x,))[1][1])
    assert np.isnan(push()).any()
    with policy(check(coupled="mask")):
        assert np.isfinite(push()).all()


def test_no_wider_than_float32_allows():
    """`ε` is the one of the precision in use."""
    a, x = with_spectrum([1.0, 1, 2], dtype="float32"), np.float32(1e3 * eps("float32")) * np.ones((3, 3), "float32")
    _, (_, dv) = jax.jvp(eigenpair.eigh, (a,), (x,))
    assert np.isnan(dv[:, :2]).all()
