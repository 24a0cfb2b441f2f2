"""`eigenpair solve`: its messages, its results, and its errors for bad input."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.linalg
import scipy.sparse


def hermitian(n, *, batch=(), seed=0, complex_=False):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((*batch, n, n)) + (1j * rng.standard_normal((*batch, n, n)) if complex_ else 0)
    return (a + np.conj(np.swapaxes(a, -1, -2))) / 2


def positive(n, **options):
    a = hermitian(n, seed=1, **options)
    return a @ np.conj(np.swapaxes(a, -1, -2)) + np.eye(n)


def test_solve_prints_and_writes(run):
    a = hermitian(5)
    np.save("a.npy", a)
    code, out, _, results = run("solve", "a.npy", "-o", "out.npz")
    w, v = results["eigenvalues"], results["eigenvectors"]
    assert code == 0
    assert f"{w[0]: .15g}" in out
    np.testing.assert_allclose(w, np.linalg.eigvalsh(a), rtol=1e-13)
    np.testing.assert_allclose(a @ v, v * w, atol=1e-13)
    assert set(results) == {"eigenvalues", "eigenvectors"}


@pytest.mark.parametrize("type", [1, 2, 3])
def test_generalized(run, type):
    a, b = hermitian(4, complex_=True), positive(4, complex_=True)
    np.savez("ab.npz", a=a, b=b)
    code, _, _, results = run("solve", "ab.npz:a", "--b", "ab.npz:b", "--type", type, "--values-only", "-o", "out.npz")
    assert code == 0
    assert set(results) == {"eigenvalues"}
    np.testing.assert_allclose(results["eigenvalues"], scipy.linalg.eigvalsh(a, b, type=type), rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        ("sum", lambda w: w.sum()),
        ("sum-of-squares", lambda w: (w**2).sum()),
        ("eigenvalue:2", lambda w: w[2]),
        ("weights.npy", lambda w: w @ np.arange(1.0, 5.0)),
    ],
)
def test_gradient_against_finite_differences(run, loss, value):
    a, b = hermitian(4, complex_=True), positive(4, complex_=True)
    for name, x in (("a", a), ("b", b), ("weights", np.arange(1.0, 5.0))):
        np.save(f"{name}.npy", x)
    code, _, _, results = run("solve", "a.npy", "--b", "b.npy", "--gradient", loss, "-o", "out.npz")
    assert code == 0
    np.testing.assert_allclose(results["value"], value(scipy.linalg.eigvalsh(a, b)), rtol=1e-12)
    da, db = hermitian(4, complex_=True, seed=2), hermitian(4, complex_=True, seed=3)
    h = 1e-5
    ahead, behind = (value(scipy.linalg.eigvalsh(a + s * da, b + s * db)) for s in (h, -h))
    rate = np.vdot(results["grad_a"], da).real + np.vdot(results["grad_b"], db).real
    np.testing.assert_allclose(rate, (ahead - behind) / (2 * h), rtol=1e-7)


def test_one_triangle(run):
    a = hermitian(4)
    np.save("a.npy", np.tril(a) + np.triu(np.full((4, 4), np.nan), 1))
    code, _, _, results = run("solve", "a.npy", "--lower", "--gradient", "eigenvalue:0", "-o", "out.npz")
    v = results["eigenvectors"][:, 0]
    assert code == 0
    np.testing.assert_allclose(results["grad_a"], np.tril(2 * np.outer(v, v)) - np.diag(v**2), atol=1e-13)


def test_subset(run):
    a = hermitian(6)
    np.save("a.npy", a)
    code, _, _, results = run("solve", "a.npy", "--subset", 1, 3, "--gradient", "eigenvalue:0", "-o", "out.npz")
    v = results["eigenvectors"]
    assert code == 0
    assert v.shape == (6, 3)
    np.testing.assert_allclose(results["eigenvalues"], np.linalg.eigvalsh(a)[1:4], rtol=1e-12)
    np.testing.assert_allclose(results["grad_a"], np.outer(v[:, 0], v[:, 0]), atol=1e-13)


def test_batch_shares_b(run):
    a, b = hermitian(3, batch=(12,)), positive(3)
    np.save("a.npy", a)
    np.save("b.npy", b)
    code, out, _, results = run("solve", "a.npy", "--b", "b.npy", "--gradient", "sum", "-o", "out.npz")
    assert code == 0
    assert "12 × 3 eigenvalues" in out
    assert results["value"].shape == (12,)
    inverse = np.linalg.inv(b)  # Σλ = tr(B⁻¹A)
    np.testing.assert_allclose(results["grad_a"], np.broadcast_to(inverse, (12, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(results["grad_b"], -inverse @ a @ inverse, atol=1e-12)


def test_sparse_is_made_dense_and_said(run):
    a = scipy.sparse.diags_array([2.0, -1.0, -1.0], offsets=[0, 1, -1], shape=(8, 8))
    scipy.io.mmwrite("a.mtx", a)
    scipy.sparse.save_npz("a.npz", a.tocsr())
    for name in ("a.mtx", "a.npz"):
        code, _, err, results = run("solve", name, "-o", "out.npz", "--force")
        assert code == 0
        assert "made dense: 8×8" in err
        np.testing.assert_allclose(results["eigenvalues"], np.linalg.eigvalsh(a.toarray()), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32", ">f8"])
def test_precision_of_the_file(run, dtype):
    np.save("a.npy", np.diag([3, 1, 2]).astype(dtype))
    code, _, _, results = run("solve", "a.npy", "--gradient", "sum", "-o", "out.npz")
    assert code == 0
    assert results["eigenvalues"].tolist() == [1, 2, 3]
    assert results["eigenvalues"].dtype == ("float32" if dtype in ("float32", "complex64") else "float64")
    assert results["eigenvalues"].dtype == results["value"].dtype


def test_pairs_have_their_own_size_of_rounding(run):
    """A gap of 1e-12 between eigenvalues near 1 is larger than the rounding errors of one matrix, and smaller than
    those of this pair."""
    np.save("a.npy", np.diag([1e-6, 1e-6 * (1 + 1e-12), 2.0]))
    np.save("b.npy", np.diag([1e-6, 1e-6, 1.0]))
    arguments = ("solve", "a.npy", "--b", "b.npy", "--gradient", "eigenvalue:0", "-o", "out.npz")
    assert "subgradient" in run(*arguments)[2]
    np.save("b.npy", np.eye(3))
    np.save("a.npy", np.diag([1, 1 + 1e-12, 2]))
    assert "subgradient" not in run(*arguments)[2]


def test_subgradient_is_called_one(run):
    np.save("a.npy", np.diag([1.0, 2.0, 2.0]))
    for arguments in (["--gradient", "eigenvalue:1"], ["--gradient", "sum", "--subset", 0, 1]):
        code, _, err, _ = run("solve", "a.npy", *arguments, "-o", "out.npz", "--force")
        assert code == 0
        assert "subgradient" in err
    for loss in ("eigenvalue:0", "sum", "sum-of-squares"):
        assert "subgradient" not in run("solve", "a.npy", "--gradient", loss, "-o", "out.npz", "--force")[2]


def test_not_hermitian_is_said(run):
    np.save("a.npy", np.array([[1.0, 2.0], [0.0, 1.0]]))
    code, _, err, results = run("solve", "a.npy", "-o", "out.npz")
    assert code == 0
    assert "not Hermitian" in err
    np.testing.assert_allclose(results["eigenvalues"], [0, 2], atol=1e-15)


def test_failed_matrix_is_counted(run):
    a = hermitian(3, batch=(4,))
    a[2, 0, 0] = np.nan
    np.save("a.npy", a)
    code, _, err, results = run("solve", "a.npy", "-o", "out.npz")
    assert code == 1
    assert "1 of 4" in err
    assert np.isnan(results["eigenvalues"]).any(axis=-1).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.npy"], "no file missing.npy"),
        (["."], ". is a folder"),
        (["notes.txt"], "must end in"),
        (["broken.npy"], "broken.npy cannot be read as .npy: its first bytes"),
        (["broken.npz"], "broken.npz cannot be read as .npz: its first bytes"),
        (["broken.mtx"], "broken.mtx cannot be read"),
        (["vector.npy"], "a must be a square matrix"),
        (["oblong.npy"], "a must be square"),
        (["text.npy"], "which has no eigensolver"),
        (["half.npy"], "which has no eigensolver"),
        (["objects.npy"], "objects.npy cannot be read"),
        (["two.npz"], "say which array"),
        (["two.npz:c"], "say which array"),
        (["huge.mtx"], "eigsh"),
        (["a.npy", "--b", "three.npy"], "b must have the size of a"),
        (["a.npy", "--type", "2"], "give --b"),
        (["a.npy", "--b", "a.npy", "--type", "4"], "--type"),
        (["a.npy", "--lower", "--upper"], "not allowed"),
        (["a.npy", "--subset", "1", "5"], "subset_by_index"),
        (["a.npy", "--subset", "1", "x"], "--subset"),
        (["a.npy", "--gradient", "median"], "unknown loss"),
        (["a.npy", "--gradient", "eigenvalue:2"], "there are 2 eigenvalues"),
        (["a.npy", "--gradient", "eigenvalue:-1"], "there are 2 eigenvalues"),
        (["a.npy", "--gradient", "nowhere.npy"], "no file nowhere.npy"),
        (["a.npy", "--gradient", "a.npy"], "must be 2 real numbers"),
        (["a.npy", "-o", "out.txt"], "must end in .npz"),
        (["a.npy", "-o", "nowhere/out.npz"], "no such directory"),
        (["a.npy", "-o", "two.npz"], "--force"),
        (["ragged.csv"], "line 2 has 1 entries"),
        (["words.csv"], "line 1 has an entry that is no number"),
        (["empty.csv"], "no numbers"),
    ],
)
def test_bad_input(run, arguments, said):
    np.save("a.npy", np.eye(2))
    np.save("vector.npy", np.ones(3))
    np.save("oblong.npy", np.ones((2, 3)))
    np.save("three.npy", np.eye(3))
    np.save("text.npy", np.array([["a", "b"], ["c", "d"]]))
    np.save("half.npy", np.eye(2, dtype="float16"))
    np.save("objects.npy", np.array([[None, 1], [1, None]]), allow_pickle=True)
    np.savez("two.npz", a=np.eye(2), b=np.eye(2))
    for name, text in (("ragged", "1,2\n3\n"), ("words", "a,b\n"), ("empty", "# nothing\n")):
        Path(f"{name}.csv").write_text(text)
    for name in ("broken.npy", "broken.npz", "broken.mtx", "notes.txt"):
        with open(name, "w") as file:
            file.write("nothing of the kind")
    with open("huge.mtx", "w") as file:
        file.write("%%MatrixMarket matrix coordinate real symmetric\n1000000 1000000 1\n1 1 1.0\n")
    code, out, err, _ = run("solve", *arguments)
    assert code == 2
    assert said in err
    assert out == ""


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (2, 0, 0), (1, 1)])
def test_empty_and_tiny(run, shape):
    np.save("a.npy", np.zeros(shape))
    code, out, _, results = run("solve", "a.npy", "--gradient", "sum", "-o", "out.npz")
    assert code == 0
    assert f"{shape[-1]} eigenvalues" in out
    assert results["grad_a"].shape == shape


def test_runs_as_a_program(tmp_path):
    np.save(tmp_path / "a.npy", np.diag([3.0, 1e-9, 2.0]))
    command = [sys.executable, "-m", "eigenpair", "solve", "a.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "3 eigenvalues" in done.stdout
    missing = subprocess.run([*command[:-1], "b.npy"], cwd=tmp_path, capture_output=True, text=True)
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: there is no file b.npy")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2, 1\n1, 2\n", [1, 3]),
        ("# a comment\n2 1\n1 2\n", [1, 3]),
        ("2;0\n\n0;-1e0\n", [-1, 2]),
        ("0,1j\n-1j,0\n", [-1, 1]),
        ("0,0+1i\n0-1i,0\n", [-1, 1]),
    ],
)
def test_csv(run, text, expected):
    Path("a.csv").write_text(text)
    code, _, err, results = run("solve", "a.csv", "-o", "out.npz")
    assert code == 0, err
    np.testing.assert_allclose(results["eigenvalues"], expected, atol=1e-15)


@pytest.mark.parametrize("write", ["npy", "npz", "mtx", "csv"])
def test_standard_input(run, monkeypatch, write):
    stream, a = io.BytesIO(), np.array([[2.0, 1.0], [1.0, 2.0]])
    if write == "npy":
        np.save(stream, a)
    elif write == "npz":
        np.savez(stream, a=a)
    elif write == "mtx":
        scipy.io.mmwrite(stream, scipy.sparse.coo_array(a))
    else:
        np.savetxt(stream, a, delimiter=",")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
    code, _, err, results = run("solve", "-", "-o", "out.npz")
    assert code == 0, err
    np.testing.assert_allclose(results["eigenvalues"], [1, 3], atol=1e-14)


def test_nothing_in_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err, _ = run("solve", "-")
    assert code == 2
    assert "nothing came" in err


def test_overwrites_only_by_force(run):
    np.save("a.npy", np.eye(2))
    Path("out.npz").write_bytes(b"")
    code, _, err, _ = run_without_results(run, "solve", "a.npy", "-o", "out.npz")
    assert code == 2
    assert "--force" in err
    assert Path("out.npz").read_bytes() == b""
    code, out, _, results = run("solve", "a.npy", "-o", "out.npz", "--force")
    assert code == 0
    assert "Overwrote out.npz" in out
    assert results["eigenvalues"].tolist() == [1, 1]
    assert sorted(path.name for path in Path().iterdir()) == ["a.npy", "out.npz"]


def run_without_results(run, *arguments):
    """As `run`, for results that are not written to out.npz."""
    content = Path("out.npz").read_bytes()
    Path("out.npz").unlink()
    np.savez("out.npz", nothing=np.zeros(0))
    try:
        return run(*arguments)
    finally:
        Path("out.npz").write_bytes(content)


def test_says_what_it_did(run):
    np.save("a.npy", hermitian(6))
    _, out, _, _ = run("solve", "a.npy", "--b", "a.npy", "--type", "2", "--values-only", "--subset", 0, 1)
    assert out.startswith("A B v = λ v, Hermitian, float64, in ")
    assert "2 eigenvalues" in out


def test_json(run):
    np.save("a.npy", np.diag([1.0, 3.0]))
    code, out, _, results = run("solve", "a.npy", "--gradient", "sum", "-o", "out.npz", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["eigenvalues"] == [1, 3]
    assert found["value"] == 4
    assert found["grad_a"] == [[1, 0], [0, 1]]
    assert found["output"] == "out.npz"
    assert set(results) == {"eigenvalues", "eigenvectors", "value", "grad_a"}


def test_json_of_complex_numbers(run):
    np.save("a.npy", np.array([[0.0, 1.0], [-1.0, 0.0]]))
    code, out, _, _ = run("--json", "solve", "a.npy", "--general", "--values-only")
    assert code == 0
    np.testing.assert_allclose(json.loads(out)["eigenvalues"], [[0, -1], [0, 1]], atol=1e-15)


def test_an_option_is_suggested(run):
    code, _, said, _ = run("solve", "A.npy", "--B", "B.npy")
    assert code == 2
    assert "unrecognized arguments: --B B.npy; did you mean --b?" in said
    assert "did you mean --json?" in run("--jsno")[2]


def test_the_size_of_the_gradient_is_printed(run):
    np.save("A.npy", np.diag([1.0, 2.0]))
    assert "norm of grad_a = 1\n" in run("solve", "A.npy", "--gradient", "eigenvalue:0")[1]
