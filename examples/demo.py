"""The program of `make demo`: water and graphene, differentiated; tables, pictures, and the same in Julia."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)  # a program may choose this for itself; a library may not

import eigenpair  # noqa: E402
import graphene  # noqa: E402
import numpy as np  # noqa: E402
import water  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import julia_runner  # noqa: E402

OUT = ROOT / "demo"


class Progress:
    """A bar on stderr, where there is someone to look at it."""

    def __init__(self, what: str, steps: int):
        self.what, self.steps, self.done = what, steps, 0
        self.shown = sys.stderr.isatty()
        self._draw()

    def tick(self) -> None:
        self.done += 1
        self._draw()

    def _draw(self) -> None:
        if not self.shown:
            return
        full = round(30 * self.done / self.steps)
        bar = "█" * full + "░" * (30 - full)
        print(f"\r\033[K{self.what} {bar} {self.done}/{self.steps}", end="", file=sys.stderr, flush=True)
        if self.done == self.steps:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


# ---- water --------------------------------------------------------------------------------------------------------


def show_water() -> water.Orbitals:
    heading(f"Water, Hartree–Fock/{water.BASIS.upper()}: F C = S C ε")
    nuclei = water.coordinates()
    here = water.orbitals(nuclei)
    bar = Progress("PySCF at displaced nuclei", water.FINITE_DIFFERENCE_RUNS)
    judge = water.finite_differences(nuclei, tick=bar.tick)
    print("Energies in hartree, derivatives in hartree/bohr; f.d.: finite differences of PySCF's orbital energies.\n")
    columns = {"O z": 2, "H y": 4, "H z": 5}
    titles = "".join(f"{'∂/∂' + name:>14}{'f.d.':>11}" for name in columns)
    print(f"{'orbital':8}{'ε':>12}{'PySCF':>12}{titles}{'largest error':>16}")
    for i, label in enumerate(water.LABELS):
        cells = "".join(f"{here.gradient[i, c]:14.7f}{judge[i, c]:11.7f}" for c in columns.values())
        error = np.abs(here.gradient[i] - judge[i]).max()  # of all nine coordinates, not only of those shown
        print(f"{label:8}{here.energies[i]:12.7f}{here.pyscf_energies[i]:12.7f}{cells}{error:16.1e}")
        if i == water.OCCUPIED - 1:
            print(f"{'— empty —':8}")
    drift = np.abs(here.gradient.reshape(-1, 3, 3).sum(axis=1)).max()
    print(f"\nMoving all nuclei together changes no orbital energy: |Σ ∂ε/∂R| ≤ {drift:.0e}")
    print(
        "Forces on the nuclei from ∂(2Σε)/∂F and ∂(2Σε)/∂S (density and energy-weighted density) "
        f"against PySCF's: {np.abs(here.forces - here.pyscf_forces).max():.0e}"
    )
    bar = Progress("Water along stretch and bend", water.PICTURE_STEPS)
    water.picture(OUT / "water.png", bar.tick)
    return here


# ---- graphene -----------------------------------------------------------------------------------------------------


def show_graphene() -> graphene.Path2D:
    heading("Graphene, tight binding: bands along Γ–K–M–Γ and their velocities")
    way = graphene.path()
    energies, velocities = graphene.all_bands(way.k), np.asarray(graphene.velocities(way.k))
    true_energies, true_velocities = graphene.analytic(way.k)
    touching = np.isnan(true_velocities).any(axis=(1, 2))
    print(
        f"{len(way.k)} points in one batch against the formulas by hand: "
        f"bands {np.abs(energies - true_energies).max():.0e} eV, "
        f"velocities {np.abs((velocities - true_velocities)[~touching]).max() * graphene.SPEED:.0e} · 10⁶ m/s\n"
    )
    print(f"Towards K, where the bands touch. v in 10⁶ m/s along Γ–K; v_F = 3at/2ħ = {graphene.FERMI_VELOCITY:.6f}\n")
    titles = ("v lower", "by hand", "v upper", "by hand", "v of sum", "bond order")
    print(f"{'k − K / Å⁻¹':>12}{'gap / eV':>10}" + "".join(f"{t:>11}" for t in titles))
    distances = [*(sign * 10.0**-e for sign, es in ((-1, (1, 3, 6, 9)), (0, (0,)), (1, (9, 6, 3, 1))) for e in es)]
    k = graphene.K + np.array(distances)[:, None] * np.array([1.0, 0.0])
    gaps = np.diff(np.asarray(graphene.all_bands(k)))[:, 0]
    single, both = np.asarray(graphene.velocities(k)), np.asarray(graphene.velocity_of_sum(k))
    by_hand = graphene.analytic(k)[1]
    slopes = np.asarray(graphene.bond_gradient(k))
    for d, gap, v, hand, total, slope in zip(distances, gaps, single, by_hand, both, slopes, strict=True):
        cells = "".join(f"{x * graphene.SPEED:11.6f}" for band in range(2) for x in (v[band, 0], hand[band, 0]))
        print(f"{d:12.0e}{gap:10.1e}{cells}{total[0] * graphene.SPEED:11.1e}{np.linalg.norm(slope):11.1e}")
    print(
        "\nAt K one band has no derivative: the number is one of its subgradients, a velocity of the cone, and which\n"
        "one depends on the basis LAPACK chose. The sum of both bands has a derivative, and it is right. The last\n"
        "column is the size of the gradient of the lower band's bond order, a function of its eigenvector that has\n"
        "no limit at K: NaN, not a number that looks like one."
    )
    graphene.picture(OUT / "graphene.png")
    return way


# ---- the same in Julia --------------------------------------------------------------------------------------------


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Plain text for any language: a line `name real|complex dimensions`, then the numbers, first index fastest."""
    with path.open("w") as file:
        for name, x in arrays.items():
            flat = np.ravel(x, order="F")
            kind = "complex" if np.iscomplexobj(x) else "real"
            if kind == "complex":
                flat = np.stack([flat.real, flat.imag], axis=1).ravel()
            print(name, kind, *x.shape, file=file)
            print(*(repr(float(value)) for value in flat), file=file)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    lines = path.read_text().splitlines()
    arrays = {}
    for head, numbers in zip(lines[::2], lines[1::2], strict=True):
        name, _, *shape = head.split()
        arrays[name] = np.array(numbers.split(), float).reshape([int(n) for n in shape], order="F")
    return arrays


def run_julia(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The results of examples/demo.jl for the same arrays. Without Julia, `None`, and one line that says why."""
    julia = julia_runner.find()
    if not julia:
        print(f"Not compared: {julia.why_not}.")
        return None
    write_arrays(OUT / "inputs.txt", inputs)
    if sys.stderr.isatty():
        print("Julia starts (the first time it compiles its packages) …", end="", file=sys.stderr, flush=True)
    files = (OUT / "inputs.txt", OUT / "julia.txt")
    done = julia.run(ROOT / "examples" / "demo.jl", *files, capture_output=True, text=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    if done.returncode == 0:
        print(done.stdout.strip())
        return read_arrays(OUT / "julia.txt")
    (OUT / "julia.log").write_text(done.stdout + done.stderr)
    said = [line for line in done.stderr.splitlines() if line.strip()]
    print(f"Not compared: Julia stopped: {said[0] if said else 'without a word'} (all it said is in demo/julia.log)")
    return None


def show_julia(here: water.Orbitals, way: graphene.Path2D) -> bool:
    heading("The same from Julia: EigenPair.jl and Zygote")
    # At K itself a single band's velocity is the choice of a basis, and there is nothing to agree about.
    energies = np.asarray(graphene.all_bands(way.k))
    keep = energies[:, 1] - energies[:, 0] > 1e-6
    k = way.k[keep]
    inputs = {
        "F": here.f,
        "S": here.s,
        "dF": np.moveaxis(here.d_f, 0, -1),
        "dS": np.moveaxis(here.d_s, 0, -1),
        "H": np.moveaxis(np.asarray(graphene.hamiltonians(k)), 0, -1),
        "dH": np.moveaxis(np.asarray(graphene.hamiltonian_derivatives(k)), 0, -1),
    }
    julia = run_julia(inputs)
    if julia is None:
        return False
    velocities = np.asarray(graphene.velocities(k)) * graphene.SPEED
    python = {
        "water: orbital energies": here.energies,
        "water: their gradients": here.gradient,
        "graphene: bands": energies[keep].T,
        "graphene: velocities": velocities.transpose(2, 1, 0),
    }
    julia["velocities"] = julia["velocities"] * graphene.SPEED
    print(f"\n{'':28}{'Python':>20}{'Julia':>20}{'largest difference':>22}")
    for (name, ours), theirs in zip(
        python.items(), (julia[n] for n in ("energies", "gradient", "bands", "velocities")), strict=True
    ):
        shown = np.unravel_index(np.argmax(np.abs(ours)), ours.shape)
        print(f"{name:28}{ours[shown]:20.14f}{theirs[shown]:20.14f}{np.abs(ours - theirs).max():22.1e}")
    print("\nShown: the largest entry of each. Differences: of all entries.")
    return True


def main() -> int:
    started = time.time()
    OUT.mkdir(exist_ok=True)
    lapack = eigenpair.native.lapack()
    kernels = (
        "native kernels" if eigenpair.native.has_cpu_kernels() else f"XLA's eigh ({eigenpair.native.why_no_kernels()})"
    )
    print(
        f"eigenpair {eigenpair.__version__}, JAX {jax.__version__}, {kernels}, "
        f"LAPACK: {lapack.get('internal_api', 'unknown')} {lapack.get('version', '')}"
    )
    here = show_water()
    way = show_graphene()
    compared = show_julia(here, way)
    pictures = " and ".join(str((OUT / name).relative_to(ROOT)) for name in ("water.png", "graphene.png"))
    print(f"\nPictures: {pictures}. {time.time() - started:.0f} s.")
    # Where Julia is required, an example of it that does not run is a failure.
    return 1 if os.environ.get("EIGENPAIR_REQUIRE_JULIA") == "1" and not compared else 0


if __name__ == "__main__":
    sys.exit(main())
