"""Times on a GPU: `eigenpair` against `jnp.linalg` and PyTorch, and its own drivers against each other.

python benchmarks/gpu.py TIMES.json SECONDS

In rounds that go around the contenders, the median of each; rows that no time is left for are left out and named.
`tools/gpu_check.py` puts the table into docs/gpu.md.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import eigenpair  # noqa: E402 - after the choice of precision
from eigenpair import cuda  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

# (what, n, batch, dtype): what matters most comes first.
PLAN = [
    *(("forward", n, batch, "float64") for n, batch in ((4, 10000), (32, 1000), (64, 256), (512, 1), (2048, 1))),
    *(("gradient", n, batch, "float64") for n, batch in ((4, 10000), (64, 256), (512, 1), (2048, 1))),
    *(("pair", n, batch, "float64") for n, batch in ((4, 10000), (64, 256), (512, 1), (2048, 1))),
    *(("drivers", n, batch, "float64") for n, batch in ((4, 10000), (32, 1000), (64, 256), (256, 32), (512, 8))),
    *(("values", n, batch, "float64") for n, batch in ((4, 10000), (512, 1), (2048, 1))),
    *(("forward", n, batch, "float64") for n, batch in ((4, 1), (8, 10000), (16, 10000), (128, 64), (1024, 1))),
    *(("forward", n, batch, "float32") for n, batch in ((4, 10000), (64, 256), (2048, 1))),
    *(("forward", n, batch, "complex128") for n, batch in ((4, 10000), (64, 256), (1024, 1))),
    ("forward", 4096, 1, "float64"),
    ("gradient", 4096, 1, "float64"),
    ("drivers", 1024, 4, "float64"),
    ("drivers", 16, 1, "float64"),
    ("pair", 4096, 1, "float64"),
    ("forward", 8192, 1, "float64"),
    ("gradient", 8192, 1, "float32"),
]

Run = Callable[[], None]


def matrices(n: int, batch: int, dtype: str, positive: bool = False) -> np.ndarray:
    """Hermitian, with distinct eigenvalues."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(batch, n, n) if batch > 1 else (n, n))
    if dtype.startswith("complex"):
        x = x + 1j * rng.normal(size=x.shape)
    x = (x + x.conj().swapaxes(-1, -2)) / 2
    if positive:
        x = x / (2 * np.sqrt(n)) + 2 * np.eye(n)
    return x.astype(dtype)


def loss(w: Any, v: Any) -> Any:
    """Needs every eigenvalue and vector, and no phase."""
    return (w**2).sum() + (abs(v) ** 4).sum()


def of_jax(f: Callable[..., Any], *operands: np.ndarray) -> Run:
    """Compiled, run once, then to be timed."""
    compiled, arrays = jax.jit(f), [jax.device_put(x, jax.devices("cuda")[0]) for x in operands]

    def run() -> None:
        jax.block_until_ready(compiled(*arrays))

    run()
    return run


def of_torch(f: Callable[..., Any], *operands: np.ndarray, gradient: bool = False) -> Run:
    """The same for PyTorch."""
    arrays = [torch.from_numpy(x).cuda().requires_grad_(gradient) for x in operands]

    def run() -> None:
        result = f(*arrays)
        if gradient:
            torch.autograd.grad(result, arrays)
        torch.cuda.synchronize()

    run()
    return run


def reduced(a: Any, b: Any) -> Any:
    """The generalized problem as JAX users write it."""
    factor = jnp.linalg.cholesky(b)
    solve = functools.partial(jax.lax.linalg.triangular_solve, factor, left_side=True, lower=True)
    half = solve(a)
    standard = solve(half.conj().swapaxes(-1, -2))
    w, y = jnp.linalg.eigh(standard)
    return w, solve(y, transpose_a=True, conjugate_a=True)


def by_driver(name: str) -> Callable[[Any], Any]:
    """`eigh` compiled with one driver."""

    def f(a: Any) -> Any:
        return eigenpair.eigh(a)

    f.__name__ = f"eigh_{name}"
    return f


def contenders(what: str, n: int, batch: int, dtype: str) -> dict[str, Callable[[], Run]]:
    """What makes each ready, by name."""
    a = matrices(n, batch, dtype)
    if what == "pair":
        b = matrices(n, batch, dtype, positive=True)
        return {
            "eigenpair": lambda: of_jax(lambda x, y: eigenpair.eigh(x, y), a, b),
            "jnp": lambda: of_jax(reduced, a, b),
            "sygvd": lambda: with_settings(lambda: of_jax(lambda x, y: eigenpair.eigh(x, y), a, b), PAIR_BATCH=2**31),
            "reduced": lambda: with_settings(lambda: of_jax(lambda x, y: eigenpair.eigh(x, y), a, b), PAIR_BATCH=0),
        }
    if what == "drivers":
        return {
            name: functools.partial(with_settings, functools.partial(of_jax, by_driver(name), a), DRIVER=name)
            for name in cuda.DRIVERS
        }
    ours = {
        "forward": lambda x: eigenpair.eigh(x),
        "values": lambda x: eigenpair.eigvalsh(x),
        "gradient": jax.value_and_grad(lambda x: loss(*eigenpair.eigh(x))),
    }
    theirs = {
        "forward": jnp.linalg.eigh,
        "values": jnp.linalg.eigvalsh,
        "gradient": jax.value_and_grad(lambda x: loss(*jnp.linalg.eigh(x))),
    }
    found = {"eigenpair": lambda: of_jax(ours[what], a), "jnp": lambda: of_jax(theirs[what], a)}
    if torch is not None and torch.cuda.is_available():
        torches = {
            "forward": torch.linalg.eigh,
            "values": torch.linalg.eigvalsh,
            "gradient": lambda x: loss(*torch.linalg.eigh(x)),
        }
        found["torch"] = lambda: of_torch(torches[what], a, gradient=what == "gradient")
    return found


def with_settings(make: Callable[[], Run], **settings: Any) -> Run:
    """Compiles under other settings of `eigenpair.cuda`. Nothing compiled before may be met again."""
    before = {name: getattr(cuda, name) for name in settings}
    jax.clear_caches()
    try:
        for name, value in settings.items():
            setattr(cuda, name, value)
        return make()
    finally:
        for name, value in before.items():
            setattr(cuda, name, value)
        jax.clear_caches()


def measure(what: str, n: int, batch: int, dtype: str) -> dict[str, float | str]:
    """Milliseconds by contender, or why there are none."""
    results: dict[str, float | str] = {}
    runs = {}
    for name, make in contenders(what, n, batch, dtype).items():
        try:
            runs[name] = make()
        except Exception as error:  # too large for this card, or for this library
            results[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    samples: dict[str, list[float]] = {name: [] for name in runs}
    start = time.monotonic()
    while (rounds := len(next(iter(samples.values()), [0] * 99))) < 3 or (rounds < 30 and time.monotonic() < start + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            samples[name].append(1e3 * (time.perf_counter() - begin))
    return results | {name: statistics.median(times) for name, times in samples.items()}


def cell(x: float | str | None) -> str:
    """A time, or a dash for what failed."""
    return "–" if x is None or isinstance(x, str) else f"{x:.3g}"


def table(rows: list[dict[str, Any]], left_out: list[str]) -> str:
    """Markdown."""
    names = ("eigenpair", "jnp", "torch", "sygvd", "reduced", *cuda.DRIVERS)
    text = "\n".join(
        [
            "Milliseconds, medians; `–`: not there, or it failed.\n",
            "| what | n | batch | type | " + " | ".join(names) + " |",
            "|---|---|---|---|" + "---|" * len(names),
            *(
                f"| {r['what']} | {r['n']} | {r['batch']} | {r['dtype']} | "
                + " | ".join(cell(r["times"].get(name)) for name in names)
                + " |"
                for r in rows
            ),
        ]
    )
    return text + (f"\n\nNo time was left for: {'; '.join(left_out)}." if left_out else "")


def main() -> None:
    """The command line."""
    output, deadline = Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    rows: list[dict[str, Any]] = []
    left_out = []
    for what, n, batch, dtype in PLAN:
        if time.monotonic() > deadline:
            left_out.append(f"{what} {n}, {batch}, {dtype}")
            continue
        times = measure(what, n, batch, dtype)
        rows.append({"what": what, "n": n, "batch": batch, "dtype": dtype, "times": times})
        print(what, n, batch, dtype, times, flush=True)
        # After every row: whoever is out of patience finds what there is.
        output.write_text(json.dumps({"rows": rows, "left_out": left_out, "table": table(rows, left_out)}, indent=1))
    if left_out:
        output.write_text(json.dumps({"rows": rows, "left_out": left_out, "table": table(rows, left_out)}, indent=1))


if __name__ == "__main__":
    main()
