"""A lower bound of the time: SciPy's LAPACK, called from C (floor.c) in a loop over the batch."""

from __future__ import annotations

import ctypes
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
BENCHMARKS = HERE.parent
DRIVERS = {"dsyev": 0, "dsyevd": 1, "dsyevr": 2, "dsygvd": 3}


def compile_c(source: pathlib.Path, target: pathlib.Path, *flags: str) -> pathlib.Path:
    """Compiles if the result is absent or older than the source; an exception says what is missing."""
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise RuntimeError("there is no C compiler")
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}")  # two runs at once must not read each other's halves
        command = [*compiler.split(), "-O2", str(source), "-o", str(unfinished), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{source.name} does not compile: {done.stderr.strip().splitlines()[-1]}")
        unfinished.replace(target)
    return target


def library() -> ctypes.CDLL:
    """floor.c, compiled."""
    target = BENCHMARKS / "results" / "build" / "floor.so"
    loaded = ctypes.CDLL(str(compile_c(HERE / "floor.c", target, "-shared", "-fPIC", "-pthread")))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    loaded.floor_workspace.argtypes = [number, pointer, *[number] * 4, pointer, pointer]
    loaded.floor_run.argtypes = [number, pointer, *[number] * 4, ctypes.c_long, *[pointer] * 4, *[number] * 3]
    return loaded


def address(routine: str, module: Any = None) -> int:
    """Of a routine in SciPy's LAPACK, or in its `cython_blas`."""
    from scipy.linalg import cython_lapack

    capsule = (module or cython_lapack).__pyx_capi__[routine]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, name(capsule))


def blas() -> Any:
    """threadpoolctl's controller of SciPy's BLAS."""
    import scipy.linalg  # noqa: F401  (or it would not be there yet)
    import threadpoolctl

    libraries = [c for c in threadpoolctl.ThreadpoolController().lib_controllers if c.user_api == "blas"]
    bundled = [c for c in libraries if "scipy" in pathlib.Path(c.filepath).parent.name]
    return next(iter(bundled or libraries), None)


def caller(
    driver: str,
    a: np.ndarray,
    b: np.ndarray | None,
    *,
    vectors: bool,
    subset: tuple[int, int] | None = None,
    threads: int,
) -> Callable[[], np.ndarray]:
    """A function of no arguments that solves the whole batch and returns the eigenvalues.

    One matrix leaves the threads to LAPACK; a batch has one LAPACK thread for each of ours.
    """
    core = library()
    run = core.floor_run
    a, b = (None if x is None else np.ascontiguousarray(x) for x in (a, b))
    n, batch = a.shape[-1], a.size // a.shape[-1] ** 2
    first, last = subset or (0, n - 1)
    w, v = np.empty((*a.shape[:-1],)), np.empty(a.shape)
    at = [None if x is None else x.ctypes.data for x in (a, b, w, v)]
    problem = (DRIVERS[driver], address(driver), int(vectors), n, first + 1, last + 1)
    sizes = (ctypes.c_int * 2)()
    if core.floor_workspace(*problem, ctypes.byref(sizes, 0), ctypes.byref(sizes, ctypes.sizeof(ctypes.c_int))):
        raise RuntimeError(f"{driver} does not say how much workspace it needs")
    arguments = (*problem, batch, *at, *sizes, threads)
    controller = blas() if batch > 1 and threads > 1 else None

    def call() -> np.ndarray:
        if controller is None:
            failed = run(*arguments)
        else:
            before = controller.get_num_threads()
            controller.set_num_threads(1)
            failed = run(*arguments)
            controller.set_num_threads(before)
        if failed:
            raise RuntimeError(f"{driver} failed")
        return w[..., : last - first + 1]

    call.arrays = (a, b, v)  # kept alive while their addresses are in use
    return call
