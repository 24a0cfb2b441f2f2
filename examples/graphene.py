"""Graphene: bands along Γ–K–M–Γ, and band velocities as gradients of eigenvalues.

Two atoms in the cell, hopping `−t` to the three nearest neighbours and `t'` to the six second ones (ångström, eV):

    H(k) = [[t'g, −t f], [−t f*, t'g]],    f(k) = Σ exp(i k·δ),    g = |f|² − 3

The bands are `t'g ± t|f|`. At the corners K and K' of the Brillouin zone `f = 0` and the bands touch: a cone, whose
sides rise with the velocity `v_F = 3at/2ħ`. At its tip a band has no derivative; a symmetric function of both has one.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
from eigenpair.degeneracy import check

BOND = 1.42  # ångström
HOPPING, SECOND_HOPPING = 2.7, 0.3  # eV
HBAR = 6.582119569e-16  # eV s
SPEED = 1e-10 / HBAR / 1e6  # from eV Å to 10⁶ m/s
FERMI_VELOCITY = 1.5 * BOND * HOPPING * SPEED

NEIGHBOURS = BOND * np.array([[0, 1], [np.sqrt(3) / 2, -1 / 2], [-np.sqrt(3) / 2, -1 / 2]])
GAMMA = np.zeros(2)
K = np.array([4 * np.pi / (3 * np.sqrt(3) * BOND), 0])
K_PRIME = -K
M = np.array([np.pi / (np.sqrt(3) * BOND), np.pi / (3 * BOND)])


def bloch(k: Any) -> Any:
    """`H(k)`, complex, 2×2."""
    f = jnp.sum(jnp.exp(1j * (NEIGHBOURS @ k)))
    site = SECOND_HOPPING * (jnp.abs(f) ** 2 - 3) + 0j
    return jnp.array([[site, -HOPPING * f], [-HOPPING * jnp.conj(f), site]])


def bands(k: Any) -> Any:
    return eigenpair.eigvalsh(bloch(k))


# At K the off-diagonal entry of H consists of rounding errors of hoppings that are larger than H itself. The default
# policy knows only the size of H, so clusters must be wider here.
TOUCHING = check(c=1e3)


# One compiled call for all k: the Bloch Hamiltonians become one batch for the native kernel, and so do their gradients.
all_bands = jax.jit(jax.vmap(bands))
velocities = jax.jit(jax.vmap(jax.jacrev(bands)))  # (points, 2 bands, 2 directions), eV Å
velocity_of_sum = jax.jit(jax.vmap(jax.grad(lambda k: jnp.sum(bands(k)))))
hamiltonians = jax.jit(jax.vmap(bloch))
hamiltonian_derivatives = jax.jit(jax.vmap(jax.jacfwd(bloch)))  # (points, 2, 2, 2 directions)


def bond(k: Any) -> Any:
    """`2 Im(conj(v_A) v_B)` of the lower band: the sine of an angle that takes every value around K, and none at K."""
    v = eigenpair.eigh(bloch(k), degeneracy=TOUCHING).eigenvectors
    return 2 * jnp.imag(jnp.conj(v[0, 0]) * v[1, 0])


bond_gradient = jax.jit(jax.vmap(jax.grad(bond)))


def analytic(k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bands and velocities by hand, `(points, 2)` and `(points, 2, 2)`; the velocities NaN where the bands touch."""
    phases = np.exp(1j * (k @ NEIGHBOURS.T))
    f = phases.sum(axis=-1)
    df = 1j * (phases[:, :, None] * NEIGHBOURS).sum(axis=1)
    size = np.abs(f)
    d_square = 2 * np.real(np.conj(f)[:, None] * df)
    touching = size < 1e-14
    d_size = np.where(touching[:, None], np.nan, d_square / (2 * np.where(touching, 1, size))[:, None])
    centre, d_centre = SECOND_HOPPING * (size**2 - 3), SECOND_HOPPING * d_square
    energies = np.stack([centre - HOPPING * size, centre + HOPPING * size], axis=-1)
    return energies, np.stack([d_centre - HOPPING * d_size, d_centre + HOPPING * d_size], axis=1)


class Path2D(NamedTuple):
    """A path through the Brillouin zone."""

    k: np.ndarray  # (points, 2)
    length: np.ndarray  # (points,), 1/ångström
    corners: list[tuple[str, float]]


def path(points: int = 120) -> Path2D:
    """Γ–K–M–Γ, each corner once; `points` on each side."""
    corners = (("Γ", GAMMA), ("K", K), ("M", M), ("Γ", GAMMA))
    pieces, ticks, total = [], [("Γ", 0.0)], 0.0
    for (_, start), (name, stop) in itertools.pairwise(corners):
        pieces.append(start + np.linspace(0, 1, points, endpoint=False)[:, None] * (stop - start))
        total += float(np.linalg.norm(stop - start))
        ticks.append((name, total))
    k = np.concatenate([*pieces, [GAMMA]])
    steps = np.linalg.norm(np.diff(k, axis=0), axis=1)
    return Path2D(k, np.concatenate([[0], np.cumsum(steps)]), ticks)


def picture(file: Path) -> None:
    """Bands coloured by speed; beside them, the velocity along the path, which jumps at K."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection

    way = path(400)
    energies = np.asarray(all_bands(way.k))
    gradient = np.asarray(velocities(way.k)) * SPEED
    speed = np.linalg.norm(gradient, axis=-1)
    at_dirac = int(np.argmin(energies[:, 1] - energies[:, 0]))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained", width_ratios=(1.25, 1))
    colours = plt.Normalize(0, speed.max())

    def coloured(axis: Any, x: np.ndarray, width: float) -> Any:
        for band in range(2):
            y = energies[:, band]
            segments = np.stack([np.stack([x[:-1], x[1:]], 1), np.stack([y[:-1], y[1:]], 1)], axis=-1)
            lines = LineCollection(segments, cmap="plasma_r", norm=colours, lw=width, capstyle="round")
            lines.set_array((speed[:-1, band] + speed[1:, band]) / 2)
            axis.add_collection(lines)
        return lines

    lines = coloured(left, way.length, 2.6)
    left.set_ylim(-9.5, 12.5)
    left.set_ylabel("energy / eV")
    inset = left.inset_axes((0.40, 0.64, 0.26, 0.28))
    coloured(inset, way.length - way.length[at_dirac], 2.6)
    inset.set_xlim(-0.12, 0.12)
    inset.set_ylim(energies[at_dirac, 0] - 0.75, energies[at_dirac, 0] + 0.75)
    inset.set_title("K ± 0.12 Å⁻¹", fontsize=8, pad=3)
    inset.set_xticks([0], ["K"])
    inset.set_yticks([-1.5, -0.9, -0.3])
    inset.tick_params(labelsize=7, pad=1, length=2)
    left.indicate_inset(
        (way.length[at_dirac] - 0.12, energies[at_dirac, 0] - 0.75, 0.24, 1.5), inset_ax=inset, edgecolor="0.4"
    )
    figure.colorbar(lines, ax=left, label="speed / 10⁶ m/s", pad=0.02)

    # Velocity along the direction of travel: the sign tells the way up from the way down.
    direction = np.gradient(way.k, axis=0)
    for start, stop, corner in zip((0, 400, 800), (400, 800, 1201), ((K - GAMMA), (M - K), (GAMMA - M)), strict=True):
        direction[start:stop] = corner / np.linalg.norm(corner)
    along = np.einsum("kbd,kd->kb", gradient, direction)
    by_hand = np.einsum("kbd,kd->kb", analytic(way.k)[1] * SPEED, direction)
    for band, (colour, name) in enumerate((("#1f5fa8", "lower band"), ("#c0392b", "upper band"))):
        for start, stop in ((0, 401), (400, 801), (800, 1201)):
            piece = slice(start, min(stop, len(way.k)))
            y = by_hand[piece, band].copy()
            right.plot(way.length[piece], y, color=colour, lw=1.2, label=f"{name}, by hand" if start == 0 else None)
        dots = np.setdiff1d(np.arange(8, len(way.k), 16), [at_dirac])
        right.plot(way.length[dots], along[dots, band], "o", color=colour, ms=3.2, label=f"{name}, gradient")
    right.axhline(0, color="0.7", lw=0.8, zorder=0)
    right.set_ylabel("velocity along the path / 10⁶ m/s")
    right.legend(frameon=False, fontsize=8, loc="lower right")
    for axis in (left, right):
        axis.set_xticks([x for _, x in way.corners], [name for name, _ in way.corners])
        axis.set_xlim(0, way.length[-1])
        axis.grid(axis="x", color="0.85")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Graphene, tight binding: bands and band velocities through the Dirac point")
    figure.savefig(file, dpi=110)
    plt.close(figure)
