"""What is installed, as `eigenpair` prints it."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from .. import __version__
from . import cuda, folders, native
from .files import BadInput


def facts() -> dict[str, str]:
    """What is installed, one line each."""
    lines = [
        ("eigenpair", f"{__version__}  ({Path(__file__).parent.parent})"),
        ("jax", f"{jax.__version__}, jaxlib {version('jaxlib')}"),
        ("python", f"{platform.python_version()}, numpy {np.__version__}, {platform.system()} {platform.machine()}"),
        ("lapack", _lapack()),
        (
            "kernels",
            "on for CPU (native core); on other platforms XLA's own eigh and eig are used"
            if native.has_cpu_kernels()
            else f"off, XLA's own eigh and eig are used: {native.why_no_kernels()}",
        ),
        ("cuda", cuda.report()),
        ("devices", _devices()),
        (
            "libeigenpair",
            str(native.library_path() or "not built") + ("  (for EIGENPAIR_LIBRARY)" if native.library_path() else ""),
        ),
        ("for C", str(c_folder("include").parent) + "  (--includedir, --cmakedir, --pkgconfigdir)")
        if folders.find("include")
        else ("for C", "not built"),
        ("julia", _julia()),
        ("EigenPair.jl", _julia_package()),
    ]
    return dict(lines)


def report() -> str:
    """The same as text."""
    return "\n".join(f"{name:14}{value}" for name, value in facts().items())


def c_folder(name: str) -> Path:
    """Folder `"include"`, `"cmake"` or `"pkgconfig"`, for programs in C. `BadInput` where the core was not built."""
    found = folders.find(name)
    if found is None:
        raise BadInput("this eigenpair was installed without the native core, so there is nothing for C")
    return found


def _lapack() -> str:
    info = native.lapack()
    name = f"{info.get('internal_api', 'unknown')} {info.get('version') or ''}".strip()
    threads = info.get("num_threads", "unknown number of")
    where = info.get("filepath", "SciPy's")
    return f"{name}, {info.get('integer_bits', '?')}-bit integers, {threads} threads  ({where})"


def _devices() -> str:
    try:
        devices = jax.devices()
    except RuntimeError as error:
        return f"none that JAX can use ({error})"
    names = ", ".join(sorted({f"{d.platform} ({d.device_kind})" if d.platform != "cpu" else "cpu" for d in devices}))
    return names if any(d.platform in ("gpu", "cuda", "rocm") for d in devices) else f"{names}; no GPU"


def _julia_package() -> str:
    folder = Path(__file__).parent.parent / "julia"
    return f"{folder}  (for Pkg.develop)" if folder.is_dir() else "in the repository, folder julia"


def _julia() -> str:
    path = shutil.which("julia")
    if path is None:
        return "not on PATH"
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{path}, which does not run: {error}"
    return f"{done.stdout.strip().removeprefix('julia version ')}  ({path})"
