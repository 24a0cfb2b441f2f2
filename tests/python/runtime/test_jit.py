"""Inside `jit`, and inside other functions that compile."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import degeneracy, eigh, eigvalsh
from problems import TYPES, of_matrices, problem, projector, weighted


@pytest.mark.parametrize("type", TYPES)
def test_gradients(type):
    matrices, options = problem(type, batch=(2,))
    f = jax.value_and_grad(of_matrices(projector, **options), tuple(range(len(matrices))))
    for x, y in zip(jax.tree.leaves(f(*matrices)), jax.tree.leaves(jax.jit(f)(*matrices)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)


def test_value_is_not_changed_by_asking_for_the_gradient():
    for type, lower in ((0, True), (1, None), (2, False)):
        matrices, options = problem(type, lower=lower)
        f = of_matrices(weighted, **options)
        value, _ = jax.jit(jax.value_and_grad(f))(*matrices)
        np.testing.assert_allclose(value, jax.jit(f)(*matrices), rtol=1e-14)


def test_options_are_static():
    (a,), _ = problem()
    compiled = jax.jit(eigh, static_argnames=("lower", "subset_by_index", "degeneracy", "eigvals_only"))
    w = compiled(a, lower=True, subset_by_index=(0, 1), degeneracy=degeneracy.mask(1e-3), eigvals_only=True)
    np.testing.assert_array_equal(w, eigvalsh(a, lower=True)[:2])


def test_compiles_once():
    traced = 0

    @jax.jit
    def f(x):
        nonlocal traced
        traced += 1
        return jax.grad(of_matrices(projector, degeneracy=degeneracy.check(5.0)))(x)

    for seed in range(3):
        f(problem(seed=seed)[0][0])
    assert traced == 1


def test_equal_policies_share_a_compilation():
    (a,), _ = problem(n=2, seed="shared")
    sizes = []
    for _ in range(3):
        eigh(a, degeneracy=degeneracy.mask(1e-5))
        sizes.append(eigenpair.hermitian.primitive._solve_jit._cache_size())
    assert len(set(sizes)) == 1


def test_control_flow():
    (a,), _ = problem()
    loss = of_matrices(projector)
    expected = jax.grad(loss)(a)

    def step(x, _):
        return x - 0.01 * jax.grad(loss)(x), loss(x)

    (last, history) = jax.jit(lambda x: jax.lax.scan(step, x, None, length=3))(a)
    assert history.shape == (3,)
    assert np.isfinite(last).all()
    np.testing.assert_allclose(step(a, None)[0], a - 0.01 * expected)
    through_scan = jax.grad(lambda x: jax.lax.scan(lambda c, _: (c, loss(c)), x, None, length=2)[1].sum())(a)
    np.testing.assert_allclose(through_scan, 2 * expected, rtol=1e-12, atol=1e-12)
    chosen = jax.jit(jax.grad(lambda x, c: jax.lax.cond(c, loss, lambda y: jnp.sum(y), x)))(a, True)
    np.testing.assert_allclose(chosen, expected, rtol=1e-12, atol=1e-12)
    looped = jax.lax.while_loop(
        lambda s: s[0] < 2, lambda s: (s[0] + 1, eigvalsh(jnp.diag(s[1]) + a)), (0, np.zeros(3))
    )
    assert looped[1].shape == (3,)


def test_rematerialization():
    (a, b), options = problem(1)
    loss = of_matrices(projector, **options)
    for x, y in zip(jax.grad(jax.checkpoint(loss), (0, 1))(a, b), jax.grad(loss, (0, 1))(a, b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def test_without_jit():
    """`jax.disable_jit()` is for debugging, which must work here too."""
    (a, b), options = problem(1)
    functions = [
        of_matrices(projector, **options),
        lambda x, y: jnp.real(eigenpair.eigvals(x + y)[0]),
        lambda x, y: eigenpair.spectral_sum(jnp.exp, x + y),
    ]
    for f in functions:
        expected = jax.value_and_grad(f, (0, 1))(a, b)
        with jax.disable_jit():
            found = jax.value_and_grad(f, (0, 1))(a, b)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12), found, expected)


def test_checked_for_nans():
    """`jax_debug_nans` must not complain about intermediate NaN that are not in the result."""
    (a,), _ = problem()
    with jax.debug_nans(True):
        assert np.isfinite(jax.grad(of_matrices(projector))(a)).all()
        assert np.isfinite(jax.hessian(of_matrices(projector))(a)).all()
        # A cluster that the loss does not use, so there is a gradient.
        assert np.isfinite(jax.grad(lambda x: jnp.sum(eigh(x)[0] ** 2))(np.diag([1.0, 1, 2]))).all()


def test_abstract_evaluation():
    shape = jax.eval_shape(eigh, jax.ShapeDtypeStruct((5, 4, 4), np.complex64))
    assert (shape.eigenvalues.shape, shape.eigenvalues.dtype) == ((5, 4), np.float32)
    assert (shape.eigenvectors.shape, shape.eigenvectors.dtype) == ((5, 4, 4), np.complex64)


def test_no_gradient_no_cost():
    """A forward call compiles to one call of the kernel, and values alone ask for no vectors."""
    (a, b), _ = problem(1)
    text = jax.jit(eigvalsh).lower(a, b).as_text()
    assert text.count("custom_call") == (1 if eigenpair.native.has_cpu_kernels() else text.count("custom_call"))
