"""The overhead between LAPACK's driver and JAX for a large matrix: `python benchmarks/direct.py`.

The driver called from C, the core called through its C ABI with matrices stored by columns and by rows, and
`jax.jit(eigenpair.eigh)`, which stores them by rows: interleaved, and each divided by the driver in the same round.
"""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable
from typing import Any

import eigenpair
import jax
import numpy as np
from limits import floor
from scipy.linalg import cython_blas, cython_lapack

SIZES = (256, 512, 1024)
SECONDS = 6  # for each size


class Problem(ctypes.Structure):
    """`eigenpair_hermitian_problem` of the C ABI."""

    _fields_ = (
        ("struct_size", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("dtype", "type", "triangle", "layout", "driver", "reserved")),
        ("n", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("a", ctypes.c_void_p),
        ("a_stride", ctypes.c_int64),
        ("b", ctypes.c_void_p),
        ("b_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("w", "v", "u", "info")),
    )


LOOKUP = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


@LOOKUP
def routine(_: Any, name: bytes) -> int | None:
    """SciPy's, for the core."""
    for module in (cython_lapack, cython_blas):
        if name.decode() in module.__pyx_capi__:
            return floor.address(name.decode(), module)
    return None


def core() -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    library = ctypes.CDLL(str(eigenpair.native.library_path()))
    lapack = ctypes.c_void_p()
    if library.eigenpair_lapack_create(32, routine, None, ctypes.byref(lapack)) != 0:
        raise RuntimeError("the core does not take SciPy's LAPACK")
    return library, lapack


def by_core(a: np.ndarray, b: np.ndarray | None, layout: int) -> Callable[[], None]:
    library, lapack = core()
    n = len(a)
    w, v = np.empty(n), np.empty((n, n))
    problem = Problem(ctypes.sizeof(Problem), 1, int(b is not None), 0, layout, 0, 0, n, 1, a.ctypes.data, n * n)
    problem.b, problem.b_stride = (None if b is None else b.ctypes.data), n * n
    problem.w, problem.v = w.ctypes.data, v.ctypes.data

    def call() -> None:
        if library.eigenpair_hermitian(lapack, ctypes.byref(problem), 1) != 0:
            raise RuntimeError("the core failed")

    call.keeps = (a, b, w, v)  # type: ignore[attr-defined]
    return call


def measure(n: int, pair: bool) -> dict[str, tuple[float, np.ndarray]]:
    rng = np.random.default_rng(n)
    a, b = (m + m.T for m in rng.standard_normal((2, n, n)))
    b = b @ b / n + np.eye(n) if pair else None
    operands = tuple(jax.numpy.asarray(x) for x in (a, b) if x is not None)
    solve = jax.jit(eigenpair.eigh)
    driver = "dsygvd" if pair else "dsyevd"
    calls: dict[str, Callable[[], Any]] = {
        driver: floor.caller(driver, a, b, vectors=True, threads=floor.blas().num_threads),
        "core, by columns": by_core(a, b, 0),
        "core, by rows": by_core(a, b, 1),
        "JAX": lambda: jax.block_until_ready(solve(*operands)),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for _ in itertools.takewhile(lambda k: k < 9 or time.perf_counter() - start < SECONDS, itertools.count()):
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - before)
    warm = {name: np.array(series[2:]) for name, series in times.items()}
    return {name: (float(np.median(series)), series / warm[driver]) for name, series in warm.items()}


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    print("median time, and its ratio to the driver (quartiles)")
    for pair, n in itertools.product((False, True), SIZES):
        for name, (median, ratios) in measure(n, pair).items():
            low, middle, high = np.percentile(ratios, (25, 50, 75))
            print(f"n = {n:4}  {name:17} {median * 1e3:8.2f} ms  {middle:.3f} ({low:.3f}–{high:.3f})", flush=True)


if __name__ == "__main__":
    main()
