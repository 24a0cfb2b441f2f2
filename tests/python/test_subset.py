"""Some of the eigenpairs: SciPy's subset_by_index, with derivatives."""

import jax
import numpy as np
import pytest
import scipy.linalg
from differences import assert_gradient
from eigenpair import eigh, eigvalsh, fix_gauge
from problems import TYPES, moduli, of_matrices, problem, with_spectrum


@pytest.mark.parametrize("subset", [(0, 0), (1, 2), (3, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("type", TYPES)
def test_values(type, subset):
    matrices, options = problem(type, "complex128", 4, (2,))
    whole = eigh(*matrices, **options)
    part = eigh(*matrices, **options, subset_by_index=subset)
    chosen = slice(subset[0], subset[1] + 1)
    np.testing.assert_allclose(part.eigenvalues, whole.eigenvalues[..., chosen], rtol=1e-12)
    expected = fix_gauge(whole.eigenvectors[..., chosen])
    np.testing.assert_allclose(fix_gauge(part.eigenvectors), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        eigvalsh(*matrices, **options, subset_by_index=subset), part.eigenvalues, rtol=1e-12, atol=1e-13
    )


def test_equals_scipy():
    (a, b), _ = problem(1, n=5, lower=True)
    expected = scipy.linalg.eigh(a, b, subset_by_index=(1, 3))
    found = eigh(a, b, lower=True, subset_by_index=(1, 3))
    np.testing.assert_allclose(found.eigenvalues, expected[0], rtol=1e-12)
    assert found.eigenvectors.shape == expected[1].shape


@pytest.mark.parametrize("type", TYPES)
def test_gradients(type):
    """The vectors that are left out still take part: the kept ones turn into them."""
    matrices, options = problem(type, lower=True)
    assert_gradient(of_matrices(moduli, **options, subset_by_index=(1, 1)), matrices)


def test_clusters_outside_do_not_matter_and_inside_do():
    a = with_spectrum([1.0, 1, 2, 3])

    def loss(x, first, last):
        return moduli(*eigh(x, subset_by_index=(first, last)))

    assert np.isfinite(jax.grad(loss)(a, 2, 3)).all()
    assert np.isnan(jax.grad(loss)(a, 0, 0)).all()
    assert np.isnan(jax.grad(loss)(a, 1, 2)).all()


def test_numpy_integers_and_lists():
    (a,), _ = problem()
    expected = eigvalsh(a, subset_by_index=(0, 1))
    for subset in ([0, 1], (np.int64(0), np.int32(1)), np.array([0, 1])):
        np.testing.assert_array_equal(eigvalsh(a, subset_by_index=subset), expected)
