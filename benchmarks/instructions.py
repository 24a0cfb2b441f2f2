"""Instructions that three paths of the core execute, counted by callgrind: a check for regressions without noise.

`python benchmarks/instructions.py` compares with instructions.json; `--update` writes the current counts there. The
instructions of LAPACK are compared only with the same LAPACK. Its kernels are those for valgrind's processor.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from limits import floor

HERE = pathlib.Path(__file__).parent
BASELINE = HERE / "instructions.json"
ALLOWED = 0.05  # more than this is a regression; compilers differ by about as much
# type of problem, n, batch
PATHS = {
    "batch of 1000, 4×4": (0, 4, 1000),
    "one matrix, n = 64": (0, 64, 1),
    "generalized, n = 16": (1, 16, 1),
}


def lapack() -> tuple[str, str, str, str]:
    """SciPy's LAPACK: file, prefix and suffix of its names, version."""
    controller = floor.blas()
    if controller is None:
        raise RuntimeError("threadpoolctl does not know SciPy's BLAS")
    for prefix, suffix in (("scipy_", "_"), ("", "_"), ("", "")):
        if hasattr(controller.dynlib, f"{prefix}dsyevd{suffix}"):
            return controller.filepath, prefix, suffix, f"{controller.internal_api} {controller.version}"
    raise RuntimeError(f"{controller.filepath} has no LAPACK with 32-bit integers")


def by_object(text: str) -> dict[str, int]:
    """Instructions executed in each shared object, from what callgrind writes."""
    names: dict[str, str] = {}
    costs: dict[str, int] = {}
    current, inclusive = "", False
    for line in text.splitlines():
        if found := re.match(r"ob=\((\d+)\)(?: (.+))?", line):
            number, name = found.groups()
            if name:
                names[number] = pathlib.Path(name).name
            current = names[number]
        elif found := re.match(r"cob=\((\d+)\) (.+)", line):
            names[found[1]] = pathlib.Path(found[2]).name
        elif line.startswith("calls="):
            inclusive = True  # the next line is the cost of the called function, which is counted there
        elif found := re.match(r"[+\-*]?\d* ?(\d+)$", line) if re.match(r"[\d+\-*]", line) else None:
            if not inclusive:
                costs[current] = costs.get(current, 0) + int(found[1])
            inclusive = False
    return costs


def count(driver: pathlib.Path, core: pathlib.Path, path: tuple[int, int, int]) -> dict[str, int]:
    """Instructions of one call: the core's own, and all of them."""
    filepath, prefix, suffix, _ = lapack()
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            "--toggle-collect=measured",
            *(str(driver), str(core), filepath, prefix, suffix),
            *map(str, path),
        ]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"under valgrind: {done.stderr.strip().splitlines()[-1]}")
        costs = by_object(out.read_text(encoding="utf-8"))
    return {"core": costs.get(core.name, 0), "all": sum(costs.values())}


def main() -> int:
    if shutil.which("valgrind") is None:
        print("Instructions are not counted: there is no valgrind on PATH (Debian: apt install valgrind).")
        return 0
    from eigenpair import native

    core = native.library_path()
    if core is None:
        print("Instructions are not counted: eigenpair was built without its core.")
        return 0
    driver = floor.compile_c(HERE / "limits" / "instructions.c", HERE / "results" / "build" / "instructions", "-ldl")
    version = lapack()[3]
    found = {"lapack": version, "paths": {name: count(driver, core, path) for name, path in PATHS.items()}}
    if "--update" in sys.argv[1:]:
        BASELINE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    before = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {"lapack": "", "paths": {}}
    worse = False
    print(f"{'path':24}{'of':>8}{'instructions':>16}{'before':>16}{'change':>10}")
    for name, costs in found["paths"].items():
        for what, now in costs.items():
            old = before["paths"].get(name, {}).get(what)
            if not old or (what == "all" and before["lapack"] != version):
                print(f"{name:24}{what:>8}{now:16,}{'–':>16}{'–':>10}")
                continue
            change = now / old - 1
            worse |= change > ALLOWED
            print(f"{name:24}{what:>8}{now:16,}{old:16,}{change:10.1%}{'  REGRESSION' if change > ALLOWED else ''}")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
