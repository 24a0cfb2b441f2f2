"""A few eigenpairs of a large Laplacian with edge weights, and the gradient with respect to all weights, compared with
other libraries.

    python benchmarks/large.py [--size 100] [--pairs 8] [--rounds 3] [--tolerance 1e-9] [--only WORDS]

The operator is `x ↦ Dᵀ(w ∘ Dx)` on a cube with `size` points to an edge (100: n = 10⁶), with fixed walls. Rounds are
interleaved: every contender runs once before any runs twice. All get the same operator, number of eigenpairs and
tolerance `tolerance·‖A‖` of residuals. The residuals are computed anew from each result. Peers that are not installed
are left out, with a line that says so. Peak memory is that of the process, so a contender shows only what exceeds those
before it; `--only` runs those whose name contains the words. Processor time is printed too, for a machine that is not
quiet.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import time
from collections.abc import Callable
from typing import Any

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

jax.config.update("jax_enable_x64", True)


def weights(size: int) -> tuple[jax.Array, ...]:
    """The weights of the edges along each axis, including those to the walls; without symmetry."""
    rng = np.random.default_rng(0)
    shapes = [(size + 1, size, size), (size, size + 1, size), (size, size, size + 1)]
    return tuple(jnp.asarray(1 + 0.2 * rng.uniform(size=shape)) for shape in shapes)


def laplacian(w: tuple[jax.Array, ...]) -> Callable[[jax.Array], jax.Array]:
    size = w[0].shape[1]

    def product(x: jax.Array) -> jax.Array:
        x = x.reshape(size, size, size)
        total = jnp.zeros_like(x)
        for axis, weight in enumerate(w):
            pad = [(1, 1) if i == axis else (0, 0) for i in range(3)]
            flow = weight * jnp.diff(jnp.pad(x, pad), axis=axis)
            total = total - jnp.diff(flow, axis=axis)
        return total.reshape(-1)

    return product


def contenders(size: int, k: int, tol: float) -> dict[str, Callable[[], Any]]:
    """Functions that solve and return eigenvalues (and vectors where there are)."""
    w = weights(size)
    n = size**3
    compiled = jax.jit(lambda w, x: laplacian(w)(x))
    largest = 12 * 1.2

    def on_host(x: np.ndarray) -> np.ndarray:
        return np.asarray(compiled(w, x.reshape(-1)))

    host = scipy.sparse.linalg.LinearOperator((n, n), matvec=on_host, dtype=float)
    moved = scipy.sparse.linalg.LinearOperator(
        (n, n), matvec=lambda x: on_host(x) - largest * x.reshape(-1), dtype=float
    )

    def solve() -> Any:
        return tuple(eigenpair.eigsh(laplacian(w), k, n=n, dtype=float, tol=tol))

    def gradient_of(loss: Callable[..., jax.Array]) -> Callable[[], Any]:
        def total(w: Any) -> jax.Array:
            return loss(*eigenpair.eigsh(laplacian(w), k, n=n, dtype=float, tol=tol))

        compiled = jax.jit(jax.grad(total))
        return lambda: jax.block_until_ready(compiled(w))

    found: dict[str, Callable[[], Any]] = {
        "eigsh": solve,
        "eigsh, gradient of eigenvalues": gradient_of(lambda e, v: jnp.sum(e)),
        "eigsh, gradient of eigenvectors": gradient_of(lambda e, v: jnp.sum(v[: n // 2] ** 2)),
        # ARPACK measures residuals by the eigenvalue, so the spectrum is moved to where that is of the size of A.
        "ARPACK": lambda: (lambda e, v: (e + largest, v))(*scipy.sparse.linalg.eigsh(moved, k, which="SA", tol=tol)),
    }
    if importlib.util.find_spec("primme"):
        import primme

        found["PRIMME"] = lambda: primme.eigsh(host, k, which="SA", tol=tol)
    else:
        print("PRIMME is left out: the package primme is not installed")

    def by_lobpcg() -> Any:
        from jax.experimental.sparse.linalg import lobpcg_standard

        start = jnp.asarray(np.random.default_rng(1).normal(size=(n, k)))
        product = laplacian(w)
        # It only finds the largest.
        block = lambda x: largest * x - jax.vmap(product, 1, 1)(x)  # noqa: E731
        return jax.block_until_ready(lobpcg_standard(block, start, m=400, tol=tol)[:2])

    found["lobpcg_standard (JAX), 400 steps at most"] = by_lobpcg
    if importlib.util.find_spec("matfree"):
        from matfree import decomp, eig

        tridiag = decomp.tridiag_sym(20 * k, reortho="full")
        found[f"matfree, {20 * k} steps without restart"] = lambda: jax.block_until_ready(
            eig.eigh_partial(tridiag)(laplacian(w), jnp.ones(n))
        )
    else:
        print("matfree is left out: it is not installed")
    return found


def residual(size: int, values: np.ndarray, vectors: np.ndarray) -> float:
    product = jax.jit(lambda w, x: laplacian(w)(x))
    w = weights(size)
    lost = [np.linalg.norm(product(w, v) - e * v) for e, v in zip(values, vectors.T, strict=True)]
    return float(max(lost))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    n = given.size**3
    everybody = contenders(given.size, given.pairs, given.tolerance)
    everybody = {name: run for name, run in everybody.items() if given.only in name}
    times: dict[str, list[float]] = {name: [] for name in everybody}
    processor: dict[str, list[float]] = {name: [] for name in everybody}
    for turn in range(given.rounds + 1):  # the first compiles
        for name, run in list(everybody.items()):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start, used = time.perf_counter(), time.process_time()
            try:
                result = run()
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error)[:200]}")
                del everybody[name]
                continue
            elapsed, used = time.perf_counter() - start, time.process_time() - used
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (8 * n)
            if turn:
                times[name].append(elapsed)
                processor[name].append(used)
            elif isinstance(result, tuple) and len(result) == 2 and np.ndim(result[1]) == 2:
                values, vectors = (np.asarray(x) for x in result)
                if vectors.shape[0] != n:
                    vectors = vectors.T
                if "lobpcg" in name:
                    values = 12 * 1.2 - values
                lost = residual(given.size, values[: given.pairs], vectors[:, : given.pairs])
                print(f"{name}: largest residual {lost:.1e}, peak memory grew by {grown:.0f} vectors", flush=True)
            else:
                print(f"{name}: peak memory grew by {grown:.0f} vectors", flush=True)
    base = np.median(times["eigsh"]) if times.get("eigsh") else np.nan
    print(f"\nn = {n}, {given.pairs} pairs, residuals {given.tolerance:g}·‖A‖, medians of {given.rounds} rounds")
    for name, taken in times.items():
        if taken:
            ratio, cpu = np.median(taken) / base, np.median(processor[name])
            print(f"{name:45s} {np.median(taken):9.3f} s   {ratio:6.2f} × eigsh   processor {cpu:9.3f} s")


if __name__ == "__main__":
    main()
