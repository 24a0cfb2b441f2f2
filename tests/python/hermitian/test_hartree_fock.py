"""Hessians of Hartree–Fock energies, through density matrices of pairs, beside PySCF's analytic ones.

Occupied and unoccupied orbitals are degenerate in N₂, NH₃ and CH₄, where a Hessian through `eigh(F, S)` is NaN.
"""

import eigenpair as ep
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import random

pyscf = pytest.importorskip("pyscf")

MOLECULES = {
    "H2O": "O 0 0 0; H 0 0.757 -0.586; H 0 -0.757 -0.586",
    "N2": "N 0 0 -0.55; N 0 0 0.55",
    "NH3": "N 0 0 0.116; H 0.9397 0 -0.272; H -0.46985 0.8138 -0.272; H -0.46985 -0.8138 -0.272",
    "CH4": "C 0 0 0; H 0.629 0.629 0.629; H -0.629 -0.629 0.629; H -0.629 0.629 -0.629; H 0.629 -0.629 -0.629",
}
STEP = 2e-3


def converged(name):
    mol = pyscf.gto.M(atom=MOLECULES[name], basis="sto-3g", verbose=0)
    calculation = pyscf.scf.RHF(mol)
    calculation.conv_tol, calculation.conv_tol_grad = 1e-13, 1e-9
    calculation.kernel()
    return calculation


def integrals(mol):
    return {
        "s": mol.intor("int1e_ovlp"),
        "h": mol.intor("int1e_kin") + mol.intor("int1e_nuc"),
        "eri": mol.intor("int2e"),
        "nuclei": np.array(mol.energy_nuc()),
    }


def series(mol, direction):
    """The integrals and their first two derivatives along a displacement of the nuclei."""
    at = [
        integrals(mol.set_geom_(mol.atom_coords() + k * STEP * direction, unit="Bohr", inplace=False))
        for k in range(-3, 4)
    ]
    first = np.array([-1, 9, -45, 0, 45, -9, 1]) / (60 * STEP)
    second = np.array([2, -27, 270, -490, 270, -27, 2]) / (180 * STEP**2)
    return jax.tree.map(
        lambda *xs: (xs[3], np.tensordot(first, np.stack(xs), 1), np.tensordot(second, np.stack(xs), 1)), *at
    )


def molecule_at(t, expansion):
    return {name: x0 + t * x1 + t**2 / 2 * x2 for name, (x0, x1, x2) in expansion.items()}


def fock(p, x):
    return x["h"] + jnp.einsum("pqrs,rs->pq", x["eri"], p) - jnp.einsum("prqs,rs->pq", x["eri"], p) / 2


def energy(p, x):
    return jnp.sum(p * (x["h"] + fock(p, x))) / 2 + x["nuclei"]


def second_derivative(p, occupied, expansion):
    """The second derivative of the energy of the self-consistent density, `P = density(F(P), S)`."""
    n = len(p)

    @jax.jit
    def once_more(p, t):
        x = molecule_at(t, expansion)
        return 2 * ep.spectral_projector(fock(p, x), occupied, x["s"])

    p = once_more(jnp.asarray(p), 0.0)
    response = np.eye(n * n) - np.asarray(jax.jit(jax.jacfwd(once_more))(p, 0.0)).reshape(n * n, n * n)

    def solve(x):
        return jnp.asarray(np.linalg.solve(response, np.ravel(x)).reshape(n, n))

    zero = jnp.zeros_like(p)

    def twice(p1, p2):
        """Second derivative of `once_more` along `P + t P₁ + t²/2 P₂`."""
        along = lambda t: once_more(p + t * p1 + t**2 / 2 * p2, t)  # noqa: E731
        return jax.jvp(lambda t: jax.jvp(along, (t,), (1.0,))[1], (0.0,), (1.0,))[1]

    p1 = solve(jax.jvp(once_more, (p, 0.0), (zero, 1.0))[1])
    p2 = solve(twice(p1, zero))
    total = lambda t: energy(p + t * p1 + t**2 / 2 * p2, molecule_at(t, expansion))  # noqa: E731
    return jax.grad(total)(0.0), jax.grad(jax.grad(total))(0.0)


@pytest.mark.parametrize("name", MOLECULES)
def test_hessian(name):
    calculation = converged(name)
    mol = calculation.mol
    gradient = calculation.nuc_grad_method().kernel()
    hessian = calculation.Hessian().kernel()
    direction = random(name, (mol.natm, 3)) / 4
    expansion = series(mol, direction)
    first, second = second_derivative(calculation.make_rdm1(), mol.nelectron // 2, expansion)
    np.testing.assert_allclose(first, np.sum(gradient * direction), atol=1e-6)
    np.testing.assert_allclose(second, np.einsum("ijxy,ix,jy->", hessian, direction, direction), rtol=1e-5, atol=1e-6)
