"""Gradient error against eigenvalue gap: eigenpair and other libraries on three losses, against 50 digits.

`python benchmarks/accuracy.py` writes docs/gradient_error.png and benchmarks/results/accuracy.json. Peers that are
not installed are left out. A gradient that is not a number is drawn on the line at the top, and counted in the table.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable

import eigenpair as ep
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

jax.config.update("jax_enable_x64", True)
HERE = pathlib.Path(__file__).parent
N, OCCUPIED, SEEDS = 6, 2, 5
GAPS = [10.0**-e for e in np.arange(0, 16.01, 0.5)] + [0.0]
Gradient = Callable[[np.ndarray, np.ndarray], np.ndarray]


def matrix(gap: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric matrix whose two lowest eigenvalues are `gap` apart, and the matrix of the loss."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(N, N)))
    w = np.array([1.0, 1.0 + gap, 2.5, 3.1, 4.2, 5.0])
    if gap == 0:  # exactly: eigenvalues of a block that is a multiple of the identity
        q[:, :OCCUPIED] = np.eye(N)[:, :OCCUPIED]
        q[:, OCCUPIED:] = 0
        q[OCCUPIED:, OCCUPIED:] = np.linalg.qr(rng.normal(size=(N - OCCUPIED,) * 2))[0]
    a = (q * w) @ q.T
    c = rng.normal(size=(N, N))
    return (a + a.T) / 2, c + c.T


def reference(loss: str, a: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The gradient at exactly this matrix, by divided differences with 60 digits."""
    with mp.workdps(60):
        w, v = mp.eigsy(mp.matrix(a.tolist()))

        def difference(i: int, j: int) -> mp.mpf:
            if loss == "matrix function":
                return mp.exp(w[i]) if w[i] == w[j] else (mp.exp(w[i]) - mp.exp(w[j])) / (w[i] - w[j])
            if (i < OCCUPIED) == (j < OCCUPIED):
                return mp.mpf(0)
            return -1 / abs(w[i] - w[j])

        if loss == "eigenvalue sum":
            inner = mp.diag([2 * w[i] if i < OCCUPIED else 0 for i in range(N)])
        else:
            rotated = v.T * mp.matrix(c.tolist()) * v
            inner = mp.matrix(N, N)
            for i in range(N):
                for j in range(N):
                    inner[i, j] = rotated[i, j] * difference(i, j)
        return np.array((v * inner * v.T).tolist(), dtype=float)


def from_pairs(loss: str, w, v, c, module):
    """The losses as users write them, with eigenvalues and eigenvectors."""
    if loss == "projector":
        low = v[:, :OCCUPIED]
        return (c * (low @ low.T)).sum()
    if loss == "matrix function":
        return (c * ((v * module.exp(w)) @ v.T)).sum()
    return (w[:OCCUPIED] ** 2).sum()


def ours(loss: str) -> Gradient:
    def value(a, c):
        if loss == "projector":
            return jnp.sum(c * ep.spectral_projector(a, OCCUPIED))
        if loss == "matrix function":
            return jnp.sum(c * ep.spectral_map(jnp.exp, a))
        return jnp.sum(ep.eigvalsh(a)[:OCCUPIED] ** 2)

    return jax.jit(jax.grad(value))


def ours_from_pairs(loss: str) -> Gradient:
    return jax.jit(jax.grad(lambda a, c: from_pairs(loss, *ep.eigh(a), c, jnp)))


def peers(loss: str) -> dict[str, Gradient]:
    def with_jax(eigh) -> Gradient:
        return jax.jit(jax.grad(lambda a, c: from_pairs(loss, *eigh(a), c, jnp)))

    found = {"jnp.linalg.eigh": with_jax(jnp.linalg.eigh)}
    try:
        import eigh as package

        found["eigh (package)"] = with_jax(package.eigh)
    except ImportError:
        print("the package eigh is not installed: left out", file=sys.stderr)
    try:
        import torch

        def gradient(a, c):
            x = torch.tensor(a, requires_grad=True)
            from_pairs(loss, *torch.linalg.eigh(x), torch.tensor(c), torch).backward()
            return x.grad.numpy()

        found["torch.linalg.eigh"] = gradient
    except ImportError:
        print("torch is not installed: left out", file=sys.stderr)
    return found


def measure() -> dict[str, dict[str, list[list[float]]]]:
    """error[loss][library][gap][seed]; NaN where the gradient is not a number."""
    results: dict[str, dict[str, list[list[float]]]] = {}
    losses = ("projector", "matrix function", "eigenvalue sum")
    total, done = len(losses) * len(GAPS), 0
    for loss in losses:
        gradients = {"eigenpair": ours(loss), "eigenpair.eigh (w, v)": ours_from_pairs(loss), **peers(loss)}
        results[loss] = {name: [] for name in gradients}
        for gap in GAPS:
            cases = [matrix(gap, seed) for seed in range(SEEDS)]
            exact = [reference(loss, a, c) for a, c in cases]
            for name, gradient in gradients.items():
                errors = []
                for (a, c), truth in zip(cases, exact, strict=True):
                    got = np.asarray(gradient(a, c))
                    got = (got + got.T) / 2  # peers differ in the antisymmetric part
                    good = np.all(np.isfinite(got))
                    errors.append(float(np.abs(got - truth).max() / np.abs(truth).max()) if good else float("nan"))
                results[loss][name].append(errors)
            done += 1
            print(f"\r{done}/{total} gaps", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def draw(results: dict[str, dict[str, list[list[float]]]], path: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = next(iter(results.values()))
    colors = dict(zip(names, ("#d62728", "#ff9896", "#1f77b4", "#2ca02c", "#9467bd"), strict=False))
    x = [g if g > 0 else 1e-17 for g in GAPS]
    not_a_number = 30.0
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True, layout="constrained")
    for axis, (loss, curves) in zip(axes, results.items(), strict=True):
        for name, errors in curves.items():
            worst = [np.nanmax(e) if np.any(np.isfinite(e)) else np.nan for e in errors]
            bold = name == "eigenpair"
            line = {"color": colors[name], "lw": 2.4 if bold else 1.2, "zorder": 3 if bold else 2}
            axis.loglog(x, np.maximum(worst, 1e-17), label=name, ls="--" if "(w, v)" in name else "-", **line)
            lost = [g for g, e in zip(x, errors, strict=True) if np.any(np.isnan(e))]
            axis.plot(lost, [not_a_number] * len(lost), "x", color=colors[name], ms=6, zorder=4)
        axis.axhline(not_a_number, color="0.8", lw=0.8, zorder=0)
        axis.set(title=loss, xlabel="gap between the two lowest eigenvalues", xlim=(3, 5e-18), ylim=(1e-17, 200))
        axis.set_xticks([1, 1e-4, 1e-8, 1e-12, 1e-17], ["1", "1e-4", "1e-8", "1e-12", "0"])
        axis.minorticks_off()
    axes[0].set_ylabel("relative error of the gradient, worst of 5\n(× : not a number)")
    axes[0].legend(fontsize=8, loc="center left")
    figure.suptitle("Gradient error against eigenvalue gap (float64, n = 6)")
    figure.savefig(path, dpi=110)


def main() -> None:
    results = measure()
    (HERE / "results").mkdir(exist_ok=True)
    content = {"gaps": GAPS, "seeds": SEEDS, "worst relative error": results}
    (HERE / "results" / "accuracy.json").write_text(json.dumps(content))
    draw(results, HERE.parent / "docs" / "gradient_error.png")
    print(f"{'loss':18}{'library':24}{'worst error':>14}{'not a number':>16}")
    for loss, curves in results.items():
        for name, errors in curves.items():
            flat = np.array(errors).ravel()
            worst = np.nanmax(flat) if np.any(np.isfinite(flat)) else np.nan
            print(f"{loss:18}{name:24}{worst:14.1e}{np.isnan(flat).sum():9d} of {flat.size}")


if __name__ == "__main__":
    main()
