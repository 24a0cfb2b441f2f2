"""Water: orbital energies and how they follow the nuclei.

Hartree–Fock orbital energies solve `F C = S C ε`. PySCF gives the integrals and their derivatives with respect to the
nuclear coordinates; the eigenproblem and all derivatives through it are ours:

    dε/dR = ⟨∂ε/∂F, dF/dR⟩ + ⟨∂ε/∂S, dS/dR⟩

`F` depends on the nuclei also through its own eigenvectors. That part comes from implicit differentiation of the
self-consistency condition `D = density(F(D), S)`: forward mode through `eigenpair.eigh`, then one linear system. In
quantum chemistry this is the coupled-perturbed Hartree–Fock method; here it is `jax.jvp` and a solve.

The reference is PySCF: finite differences of the orbital energies of complete calculations at displaced nuclei.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
from pyscf import gto, lib, scf

lib.num_threads(1)  # with thirteen basis functions, threads only slow each other down

BASIS = "6-31g"
OCCUPIED = 5
DISTANCE, ANGLE = 0.9572, 104.52  # ångström and degrees: the molecule as measured
BOHR = 0.529177210903
LABELS = ("1a₁", "2a₁", "1b₂", "3a₁", "1b₁", "4a₁", "2b₂")


def coordinates(distance: float = DISTANCE, angle: float = ANGLE) -> np.ndarray:
    """Nuclei O, H, H in bohr, in the yz plane, the symmetry axis along z. Shape `(3, 3)`."""
    half = np.deg2rad(angle) / 2
    y, z = distance / BOHR * np.sin(half), distance / BOHR * np.cos(half)
    return np.array([[0, 0, 0], [0, y, -z], [0, -y, -z]], float)


def molecule(nuclei: np.ndarray, **options: Any) -> gto.Mole:
    atoms = [(symbol, tuple(r)) for symbol, r in zip("OHH", nuclei, strict=True)]
    return gto.M(atom=atoms, basis=BASIS, unit="Bohr", verbose=0, **options)


def converged(mol: gto.Mole, guess: np.ndarray | None = None) -> scf.hf.RHF:
    """PySCF's own Hartree–Fock, converged far enough to be differentiated numerically."""
    calculation = scf.RHF(mol)
    calculation.conv_tol, calculation.conv_tol_grad, calculation.max_cycle = 1e-12, 1e-10, 100
    calculation.kernel(dm0=guess)
    if not calculation.converged:
        raise RuntimeError("Hartree–Fock did not converge")
    return calculation


class Integrals(NamedTuple):
    """Overlap, one-electron Hamiltonian, two-electron repulsion; or their derivatives, with the coordinate in front."""

    overlap: Any
    core: Any
    repulsion: Any


def integrals(mol: gto.Mole) -> Integrals:
    return Integrals(mol.intor("int1e_ovlp"), scf.hf.get_hcore(mol), mol.intor("int2e"))


def integral_derivatives(mol: gto.Mole) -> Integrals:
    """With respect to the nine nuclear coordinates, analytically.

    PySCF's `ip` integrals differentiate one basis function with respect to the electron, hence the signs, and the sums
    over the places where a function of the atom can stand.
    """
    overlap, core = -mol.intor("int1e_ipovlp"), -mol.intor("int1e_ipkin") - mol.intor("int1e_ipnuc")
    repulsion = -mol.intor("int2e_ip1")
    d_overlap, d_core, d_repulsion = [], [], []
    for atom in range(mol.natm):
        *_, start, stop = mol.aoslice_by_atom()[atom]
        here = np.zeros(mol.nao)
        here[start:stop] = 1
        with mol.with_rinv_at_nucleus(atom):  # the nucleus moves too, not only its functions
            attraction = -mol.atom_charge(atom) * mol.intor("int1e_iprinv")
        s = overlap * here[:, None]
        h = core * here[:, None] + attraction
        i = repulsion * here[:, None, None, None]
        i = i + i.swapaxes(1, 2)
        d_overlap.append(s + s.swapaxes(1, 2))
        d_core.append(h + h.swapaxes(1, 2))
        d_repulsion.append(i + i.transpose(0, 3, 4, 1, 2))
    return Integrals(np.concatenate(d_overlap), np.concatenate(d_core), np.concatenate(d_repulsion))


# ---- Hartree–Fock, differentiable ---------------------------------------------------------------------------------


def fock(density: Any, ints: Integrals) -> Any:
    coulomb = jnp.einsum("ijkl,kl->ij", ints.repulsion, density)
    exchange = jnp.einsum("ikjl,kl->ij", ints.repulsion, density)
    return ints.core + coulomb - exchange / 2


def density(f: Any, s: Any) -> Any:
    _, c = eigenpair.eigh(f, s)
    return 2 * c[:, :OCCUPIED] @ c[:, :OCCUPIED].T


@jax.jit
def fock_derivative(d: Any, ints: Integrals, d_ints: Integrals) -> Any:
    """`dF/dR` of the self-consistent `F`, for all coordinates in front of `d_ints`."""

    def next_density(d: Any, ints: Integrals) -> Any:
        return density(fock(d, ints), ints.overlap)

    size = d.size
    response = jax.jacfwd(next_density)(d, ints).reshape(size, size)
    direct = jax.vmap(lambda t: jax.jvp(lambda i: next_density(d, i), (ints,), (t,))[1])(d_ints)
    moved = jnp.linalg.solve(jnp.eye(size) - response, direct.reshape(-1, size).T).T.reshape(direct.shape)
    return jax.vmap(lambda t_d, t: jax.jvp(fock, (d, ints), (t_d, t))[1])(moved, d_ints)


@jax.jit
def orbital_gradients(f: Any, s: Any, d_f: Any, d_s: Any) -> tuple[Any, Any]:
    """Orbital energies `(n,)` and their derivatives `(n, coordinates)`, in reverse mode."""
    energies = eigenpair.eigvalsh(f, s)
    by_f, by_s = jax.jacrev(eigenpair.eigvalsh, argnums=(0, 1))(f, s)
    return energies, jnp.einsum("nij,cij->nc", by_f, d_f) + jnp.einsum("nij,cij->nc", by_s, d_s)


@jax.jit
def electronic_forces(d: Any, f: Any, ints: Integrals, d_ints: Integrals) -> Any:
    """`dE/dR` without the nuclei's own repulsion.

    The gradient of the band energy `2 Σ ε` with respect to `F` is the density and with respect to `S` minus the
    energy-weighted density, which is all that the force on a nucleus needs from the eigenproblem.
    """

    def band_energy(f: Any, s: Any) -> Any:
        return 2 * jnp.sum(eigenpair.eigvalsh(f, s, subset_by_index=(0, OCCUPIED - 1)))

    by_f, by_s = jax.grad(band_energy, argnums=(0, 1))(f, ints.overlap)
    mean_field = jax.vmap(lambda t: fock(d, t) + t.core)(d_ints) / 2
    return jnp.einsum("ij,cij->c", by_f, mean_field) + jnp.einsum("ij,cij->c", by_s, d_ints.overlap)


class Orbitals(NamedTuple):
    """One geometry, everything about it."""

    f: np.ndarray
    s: np.ndarray
    d_f: np.ndarray  # (9, n, n)
    d_s: np.ndarray
    energies: np.ndarray
    gradient: np.ndarray  # (n, 9), hartree/bohr
    pyscf_energies: np.ndarray
    forces: np.ndarray  # (9,), of the total energy
    pyscf_forces: np.ndarray


def orbitals(nuclei: np.ndarray) -> Orbitals:
    mol = molecule(nuclei)
    calculation = converged(mol)
    d, f = calculation.make_rdm1(), calculation.get_fock()
    ints, d_ints = integrals(mol), integral_derivatives(mol)
    d_f = fock_derivative(d, ints, d_ints)
    energies, gradient = orbital_gradients(f, ints.overlap, d_f, d_ints.overlap)
    force_calculation = calculation.nuc_grad_method()
    forces = np.asarray(electronic_forces(d, f, ints, d_ints)) + force_calculation.grad_nuc().ravel()
    return Orbitals(
        *(np.asarray(x) for x in (f, ints.overlap, d_f, d_ints.overlap, energies, gradient)),
        calculation.mo_energy,
        forces,
        force_calculation.kernel().ravel(),
    )


# ---- the judge, and curves ----------------------------------------------------------------------------------------


def finite_differences(nuclei: np.ndarray, step: float = 8e-3, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """Derivatives `(n, 9)` of PySCF's orbital energies, six complete calculations for each coordinate (sixth order)."""
    guess = converged(molecule(nuclei)).make_rdm1()
    columns = []
    for direction in np.eye(9).reshape(9, 3, 3):
        column: Any = 0
        for shift, weight in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
            for sign in (1, -1):
                moved = converged(molecule(nuclei + sign * shift * step * direction), guess).mo_energy
                column = column + sign * weight * moved / step
                tick()
        columns.append(column)
    return np.stack(columns, axis=1)


FINITE_DIFFERENCE_RUNS = 54


def curve(
    geometries: Sequence[np.ndarray], tick: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, list[list[str]]]:
    """Orbital energies along a path, in one batched call, and the symmetry of each orbital."""
    pairs, labels = [], []
    for nuclei in geometries:
        calculation = converged(molecule(nuclei, symmetry="C2v"))
        pairs.append((calculation.get_fock(), calculation.get_ovlp()))
        labels.append([calculation.mol.irrep_name[list(calculation.mol.irrep_id).index(k)] for k in calculation.orbsym])
        tick()
    f, s = (np.stack(x) for x in zip(*pairs, strict=True))
    return np.asarray(eigenpair.eigvalsh(f, s)), labels


STRETCH = np.linspace(0.70, 1.60, 37)  # ångström
BEND = np.linspace(70.0, 178.0, 37)  # degrees
STRETCH_TANGENTS, BEND_TANGENTS = (0.80, DISTANCE, 1.15, 1.40), (80.0, ANGLE, 130.0, 160.0)
PICTURE_STEPS = len(STRETCH) + len(BEND) + len(STRETCH_TANGENTS) + len(BEND_TANGENTS)


def picture(path: Path, tick: Callable[[], None] = lambda: None) -> None:
    """Orbital energies along the symmetric stretch and over the bond angle, with the gradients as tangents."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = {"A1": "#1f5fa8", "B1": "#c0392b", "B2": "#2a8c55", "A2": "#7f5fb0"}
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.2), sharey=True, layout="constrained")
    paths = (
        (axes[0], STRETCH, STRETCH_TANGENTS, 0.075, lambda x: coordinates(distance=x)),
        (axes[1], BEND, BEND_TANGENTS, 9.0, lambda x: coordinates(angle=x)),
    )
    for axis, xs, tangents, reach, geometry in paths:
        energies, labels = curve([geometry(x) for x in xs], tick)
        for symmetry, colour in colours.items():
            # The n-th orbital of a symmetry is one curve, also where it crosses those of the others.
            for line in energies[np.array(labels) == symmetry].reshape(len(xs), -1).T:
                axis.plot(xs, line, color=colour, lw=4.5, alpha=0.45, solid_capstyle="butt")
        for x in tangents:
            here = orbitals(geometry(x))
            along = (geometry(x + 1e-4) - geometry(x - 1e-4)).ravel() / 2e-4
            for energy, slope in zip(here.energies, here.gradient @ along, strict=True):
                axis.plot(
                    [x - reach, x + reach], [energy - slope * reach, energy + slope * reach], color="black", lw=1.2
                )
            axis.plot(np.full_like(here.energies, x), here.energies, "o", color="black", ms=3.5)
            tick()
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(xs[0], xs[-1])
    axes[0].set_ylim(-1.62, 0.42)
    axes[0].set_ylabel("orbital energy / hartree")
    axes[0].set_xlabel("O–H distance / Å, both together")
    axes[1].set_xlabel("H–O–H angle / degrees")
    handles = [
        plt.Line2D([], [], color=colours[k], lw=4.5, alpha=0.45, label=k.lower().replace("1", "₁").replace("2", "₂"))
        for k in ("A1", "B1", "B2")
    ]
    handles.append(plt.Line2D([], [], color="black", lw=1.2, marker="o", ms=3.5, label="gradient from eigenpair"))
    axes[1].legend(handles=handles, loc="center right", bbox_to_anchor=(1.0, 0.70), frameon=False)
    figure.suptitle(f"Water, Hartree–Fock/{BASIS.upper()}: orbital energies and their derivatives")
    figure.savefig(path, dpi=110)
    plt.close(figure)
