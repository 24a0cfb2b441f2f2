"""Times on a GPU: `eigenpair` against `jnp.linalg` and PyTorch, and its own drivers against each other.

python benchmarks/gpu.py TIMES.json SECONDS

Contenders take turns. The table has the median time of a call, and the time of one call among many that are enqueued
without waiting. Rows for which no time is left are named and left out. `python benchmarks/gpu.py profile` prints the
time of each kernel. `tools/gpu_check.py` puts the table into docs/gpu.md.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import eigenpair  # noqa: E402 - after the choice of precision
from eigenpair.elementwise import solver  # noqa: E402
from eigenpair.runtime import cuda  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

# (what, n, batch, dtype), the most important first.
SMALL = ((3, 10000), (4, 10000), (2, 10000), (3, 1_000_000), (4, 1_000_000))
PLAN = [
    *(("forward", n, batch, "float64") for n, batch in (*SMALL, (8, 10000), (32, 1000), (64, 256), (512, 1))),
    *(("gradient", n, batch, "float64") for n, batch in (*SMALL[:2], (64, 256), (512, 1))),
    *(("chained", n, batch, dtype) for dtype in ("float64", "float32") for n, batch in (*SMALL[:2], SMALL[3])),
    *(("call", n, 10000, "float64") for n in (5, 8, 16)),
    *(("call", n, 1000, "float64") for n in (24, 32, 40, 64)),
    *(("call", n, 100, "float64") for n in (128, 256)),
    *(("call", n, 10, "float64") for n in (256, 512, 1024)),
    *(("call", n, 1, "float64") for n in (16, 32, 64, 128, 256, 512, 1024, 2048)),
    *(("pair", n, batch, "float64") for n, batch in ((4, 10000), (64, 256), (512, 1), (2048, 1))),
    *(("forward", n, batch, "float32") for n, batch in ((3, 10000), (4, 1_000_000), (64, 256))),
    ("forward", 2048, 1, "float64"),
    *(("call", n, 1000, "float32") for n in (8, 16, 32, 64)),
    *(("call", n, batch, "float32") for n, batch in ((256, 10), (512, 10), (512, 1), (1024, 1))),
    *(("call", n, batch, "complex128") for n, batch in ((8, 1000), (32, 1000), (64, 100), (256, 10), (512, 1))),
    *(("forward", n, batch, "complex128") for n, batch in ((3, 10000), (16, 1000), (512, 1))),
    *(("values", n, batch, "float64") for n, batch in ((4, 10000), (512, 1), (2048, 1))),
    ("gradient", 2048, 1, "float64"),
    *(("forward", n, 1, "float64") for n in (4, 16, 128, 4096)),
    ("pair", 4096, 1, "float64"),
    ("gradient", 4096, 1, "float64"),
    ("forward", 8192, 1, "float64"),
    ("gradient", 8192, 1, "float32"),
]

CHAIN = 30  # solves in one program, so that Python's overhead counts only once

Run = Callable[..., Any]
Ready = Callable[[], tuple[Run, Run]]  # makes two functions: one enqueues a call, one waits for it


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
    """A loss of all eigenvalues and vectors that does not depend on phases."""
    return (w**2).sum() + (abs(v) ** 4).sum()


def of_jax(f: Callable[..., Any], *operands: np.ndarray) -> Ready:
    """Lowers now, under the current settings; compiles when the result is called."""
    arrays = [jax.device_put(x, jax.devices()[0]) for x in operands]
    lowered = jax.jit(f).lower(*arrays)

    def ready() -> tuple[Run, Run]:
        compiled = lowered.compile()
        jax.block_until_ready(compiled(*arrays))
        return lambda: compiled(*arrays), jax.block_until_ready

    return ready


def of_torch(f: Callable[..., Any], *operands: np.ndarray, gradient: bool = False) -> Ready:
    """The same for PyTorch."""

    def ready() -> tuple[Run, Run]:
        arrays = [torch.from_numpy(x).cuda().requires_grad_(gradient) for x in operands]

        def run() -> Any:
            result = f(*arrays)
            return torch.autograd.grad(result, arrays) if gradient else result

        run()
        torch.cuda.synchronize()
        return run, lambda _: torch.cuda.synchronize()

    return ready


def reduced(a: Any, b: Any) -> Any:
    """The generalized problem as JAX users write it, by Cholesky."""
    factor = jnp.linalg.cholesky(b)
    solve = functools.partial(jax.lax.linalg.triangular_solve, factor, left_side=True, lower=True)
    half = solve(a)
    standard = solve(half.conj().swapaxes(-1, -2))
    w, y = jnp.linalg.eigh(standard)
    return w, solve(y, transpose_a=True, conjugate_a=True)


def chained(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`f` called repeatedly, as part of a larger program."""

    def many(a: Any) -> Any:
        return jax.lax.fori_loop(0, CHAIN, lambda _, x: x + 1e-3 * f(x), a)

    return many


def touched(a: Any) -> Any:
    """A program that only reads and writes as much as `eigh` does."""
    return a[..., 0] * 2, a * 2


def call(a: Any) -> Any:
    """The core's call, without the operations around it."""
    return cuda.eigh(a, True)


def contenders(what: str, n: int, batch: int, dtype: str) -> dict[str, Callable[[], Ready]]:
    """Functions that prepare each contender, by its name."""
    a = matrices(n, batch, dtype)
    if what == "pair":
        b = matrices(n, batch, dtype, positive=True)
        return {
            "eigenpair": lambda: of_jax(lambda x, y: eigenpair.eigh(x, y), a, b),
            "jnp": lambda: of_jax(reduced, a, b),
            "sygvd": lambda: with_settings(lambda: of_jax(lambda x, y: eigenpair.eigh(x, y), a, b), PAIR_BATCH=2**31),
            "reduced": lambda: with_settings(lambda: of_jax(lambda x, y: eigenpair.eigh(x, y), a, b), PAIR_BATCH=0),
        }
    if what == "call":
        found = {"jnp": functools.partial(of_jax, jnp.linalg.eigh, a)}
        # Small matrices go to cuSOLVER too here, since drivers are compared.
        for name in ("evd", "batched", "jacobi"):
            if (name == "evd" and batch > 100) or (name == "jacobi" and n > 256):
                continue
            for lower in (False, True):
                found[name + " lower" * lower] = functools.partial(
                    with_settings, functools.partial(of_jax, call, a), DRIVER=name, LOWER=lower
                )
        if n <= 8:
            found["rounds"] = functools.partial(of_jax, lambda x: solver.eigh(x, True), a)
        return found
    if what == "chained":
        return {
            "eigenpair": lambda: of_jax(chained(lambda x: eigenpair.eigh(x)[1]), a),
            "jnp": lambda: of_jax(chained(lambda x: jnp.linalg.eigh(x)[1]), a),
            "copy": lambda: of_jax(chained(lambda x: x), a),
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
    if what == "forward" and n <= 8:
        found["copy"] = lambda: of_jax(touched, a)
    if torch is not None and torch.cuda.is_available() and n * batch < 100_000 and (n > 100 or batch == 1 or n < 33):
        torches = {
            "forward": torch.linalg.eigh,
            "values": torch.linalg.eigvalsh,
            "gradient": lambda x: loss(*torch.linalg.eigh(x)),
        }
        found["torch"] = lambda: of_torch(torches[what], a, gradient=what == "gradient")
    return found


def with_settings(lower: Callable[[], Ready], **settings: Any) -> Ready:
    """Lowers under other settings of `eigenpair.cuda`. Clears what was traced before."""
    before = {name: getattr(cuda, name) for name in settings}
    jax.clear_caches()
    try:
        for name, value in settings.items():
            setattr(cuda, name, value)
        return lower()
    finally:
        for name, value in before.items():
            setattr(cuda, name, value)
        jax.clear_caches()


def prepare(pool: futures.ThreadPoolExecutor, row: tuple[str, int, int, str]) -> dict[str, Any]:
    """Lowers everything in turn and starts compiling in the pool. Per contender: the compilation, or why there is
    none."""
    found: dict[str, Any] = {}
    for name, lower in contenders(*row).items():
        try:
            found[name] = pool.submit(lower())
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return found


def measure(prepared: dict[str, Any]) -> dict[str, list[float] | str]:
    """By contender: milliseconds per call, waiting for each call, and enqueuing many; or the reason of a failure."""
    results: dict[str, list[float] | str] = {name: why for name, why in prepared.items() if isinstance(why, str)}
    runs = {}
    for name, future in prepared.items():
        if isinstance(future, str):
            continue
        try:
            runs[name] = future.result()
        except Exception as error:  # too large for this card, or for this library
            results[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    samples: dict[str, list[float]] = {name: [] for name in runs}
    start = time.monotonic()
    while (rounds := len(next(iter(samples.values()), [0] * 99))) < 3 or (
        rounds < 50 and time.monotonic() < start + 0.5
    ):
        for name, (run, wait) in runs.items():
            begin = time.perf_counter()
            wait(run())
            samples[name].append(1e3 * (time.perf_counter() - begin))
    for name, (run, wait) in runs.items():
        median = statistics.median(samples[name])
        count = max(3, min(50, int(100 / median)))
        begin = time.perf_counter()
        for _ in range(count):
            last = run()
        wait(last)
        results[name] = [median, 1e3 * (time.perf_counter() - begin) / count]
    return results


def cell(x: list[float] | str | None) -> str:
    """A time, or a dash for what failed."""
    return "–" if x is None or isinstance(x, str) else " / ".join(f"{t:.3g}" for t in x)


def table(rows: list[dict[str, Any]], left_out: list[str]) -> str:
    """Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row["times"]))
    text = "\n".join(
        [
            "Milliseconds per call (medians): each call waited for / many calls enqueued before waiting. "
            "`call`: the core's call alone, by driver and triangle. "
            f"`chained`: {CHAIN} in one program. `–`: not there, or it failed.\n",
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


def profile(name: str, f: Callable[[Any], Any], a: np.ndarray) -> None:
    """Prints how long each kernel takes on the device."""
    array, times = jax.device_put(a), 10
    compiled = jax.jit(f).lower(array).compile()
    jax.block_until_ready(compiled(array))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(times):
                jax.block_until_ready(compiled(array))
        (path,) = Path(folder).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(path))
        total: dict[str, float] = {}
        for plane in data.planes:
            for line in plane.lines if "GPU" in plane.name else ():
                for event in line.events if line.name.startswith("Stream") else ():
                    total[event.name] = total.get(event.name, 0) + event.duration_ns / 1e3 / times
    print(f"profile {name}: {sum(total.values()):.1f} us on the device")
    for kernel, time_ in sorted(total.items(), key=lambda item: -item[1])[:12]:
        print(f"  {time_:9.1f} us  {kernel[:100]}")
    sys.stdout.flush()


def profiles() -> None:
    """The time of each kernel, of eigenpair and of JAX, side by side."""
    for n, batch in ((3, 10000), (4, 10000), (32, 1000), (64, 256), (512, 1)):
        a = matrices(n, batch, "float64")
        for name, f in (("eigenpair", eigenpair.eigh), ("jnp", jnp.linalg.eigh)):
            profile(f"{name} {n}x{batch}", lambda x, f=f: f(x), a)


def main() -> None:
    """The command line."""
    if sys.argv[1] == "profile":
        profiles()
        return
    output, seconds, start = Path(sys.argv[1]), float(sys.argv[2]), time.monotonic()
    part = int(sys.argv[3]) if len(sys.argv) > 3 else 12  # rows prepared together
    rows: list[dict[str, Any]] = []
    left = list(PLAN)
    with futures.ThreadPoolExecutor() as pool:
        while left and time.monotonic() < start + seconds:
            # Nothing is compiled while something is timed.
            now, left = left[:part], left[part:]
            prepared = [prepare(pool, row) for row in now]
            futures.wait([future for row in prepared for future in row.values() if not isinstance(future, str)])
            for (what, n, batch, dtype), row in zip(now, prepared, strict=True):
                if time.monotonic() > start + seconds:
                    left.insert(0, (what, n, batch, dtype))
                    continue
                times = measure(row)
                rows.append({"what": what, "n": n, "batch": batch, "dtype": dtype, "times": times})
                print(what, n, batch, dtype, {name: cell(t) for name, t in times.items()}, flush=True)
                del row
                # Written after every row, so that an interrupted run leaves its results.
                left_out = [" ".join(map(str, row)) for row in left]
                output.write_text(
                    json.dumps({"rows": rows, "left_out": left_out, "table": table(rows, left_out)}, indent=1)
                )


if __name__ == "__main__":
    main()
