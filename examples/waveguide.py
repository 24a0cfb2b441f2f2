"""A slab waveguide: effective and group index of its fundamental mode, and a profile designed for a group index.

The scalar (TE) problem `E'' + k² ε(x, k) E = β² E` on a grid, `β = n_eff k`, solved by `eigenpair.eigsh` for the
highest `β²`. The group index
`n_g = dβ/dk` is a derivative of an eigenvalue; to design it is to differentiate that once more, through the mode. The
step profile is compared with its analytic dispersion.

    python examples/waveguide.py [folder]     writes waveguide.png and prints what was compared
"""

from __future__ import annotations

import sys
from pathlib import Path

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

jax.config.update("jax_enable_x64", True)

CORE, CLAD, THICKNESS = 3.48, 1.44, 0.22  # silicon in silica, in micrometres
WIDTH, POINTS = 2.4, 480
WAVELENGTH = 1.55
X = (np.arange(POINTS) + 0.5) * WIDTH / POINTS - WIDTH / 2
STEP = WIDTH / POINTS


def slab(x: np.ndarray = X) -> np.ndarray:
    """The permittivity of a step profile, averaged over each cell of the grid."""
    inside = np.clip((THICKNESS / 2 - np.abs(x)) / STEP + 0.5, 0, 1)
    return CLAD**2 + (CORE**2 - CLAD**2) * inside


def beta(permittivity: Array, k: Array) -> Array:
    """The propagation constant of the fundamental mode; the field is zero far out."""

    def product(e: Array) -> Array:
        padded = jnp.pad(e, 1)
        return (padded[2:] - 2 * e + padded[:-2]) / STEP**2 + k**2 * permittivity * e

    # Its inverse but for a shift would be a tridiagonal solve; the grid is small enough without.
    w, _ = eigenpair.eigsh(product, 1, which="LA", n=POINTS, dtype=float, tol=1e-11, max_iterations=4000)
    return jnp.sqrt(w[0])


def indices(permittivity: Array, k: float) -> tuple[Array, Array]:
    """Effective and group index."""
    value, slope = jax.jvp(lambda k: beta(permittivity, k), (k,), (1.0,))
    return value / k, slope


def analytic(k: float) -> tuple[float, float]:
    """Effective and group index of the slab from `κ tan(κd/2) = γ`, by bisection and an implicit derivative."""
    d = THICKNESS

    def mismatch(n: float, k: float) -> float:
        kappa, gamma = k * np.sqrt(CORE**2 - n**2), k * np.sqrt(n**2 - CLAD**2)
        return kappa * np.sin(kappa * d / 2) - gamma * np.cos(kappa * d / 2)

    def index(k: float) -> float:
        low, high = np.sqrt(max(CLAD**2, CORE**2 - (np.pi / (k * d)) ** 2)) + 1e-12, CORE - 1e-12
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if mismatch(middle, k) > 0 else (low, middle)
        return (low + high) / 2

    h = 1e-4 * k
    n = index(k)
    slope = (index(k + h) * (k + h) - index(k - h) * (k - h)) / (2 * h)
    return n, slope


def designed(target: float, steps: int = 12) -> tuple[np.ndarray, list[float]]:
    """A permittivity close to the slab whose mode has the group index `target`: Newton steps along the gradient."""
    k = 2 * np.pi / WAVELENGTH
    core = (np.abs(X) < THICKNESS).astype(float)
    group = jax.jit(jax.value_and_grad(lambda p: indices(p, k)[1]))
    permittivity, history = jnp.asarray(slab()), []
    for _ in range(steps):
        value, slope = group(permittivity)
        history.append(float(value))
        direction = slope * core
        permittivity = permittivity + (target - value) * direction / jnp.vdot(slope, direction)
        permittivity = jnp.clip(permittivity, CLAD**2, CORE**2)
    return np.asarray(permittivity), history


def picture(permittivity: np.ndarray, history: list[float], target: float, path: Path) -> None:
    """The two profiles, and the group index on the way."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(X, np.sqrt(slab()), color="0.7", label="slab")
    left.plot(X, np.sqrt(permittivity), label="designed")
    left.set(xlim=(-0.4, 0.4), xlabel="x (µm)", ylabel="refractive index")
    left.legend()
    right.plot(history, "o-")
    right.axhline(target, color="0.7")
    right.set(xlabel="step", ylabel="group index")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    k = 2 * np.pi / WAVELENGTH
    found, expected = indices(jnp.asarray(slab()), k), analytic(k)
    print(f"effective index {found[0]:.5f}, analytic {expected[0]:.5f}")
    print(f"group index     {found[1]:.5f}, analytic {expected[1]:.5f}")
    target = float(found[1]) - 0.1
    permittivity, history = designed(target)
    print(f"designed for    {target:.5f}: {history[-1]:.5f} after {len(history)} steps")
    picture(permittivity, history, target, folder / "waveguide.png")


if __name__ == "__main__":
    main()
