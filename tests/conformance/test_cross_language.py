"""Python against Julia, case by case, through files: a Julia process writes its results, computed with its own LAPACK.

`EIGENPAIR_RESULTS` names the file to which a Julia process that runs its own tests writes its results.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import cases
import losses
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = cases.load()


@pytest.fixture(scope="module")
def written(julia, tmp_path_factory):
    """Julia's results, by case."""
    if coming := os.environ.get("EIGENPAIR_RESULTS"):
        return json.loads(wait_for(Path(coming)))["results"]
    output = tmp_path_factory.mktemp("julia") / "results.json"
    done = julia.run(ROOT / "julia" / "test" / "write_results.jl", output, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(output.read_text(encoding="utf-8"))["results"]


def wait_for(file: Path) -> str:
    deadline = time.monotonic() + 3600
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} was not written in time"
        time.sleep(0.5)
    return file.read_text(encoding="utf-8")


def assert_same(mine, theirs, case, condition, what):
    """Within 450 roundings, 1e-13 in double precision, of the largest entry, times the case's amplification."""
    mine, theirs = np.asarray(mine), np.asarray(theirs)
    assert mine.shape == theirs.shape
    error = np.max(np.abs(mine - theirs), initial=0)
    bound = 450 * np.finfo(case["dtype"]).eps * condition * np.max(np.abs(mine), initial=0)
    assert error <= bound, f"{what}: the languages differ by {error:.1e}, allowed {bound:.1e}"


@pytest.mark.parametrize("id", CASES)
def test_case(id, written):
    case, mine, theirs = CASES[id], cases.compute(CASES[id]), written[id]
    if case["value"] is not None:
        assert_same(mine.value, theirs["value"], case, case["condition"], "value")
    refused = any(x is not None and np.isnan(x).any() for x in mine.gradient)
    assert theirs["verdict"] == ("nan" if refused else "number")
    # Subgradients depend on the basis that LAPACK returns, so each LAPACK may give its own.
    if refused or case.get("clarke"):
        return
    for order, condition in (("gradient", case["condition"]), ("hvp", case["hvp_condition"])):
        if case[order] is None:
            continue
        for name, x in zip("ab", getattr(mine, order), strict=True):
            if x is not None:
                y = losses.matrix(theirs[order][name], np.result_type(case["dtype"], np.float64))
                assert_same(x, y, case, condition, f"{order} with respect to {name}")


def test_every_case_is_compared(written):
    assert set(written) == set(CASES)
