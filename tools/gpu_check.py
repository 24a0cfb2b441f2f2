"""The whole check on a GPU in one call: build, conformance, leaks, and times against JAX's and PyTorch's own.

    python tools/gpu_check.py [--wheels FOLDER] [--minutes 7.5] [--output FOLDER]

Run it with a Python that has JAX with CUDA, NumPy and SciPy; PyTorch is measured too if it is installed. Other packages
for the build and the tests come from --wheels (then nothing is downloaded), or from PyPI. The table is written to
docs/gpu.md, and a copy of everything to --output. The last line says what passed; the exit status is 0 only if
everything passed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "gpu"
PAGE = ROOT / "docs" / "gpu.md"
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)

# The environment of every process: several share the card, and their output is read while they run.
SETTINGS = {"PYTHONUNBUFFERED": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

NEEDED = (
    "scikit-build-core>=0.11",
    "hatch-fancy-pypi-readme>=24",
    "threadpoolctl>=3.5",
    "pytest>=8",
    "cmake>=3.26",
    "ninja>=1.11",
)

# A computation on the card with JAX alone: is there a card, and what is its name?
PROBE = """
import jax
device = jax.devices("cuda")[0]
print(device.device_kind, "JAX " + jax.__version__, sep="|")
"""

# XLA never gives device memory back, so a leak would show in the number of handles and in the host's memory.
LEAKS = """
import resource
import jax, jax.numpy as jnp
from eigenpair import eigh
from eigenpair.runtime import cuda
cuda.libraries()
assert jax.devices()[0].platform == "gpu", jax.devices()
f = jax.jit(lambda a: eigh(a)[0])
a = jnp.eye(8)
for i in range(10_000):
    f(a)
    if i == 1000:
        f(a).block_until_ready()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
f(a).block_until_ready()
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(f"9,000 calls: {grown:.1f} MiB more")
assert grown < 16, "memory grows"
bad = a.at[0, 0].set(jnp.nan)
for _ in range(100):
    assert jnp.isnan(f(bad)).all() and jnp.isfinite(f(a)).all()
"""


class Check:
    """Steps with one deadline. Each step is a process whose output is stored."""

    def __init__(self, output: Path, minutes: float):
        self.output = output
        self.deadline = time.monotonic() + 60 * minutes
        self.passed: list[str] = []
        self.failed: list[str] = []

    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def step(self, name: str, command: list[object], *, limit: float = 1e9, **environment: str) -> str | None:
        """The output of a process, or `None` if it failed or was out of time."""
        text, good = self.together(name, [(name, command, environment)], limit)
        return text if good else None

    def together(
        self, name: str, processes: list[tuple[str, list[object], dict[str, str]]], limit: float
    ) -> tuple[str, bool]:
        """The outputs of processes `(log's name, command, environment)` that run at once, and whether all went well."""
        print(f"── {name} ({self.left():.0f} s left)", flush=True)
        deadline = time.monotonic() + max(min(self.left(), limit), 1)
        started = []
        for log, command, environment in processes:
            # Outputs go through files, so that the output of a process that was ended can be read.
            path = self.output / f"{log}.log"
            with path.open("w") as stream:
                process = subprocess.Popen(
                    [str(x) for x in command],
                    cwd=ROOT,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **SETTINGS, **environment},
                )
            started.append((path, process))
        why, text = [], ""
        for path, process in started:
            try:
                code = process.wait(max(deadline - time.monotonic(), 0.1))
                why += [f"exit status {code}"] if code else []
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                why.append(f"not done after {limit:.0f} s")
            said = path.read_text(errors="replace").strip()
            print("\n".join(said.splitlines()[-8 if len(started) == 1 else -1 :]), flush=True)
            text += said + "\n"
        (self.failed if why else self.passed).append(f"{name} ({', '.join(dict.fromkeys(why))})" if why else name)
        return text, not why


def find_card() -> tuple[str, str]:
    """Its name and the JAX that sees it; ends the program where there is none."""
    found = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        reason = (found.stderr.strip().splitlines() or ["JAX says nothing"])[-1]
        sys.exit(f"gpu_check: JAX finds no CUDA device here, so nothing was checked. ({reason})")
    card, jax = found.stdout.strip().splitlines()[-1].split("|")
    return card, jax


def make_environment(wheels: Path | None) -> Path | None:
    """A virtual environment above this Python, with what is missing; `None` if that failed."""
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", BUILD / "venv"], check=True)
    python = BUILD / "venv" / "bin" / "python"
    # A virtual environment on top of another does not see the packages of the latter.
    site = next((BUILD / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "below.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    source = ["--no-index", "--find-links", wheels] if wheels else []
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *source]
    return python if subprocess.run([str(x) for x in (*pip, *NEEDED)], check=False).returncode == 0 else None


def write_page(rows: str, card: str, jax: str, report: str, conformance: str) -> None:
    """The table into docs/gpu.md."""
    cuda = next((line.split(None, 1)[1] for line in report.splitlines() if line.startswith("cuda ")), "?")
    cuda = cuda.partition("  (")[0]
    text = f"{card}, {cuda}, {jax}; {datetime.date.today().isoformat()}. Conformance: {conformance}.\n\n{rows}\n"
    page = PAGE.read_text(encoding="utf-8")
    assert TABLE.search(page), "docs/gpu.md has lost the marks around its table"
    PAGE.write_text(TABLE.sub(lambda match: match[1] + text + match[2], page), encoding="utf-8")


def sum_up(outputs: str) -> str:
    """Of several runs of pytest."""
    counts = {word: sum(map(int, re.findall(rf"(\d+) {word}", outputs))) for word in ("passed", "failed", "error")}
    failed = sorted(set(re.findall(r"^FAILED \S+\[(\S+)\]", outputs, re.MULTILINE)))
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) + "".join(f"; {x}" for x in failed)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels; nothing is downloaded")
    parser.add_argument("--minutes", type=float, default=7.5, help="all of it, the build included (7.5)")
    parser.add_argument("--output", type=Path, default=BUILD / "report", help="logs, times and a copy of the page")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    check = Check(options.output, options.minutes)
    card, jax = find_card()
    print(f"{card}, {jax}")

    python = make_environment(options.wheels)
    if python is None:
        sys.exit("gpu_check: the build's requirements could not be installed: " + ", ".join(NEEDED))
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    install = [python, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--force-reinstall", "."]
    if check.step("build", install, limit=180, PATH=path) is None:
        return 1
    report = check.step("report", [python, "-m", "eigenpair"]) or ""
    suite = [python, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/conformance/test_python.py"]
    parts = max((os.cpu_count() or 2) // 2 - 1, 1)
    # Small matrices are solved by XLA, and once more by cuSOLVER.
    processes = [
        (
            f"conformance-{which}-{i + 1}",
            suite,
            {
                "EIGENPAIR_PLATFORM": "cuda",
                "EIGENPAIR_CASES": "few",
                "EIGENPAIR_PART": f"{i + 1}/{parts}",
                "EIGENPAIR_ELEMENTWISE": which,
                "XLA_FLAGS": "--xla_gpu_autotune_level=0",
            },
        )
        for which in ("on", "off")
        for i in range(parts)
    ]
    accuracy = [*suite[:-1], "tests/python/elementwise/test_elementwise.py", "-k", "not forced"]
    processes.append(("elementwise", accuracy, {"EIGENPAIR_PLATFORM": "cuda", "EIGENPAIR_PART": "1/1"}))
    conformance, _ = check.together("conformance", processes, max(0.35 * check.left(), 60))
    said = sum_up(conformance)
    print(said, flush=True)
    bench = [python, ROOT / "benchmarks" / "gpu.py"]
    check.step("profile", [*bench, "profile"], limit=max(0.15 * check.left(), 25))
    check.step("leaks", [python, "-c", LEAKS], limit=60)
    times = options.output / "times.json"
    check.step("times", [*bench, times, max(check.left() - 15, 10)])
    if times.exists():
        write_page(json.loads(times.read_text())["table"], card, jax, report, said)
        (options.output / "gpu.md").write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    print(f"\npassed: {', '.join(check.passed) or 'nothing'}; failed: {', '.join(check.failed) or 'nothing'}")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
