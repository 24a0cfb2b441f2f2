"""Builds the distributions into build/dist: sources, this machine's wheel, and a wheel without libraries for other
platforms.

    python tools/dist.py

The wheels are built from the source archive, in isolation, as users of the package index would build them. On Linux the
wheel is then named after the oldest systems on which it runs, such as manylinux_2_17, as the package index requires.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "build" / "dist"


def run(*command: object) -> None:
    """Runs the command; ends this program if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "EIGENPAIR_XLA_INCLUDE"}
    if subprocess.run([*map(str, command)], cwd=ROOT, env=environment, check=False).returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def main() -> None:
    """The command line."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT)
    (sources,) = DIST.glob("*.tar.gz")
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-cache-dir", "-w", DIST]
    run(*wheel, sources)
    # Without juliapkg.json, which names a folder that only builds have.
    run(*wheel, "-C", "wheel.cmake=false", "-C", "wheel.exclude=eigenpair/juliapkg.json", sources)
    for path in DIST.glob("*-linux_*.whl"):
        # It checks the needed versions of system libraries. It copies no library, because all are the system's.
        run(sys.executable, "-m", "auditwheel", "repair", "--only-plat", "-w", DIST, path)
        path.unlink()
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    for path in sorted(DIST.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
