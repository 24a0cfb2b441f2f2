"""Cases for which other libraries return wrong results: eigenpair returns the right ones, or NaN."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eigh, eigvalsh
from finite_differences import assert_gradient
from problems import (
    around,
    inner,
    keywords,
    moduli,
    of_matrices,
    problem,
    projector,
    spoiled,
    sum_squares,
    weights,
    with_spectrum,
)


def c_matrix(n):
    c = weights(n)
    return (c + c.T) / 2


@pytest.mark.parametrize("spectrum", [(1.0, 1, 2), (1.0, 1, 1), (0.5, 0.5, 0.5)], ids=str)
def test_trace_of_a_function_at_exact_degeneracy(spectrum):
    """`tr C f(A)` built from `(w, v)` is refused; `spectral_map` has its gradient. Elsewhere: wrong by 13 to 59 %."""
    a, c = with_spectrum(spectrum, 3), c_matrix(3)

    def built(x):
        w, v = eigh(x, degeneracy=eigenpair.degeneracy.check(generic_basis=True))
        return inner(c, around(v, jnp.exp(w)))

    assert np.isnan(jax.grad(built)(a)).all()
    # d tr(C exp A) = ∫ tr(exp((1−s)A) C exp(sA) dA) ds, by quadrature.
    nodes, mass = np.polynomial.legendre.leggauss(20)
    w, v = np.linalg.eigh(a)

    def power(s):
        return (v * np.exp(s * w)) @ v.T

    exact = sum(m / 2 * power((1 - s) / 2) @ c @ power((1 + s) / 2) for s, m in zip(nodes, mass, strict=True))
    found = jax.grad(lambda x: inner(c, eigenpair.spectral_map(jnp.exp, x)))(a)
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("policy", [eigenpair.degeneracy.check(), eigenpair.degeneracy.raw()], ids=["check", "raw"])
def test_matrices_of_size_1e_12(policy):
    """A mask of 1e-9 treats this whole spectrum as one eigenvalue: gradients are wrong by 84 %, projectors by 100 %."""
    a = with_spectrum([1.0, 2, 4], 4)
    for loss in (projector, moduli):
        f = of_matrices(loss, degeneracy=policy)
        np.testing.assert_allclose(jax.grad(f)(a * 1e-12) * 1e-12, jax.grad(f)(a), rtol=1e-10, atol=1e-12)


def test_single_precision_projector_at_a_triple_eigenvalue():
    """Rounding splits the three eigenvalues by 1e-7; dividing by these gaps is wrong by 60 %."""
    a = with_spectrum([1.0, 1, 1, 3], 5, "float32")

    def loss(x):
        return projector(*eigh(x), k=3)

    wide = jax.grad(loss)(with_spectrum([1.0, 1, 1, 3], 5))
    np.testing.assert_allclose(jax.grad(loss)(a), wide, atol=2e-6 * np.abs(wide).max())


@pytest.mark.parametrize("spectrum", [(1.0, 1, 2), (1.0, 1, 1)], ids=str)
def test_hessian_of_the_sum_of_squares_at_degeneracy(spectrum):
    """Right or NaN; elsewhere wrong by 37 to 55 %. `spectral_sum` has the Hessian."""
    a = with_spectrum(spectrum, 6)
    eye = np.eye(9).reshape(3, 3, 3, 3)
    exact = eye + eye.transpose(1, 0, 2, 3)
    hessian = np.asarray(jax.hessian(lambda x: jnp.sum(eigvalsh(x) ** 2))(a))
    assert np.isnan(hessian).all() or np.allclose(hessian, exact, atol=1e-12)
    through_sum = jax.hessian(lambda x: eigenpair.spectral_sum(lambda y: y**2, x))(a)
    np.testing.assert_allclose(through_sum, exact, atol=1e-12)


@pytest.mark.parametrize("type", [2, 3])
def test_types_2_and_3_have_derivatives(type):
    matrices, options = problem(type, "complex128")
    assert_gradient(of_matrices(moduli, **options), matrices)


@pytest.mark.parametrize("type", [1, 2, 3])
def test_gradient_with_respect_to_b_alone(type):
    (a, b), options = problem(type)
    assert_gradient(lambda y: of_matrices(moduli, **options)(a, y), (b,))


def test_single_precision_stays_single():
    (a, b), options = problem(1, "float32")
    w, v = eigh(a, b, **options)
    assert w.dtype == v.dtype == np.float32
    assert jax.grad(of_matrices(moduli, **options))(a, b).dtype == np.float32


@pytest.mark.parametrize("lower", [True, False])
def test_lower_is_obeyed(lower):
    """In values and in gradients. One library ignores `lower`; another reads one triangle and differentiates both."""
    clean = with_spectrum([1.0, 2, 4], 7)
    a = spoiled(clean, lower)
    np.testing.assert_allclose(eigvalsh(a, lower=lower), [1, 2, 4], rtol=1e-13)
    gradient = jax.grad(of_matrices(moduli, lower=lower))(a)
    unread = np.triu(gradient, 1) if lower else np.tril(gradient, -1)
    np.testing.assert_array_equal(unread, 0)
    assert_gradient(of_matrices(moduli, lower=lower), (a,))


def test_shapes_are_checked_before_compilation():
    with pytest.raises(ValueError, match=r"\bb\b.*size"):
        eigh(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match=r"\bb\b.*broadcast"):
        eigh(np.zeros((2, 3, 3)), np.zeros((4, 3, 3)))
    assert eigh(np.stack([np.eye(3)] * 2), np.eye(3)).eigenvalues.shape == (2, 3)


def test_type_4_does_not_reach_lapack():
    with pytest.raises(ValueError, match=r"\btype\b"):
        eigh(np.eye(3), np.eye(3), type=4)


@pytest.mark.skipif(not eigenpair.native.has_cpu_kernels(), reason="no kernels")
def test_standard_problems_and_values_alone_are_asked_for_as_such():
    """They are not solved as a generalized problem with B = I (1.4 times slower), nor with vectors that are not
    needed."""
    text = jax.jit(eigvalsh).lower(np.eye(40)).as_text()
    call = next(line for line in text.splitlines() if "custom_call" in line)
    assert "type = 0" in call
    assert call.count("tensor<40x40xf64>") == 1  # the matrix goes in and does not come back


@pytest.mark.parametrize("type", [1, 2, 3])
def test_generalized_gradients_on_a_distinct_spectrum(type):
    """A reduction by Cholesky that does not differentiate the factor is wrong everywhere, not only at degeneracy."""
    matrices, options = problem(type)
    for loss in (projector, sum_squares, moduli):
        assert_gradient(of_matrices(loss, **options), matrices)


def test_bit_equal_eigenvalues():
    """NaN elsewhere, for losses that have a gradient."""
    a = np.diag([1.0, 1, 2])
    np.testing.assert_allclose(jax.grad(lambda x: sum_squares(*eigh(x)))(a), 2 * a, atol=1e-14)
    found = jax.grad(lambda x: projector(*eigh(x), k=2))(a)
    c = c_matrix(3)
    expected = np.zeros((3, 3))
    expected[:2, 2], expected[2, :2] = -c[:2, 2], -c[2, :2]
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_eigenvalues_split_by_rounding():
    """Finite elsewhere, and wrong by 30 to 120 %: for a loss without a gradient, and for one that has it."""
    for seed in range(5):
        a = with_spectrum([1.0, 1, 2], seed)
        assert np.isnan(jax.grad(of_matrices(moduli))(a)).all()
        v = np.linalg.eigh(a)[1]
        c, p, q = c_matrix(3), v[:, :2] @ v[:, :2].T, np.outer(v[:, 2], v[:, 2])
        found = jax.grad(lambda x: projector(*eigh(x), k=2))(a)
        np.testing.assert_allclose(found, -(p @ c @ q + q @ c @ p), atol=1e-13)


def test_value_is_the_same_with_and_without_its_gradient():
    """A function that reads one triangle must not read the symmetric part when it is differentiated."""
    a = spoiled(with_spectrum([1.0, 2, 4], 8), True)
    for lower in (None, True, False):
        f = of_matrices(sum_squares, lower=lower)
        np.testing.assert_allclose(jax.value_and_grad(f)(a)[0], f(a), rtol=1e-15)


@pytest.mark.parametrize("n", [2, 5, 16, 17, 64])
@pytest.mark.parametrize("type", [0, 1])
def test_one_nan_entry_leaves_no_finite_eigenvalue(type, n):
    """For some such matrices LAPACK returns finite numbers for most eigenvalues."""
    a = np.eye(n) * np.arange(1, n + 1)
    for place in ((0, 0), (n - 1, 0), (n // 2, n // 2), (0, n - 1)):
        poisoned = a.copy()
        poisoned[place] = np.nan
        for matrices in ((poisoned,),) if type == 0 else ((poisoned, np.eye(n)), (a, poisoned)):
            w, v = eigh(*matrices, **keywords(type))
            assert np.isnan(w).all()
            assert np.isnan(v).all()
            assert np.isnan(eigvalsh(*matrices, **keywords(type))).all()
