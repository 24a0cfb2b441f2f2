"""Compares csrc/cuda/api.h with the headers and libraries of CUDA 12 and 13. Needs no GPU.

    python tools/cuda_headers.py

The wheels with these files (1.6 GB) are downloaded once, into build/cuda-headers. Headers are compiled with
csrc/tests/cuda/cuda_headers.cc. For the libraries, only the exported names are compared with those that the core uses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "cuda-headers"
CHECK = ROOT / "csrc" / "tests" / "cuda" / "cuda_headers.cc"
API = ROOT / "csrc" / "cuda" / "api.h"

# The libraries, and what their headers include.
WHEELS = {
    12: ("cusolver-cu12", "cublas-cu12", "cuda-runtime-cu12", "cuda-nvcc-cu12", "cuda-cccl-cu12"),
    13: ("cusolver<13", "cublas<14", "cuda-runtime<14", "cuda-crt<14", "cuda-cccl<14"),
}
LIBRARIES = ("libcudart.so.", "libcublas.so.", "libcusolver.so.")


def wheels(major: int) -> list[Path]:
    """The wheels of one CUDA, downloaded if they are not there."""
    folder = CACHE / str(major)
    if not (folder / "complete").exists():
        print(f"Downloading the wheels of CUDA {major} into {folder.relative_to(ROOT)} …", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", "-d", folder]
        subprocess.run([*pip, *(f"nvidia-{name}" for name in WHEELS[major])], check=True)
        (folder / "complete").touch()
    return sorted(folder.glob("*.whl"))


def unpack(wheel: Path, folder: Path) -> None:
    """Headers and the three libraries."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "/include/" in name or any(Path(name).name.startswith(library) for library in LIBRARIES):
                archive.extract(name, folder)


def compiles(folder: Path) -> bool:
    """Whether the declarations agree with the headers."""
    includes = folder.glob("nvidia/*/include")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-fsyntax-only"]
    flags += [f"-isystem{path}" for path in includes]
    return subprocess.run([os.environ.get("CXX", "g++"), *flags, CHECK], check=False).returncode == 0


def missing_symbols(folder: Path) -> list[str]:
    """What the core looks up and the libraries do not export."""
    wanted = set(re.findall(r"\bF\([^,]+, (cu[a-zA-Z0-9_]+),", API.read_text(encoding="utf-8")))
    assert len(wanted) > 40, "the lists in api.h look different now"
    exported: set[str] = set()
    for library in LIBRARIES:
        (path,) = folder.rglob(f"{library}*")
        table = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
        exported |= {line.split()[-1].split("@")[0] for line in table.splitlines()}
    return sorted(wanted - exported)


def main() -> int:
    """The command line."""
    good = True
    for major in WHEELS:
        with tempfile.TemporaryDirectory(dir=CACHE if CACHE.exists() else None) as temporary:
            names = []
            for wheel in wheels(major):
                unpack(wheel, Path(temporary))
                names.append("-".join(wheel.name.split("-")[:2]))
            agrees, missing = compiles(Path(temporary)), missing_symbols(Path(temporary))
        print(f"CUDA {major}: declarations {'agree' if agrees else 'DIFFER'}, ", end="")
        print(f"MISSING {', '.join(missing)}" if missing else "all symbols are exported", end="")
        print(f"  ({', '.join(names)})", flush=True)
        good = good and agrees and not missing
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main() if shutil.which("nm") else "nm is missing: apt install binutils")
