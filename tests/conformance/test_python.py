"""Python alone against the 50-digit oracle: every case's value, eigenvalues, gradient, second order and verdict.

`EIGENPAIR_CASES=few` takes the first case of every function, precision, type, order and verdict. `EIGENPAIR_PART=2/8`
takes the second of eight parts, so that eight processes run everything: in one process, XLA's compiler takes most time.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

import cases
import losses
import numpy as np
import pytest

ALL = cases.load()
LONG = os.environ.get("EIGENPAIR_LONG") == "1"


def first_of_each(*axes: str) -> list[str]:
    """Case ids, the first for every combination of the axes."""
    found: dict[tuple, str] = {}
    for case in ALL.values():
        axis = {**case, "loss": case["loss"]["name"], "order": 1 if case["hvp"] is None else 2}
        found.setdefault(tuple(axis[name] for name in axes), case["id"])
    return list(found.values())


FEW = ("function", "dtype", "type", "order", "verdict")
SOME = first_of_each(*FEW) if os.environ.get("EIGENPAIR_CASES") == "few" else list(ALL)
PART, PARTS = (int(x) for x in os.environ.get("EIGENPAIR_PART", "1/1").split("/"))


def part(ids: list[str]) -> list[str]:
    """The cases of this process; cases of a kind stay together."""
    kinds: dict[tuple, int] = {}
    for id in ids:
        kinds.setdefault(cases.kind(ALL[id]), len(kinds))
    return [id for id in ids if kinds[cases.kind(ALL[id])] % PARTS == PART - 1]


_coming: dict[tuple, Future] = {}


@pytest.fixture(scope="module", autouse=True)
def _compiled_in_parallel(request):
    """Half of the time is XLA's compiler, which releases Python's lock."""
    mine = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(max(os.cpu_count() // PARTS, 2))
    ids = [item.callspec.params["id"] for item in mine]
    for kind in dict.fromkeys(cases.kind(ALL[id]) for id in ids if id in ALL):
        _coming[kind] = pool.submit(cases.compute_group, kind)
    yield
    pool.shutdown(cancel_futures=True)


def compute(case):
    """The result of the case; waits for its computation."""
    return _coming[cases.kind(case)].result()[case["id"]]


def tolerance(case, condition):
    # 64 roundings: 1.4e-14 in double precision, well inside the promised 1e-12.
    return 64 * float(np.finfo(case["dtype"]).eps) * condition


def assert_close(found, expected, relative, what):
    expected = np.asarray(expected)
    assert np.isfinite(found).all(), f"{what} is not finite"
    error = np.max(np.abs(found - expected), initial=0)
    bound = relative * np.max(np.abs(expected), initial=0)
    # Where the exact answer is 0, the result is the rounding error of terms of unknown size.
    assert error <= (bound or relative), f"{what}: error {error:.1e}, allowed {bound:.1e}"


def matrices_of(found, expected, case):
    for name, x in zip("ab", found, strict=True):
        assert (x is None) == (expected[name] is None)
        if x is not None:
            yield name, x, losses.matrix(expected[name], np.result_type(case["dtype"], np.float64))


@pytest.mark.parametrize("id", part(SOME))
def test_case(id):
    case, found = ALL[id], compute(ALL[id])
    real = np.finfo(case["dtype"]).dtype
    assert found.value.dtype == real
    for x in found.gradient:
        assert x is None or x.dtype == case["dtype"]
    relative = tolerance(case, case["condition"])
    w = case["eigenvalues"]
    w = np.array(w["re"]) + 1j * np.array(w["im"]) if isinstance(w, dict) else np.array(w or [])
    assert found.eigenvalues.dtype.kind == w.dtype.kind
    assert_close(found.eigenvalues, w, relative, "eigenvalues")
    if case["value"] is not None:
        assert_close(found.value, case["value"], relative, "value")
    if case["verdict"] == "nan":
        assert refused(found.gradient, case)
    elif case["gradient"] is None:
        assert case["clarke"]
        check_clarke(case, found)
    else:
        for name, x, expected in matrices_of(found.gradient, case["gradient"], case):
            assert_close(x, expected, relative, f"gradient with respect to {name}")
    if case["hvp"] is not None:
        relative = tolerance(case, case["hvp_condition"])
        for name, x, expected in matrices_of(found.hvp, case["hvp"], case):
            assert_close(x, expected, relative, f"second derivative with respect to {name}")


def refused(gradient, case):
    """NaN in every entry that the function reads, of every matrix."""
    for x in gradient:
        if x is not None:
            read = {None: np.ones_like, "lower": np.tril, "upper": np.triu}[case["triangle"]](np.ones(x.shape))
            assert np.isnan(x[read == 1]).all()
    return True


def check_clarke(case, found):
    """A subgradient of `Σ cᵢ λᵢ` is `X Diag(c) Xᴴ` in some basis of eigenvectors: check what no basis changes."""
    g = mirrored(found.gradient[0], case["triangle"], share=0.5)
    if case["type"]:
        b = mirrored(list(cases.inputs(case))[1], case["triangle"], share=1)
        g = g @ (b if case["type"] == 1 else np.linalg.inv(b))
    weights = np.linalg.eigvals(g)
    assert_close(np.sort(weights.real), np.sort(case["loss"]["c"]), tolerance(case, 4 * case["condition"]), "weights")


def mirrored(x, triangle, share):
    """The Hermitian matrix of one triangle, or the Hermitian part; of a gradient, each side gets a `share` of 1/2."""
    if triangle is None:
        return (x + x.conj().T) / 2
    strict = share * (np.tril(x, -1) if triangle == "lower" else np.triu(x, 1))
    return np.diag(np.diag(x).real) + strict + strict.conj().T


# Compiling each case by itself as well would double the time, so without EIGENPAIR_LONG=1 a part must do.
ALONE = list(ALL) if LONG else first_of_each("function", "dtype")


@pytest.mark.parametrize("id", [] if len(SOME) < len(ALL) else part(ALONE))
def test_single_equals_batched(id):
    case = ALL[id]
    single, batched = cases.compute_single(case), compute(case)
    relative = tolerance(case, case["condition"])
    assert_close(batched.eigenvalues, single.eigenvalues, relative, "eigenvalues")
    if case["value"] is not None:
        assert_close(batched.value, single.value, relative, "value")
    if case["verdict"] == "nan":
        assert refused(single.gradient, case)
        return
    for name, x, y in zip("ab", batched.gradient, single.gradient, strict=True):
        if y is not None:
            assert_close(x, y, relative, f"gradient with respect to {name}")
    for name, x, y in zip("ab", batched.hvp or (), single.hvp or (), strict=False):
        if y is not None:
            assert_close(x, y, tolerance(case, case["hvp_condition"]), f"second derivative with respect to {name}")


def test_every_axis_is_there():
    """A file without its cases must not look like a successful run."""
    hermitian = [case for case in ALL.values() if case["function"] in ("eigh", "eigvalsh")]
    assert len(hermitian) >= 400
    combinations = {(case["dtype"], case["type"], case["triangle"]) for case in hermitian}
    assert len(combinations) == 4 * 4 * 3
    spectra = {case["spectrum"] for case in hermitian}
    assert {"distinct", "degenerate", "near-1e-04", "near-1e-13", "scale-1e-12", "scale-1e+10"} <= spectra
    assert {case["verdict"] for case in hermitian} == {"number", "nan"}
    assert any(case["hvp"] is not None for case in hermitian)
