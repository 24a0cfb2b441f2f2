"""Python and Julia in one process, each with its own handle on the same LAPACK: values agree to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report(julia):
    script = Path(__file__).with_name("one_process.py")
    environment = {**julia.environment(), "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes", "PYTHONPATH": julia.juliacall()}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_forward_values_agree_to_the_last_bit(report):
    assert report["cases"] >= 400
    assert report["batches"] >= 100
    assert report["different"] == []


def test_gradients_agree(report):
    assert len(report["apart"]) >= 30
    assert {id: error for id, error in report["apart"].items() if error > 1e-13} == {}
