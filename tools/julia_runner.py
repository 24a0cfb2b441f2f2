"""Chooses Julia and its packages, for make, pytest and the demo.

    python tools/julia_runner.py                    prints what would be used
    python tools/julia_runner.py SCRIPT ARGUMENTS   runs a script with EigenPair from this repository

Julia is the one on PATH. EigenPair comes from julia/; the packages that its tests need come from the first of

1. the project that EIGENPAIR_JULIA_PROJECT names,
2. the default environment of that julia, if it has them all,
3. build/julia, where they are installed.

With EIGENPAIR_REQUIRE_JULIA=1 it is an error if there is no usable Julia; otherwise tests that need it are skipped,
with a line that says so.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "julia"
INSTALLED = ROOT / "build" / "julia"
OLDEST = (1, 10)

# Prints the version, the EigenPair that would be used, and the packages that the project files given as arguments need
# and that are not there.
PROBE = """
using TOML
needed = mapreduce(file -> collect(keys(get(TOML.parsefile(file), "deps", Dict()))), vcat, ARGS)
println(VERSION.major, ' ', VERSION.minor)
println(something(Base.find_package("EigenPair"), ""))
print(join(sort!(unique!(filter(name -> Base.find_package(name) === nothing, needed))), ' '))
"""

INSTALL = """
using Pkg
Pkg.develop(path = ARGS[1])
Pkg.instantiate()
"""


@dataclasses.dataclass(frozen=True)
class Julia:
    """A Julia to use, or (false in a condition) the reason why there is none."""

    executable: str = ""
    packages: str = ""  # an entry of Julia's load path: a project folder, or "@v#.#" for the default environment
    why_not: str = ""

    def __bool__(self) -> bool:
        return not self.why_not

    def command(self, *arguments: str | os.PathLike[str]) -> list[str]:
        """To run with `environment()`."""
        return [self.executable, "--startup-file=no", f"--project={PACKAGE}", *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        """This process's, plus where Julia (by itself or through juliacall) finds its packages and the core."""
        changes = {
            # In this order: a package that two entries name must be installed in the first of them. "@" is for
            # processes that Julia starts with projects of their own.
            "JULIA_LOAD_PATH": os.pathsep.join([self.packages, str(PACKAGE), "@", "@stdlib"]),
            # With this, juliacall does not search for Julia and packages itself.
            "PYTHON_JULIACALL_EXE": self.executable,
            "PYTHON_JULIACALL_PROJECT": str(PACKAGE),
            # For processes that ask again.
            "EIGENPAIR_JULIA_PROJECT": self.packages,
        }
        library = _library()
        return {**os.environ, **changes, **({"EIGENPAIR_LIBRARY": library} if library else {})}

    def juliacall(self) -> str:
        """Folder that holds the juliacall of PythonCall's own version: they work only as a pair."""
        ask = 'print(joinpath(dirname(dirname(Base.find_package("PythonCall"))), "pysrc"))'
        return self.run("-e", ask, capture_output=True, text=True, check=True).stdout.strip()

    def run(self, *arguments: str | os.PathLike[str], **options) -> subprocess.CompletedProcess:
        """`subprocess.run` of Julia with these arguments."""
        return subprocess.run(self.command(*arguments), **{"env": self.environment(), "check": False, **options})


@functools.cache
def find() -> Julia:
    """The Julia to use; with EIGENPAIR_REQUIRE_JULIA=1 an exception where there is none."""
    julia = _find()
    if not julia and os.environ.get("EIGENPAIR_REQUIRE_JULIA") == "1":
        raise RuntimeError(f"EIGENPAIR_REQUIRE_JULIA=1, but {julia.why_not}")
    return julia


def _find() -> Julia:
    executable = shutil.which("julia")
    if executable is None:
        return Julia(why_not="there is no julia on PATH")
    named = os.environ.get("EIGENPAIR_JULIA_PROJECT")
    if named:
        packages = named if named.startswith("@") else str(Path(named).resolve())
        return _usable(Julia(executable, packages), f"EIGENPAIR_JULIA_PROJECT={named}")
    default = Julia(executable, "@v#.#")
    if _usable(default, ""):
        return default
    installed = Julia(executable, str(INSTALLED))
    if INSTALLED.exists() and _usable(installed, ""):
        return installed
    return _install(executable) or _usable(installed, str(INSTALLED))


def _usable(julia: Julia, place: str) -> Julia:
    """`julia` if it has the version and the packages that the tests need; otherwise one that says why not."""
    projects = [PACKAGE / "Project.toml", PACKAGE / "test" / "Project.toml"]
    done = julia.run("-e", PROBE, *projects, capture_output=True, text=True)
    if done.returncode != 0:
        return Julia(why_not=f"{julia.executable} does not work: {_last_line(done.stderr)}")
    version, found, missing = done.stdout.split("\n")
    if tuple(map(int, version.split())) < OLDEST:
        return Julia(why_not=f"{julia.executable} is older than {'.'.join(map(str, OLDEST))}")
    if found and Path(found).resolve().parents[1] != PACKAGE:
        return Julia(why_not=f"{place} holds another EigenPair, {found}")
    if missing:
        return Julia(why_not=f"{place} lacks the Julia packages {', '.join(missing.split())}")
    return julia


def _install(executable: str) -> Julia | None:
    """Installs the packages of the test project in a separate folder, so the source tree does not change."""
    print(f"Installing the Julia packages that the tests need into {INSTALLED.relative_to(ROOT)} …", flush=True)
    INSTALLED.mkdir(parents=True, exist_ok=True)
    shutil.copy(PACKAGE / "test" / "Project.toml", INSTALLED / "Project.toml")
    command = [executable, "--startup-file=no", f"--project={INSTALLED}", "-e", INSTALL, str(PACKAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    shutil.rmtree(INSTALLED)
    return Julia(why_not=f"Julia's packages could not be installed: {_last_line(done.stderr, 'ERROR')}")


def _last_line(text: str, start: str = "") -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(start) and line.strip()]
    return lines[-1] if lines else "it says nothing"


@functools.cache
def _library() -> str:
    """The core of the installed Python package. Another process determines it, because it must import JAX."""
    ask = "import eigenpair.native as native; print(native.library_path() or '')"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> int:
    """The command line."""
    julia = find()
    if not julia:
        print(f"No Julia: {julia.why_not}.", file=sys.stderr)
        return 1
    if len(sys.argv) == 1:
        environment = julia.environment()
        names = ("JULIA_LOAD_PATH", "EIGENPAIR_LIBRARY")
        print("\n".join([f"julia={julia.executable}", *(f"{name}={environment.get(name, '')}" for name in names)]))
        return 0
    return julia.run(*sys.argv[1:]).returncode


if __name__ == "__main__":
    sys.exit(main())
