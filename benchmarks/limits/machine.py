"""The machine on which the numbers depend: processor, system, versions."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import time
from importlib import metadata
from typing import Any

PACKAGES = ("eigenpair", "jax", "jaxlib", "numpy", "scipy", "torch", "eigh")


def load() -> float | None:
    """Processes waiting for a processor, averaged over the last minute."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def busy(load: float | None) -> str:
    """A warning for measurements on a busy machine, where threads that wait for each other also wait for other
    processes."""
    if load is None or load < 0.5:
        return ""
    return f"the machine was busy before the run (load {load}): times and ratios of this run are noise"


def describe(load_before: float | None) -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "processors": usable,
        "memory": f"{_memory() / 2**30:.0f} GiB" if _memory() else "unknown",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "date": time.strftime("%Y-%m-%d"),
        "load before": load_before,
        "commit": _commit(),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    """The name, and the widest vectors, since a virtual machine may hide the model."""
    name, flags = platform.processor() or platform.machine(), ""
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        lines = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        }
        name, flags = lines.get("model name", name), lines.get("flags", "")
    vectors = next((v for v in ("avx512f", "avx2") if v in flags.split()), "")
    return f"{name}, {vectors}" if vectors else name


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError, OSError):
        return 0


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
