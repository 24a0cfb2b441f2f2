"""Hartree–Fock gradient and Hessian of ammonia.

Integrals from PySCF, the rest differentiated by JAX. The self-consistent density `D = 2P(F(D), S)` is an implicit
function of the nuclei, `lax.custom_root` differentiates it, and `spectral_projector` of the pair `(F, S)` has the
second derivatives that a Hessian needs. Ammonia has degenerate orbitals: through the vectors of `eigh` its Hessian
would be NaN.

Picture: Ammonia's six vibrational wavenumbers from this Hessian, beside PySCF's analytic ones; two pairs are
degenerate.
"""

# %%
import itertools

import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from pyscf import gto, scf
from pyscf.hessian import thermo

jax.config.update("jax_enable_x64", True)

# %% The molecule in its minimum in this basis, and PySCF's answer.
mol = gto.M(
    atom="N 0 0 0.1616; H 0.9299 0 -0.3770; H -0.46495 0.80532 -0.3770; H -0.46495 -0.80532 -0.3770",
    basis="sto-3g",
    verbose=0,
)
hf = scf.RHF(mol)
hf.conv_tol, hf.conv_tol_grad = 1e-13, 1e-9
hf.kernel()
theirs, gradient = hf.Hessian().kernel(), hf.nuc_grad_method().kernel()


# %% Integrals as functions of the displacement of the nuclei, to second order, by finite differences.
def integrals(displacement):
    moved = mol.set_geom_(mol.atom_coords() + np.reshape(displacement, (-1, 3)), unit="Bohr", inplace=False)
    return [moved.intor("int1e_ovlp"), scf.hf.get_hcore(moved), moved.intor("int2e"), np.array(moved.energy_nuc())]


size, h = 3 * mol.natm, 5e-3
unit = h * np.eye(size)
middle, ahead, behind = integrals(np.zeros(size)), [integrals(e) for e in unit], [integrals(-e) for e in unit]
first = [
    np.stack([(p - m) / (2 * h) for p, m in zip(ps, ms, strict=True)])
    for ps, ms in zip(zip(*ahead, strict=True), zip(*behind, strict=True), strict=True)
]
second = [np.zeros((size, *x.shape)) for x in first]
for i, j in itertools.combinations_with_replacement(range(size), 2):
    both = [integrals(unit[i] + unit[j]), integrals(-unit[i] - unit[j])]
    for s, x, p, q, a, b, c, d in zip(second, middle, *both, ahead[i], ahead[j], behind[i], behind[j], strict=True):
        s[i, j] = s[j, i] = (p + q - a - b - c - d + 2 * x) / (2 * h**2)


def at(displacement):
    return [
        x + jnp.tensordot(displacement, y + jnp.tensordot(displacement, z, 1) / 2, 1)
        for x, y, z in zip(middle, first, second, strict=True)
    ]


# %% Hartree–Fock.
def fock(density, core, repulsion):
    return core + jnp.einsum("ijkl,kl->ij", repulsion, density) - jnp.einsum("ikjl,kl->ij", repulsion, density) / 2


def density(displacement):
    overlap, core, repulsion, _ = at(displacement)

    def remainder(d):
        return d - 2 * eigenpair.spectral_projector(fock(d, core, repulsion), mol.nelectron // 2, overlap)

    def solve_linear(g, y):
        matrix = jax.jacfwd(g)(jnp.zeros_like(y)).reshape(y.size, y.size)
        return jnp.linalg.solve(matrix, y.ravel()).reshape(y.shape)

    return jax.lax.custom_root(remainder, jnp.asarray(hf.make_rdm1()), lambda _, d: d, solve_linear)


def energy(displacement):
    _, core, repulsion, nuclei = at(displacement)
    d = density(displacement)
    return jnp.sum(d * (core + fock(d, core, repulsion))) / 2 + nuclei


# %% The Hessian, and what PySCF makes of it.
zero = jnp.zeros(size)
slope = jax.jit(jax.grad(energy))(zero)
hessian = np.asarray(jax.jit(jax.hessian(energy))(zero)).reshape(mol.natm, 3, mol.natm, 3).transpose(0, 2, 1, 3)
waves, waves_theirs = (thermo.harmonic_analysis(mol, x)["freq_wavenumber"].real for x in (hessian, theirs))
errors = np.abs(slope - gradient.ravel()).max(), np.abs(hessian - theirs).max()
print("largest difference to PySCF: gradient {:.0e}, Hessian {:.0e}".format(*errors))
print("wavenumbers in 1/cm:", waves.round(1))
assert max(errors) < 1e-3

# %%
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.vlines(waves_theirs, 0, 1, color="0.7", lw=6, label="PySCF")
axis.vlines(waves, 0, 1, color="C3", lw=1.5, label="eigenpair")
axis.set(xlabel="wavenumber (1/cm)", yticks=[])
axis.legend(loc="upper center")
figure.savefig("hartree_fock.png", dpi=110)
