"""Functions of Hermitian matrices, compared with the same written with plain `jnp`: the ratio of times.

`python benchmarks/spectral.py [--rounds N] [--cases value,gradient,product,hessian] [--orders 3,4,…]` runs both on one
processor, in turns, and prints the median and the quartiles of the ratio of their times (above 1: we are faster), and
our time for one matrix.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if hasattr(os, "sched_setaffinity"):  # Linux
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

BATCHES = {2: 4000, 3: 2000, 4: 2000, 8: 500, 16: 200, 32: 60, 64: 20, 128: 4, 256: 1, 512: 1}
DTYPES = {"f32": np.float32, "f64": np.float64, "c64": np.complex64, "c128": np.complex128}


def scalar_function(x: Any) -> Any:
    return jnp.exp(-x)


def plain_map(f: Callable[..., Any], a: Any) -> Any:
    w, v = jnp.linalg.eigh(a)
    return (v * f(w)[..., None, :].astype(v.dtype)) @ jnp.conj(jnp.swapaxes(v, -1, -2))


def plain_sum(f: Callable[..., Any], a: Any) -> Any:
    return jnp.sum(f(jnp.linalg.eigvalsh(a)), axis=-1)


def plain_projector(a: Any, k: int) -> Any:
    v = jnp.linalg.eigh(a)[1][..., :k]
    return v @ jnp.conj(jnp.swapaxes(v, -1, -2))


def gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    return jax.grad(lambda a, c: jnp.sum(jnp.real(f(a) * jnp.conj(c))))


def product(f: Callable[..., Any]) -> Callable[..., Any]:
    """A product with the Hessian, in the direction of the second argument."""
    loss = jax.grad(lambda a, c: jnp.sum(jnp.real(f(a) * jnp.conj(c))))
    return lambda a, c: jax.jvp(lambda x: loss(x, c), (a,), (c,))[1]


def hessian(f: Callable[..., Any]) -> Callable[..., Any]:
    return jax.vmap(lambda a, _: jax.hessian(f)(a))


def weighted(values: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of eigenvalues that distinguishes them."""
    return lambda a: jnp.sum((jnp.arange(a.shape[-1]) + 1) * values(a) ** 2)


def contenders(case: str, n: int) -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """`name: (ours, plain)`."""
    f = scalar_function
    maps = (lambda a: eigenpair.spectral_map(f, a)), (lambda a: plain_map(f, a))
    sums = (lambda a: eigenpair.spectral_sum(f, a)), (lambda a: plain_sum(f, a))
    k = max(1, n // 2)
    projectors = (lambda a: eigenpair.spectral_projector(a, k)), (lambda a: plain_projector(a, k))
    of_value = lambda g: lambda a, c: g(a)  # noqa: E731
    wrap = {"value": of_value, "gradient": gradient, "product": product, "hessian": hessian}[case]
    found = {"spectral_map": maps, "spectral_sum": sums, "spectral_projector": projectors}
    if case != "value":
        found["spectral_sum"] = ((lambda a: sums[0](a)[..., None, None]), (lambda a: sums[1](a)[..., None, None]))
    if case == "hessian":
        found = {"spectral_sum": sums, "eigvalsh": (weighted(eigenpair.eigvalsh), weighted(jnp.linalg.eigvalsh))}
    return {name: (wrap(ours), wrap(plain)) for name, (ours, plain) in found.items()}


def seconds(f: Callable[..., Any], arguments: Any, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        result = f(*arguments)
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / repeats


def compare(both: tuple[Callable[..., Any], ...], arguments: Any, rounds: int) -> tuple[list[float], float]:
    """The ratios, in ascending order, and our median time."""
    compiled = [jax.jit(f) for f in both]
    results = [jax.block_until_ready(f(*arguments)) for f in compiled]
    difference = float(jnp.max(jnp.abs(results[0] - results[1])) / jnp.max(jnp.abs(results[1])))
    if not difference < (1e-2 if results[0].dtype in (np.float32, np.complex64) else 1e-6):
        print(f"  they differ by {difference:.1e}")
    repeats = [max(1, int(0.01 / max(seconds(f, arguments, 2), 1e-6))) for f in compiled]
    times = [[seconds(f, arguments, k) for f, k in zip(compiled, repeats, strict=True)] for _ in range(rounds)]
    return sorted(plain / ours for ours, plain in times), statistics.median(ours for ours, _ in times)


def matrices(n: int, batch: int, dtype: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(n)
    found = []
    for _ in range(2):
        x = rng.standard_normal((batch, n, n))
        if np.issubdtype(dtype, np.complexfloating):
            x = x + 1j * rng.standard_normal((batch, n, n))
        found.append(jnp.asarray((x + x.conj().swapaxes(-1, -2)) / (2 * np.sqrt(n)), dtype))
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cases", default="value,gradient,product,hessian")
    parser.add_argument("--orders", default="3,4,8,16,64,256")
    parser.add_argument("--dtypes", default="f64")
    parser.add_argument("--functions", default="", help="only those whose names contain this")
    given = parser.parse_args()
    print("case       function              n batch dtype   ratio   quartiles      µs each")
    for case in given.cases.split(","):
        for n in map(int, given.orders.split(",")):
            if case == "hessian" and n > 8:
                continue
            for dtype in given.dtypes.split(","):
                arguments = matrices(n, BATCHES[n], DTYPES[dtype])
                for name, both in contenders(case, n).items():
                    if given.functions not in name:
                        continue
                    ratios, ours = compare(both, arguments, given.rounds)
                    low, middle, high = statistics.quantiles(ratios, n=4)
                    each = 1e6 * ours / BATCHES[n]
                    print(
                        f"{case:10} {name:18} {n:4} {BATCHES[n]:5} {dtype:5} {middle:7.2f}   {low:.2f}–{high:.2f}"
                        f" {each:12.3f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
