"""`eigenpair bench`: times eigenpair and JAX's own decomposition on this machine."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import eigh
from ..runtime.files import BadInput
from . import output

HELP = "time eigenpair.eigh and jnp.linalg.eigh on this machine"

DESCRIPTION = """\
Times eigenpair.eigh and jnp.linalg.eigh on random symmetric matrices, forward and with the gradient of a loss of
eigenvalues and eigenvectors, both under jit, in turns, and prints the medians. They mean nothing if other programs keep
the machine busy.
"""

EPILOG = """\
examples:
  eigenpair bench
  eigenpair bench --n 3 4 --batch 100000 --dtype float32
"""

_DTYPES = ("float32", "float64", "complex64", "complex128")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    command.add_argument("--n", type=int, nargs="+", default=[3, 8, 32, 128], help="orders (3 8 32 128)")
    command.add_argument("--batch", type=int, help="matrices at once (as many as make 300,000 numbers)")
    command.add_argument("--dtype", choices=_DTYPES, default="float64", help="element type (float64)")
    command.add_argument("--seconds", type=float, default=0.5, help="for each of the timings (0.5)")


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints a table."""
    if (
        min(arguments.n) < 1
        or (arguments.batch is not None and arguments.batch < 1)
        or not 0 < arguments.seconds < math.inf
    ):
        raise BadInput("--n, --batch and --seconds must be positive")
    rows = []
    for n in arguments.n:
        batch = arguments.batch or max(1, 300_000 // n**2)
        rows.append({"n": n, "batch": batch, **_measure(_matrices(n, batch, arguments.dtype), arguments.seconds)})
        if not arguments.json:
            if len(rows) == 1:
                print(f"{arguments.dtype} on {jax.devices()[0].platform}; milliseconds, medians")
                print(f"{'n':>6}{'batch':>9}{'eigh':>11}{'jnp':>11}{'':>9}{'gradient':>11}{'jnp':>11}")
            print(_line(rows[-1]), flush=True)
    if arguments.json:
        print(output.as_json({"dtype": arguments.dtype, "rows": rows}))
    return 0


def _line(row: dict[str, Any]) -> str:
    text = f"{row['n']:6d}{row['batch']:9d}"
    for name in ("forward", "gradient"):
        ours, theirs = row[f"{name}_ms"], row[f"{name}_jnp_ms"]
        text += f"{ours:11.3g}{theirs:11.3g}{theirs / ours:7.1f} ×"
    return text


def _matrices(n: int, batch: int, dtype: str) -> Any:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((batch, n, n)) + (1j * rng.standard_normal((batch, n, n)) if dtype[0] == "c" else 0)
    return jnp.asarray(a + np.conj(np.swapaxes(a, -1, -2)), dtype)


def _measure(a: Any, seconds: float) -> dict[str, float]:
    weights = jnp.arange(a.shape[-1], dtype=jnp.real(a).dtype)

    def gradient(solve: Callable[..., Any]) -> Any:
        def loss(x: Any) -> Any:
            w, v = solve(x)
            return jnp.sum(w @ weights) + jnp.sum(jnp.abs(v) ** 2 @ weights)

        return jax.jit(jax.value_and_grad(loss))

    programs = {
        "forward_ms": jax.jit(lambda x: tuple(eigh(x))),
        "forward_jnp_ms": jax.jit(lambda x: tuple(jnp.linalg.eigh(x))),
        "gradient_ms": gradient(eigh),
        "gradient_jnp_ms": gradient(jnp.linalg.eigh),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        jax.block_until_ready(program(a))  # compiles
    end = time.perf_counter() + seconds * len(programs)
    while time.perf_counter() < end or len(times["forward_ms"]) < 3:
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(a))
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}
