"""EigenPair.jl's extension for CUDA.jl, as far as it runs without a GPU: on stand-ins for CUDA.jl and for cuSOLVER."""

import shutil
import subprocess
from pathlib import Path

import julia_runner
import pytest

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = ROOT / "julia" / "test" / "stand_in"
SOURCES = [ROOT / "csrc" / "tests" / "cuda" / name for name in ("fake_cuda.c", "fake_cuda_math.c")]
# As the wheels and artifacts of CUDA 12 name them.
NAMES = ("libcudart.so.12", "libcublas.so.12", "libcusolver.so.11")


def test_extension_on_stand_ins(tmp_path):
    julia = julia_runner.find()
    if not julia:
        pytest.skip(f"no Julia: {julia.why_not}")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    for name in NAMES:
        subprocess.run(
            [compiler, "-std=c11", "-O1", "-shared", "-fPIC", "-o", tmp_path / name, *SOURCES, "-lm"], check=True
        )
    environment = {**julia.environment(), "EIGENPAIR_STAND_IN": str(tmp_path)}
    done = julia.run(STAND_IN / "run.jl", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "stand-in: ok" in done.stdout
