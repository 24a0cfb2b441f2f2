"""`eigenpair solve --general`: eigenproblems of any square matrices."""

import numpy as np
import pytest
import scipy.linalg

RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 4))
B = RNG.standard_normal((4, 4)) + 4 * np.eye(4)


def test_values_and_vectors(run):
    np.save("a.npy", A)
    code, out, _, results = run("solve", "a.npy", "--general", "--left", "-o", "out.npz")
    w, v, left = results["eigenvalues"], results["eigenvectors"], results["left_eigenvectors"]
    assert code == 0
    assert "A v = λ v, general" in out
    np.testing.assert_allclose(A @ v, v * w, atol=1e-13)
    np.testing.assert_allclose(left.conj().T @ A, w[:, None] * left.conj().T, atol=1e-13)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        ("sum", lambda w: w.real.sum()),
        ("sum-of-squares", lambda w: (abs(w) ** 2).sum()),
        ("abscissa", lambda w: w.real.max()),
        ("radius", lambda w: abs(w).max()),
    ],
)
def test_gradient_against_finite_differences(run, loss, value):
    np.savez("ab.npz", a=A, b=B)
    code, _, _, results = run("solve", "ab.npz:a", "--b", "ab.npz:b", "--general", "--gradient", loss, "-o", "out.npz")
    assert code == 0
    np.testing.assert_allclose(results["value"], value(scipy.linalg.eigvals(A, B)), rtol=1e-12)
    da, db = RNG.standard_normal((2, 4, 4))
    h = 1e-6
    ahead, behind = (value(scipy.linalg.eigvals(A + s * da, B + s * db)) for s in (h, -h))
    rate = np.sum(results["grad_a"] * da) + np.sum(results["grad_b"] * db)
    np.testing.assert_allclose(rate, (ahead - behind) / (2 * h), rtol=1e-6)


def test_no_derivative_is_said(run):
    np.save("a.npy", np.array([[1.0, 1.0], [0.0, 1.0]]))
    code, _, err, results = run("solve", "a.npy", "--general", "--gradient", "abscissa", "-o", "out.npz")
    assert code == 0
    assert "no derivative" in err
    assert np.isnan(results["grad_a"]).all()


# Rotations, so that eigenvalues carry rounding errors.
Q = np.linalg.qr(RNG.standard_normal((4, 4)))[0]
S = RNG.standard_normal((4, 4)) + 3 * np.eye(4)
NORMAL = [[1.0, 2.0], [-2.0, 1.0]]  # 1 ± 2i


def from_blocks(*blocks):
    return S @ scipy.linalg.block_diag(*blocks) @ np.linalg.inv(S)


@pytest.mark.parametrize(
    ("loss", "matrix", "tied"),
    [
        ("abscissa", np.eye(3), True),
        ("abscissa", Q @ np.diag([1.0, 1.0, 0.0, -1.0]) @ Q.T, True),
        ("abscissa", from_blocks(NORMAL, 1.0, 0.0), True),  # 1, 1 ± 2i
        ("abscissa", from_blocks(NORMAL, 0.0, 0.5), False),  # a conjugate pair alone
        ("abscissa", from_blocks(NORMAL, -1.0, -1.0), False),  # others coincide
        ("abscissa", from_blocks(NORMAL, 1 - 1e-6, 0.0), False),
        ("abscissa", from_blocks(NORMAL, 0.0, 0.5).astype(complex), True),  # complex entries may split the pair
        ("abscissa", np.zeros((1, 1)), False),
        ("radius", from_blocks(1.0, -1.0, 0.5, 0.0), True),
        ("radius", from_blocks(NORMAL, 0.0, 0.5), False),
        ("radius", from_blocks(NORMAL, -np.sqrt(5), 0.5), True),
        ("radius", from_blocks(2.0, -1.0, 0.5, 0.5), False),
        ("radius", np.zeros((1, 1)), True),
        ("sum", np.eye(3), False),
    ],
)
def test_maximum_reached_twice_has_no_gradient(run, loss, matrix, tied):
    np.save("a.npy", np.stack([matrix, np.diag(np.arange(1.0, len(matrix) + 1))]))
    code, _, err, results = run("solve", "a.npy", "--general", "--gradient", loss, "-o", "out.npz")
    assert code == 0
    assert np.isnan(results["grad_a"]).all(axis=(-2, -1)).tolist() == [tied, False]
    assert not np.isnan(results["value"]).any()
    assert ("in 1 of 2 matrices" in err) == tied


def test_maximum_reached_twice_by_a_pair(run):
    np.savez("ab.npz", a=np.diag([2.0, 4.0, 1.0]), b=np.diag([1.0, 2.0, 1.0]))
    code, _, err, results = run(
        "solve", "ab.npz:a", "--b", "ab.npz:b", "--general", "--gradient", "radius", "-o", "out.npz"
    )
    assert code == 0
    assert np.isnan(results["grad_a"]).all()
    assert np.isnan(results["grad_b"]).all()
    assert "several eigenvalues reach the maximum" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--general", "--lower"], "--lower is for Hermitian"),
        (["--general", "--subset", "0", "1"], "--subset is for Hermitian"),
        (["--general", "--gradient", "eigenvalue:0"], "choose sum"),
        (["--left"], "--general"),
        (["--gradient", "abscissa"], "--general"),
    ],
)
def test_bad_input(run, arguments, said):
    np.save("a.npy", A)
    code, out, err, _ = run("solve", "a.npy", *arguments)
    assert code == 2
    assert said in err
    assert out == ""
