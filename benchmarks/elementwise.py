"""Small Hermitian matrices by element-wise operations, on a CPU: `python benchmarks/elementwise.py [--quick]`.

Platforms without kernels use this solver. For each order and type, the table shows the time that XLA takes to compile
the solver, the time that JAX takes to lower solver and gradient for a TPU, and the time for 10,000 matrices, compared
with the core and `jnp.linalg.eigh`. Contenders take turns. A ratio is the median of the ratios within rounds, with its
quartiles; above 1, the element-wise solver is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
from eigenpair.elementwise import solver
from limits import machine

ORDERS = (2, 3, 4, 6, 8)
DTYPES = ("float64", "complex128", "float32")
BATCH = 10_000

Function = Callable[..., Any]


def by_elements(a: jax.Array) -> Any:
    (w, v), _ = solver.eigh(a, True)
    return w, v


CONTENDERS: dict[str, Function] = {"element-wise": by_elements, "core": eigenpair.eigh, "jnp": jnp.linalg.eigh}


def matrices(n: int, dtype: str) -> jax.Array:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((BATCH, n, n)) + 1j * rng.standard_normal((BATCH, n, n))
    x = (x if dtype.startswith("complex") else x.real).astype(dtype)
    return jnp.asarray(x + x.conj().swapaxes(-1, -2))


def compiled_in(function: Function, a: jax.Array) -> tuple[Function, float]:
    """The compiled function, and the seconds it took."""
    begun = time.perf_counter()
    compiled = jax.jit(function).lower(a).compile()
    return compiled, time.perf_counter() - begun


def gradient_lowering_seconds(n: int, dtype: str) -> float:
    """Seconds to trace and lower the gradient of a loss of `eigh` for a TPU, up to where XLA would begin."""

    def loss(a: jax.Array) -> jax.Array:
        w, v = eigenpair.eigh(a)
        return jnp.sum(w) + jnp.sum(jnp.abs(v[..., :, 0]) ** 4)

    a = jax.ShapeDtypeStruct((BATCH, n, n), dtype)
    begun = time.perf_counter()
    jax.jit(jax.grad(loss)).trace(a).lower(lowering_platforms=("tpu",))
    return time.perf_counter() - begun


def seconds_by_contender(compiled: dict[str, Function], a: jax.Array, rounds: int) -> dict[str, list[float]]:
    """One time for each round, of contenders in turns."""
    times: dict[str, list[float]] = {name: [] for name in compiled}
    for _ in range(rounds):
        for name, function in compiled.items():
            begun = time.perf_counter()
            jax.block_until_ready(function(a))
            times[name].append(time.perf_counter() - begun)
    return times


def quartiles(numerators: list[float], denominators: list[float]) -> str:
    ratios = [x / y for x, y in zip(numerators, denominators, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="float64 alone, and fewer rounds")
    quick = parser.parse_args().quick
    jax.config.update("jax_enable_x64", True)
    if warning := machine.busy(machine.load()):
        print(warning)
    print(f"{BATCH} matrices, {len(os.sched_getaffinity(0))} processors, JAX {jax.__version__}\n")
    print("| n | type | compiled in s | gradient lowered in s | element-wise, ms | core ÷ it | jnp ÷ it |")
    print("|---|---|---|---|---|---|---|")
    for dtype in DTYPES[:1] if quick else DTYPES:
        for n in ORDERS:
            a = matrices(n, dtype)
            compiled, seconds = {}, {}
            for name, function in CONTENDERS.items():
                compiled[name], seconds[name] = compiled_in(function, a)
            times = seconds_by_contender(compiled, a, 7 if quick else 21)
            own = times["element-wise"]
            row = [
                n,
                dtype,
                f"{seconds['element-wise']:.2f}",
                f"{gradient_lowering_seconds(n, dtype):.2f}",
                f"{1e3 * statistics.median(own):.2f}",
                *(quartiles(times[name], own) for name in ("core", "jnp")),
            ]
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
