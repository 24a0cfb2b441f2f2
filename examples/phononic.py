"""A phononic crystal whose band gap is widened by gradient descent: a chain of masses and springs, periodic.

Springs between the 48 masses of a cell are the design. The gap lies between the bands `BAND` and `BAND + 1`; it is
measured over the
wave numbers `k` of the Brillouin zone by soft minima and maxima, and differentiated through `eigenpair.eigsh`, whose
operator is a function of the
displacements. Bands of a chain that is still uniform are degenerate at the edges of the zone, where the gap opens.

    python examples/phononic.py [folder]      writes phononic.png and prints the gap in every tenth step
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

CELL = 48
BAND = 4
WAVE_NUMBERS = np.linspace(0, np.pi, 7)
SHARPNESS = 200.0


def dynamical(springs: Array, k: Array):
    """The dynamical matrix at wave number `k`, as a function of complex displacements; unit masses."""
    phase = jax.lax.complex(jnp.cos(k), jnp.sin(k))

    def product(u: Array) -> Array:
        stretch = jnp.append(u[1:], phase * u[0]) - u
        force = springs.astype(u.dtype) * stretch
        return -(force - jnp.append(jnp.conj(phase) * force[-1], force[:-1]))

    return product


def frequencies(springs: Array, k: Array, count: int = BAND + 1) -> Array:
    """The lowest frequencies at wave number `k`."""
    w, _ = eigenpair.eigsh(dynamical(springs, k), count, n=CELL, dtype=complex)
    return jnp.sqrt(jnp.maximum(w, 1e-12))


def springs_of(design: Array) -> Array:
    """Positive springs with a mean stiffness of 1."""
    s = jnp.exp(design)
    return s / jnp.mean(s)


def gap(design: Array) -> Array:
    """The soft gap above band `BAND`, relative to its middle."""
    bands = jax.vmap(lambda k: frequencies(springs_of(design), k))(jnp.asarray(WAVE_NUMBERS))
    top = jax.nn.logsumexp(SHARPNESS * bands[:, BAND - 1]) / SHARPNESS
    bottom = -jax.nn.logsumexp(-SHARPNESS * bands[:, BAND]) / SHARPNESS
    return 2 * (bottom - top) / (bottom + top)


def widened(steps: int = 60, rate: float = 0.3) -> tuple[Array, list[float]]:
    """A design from gradient ascent, and the gap in every step."""
    position = 2 * np.pi * np.arange(CELL) / CELL
    design = jnp.asarray(0.05 * np.cos(BAND * position))
    climb = jax.jit(jax.value_and_grad(gap))
    history = []
    for _ in range(steps):
        value, slope = climb(design)
        history.append(float(value))
        design = design + rate * slope / jnp.linalg.norm(slope)
    return design, history


def picture(design: Array, history: list[float], path: Path) -> None:
    """Bands before and after, the springs, and the gap on the way."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    k = np.linspace(0, np.pi, 31)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for springs, style in ((jnp.ones(CELL), "0.7"), (springs_of(design), "C0")):
        bands = jax.vmap(lambda k, s=springs: frequencies(s, k, BAND + 3))(jnp.asarray(k))
        left.plot(k, bands, color=style)
    left.set(xlabel="wave number × cell", ylabel="frequency", title="bands: uniform (grey), designed")
    middle.step(np.arange(CELL), springs_of(design), where="mid")
    middle.set(xlabel="spring", ylabel="stiffness", title="the design")
    right.plot(history)
    right.set(xlabel="step", ylabel="gap / middle", title="relative gap")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    design, history = widened()
    for step in range(0, len(history), 10):
        print(f"step {step:3d}: relative gap {history[step]:+.4f}")
    print(f"step {len(history) - 1:3d}: relative gap {history[-1]:+.4f}")
    picture(design, history, folder / "phononic.png")


if __name__ == "__main__":
    main()
