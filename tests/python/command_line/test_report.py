"""`eigenpair` without a command: what is installed."""

import json
import subprocess
import sys
from pathlib import Path

import eigenpair
import pytest
from eigenpair import native


def test_report_names_every_part():
    done = subprocess.run([sys.executable, "-m", "eigenpair"], capture_output=True, text=True, check=True)
    lines = {line[:14].strip(): line[14:] for line in done.stdout.splitlines()}
    assert set(lines) == {
        "eigenpair",
        "jax",
        "python",
        "lapack",
        "kernels",
        "cuda",
        "devices",
        "libeigenpair",
        "for C",
        "EigenPair.jl",
        "julia",
    }
    assert lines["eigenpair"].startswith(eigenpair.__version__)
    assert "integers" in lines["lapack"]
    assert "threads" in lines["lapack"]
    assert str(eigenpair.native.library_path() or "not built") in lines["libeigenpair"]


def test_report_without_kernels_says_why(monkeypatch):
    monkeypatch.setenv("EIGENPAIR_KERNELS", "off")
    done = subprocess.run([sys.executable, "-m", "eigenpair"], capture_output=True, text=True, check=True)
    assert "kernels       off, XLA's own eigh and eig are used: EIGENPAIR_KERNELS=off" in done.stdout


def test_version(run):
    code, out, _, _ = run("--version")
    assert code == 0
    assert out == f"eigenpair {eigenpair.__version__}\n"


def test_json(run):
    code, out, _, _ = run("--json")
    assert code == 0
    assert json.loads(out)["eigenpair"].startswith(eigenpair.__version__)


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("--includedir", "eigenpair.h"),
        ("--cmakedir", "eigenpair-config.cmake"),
        ("--pkgconfigdir", "eigenpair.pc"),
    ],
)
def test_folders_for_c(run, option, file):
    code, out, err, _ = run(option)
    if native.library_path() is None:
        assert code == 2
        assert "without the native core" in err
    else:
        assert code == 0
        assert Path(out.strip(), file).is_file()
