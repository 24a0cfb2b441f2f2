"""Pullbacks and pushforwards of `eig` and `eigvals` on NumPy arrays, against finite differences."""

import eigenpair as ep
import numpy as np
import pytest
from finite_differences import derivative, directions
from problems import random


def arrays_of(pair, dtype):
    a = random(0, (4, 4), dtype)
    return (a, np.eye(4) + random(1, (4, 4), dtype) / 8) if pair else (a,)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_pullback_against_finite_differences(dtype, pair, left):
    arrays = arrays_of(pair, dtype)
    result, pullback = ep.eig_pullback(*arrays, left=left)
    parts = ["eigenvalues", "eigenvectors", *(["left_eigenvectors"] if left else [])]
    weights = [random(i, getattr(result, x).shape, "float64") for i, x in enumerate(parts)]

    def loss(*x):
        found = ep.eig(*x, left=left)
        return sum(np.sum(c * np.abs(getattr(found, part)) ** 2) for c, part in zip(weights, parts, strict=True))

    along = directions(arrays, 1)[0]
    gradients = pullback(*(2 * c * np.asarray(getattr(result, x)) for c, x in zip(weights, parts, strict=True)))
    found = sum(np.sum(np.real(np.conj(g) * d)) for g, d in zip(gradients, along, strict=False))
    np.testing.assert_allclose(found, derivative(loss, arrays, along), rtol=1e-6, atol=1e-7)
    assert gradients[0].dtype == arrays[0].dtype


@pytest.mark.parametrize("pair", [False, True])
def test_pushforward_against_finite_differences(pair):
    arrays = arrays_of(pair, "complex128")
    along = directions(arrays, 1)[0]
    _, (w_dot, v_dot, vl_dot) = ep.eig_pushforward(along, *arrays, left=True)
    expected = derivative(lambda *x: np.asarray(ep.eigvals(*x)), arrays, along)
    np.testing.assert_allclose(w_dot, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(ep.eigvals_pushforward(along, *arrays)[1], w_dot, rtol=1e-10)
    for part, dot in (("eigenvectors", v_dot), ("left_eigenvectors", vl_dot)):
        expected = derivative(lambda *x, p=part: np.asarray(getattr(ep.eig(*x, left=True), p)), arrays, along)
        np.testing.assert_allclose(dot, expected, rtol=1e-5, atol=1e-6)


def test_eigvals_pullback():
    (a,) = arrays_of(False, "complex128")
    w, pullback = ep.eigvals_pullback(a)
    w_bar = random(0, w.shape, "complex128")
    np.testing.assert_allclose(pullback(w_bar)[0], ep.eig_pullback(a)[1](w_bar)[0], rtol=1e-10)
    np.testing.assert_allclose(pullback(np.ones(4))[0], np.eye(4), rtol=1e-10, atol=1e-12)  # of the trace


def test_refusals_and_errors():
    defective = np.array([[1.0, 1], [0, 1]])
    assert np.isnan(ep.eigvals_pullback(defective)[1](np.array([1.0, 0]))[0]).all()
    (a,) = arrays_of(False, "float64")
    with pytest.raises(ValueError, match="left=True only"):
        ep.eig_pullback(a)[1](None, None, np.eye(4))
    with pytest.raises(ValueError, match="w_bar must have the shape"):
        ep.eigvals_pullback(a)[1](np.ones(3))
    with pytest.raises(TypeError, match=r"tuple \(a_dot,\)"):
        ep.eig_pushforward((a, a), a)
