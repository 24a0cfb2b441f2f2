"""Lint, formats and types of all languages. `python tools/lint.py` judges, `python tools/lint.py --fix` mends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import julia_runner

ROOT = Path(__file__).resolve().parent.parent
RUNIC_MISSING = 77


def c_sources() -> list[str]:
    """Every C and C++ file of ours."""
    files = [path for folder in ("csrc", "benchmarks") for path in (ROOT / folder).rglob("*")]
    return sorted(str(path) for path in files if path.suffix in {".h", ".cc", ".c", ".inc"})


def checks(fix: bool) -> dict[str, list[str]]:
    """Commands by name; each exits with 0 when all is well."""
    return {
        "ruff": ["ruff", "check", *(["--fix"] if fix else []), "."],
        "ruff format": ["ruff", "format", *([] if fix else ["--check"]), "."],
        "mypy": ["mypy"],
        "clang-format": ["clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *c_sources()],
    }


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
    verdict, good = julia_format(fix)
    print(f"runic: {verdict}", flush=True)
    results.append(good)
    return results.count(True), results.count(False), results.count(None)


if __name__ == "__main__":
    sys.exit(1 if run(fix="--fix" in sys.argv)[1] else 0)
