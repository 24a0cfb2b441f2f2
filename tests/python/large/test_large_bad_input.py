"""Problems without a solution give an error or NaN, with a message that says what to do."""

import signal
import subprocess
import sys
import textwrap
import time

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.large import ConvergenceWarning, eigsh, spectral_projector, spectral_sum
from operators_by_hand import chain, cube
from problems import with_spectrum

A = with_spectrum(np.linspace(1, 9, 60), 0)


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "words"),
    [
        ((A, 60), {}, ValueError, "k must be less than the size of the operator, 60"),
        ((A, 0), {}, ValueError, "k must be at least 1"),
        ((A, 2.5), {}, TypeError, "k must be a Python integer"),
        ((A[:, :50], 2), {}, ValueError, "operator must be one square matrix"),
        ((A, 2), {"b": np.eye(50)}, ValueError, "b must have the size of the operator"),
        ((A, 2), {"which": "SM"}, ValueError, "which must be one of .*nearest to 0 give sigma=0"),
        ((A, 2), {"sigma": "low"}, TypeError, "sigma must be a Python number"),
        ((A, 2), {"sigma": 1.5, "which": "SA"}, ValueError, "leave out which"),
        ((A, 2), {"v0": np.ones(50)}, ValueError, "n=50"),
        ((A, 2), {"v0": 1j * np.ones(60)}, TypeError, "v0 is complex"),
        ((A, 2), {"tol": -1}, ValueError, "tol must be zero or positive"),
        ((A, 2), {"max_iterations": 0}, ValueError, "max_iterations must be at least 1"),
        ((A, 2), {"solver": "lanczos"}, ValueError, "solver must be one of"),
        ((A, 2), {"progress": 1}, TypeError, "progress must be True or False"),
        ((A, 2), {"callback": 3}, TypeError, "callback must be a function"),
        ((A, 2), {"degeneracy": eigenpair.degeneracy.mask(1e-3)}, ValueError, "would have to know all eigenvectors"),
        ((lambda x: x, 2), {}, TypeError, "say for vectors of which size"),
        ((lambda x: x[:3], 2), {"n": 60, "dtype": float}, ValueError, "must return a vector of shape"),
        ((lambda x: x.astype(complex), 2), {"n": 60, "dtype": float}, TypeError, "returns complex128"),
        ((lambda x: x, 2), {"n": 60, "dtype": float, "sigma": 1.0}, ValueError, "sigma needs a factorization"),
        ((lambda x: x, 2), {"n": 60, "dtype": float, "solver": "arpack"}, ValueError, "with a matrix"),
        ((np.triu(A), 2), {}, ValueError, "operator is not Hermitian"),
        ((A, 2), {"b": np.triu(A) + 9 * np.eye(60)}, ValueError, "b is not Hermitian"),
    ],
)  # fmt: skip
def test_errors(arguments, options, kind, words):
    with pytest.raises(kind, match=words):
        eigsh(*arguments, **options)


def test_unknown_options_of_spectral_functions():
    with pytest.raises(TypeError, match="no argument 'which'"):
        spectral_projector(A, 2, which="LA")
    with pytest.raises(TypeError, match="f must be a function"):
        spectral_sum(3, A, 2)


def test_singular_shift_and_indefinite_b():
    with pytest.raises(ValueError, match="move it a little"):
        eigsh(np.diag(np.arange(60.0)), 2, sigma=3.0)
    with pytest.raises(ValueError, match="b is not positive definite"):
        eigsh(A, 2, b=np.diag(np.linspace(-1, 2, 60)), sigma=0.5)
    with pytest.warns(ConvergenceWarning, match="b is not positive definite"):
        assert np.all(np.isnan(eigsh(A, 2, b=np.diag(np.linspace(-1, 2, 60))).eigenvalues))


def test_nan_from_the_operator():
    bad = A.copy()
    bad[3, 3] = np.nan
    for solver in ("krylov", "lobpcg", "arpack"):
        with pytest.warns(ConvergenceWarning, match="NaN or Inf"):
            assert np.all(np.isnan(eigsh(bad, 2, solver=solver).eigenvectors))


def test_too_few_iterations_are_nan_and_so_are_derivatives():
    def first(w):
        return eigsh(chain(w), 2, n=300, dtype=float, max_iterations=2).eigenvalues[0]

    with pytest.warns(ConvergenceWarning, match="Raise max_iterations"):
        value, gradient = jax.value_and_grad(first)(jnp.ones(300))
    assert np.isnan(value)
    assert np.all(np.isnan(gradient))


def test_not_hermitian_under_jit():
    def values(a):
        return jax.block_until_ready(jax.jit(lambda a: eigsh(a, 2).eigenvalues)(a))

    with pytest.warns(ConvergenceWarning, match="NaN"):
        found = values(np.triu(A))
    assert np.all(np.isnan(found))


def test_zero_operator():
    found = eigsh(lambda x: 0 * x, 3, n=80, dtype=float)
    np.testing.assert_array_equal(found.eigenvalues, 0)
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(3), atol=1e-12)


def test_a_cluster_that_k_cuts():
    a = with_spectrum(np.concatenate([[0.0, 1.0, 1.0], np.linspace(2, 9, 57)]), 1)

    def sum_of(k):
        return lambda a: jnp.sum(eigsh(a, k).eigenvalues)

    def vectors(k):
        return lambda a: jnp.sum(eigsh(a, k).eigenvectors ** 4)

    assert np.all(np.isfinite(jax.grad(sum_of(2))(a)))  # a subgradient, as for eigvalsh
    assert np.all(np.isnan(jax.grad(vectors(2))(a)))
    assert np.all(np.isnan(jax.grad(vectors(3))(a)))  # depends on the basis
    assert np.all(np.isnan(spectral_projector(a, 2).diagonal()))
    assert np.all(np.isfinite(spectral_projector(a, 3).diagonal()))
    tangents = jax.jvp(lambda a: eigsh(a, 3).eigenvectors, (a,), (with_spectrum(np.arange(60.0), 2),))[1]
    assert np.all(np.isfinite(tangents[:, 0]))
    assert np.all(np.isnan(tangents[:, 1:]))  # the perturbation turns them at once


def test_ctrl_c_ends_a_long_solve():
    code = """
        import jax, jax.numpy as jnp, signal
        jax.config.update("jax_enable_x64", True)
        from eigenpair.large import eigsh
        # Whoever runs the tests in the background has Ctrl-C ignored in every process below.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def product(x):
            return 2 * x - jnp.roll(x, 1) - jnp.roll(x, -1)
        def say(iteration, *_):
            if iteration == 1:
                print("running", flush=True)
        try:
            eigsh(product, 4, n=100_000, dtype=float, max_iterations=10**6, callback=say)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "running\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0].strip() == "interrupted"
    finally:
        process.kill()
        process.communicate()


def test_progress_and_callback(capsys):
    calls = []
    eigsh(A, 2, progress=True, callback=lambda *x: calls.append(x))
    shown = capsys.readouterr().err
    assert "eigsh: iteration 1, residuals" in shown
    assert calls[0][0] == 1
    assert calls[0][1].shape == calls[0][2].shape == (2,)
    traced = []
    jax.block_until_ready(jax.jit(lambda a: eigsh(a, 2, callback=lambda *x: traced.append(x)))(A))
    jax.effects_barrier()
    assert len(traced) == len(calls)


def test_matrices_of_scipy_are_checked():
    with pytest.raises(ValueError, match="square"):
        eigsh(cube(4)[:, :10], 2)
