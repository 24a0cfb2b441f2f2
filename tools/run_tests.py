"""Runs the suites and adds up their results.

    python tools/run_tests.py                lint, C, Python (with conformance and both languages together), Julia
    python tools/run_tests.py SUITE ...      of those, or `address` and `thread` (the C tests under sanitizers),
                                             `clang` (the C tests, built by clang), `arm64` (the same, cross-compiled,
                                             under qemu), `fast` (a few Python tests of everything), or `versions`
                                             (the same tests with the oldest and the newest JAX)
    python tools/run_tests.py -k NAME        the Python tests whose names match, as for pytest; with `c`, the C tests;
                                             with `julia`, the files julia/test/test_NAME.jl

Julia's suite, which mostly compiles on one thread, runs at the same time as the others; its output is printed last.
The last line is `N passed, M failed, K skipped`; the exit status is 0 only if nothing failed and something passed.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import julia_runner
import lint
import versions

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
# The results of Julia's tests, for tests that compare them with Python's.
RESULTS = REPORTS / "julia_results.json"


class Counts(NamedTuple):
    """Of one suite."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def junit(report: Path, code: int) -> Counts:
    """Counts from a JUnit report. A runner that crashed, or failed without naming a test, counts as a failure."""
    if not report.exists():
        return Counts(failed=1)
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None or case.get("status") == "notrun" for case in cases)
    lost = code != 0 and failed == 0
    return Counts(len(cases) - failed - skipped, failed + lost, skipped)


def lapacks() -> str:
    """The shared libraries of SciPy's and NumPy's BLAS and LAPACK, which the C tests use."""
    ask = (
        "import numpy, scipy.linalg, threadpoolctl;"
        "print(':'.join(x['filepath'] for x in threadpoolctl.threadpool_info() if x['user_api'] == 'blas'))"
    )
    return subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def ctest(
    sanitizers: str = "",
    chosen: str = "",
    toolchain: Path | None = None,
    lapack: str = "",
    compilers: tuple[str, str] | None = None,
) -> Counts:
    """Builds the C tests and runs those whose names match `chosen`, with the environment's LAPACK or SciPy's.

    They test the core of the installed package, or one that is built for them with sanitizers or another compiler.
    """
    name = "c" + "".join(f"-{s}" for s in sanitizers.split(",") if s) + (f"-{toolchain.stem}" if toolchain else "")
    name += "-clang" if compilers else ""
    build, report = ROOT / "build" / name, REPORTS / f"{name}.xml"
    configure = ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DEIGENPAIR_BUILD_TESTS=ON"]
    if toolchain:
        configure += [f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"]
    if compilers:
        configure += [f"-DCMAKE_C_COMPILER={compilers[0]}", f"-DCMAKE_CXX_COMPILER={compilers[1]}"]
    if not (sanitizers or toolchain or compilers):
        configure += [f"-DEIGENPAIR_INSTALLED={installed_package() / 'cmake'}"]
    for command in ([*configure, f"-DEIGENPAIR_SANITIZE={sanitizers}"], ["cmake", "--build", build]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stdout, done.stderr, sep="\n", flush=True)
            return Counts(failed=1)
    lapack = lapack or os.environ.get("EIGENPAIR_TEST_LAPACK") or lapacks()
    environment = {**os.environ, "EIGENPAIR_TEST_LAPACK": lapack}
    command = ["ctest", "--test-dir", build, "--output-on-failure", "--output-junit", report, "-j", "2"]
    command += ["-R", chosen] if chosen else []
    return junit(report, subprocess.run([*fixed_layout_prefix(), *command], check=False, env=environment).returncode)


def installed_package() -> Path:
    """The folder of the package, which holds the core's library, its header and its files for CMake."""
    ask = "import eigenpair.native as n; print(n.library_path())"
    done = subprocess.run([sys.executable, "-c", ask], cwd=REPORTS, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()).parent


def find_clang() -> tuple[str, str] | None:
    """The C and C++ compilers of the newest clang on PATH."""
    for suffix in ("", *(f"-{version}" for version in range(30, 13, -1))):
        found = shutil.which(f"clang{suffix}"), shutil.which(f"clang++{suffix}")
        if found[0] and found[1]:
            return found[0], found[1]
    return None


def clang() -> Counts:
    """The C tests, with core and tests built by clang, whose warnings are errors too."""
    compilers = find_clang()
    if compilers is None:
        print("clang: there is none (Debian: clang), so the C tests built by it were skipped.")
        return Counts(skipped=1)
    return ctest(compilers=compilers)


def arm64() -> Counts:
    """The C tests on an emulated arm64, with NEON's vector registers and the OpenBLAS of SciPy's wheel for it."""
    missing = [program for program in ("aarch64-linux-gnu-g++", "qemu-aarch64") if shutil.which(program) is None]
    if missing:
        print(f"arm64: no {' and no '.join(missing)} (Debian: g++-aarch64-linux-gnu, qemu-user), so it was skipped.")
        return Counts(skipped=1)
    place = ROOT / "build" / "arm64-lapack"
    if not list(place.glob("scipy.libs/libscipy_openblas*.so")):
        platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (27, 28)]
        download = ["download", "-q", "--no-deps", "--only-binary=:all:", *platforms, "--python-version=3.12", "scipy"]
        subprocess.run([sys.executable, "-m", "pip", *download, "-d", place], check=True)
        (wheel,) = place.glob("scipy-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place, [name for name in archive.namelist() if name.startswith("scipy.libs/")])
    (lapack,) = place.glob("scipy.libs/libscipy_openblas*.so")
    # Fortran's runtime library is linked to zlib, but does not use it.
    zlib = lapack.parent / "libz.so.1"
    command = ["aarch64-linux-gnu-gcc", "-shared", "-x", "c", "-", "-o", zlib]
    subprocess.run(command, input="typedef int nothing;\n", text=True, check=True)
    os.environ |= {"QEMU_SET_ENV": f"LD_LIBRARY_PATH={lapack.parent},OPENBLAS_NUM_THREADS=1"}
    return ctest(toolchain=ROOT / "cmake" / "aarch64-linux-gnu.cmake", lapack=str(lapack))


def fixed_layout_prefix() -> list[str]:
    """`setarch -R` where it works: the thread sanitizer of older compilers cannot start with strong address-space
    randomization."""
    setarch = shutil.which("setarch")
    works = setarch and subprocess.run([setarch, "-R", "true"], check=False, capture_output=True).returncode == 0
    return [setarch, "-R"] if setarch and works else []


# The tests that wait for Julia come last.
FOLDERS = ["tests/cases", "tests/python", "tests/conformance"]


def python(chosen: str = "", tests: Sequence[str] = FOLDERS) -> Counts:
    """Unit tests, cases against the oracle, and both languages against each other."""
    julia = julia_runner.find()
    environment = julia.environment() if julia else None
    report = REPORTS / "python.xml"
    # Most of the time goes into compiling, which takes one core. A process needs up to 4 GiB, and collects all tests
    # anew, which takes longer than the few that -k chooses.
    workers = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile"]
    selection = ["-k", chosen] if chosen else workers
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *selection,
        *tests,
        f"--junitxml={report}",
    ]
    return junit(report, subprocess.run(command, cwd=ROOT, check=False, env=environment).returncode)


class InBackground:
    """A suite in its own process, whose output is stored in a file."""

    def __init__(self, name: str):
        self.log = REPORTS / f"{name}.log"
        RESULTS.unlink(missing_ok=True)
        os.environ["EIGENPAIR_RESULTS"] = str(RESULTS)
        with self.log.open("w") as log:
            command = [sys.executable, "-u", __file__, name]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        threading.Thread(target=self._ensure_results, daemon=True).start()

    def _ensure_results(self) -> None:
        """Writes an empty results file if the process ended without one, so that other tests do not wait for it."""
        self.process.wait()
        if not RESULTS.exists():
            RESULTS.write_text('{"results": {}}')

    def counts(self) -> Counts:
        """Waits for the suite and prints its output, except the sums."""
        code = self.process.wait()
        *said, last = self.log.read_text().rstrip().split("\n") or [""]
        print("\n".join(line for line in said if line).split("\nsuite ")[0], flush=True)
        found = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
        counts = Counts(*map(int, found.groups())) if found else Counts(failed=1)
        return counts if code == 0 or counts.failed else counts._replace(failed=1)


def fast() -> Counts:
    """The fast tier, with the installed JAX."""
    return python(tests=[f"tests/python/{test}" for test in versions.FAST])


def julia(chosen: str = "") -> Counts:
    """The Julia package's own tests, or only the file `chosen`."""
    found = julia_runner.find()
    if not found:
        count = len(list((ROOT / "julia" / "test").glob("test_*.jl")))
        print(f"Julia: {found.why_not}, so the {count} files of Julia tests were skipped.", flush=True)
        return Counts(skipped=count)
    # Most of the time goes into compiling code that runs once: less of that.
    command = found.command("-O1", ROOT / "tools" / "julia_tests.jl", *([chosen] if chosen else []))
    done = subprocess.Popen(command, env=found.environment(), stdout=subprocess.PIPE, text=True)
    assert done.stdout is not None
    counts = None
    for line in done.stdout:
        print(line, end="", flush=True)
        if said := re.fullmatch(r"julia: (\d+) passed, (\d+) failed, (\d+) skipped", line.strip()):
            counts = Counts(*map(int, said.groups()))
    if done.wait() == 0 and counts:
        return counts
    return counts if counts and counts.failed else Counts(failed=1)


SUITES = {
    "lint": lambda: Counts(*lint.run()),
    "c": ctest,
    "julia": julia,
    "python": python,
    "fast": fast,
    "versions": lambda: Counts(*versions.run()),
    "address": lambda: ctest("address,undefined"),
    "thread": lambda: ctest("thread"),
    "clang": clang,
    "arm64": arm64,
}


# Suites of which -k can choose tests.
CHOOSING: dict[str, Callable[[str], Counts]] = {
    "c": lambda chosen: ctest(chosen=chosen),
    "python": python,
    "julia": julia,
}


def _found_julia() -> bool:
    try:
        return bool(julia_runner.find())
    except RuntimeError:
        return False  # its turn will say


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("-k", dest="chosen", default="", metavar="NAME", help="run the tests whose names match")
    options = parser.parse_args()
    names = options.suites or (["python"] if options.chosen else ["lint", "c", "python", "julia"])
    if unknown := [name for name in names if name not in SUITES]:
        parser.error(f"no suite is called {unknown[0]}; there are {', '.join(SUITES)}")
    if options.chosen and (unable := [name for name in names if name not in CHOOSING]):
        parser.error(f"-k chooses among the tests of {', '.join(CHOOSING)}, not of {unable[0]}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    rows = []
    # Found, or installed, before two processes ask.
    together = "julia" in names and len(names) > 1 and not options.chosen
    beside = InBackground("julia") if together and _found_julia() else None
    if beside:
        atexit.register(beside.process.terminate)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in names:
        print(f"\n── {name} {'─' * (100 - len(name))}", flush=True)
        (REPORTS / f"{name}.xml").unlink(missing_ok=True)
        start = time.monotonic()
        try:
            if beside and name == "julia":
                counts = beside.counts()
            else:
                counts = CHOOSING[name](options.chosen) if options.chosen else SUITES[name]()
        except Exception as error:
            print(f"{name}: {error}", flush=True)
            counts = Counts(failed=1)
        rows.append((name, counts, time.monotonic() - start))
    print(f"\n{'suite':10}{'passed':>9}{'failed':>9}{'skipped':>9}{'seconds':>9}")
    for name, counts, seconds in rows:
        print(f"{name:10}{counts.passed:>9}{counts.failed:>9}{counts.skipped:>9}{seconds:>9.0f}")
    total = Counts(*(sum(column) for column in zip(*(counts for _, counts, _ in rows), strict=True)))
    print(f"\n{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
