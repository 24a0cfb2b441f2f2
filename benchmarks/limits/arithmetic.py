"""The arithmetic floor of small matrices: the number of operations of the algorithm, divided by the operations per
second of the processor."""

from __future__ import annotations

import concurrent.futures
import ctypes
import pathlib
import statistics
import time

from limits import floor

HERE = pathlib.Path(__file__).parent
BENCHMARKS = HERE.parent


def operations(n: int, vectors: bool) -> float:
    """Leading terms for a real matrix: reduction to tridiagonal form 4n³/3; with vectors, accumulating the reflections
    4n³/3 and rotating them 6n³ (Golub and Van Loan, 4th edition, §8.3)."""
    return (26 / 3 if vectors else 4 / 3) * n**3


def rate(threads: int) -> float:
    """Operations a second in double precision on `threads` threads: the median of several runs."""
    target = BENCHMARKS / "results" / "build" / "rate.so"
    flags = ("-shared", "-fPIC", "-O3", "-march=native", "-ffp-contract=fast")
    run = ctypes.CDLL(str(floor.compile_c(HERE / "rate.c", target, *flags))).rate_run
    run.restype, run.argtypes = ctypes.c_double, [ctypes.c_long, ctypes.c_void_p]
    sinks = (ctypes.c_double * (8 * threads))()  # a cache line each
    rates = []
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in range(9):
            start = time.perf_counter()
            done = list(pool.map(lambda k: run(2_000_000, ctypes.addressof(sinks) + 64 * k), range(threads)))
            rates.append(sum(done) / (time.perf_counter() - start))
    return statistics.median(rates[1:])
