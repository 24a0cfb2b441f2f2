"""The core with torch, MKL and Julia in one process, in any order."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("neighbours.py")


def find_mkl() -> str | None:
    """MKL's library, of the wheel `mkl`."""
    found = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    return str(found[-1]) if found else None


MISSING = {
    "torch": None if importlib.util.find_spec("torch") else "no torch here (make bench installs it)",
    "mkl": None if find_mkl() else "no MKL here (pip install mkl)",
}


def run(order, **environment):
    for name in order:
        if reason := MISSING.get(name):
            pytest.skip(reason)
    environment = {**os.environ, "EIGENPAIR_TEST_MKL": find_mkl() or "", **environment}
    command = [sys.executable, SCRIPT, *order]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    assert done.stdout.splitlines()[-1] == "fine"


@pytest.mark.parametrize("order", list(itertools.permutations(("eigenpair", "mkl", "numpy"))), ids="-".join)
def test_mkl(order):
    run(order)


@pytest.mark.parametrize("order", list(itertools.permutations(("eigenpair", "torch", "mkl"))), ids="-".join)
def test_torch(order):
    run(order)


WITH_JULIA = [
    ("julia", "eigenpair", "numpy"),
    ("numpy", "julia", "eigenpair"),
    ("eigenpair", "numpy", "julia"),
    ("julia", "mkl", "eigenpair"),
    ("mkl", "eigenpair", "julia"),
    ("torch", "julia", "eigenpair"),
    ("eigenpair", "julia", "torch"),
]


@pytest.mark.parametrize("order", WITH_JULIA, ids="-".join)
def test_julia(order, julia):
    run(order, **_with_julia(julia))


def _with_julia(julia):
    path = os.pathsep.join(filter(None, [julia.juliacall(), os.environ.get("PYTHONPATH")]))
    return {**julia.environment(), "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes", "PYTHONPATH": path}
