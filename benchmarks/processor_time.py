"""Processor time and wall time: `python benchmarks/processor_time.py [--quick] [--one] [NAME ...]`.

Threads that wait in a busy loop cost no wall time on an idle machine. But they cost processor time, and on a busy
machine wall time. So every call is made alone: the processor time of all threads of the process is read before the call
and again when LAPACK's threads sleep. Contenders take turns; a ratio is the median of the ratios within rounds, with
its quartiles. Above 1, eigenpair takes less.

`--one`: BLAS and LAPACK on one thread. Otherwise they use their default. NAME: only these functions.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

# OpenBLAS's threads wait for 2^26 ticks of the clock, at least 20 ms, and more on a machine with other work.
AT_REST = 0.02

Function = Callable[..., Any]


def jnp_eig(a: jax.Array) -> Any:
    return jax.lax.linalg.eig(a, compute_left_eigenvectors=False, enable_eigvec_derivs=True)


def jnp_pair(a: jax.Array, b: jax.Array) -> Any:
    """By Cholesky, as one writes it with JAX."""
    factor = jnp.linalg.cholesky(b)
    half = jax.scipy.linalg.solve_triangular(factor, a, lower=True)
    standard = jax.scipy.linalg.solve_triangular(factor, half.mT, lower=True)
    w, v = jnp.linalg.eigh(standard)
    return w, jax.scipy.linalg.solve_triangular(factor.mT, v, lower=False)


def jnp_map(a: jax.Array) -> Any:
    w, v = jnp.linalg.eigh(a)
    return (v * jnp.tanh(w)[..., None, :]) @ v.mT


# name: (ours, the peer's, how the matrices are made)
FUNCTIONS: dict[str, tuple[Function, Function, str]] = {
    "eig": (eigenpair.eig, jnp_eig, "general"),
    "eigvals": (eigenpair.eigvals, jnp.linalg.eigvals, "general"),
    "eigh": (eigenpair.eigh, jnp.linalg.eigh, "symmetric"),
    "eigvalsh": (eigenpair.eigvalsh, jnp.linalg.eigvalsh, "symmetric"),
    "eigh(a, b)": (eigenpair.eigh, jnp_pair, "pair"),
    "spectral_map": (lambda a: eigenpair.spectral_map(jnp.tanh, a), jnp_map, "symmetric"),
}
SHAPES = ((32,), (64,), (100,), (128,), (256,), (512,), (256, 16), (64, 32), (16, 100))
QUICK = ((64,), (100,), (256,), (16, 32))


def operands(kind: str, shape: tuple[int, ...]) -> tuple[jax.Array, ...]:
    *batch, n = shape
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((2, *batch, n, n))
    if kind == "general":
        return (jnp.asarray(a),)
    b = b @ b.swapaxes(-1, -2) / n + np.eye(n)
    a = a + a.swapaxes(-1, -2)
    return tuple(map(jnp.asarray, (a, b) if kind == "pair" else (a,)))


def value_and_gradient(function: Function) -> Function:
    """Of a weighted sum of all results, squared."""

    def loss(*matrices: jax.Array) -> jax.Array:
        return sum(
            jnp.sum(jnp.cos(jnp.arange(r.size)).reshape(r.shape) * jnp.abs(r) ** 2)
            for r in jax.tree.leaves(function(*matrices))
        )

    return jax.value_and_grad(loss)


def rest() -> float:
    """Waits until no thread is in a busy loop; returns the processor time that these threads took, in seconds."""
    start = time.process_time()
    taken = start
    for _ in range(100):
        time.sleep(AT_REST)
        before, taken = taken, time.process_time()
        if taken - before < AT_REST / 20:
            break
    return taken - start


def measure(calls: list[Callable[[], Any]], seconds: float) -> np.ndarray:
    """Wall and processor time in seconds, of shape (rounds, calls, 2)."""
    for call in calls * 2:
        jax.block_until_ready(call())
    rounds: list[list[tuple[float, float]]] = []
    end = time.monotonic() + seconds
    while len(rounds) < 7 or time.monotonic() < end:
        taken = [(0.0, 0.0)] * len(calls)
        for k in range(len(calls)):
            turn = (k + len(rounds)) % len(calls)
            rest()
            processor, wall = time.process_time(), time.perf_counter()
            jax.block_until_ready(calls[turn]())
            wall = time.perf_counter() - wall
            rest()
            taken[turn] = (wall, time.process_time() - processor)
        rounds.append(taken)
    return np.array(rounds)


def row(name: str, what: str, shape: tuple[int, ...], seconds: float) -> None:
    ours, peers, kind = FUNCTIONS[name]
    matrices = operands(kind, shape)
    calls = []
    for function in (ours, peers):
        jitted = jax.jit(value_and_gradient(function) if what == "gradient" else function)
        calls.append(lambda jitted=jitted: jitted(*matrices))
    times = measure(calls, seconds)
    ratios = np.percentile(times[:, 1] / times[:, 0], (25, 50, 75), axis=0)
    (wall, processor), (peers_wall, peers_processor) = np.median(times, axis=0) * 1e3
    columns = [
        f"{mine:8.2f} {other:8.2f}  {middle:6.2f} ({low:.2f}-{high:.2f})"
        for mine, other, (low, middle, high) in (
            (wall, peers_wall, ratios[:, 0]),
            (processor, peers_processor, ratios[:, 1]),
        )
    ]
    size = " x ".join(map(str, shape))
    print(f"{name:13} {what:9} {size:>8}  {columns[0]:36} {columns[1]:36} {len(times):3}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *FUNCTIONS], metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    limit = threadpoolctl.threadpool_limits(1, user_api="blas") if options.one else contextlib.nullcontext()
    with limit:
        threads = eigenpair.runtime.native._scipy_blas().num_threads
        load = os.getloadavg()[0]
        print(f"LAPACK: {threads} threads; load {load:.1f}; times in ms: eigenpair, jax.numpy, ratio (quartiles)")
        print(f"{'':13} {'':9} {'':8}  {'wall':36} {'processor':36} rounds")
        for name in options.names or FUNCTIONS:
            for what in ("value", "gradient"):
                for shape in QUICK if options.quick else SHAPES:
                    row(name, what, shape, 1.0 if options.quick else 5.0)


if __name__ == "__main__":
    main()
