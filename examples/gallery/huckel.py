"""A Hückel model fitted to Hartree–Fock.

Hückel theory describes the π electrons of a planar molecule by `H c = ε S c`, where atoms `r` ångström apart have the
hopping `β exp(−a(r − 1.4))` and the overlap `s exp(−b(r − 1.4))`. Five numbers (with the energy `α` of an atom) are
fitted to π orbital energies of ethylene, butadiene and benzene, computed here by PySCF. Naphthalene, which was not
fitted, is predicted. The degenerate orbitals of benzene need no special care.

Picture: Energies of the π orbitals of four molecules: Hartree–Fock as wide bars, the fitted model as dots on them,
and the prediction for naphthalene close to them.
"""

# %%
import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from pyscf import gto, scf

jax.config.update("jax_enable_x64", True)


# %% Planar hydrocarbons from the positions of their carbon atoms; each carbon lacks one or two hydrogens.
def with_hydrogens(carbons):
    atoms = [("C", (x, y, 0.0)) for x, y in carbons]
    for c in carbons:
        bonds = [(d - c) / np.linalg.norm(d - c) for d in carbons if 0 < np.linalg.norm(d - c) < 1.6]
        outward = {1: [(-0.5, 0.87), (-0.5, -0.87)], 2: [(-1.0, 0.0)], 3: []}[len(bonds)]
        axis = sum(bonds) / np.linalg.norm(sum(bonds))
        atoms += [
            ("H", (*(c + 1.09 * np.array([u * axis[0] - v * axis[1], u * axis[1] + v * axis[0]])), 0.0))
            for u, v in outward
        ]
    return gto.M(atom=atoms, basis="sto-3g", verbose=0)


def pi_energies(carbons):
    """Energies of the orbitals that are made of p functions across the plane."""
    calculation = scf.RHF(with_hydrogens(carbons)).run()
    across = ["2pz" in label for label in calculation.mol.ao_labels()]
    weight = np.sum(calculation.mo_coeff[across] ** 2, axis=0)
    return calculation.mo_energy[weight > 1e-6] * 27.2114  # electronvolts


hexagon = 1.397 * np.array([[np.cos(t), np.sin(t)] for t in np.pi / 3 * np.arange(6)])
zigzag = np.array([[-1.78, -0.26], [-0.61, 0.39], [0.61, -0.39], [1.78, 0.26]])
neighbour = 1.397 * np.array([1.5, 3**0.5 / 2])
fused = np.unique(np.round(np.concatenate([hexagon, hexagon + neighbour]), 6), axis=0)
molecules = {"ethylene": np.array([[0.0, 0], [1.34, 0]]), "butadiene": zigzag, "benzene": hexagon, "naphthalene": fused}
reference = {name: pi_energies(x) for name, x in molecules.items()}


# %% The model, and a fit by Gauss–Newton steps: the Jacobian of all energies comes from `jax.jacrev`.
def model(p, carbons):
    alpha, beta, a, s, b = p
    r = jnp.asarray(np.linalg.norm(carbons[:, None] - carbons[None], axis=-1))
    bonded = (r > 0) & (r < 1.6)
    hopping = jnp.where(bonded, beta * jnp.exp(-a * (r - 1.4)), 0.0)
    overlap = jnp.where(bonded, s * jnp.exp(-b * (r - 1.4)), 0.0)
    n = len(carbons)
    return eigenpair.eigvalsh(alpha * jnp.eye(n) + hopping + alpha * overlap, jnp.eye(n) + overlap)


fitted = ("ethylene", "butadiene", "benzene")
residual = jax.jit(lambda p: jnp.concatenate([model(p, molecules[m]) - reference[m] for m in fitted]))
jacobian = jax.jit(jax.jacrev(residual))
p = jnp.array([0.0, -5.0, 1.0, 0.2, 1.0])
for _ in range(30):
    j = jacobian(p)
    p = p - jnp.linalg.solve(j.T @ j + 1e-3 * jnp.eye(5), j.T @ residual(p))
errors = {m: np.sqrt(np.mean((model(p, x) - reference[m]) ** 2)) for m, x in molecules.items()}
print("alpha {:.2f} eV, beta {:.2f} eV, a {:.2f}, s {:.3f}, b {:.2f}".format(*p))
print("root mean square errors, eV:", {m: round(float(e), 2) for m, e in errors.items()})
assert max(errors.values()) < 1.5

# %%
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for k, (name, x) in enumerate(molecules.items()):
    axis.hlines(reference[name], k - 0.3, k + 0.3, color="0.6", lw=4, label="Hartree–Fock" if k == 0 else None)
    colour = "C3" if name in fitted else "C0"
    axis.plot(
        np.full(len(x), float(k)),
        model(p, x),
        "o",
        color=colour,
        label={"C3": "fitted", "C0": "predicted"}[colour] if k in (0, 3) else None,
    )
axis.set_xticks(range(4), list(molecules))
axis.set(ylabel="energy of the π orbitals (eV)")
axis.legend(loc="center left")
figure.savefig("huckel.png", dpi=110)
