"""Lint, formatting and types of all languages. `python tools/lint.py` checks, `python tools/lint.py --fix` also
corrects what it can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import julia_runner

ROOT = Path(__file__).resolve().parent.parent
RUNIC_MISSING = 77
# As the Makefile installs them.
XLA_HEADERS = ROOT / ".venv" / "xla" / "jaxlib" / "include"


def c_sources() -> list[str]:
    """All C and C++ files of the repository."""
    files = [path for folder in ("csrc", "benchmarks") for path in (ROOT / folder).rglob("*")]
    return sorted(str(path) for path in files if path.suffix in {".h", ".cc", ".c", ".inc"})


def checks(fix: bool) -> dict[str, list[str]]:
    """Commands by name; each exits with 0 if it found no error."""
    return {
        "ruff": ["ruff", "check", *(["--fix"] if fix else []), "."],
        "ruff format": ["ruff", "format", *([] if fix else ["--check"]), "."],
        "mypy": ["mypy"],
        "version": [sys.executable, "tools/version.py"],
        "clang-format": ["clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *c_sources()],
    }


def header_check() -> tuple[str, bool | None]:
    """Whether every header of csrc compiles by itself: it has a guard and includes what it needs."""
    csrc = ROOT / "csrc"
    compilers = {"c++": os.environ.get("CXX", "c++"), "c": os.environ.get("CC", "cc")}
    if not all(shutil.which(compiler.split()[0]) for compiler in compilers.values()):
        return "skipped: no C and C++ compilers", None
    failed = []
    for header in sorted(csrc.rglob("*.h")):
        of_tests, of_xla = csrc / "tests" in header.parents, csrc / "xla" in header.parents
        if of_xla and not XLA_HEADERS.exists():
            continue
        language = "c" if of_tests else "c++"
        options = ["-std=c11" if of_tests else "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
        options += [f"-I{csrc / 'tests' if of_tests else csrc}", f"-I{csrc / 'include'}"]
        options += ["-fpermissive", "-isystem", str(XLA_HEADERS)] if of_xla else []
        twice = ["-include", str(header), "-include", str(header)]
        command = [*compilers[language].split(), *options, *twice, "-x", language, os.devnull]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(str(header.relative_to(ROOT)))
    return (f"FAILED: {', '.join(failed)}", False) if failed else ("ok", True)


def julia_format(fix: bool) -> tuple[str, bool | None]:
    """Runic, which only some Julia environments have."""
    julia = julia_runner.find()
    if not julia:
        return f"skipped: {julia.why_not}", None
    mode = ["--inplace"] if fix else ["--check", "--diff"]
    paths = [ROOT / name for name in ("julia", "examples", "benchmarks", "tools")]
    code = julia.run(ROOT / "tools" / "julia_format.jl", *mode, *paths, cwd=ROOT).returncode
    if code == RUNIC_MISSING:
        return "skipped: Julia has no package Runic", None
    return ("ok", True) if code == 0 else ("FAILED", False)


def run(fix: bool = False) -> tuple[int, int, int]:
    """How many checks passed, failed and were skipped."""
    results: list[bool | None] = []
    for name, command in checks(fix).items():
        good = subprocess.run(command, cwd=ROOT, check=False).returncode == 0
        print(f"{name}: {'ok' if good else 'FAILED'}", flush=True)
        results.append(good)
    for name, (verdict, good) in {"headers": header_check(), "runic": julia_format(fix)}.items():
        print(f"{name}: {verdict}", flush=True)
        results.append(good)
    return results.count(True), results.count(False), results.count(None)


if __name__ == "__main__":
    sys.exit(1 if run(fix="--fix" in sys.argv)[1] else 0)
