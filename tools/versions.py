"""Runs a fast tier of the tests with the oldest and the newest supported versions of Python, JAX, NumPy and SciPy.

    python tools/versions.py                 every tier
    python tools/versions.py TIER FILE ...   one tier, and other tests than the fast ones

Each tier has its own virtual environment in build/versions, and the tiers run at the same time. All install the package
from one wheel, which works with every Python: the one that `make` built, or a new one if there is none, as after
`make develop`. A tier whose Python is not on this machine is skipped, and a line says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "versions"
FAST = [
    "runtime/test_native.py",
    "command_line",
    "runtime/test_export.py",
    "hermitian/test_eigh.py",
    "hermitian/test_diagonal_metric.py::test_spectral_functions",
    "spectral/test_matrix_functions.py::test_what_f_closes_over",
    "large/test_eigsh.py::test_sparse_gradients_by_the_host",
]
TEST_TOOLS = ["pytest>=8", "hypothesis>=6.100", "mpmath>=1.3", "flatbuffers"]


class Tier(NamedTuple):
    """A Python, and whether its packages are the oldest that pyproject.toml allows or the newest there are."""

    name: str
    python: str
    oldest: bool


TIERS = [Tier("oldest", "3.11", True), Tier("newest", "3.13", False)]


def find_python(version: str) -> str | None:
    """An interpreter of this version: on PATH, this one, or one that pyenv has installed."""
    for candidate in _candidates(version):
        ask = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    # The real one: an environment above this environment would see its packages.
    yield getattr(sys, "_base_executable", sys.executable)
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))


def requirements(oldest: bool) -> list[str]:
    """The package's dependencies, at their lower bounds or as pip chooses."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"]
    if oldest:
        wanted = [re.sub(r">=\s*", "==", requirement) for requirement in wanted]
        wanted += [f"jaxlib=={requirement.split('==')[1]}" for requirement in wanted if requirement.startswith("jax==")]
    return wanted


def environment() -> dict[str, str]:
    """The environment of a user."""
    return {name: value for name, value in os.environ.items() if name != "EIGENPAIR_XLA_INCLUDE"}


def find_or_build_wheel() -> Path:
    """The wheel that all tiers install."""
    if built := list((ROOT / "build" / "wheel").glob("*.whl")):
        return built[0]
    wheels = PLACE / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "-w", wheels, "-C", f"build-dir={PLACE / 'build'}", ROOT]
    subprocess.run(build, check=True, env=environment())
    (wheel,) = wheels.glob("*.whl")
    return wheel


def run_tier(tier: Tier, wheel: Path, tests: list[str]) -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped."""
    base = find_python(tier.python)
    if base is None:
        print(f"versions: there is no Python {tier.python} here, so the tier '{tier.name}' was skipped.", flush=True)
        return 0, 0, 1
    place = PLACE / tier.name
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([base, "-m", "venv", place], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    upgrade = [] if tier.oldest else ["--upgrade"]
    subprocess.run([*pip, "install", *upgrade, *requirements(tier.oldest), *TEST_TOOLS], check=True)
    subprocess.run([*pip, "install", "--no-deps", "--force-reinstall", wheel], check=True)
    names = ("jax", "jaxlib", "numpy", "scipy")
    ask = f"import importlib.metadata as m; print(' '.join(n + ' ' + m.version(n) for n in {names}))"
    versions = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    print(f"versions: {tier.name}: Python {tier.python}, {versions}, {wheel.name}", flush=True)
    report = place / "report.xml"
    report.unlink(missing_ok=True)
    chosen = [ROOT / "tests" / "python" / test for test in tests]
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *chosen]
    done = subprocess.run(pytest, cwd=ROOT, check=False, env=environment(), capture_output=True, text=True)
    print(f"versions: {tier.name}:\n{done.stdout}{done.stderr}", flush=True)
    code = done.returncode
    if not report.exists():
        return 0, 1, 0
    total, failed, errors, skipped = (
        int(re.search(rf'{key}="(\d+)"', report.read_text())[1])  # type: ignore[index]
        for key in ("tests", "failures", "errors", "skipped")
    )
    bad = failed + errors
    return total - bad - skipped, bad or int(code != 0), skipped


def run(names: list[str] | None = None, tests: list[str] | None = None) -> tuple[int, int, int]:
    """The sums over the tiers."""

    def counts(tier: Tier) -> tuple[int, int, int]:
        try:
            return run_tier(tier, wheel, tests or FAST)
        except subprocess.CalledProcessError as error:
            print(f"versions: {tier.name}: {' '.join(map(str, error.cmd))} failed", flush=True)
            return 0, 1, 0

    wheel = find_or_build_wheel()
    chosen = [tier for tier in TIERS if not names or tier.name in names]
    with futures.ThreadPoolExecutor() as pool:
        passed, failed, skipped = zip(*pool.map(counts, chosen), strict=True)
    return sum(passed), sum(failed), sum(skipped)


def main() -> int:
    """The command line."""
    passed, failed, skipped = run(sys.argv[1:2], sys.argv[2:])
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
