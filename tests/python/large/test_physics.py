"""Known results from physics: the transverse-field Ising chain, and the examples."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from eigenpair.large import eigsh

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))

SPINS = 16  # 65,536 amplitudes
waves = (
    (2 * np.arange(SPINS) + 1) * np.pi / SPINS
)  # fermions' wave numbers in the even sector, where the ground state is


def ising(g):
    """`−Σ σᶻσᶻ − g Σ σˣ`, periodic, as a function of a vector of 2^SPINS amplitudes."""
    states = np.arange(2**SPINS)
    spin = 1 - 2.0 * ((states[:, None] >> np.arange(SPINS)) & 1)
    bonds = -np.sum(spin * np.roll(spin, 1, axis=1), axis=1)

    def product(x):
        flipped = sum(jnp.flip(x.reshape(2 ** (SPINS - i - 1), 2, 2**i), axis=1).reshape(-1) for i in range(SPINS))
        return bonds * x - g * flipped

    return product


def ground(g):
    w, v = eigsh(ising(g), 1, n=2**SPINS, dtype=float)
    return w[0], v[:, 0]


def test_ising_energy_and_derivatives():
    g = 1.3
    size = np.sqrt(1 + g**2 - 2 * g * np.cos(waves))
    energy, slope, curvature = -np.sum(size), -np.sum((g - np.cos(waves)) / size), -np.sum(np.sin(waves) ** 2 / size**3)
    first = jax.value_and_grad(lambda g: ground(g)[0])
    (value, gradient), (_, second) = jax.jvp(first, (g,), (1.0,))
    np.testing.assert_allclose(value, energy, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10)
    np.testing.assert_allclose(second, curvature, rtol=1e-8)


def test_ising_fidelity_susceptibility():
    """`⟨∂ψ|∂ψ⟩ − |⟨ψ|∂ψ⟩|² = ¼ Σ_{k>0} (dθ_k/dg)²`, the angles of Bogoliubov's transformation."""
    g = 1.3
    positive = waves[waves < np.pi]
    exact = np.sum((np.sin(positive) / (1 + g**2 - 2 * g * np.cos(positive))) ** 2) / 4
    v, dv = jax.jvp(lambda g: ground(g)[1], (g,), (1.0,))
    np.testing.assert_allclose(jnp.vdot(dv, dv) - jnp.vdot(v, dv) ** 2, exact, rtol=1e-9)


def test_slab_waveguide():
    import waveguide

    k = 2 * np.pi / waveguide.WAVELENGTH
    found, expected = waveguide.indices(jnp.asarray(waveguide.slab()), k), waveguide.analytic(k)
    np.testing.assert_allclose(found, expected, rtol=3e-4)  # of the grid


def test_rectangular_waveguide():
    """A hollow guide with perfect walls: `β² = εk² − (π/a)² − (π/b)²` of the lowest TM mode, so `dβ/dk = εk/β`."""
    width, height, permittivity, k = 2.0, 1.0, 2.25, 4.0
    across, up = 60, 30
    h = np.array([width / (across + 1), height / (up + 1)])

    def beta(k, sides):
        steps = sides / np.array([across + 1.0, up + 1.0])

        def product(x):
            field = jnp.pad(x.reshape(across, up), 1)
            middle = field[1:-1, 1:-1]
            second = (field[2:, 1:-1] - 2 * middle + field[:-2, 1:-1]) / steps[0] ** 2
            second += (field[1:-1, 2:] - 2 * middle + field[1:-1, :-2]) / steps[1] ** 2
            return (second + k**2 * permittivity * middle).reshape(-1)

        return jnp.sqrt(eigsh(product, 1, which="LA", n=across * up, dtype=float).eigenvalues[0])

    sides = np.array([width, height])
    # On the grid (π/a)² becomes (2/h sin(πh/2a))².
    cutoff = np.sum((2 / h * np.sin(np.pi * h / (2 * sides))) ** 2)
    exact = np.sqrt(permittivity * k**2 - cutoff)
    found, (group, by_sides) = jax.value_and_grad(beta, (0, 1))(k, jnp.asarray(sides))
    np.testing.assert_allclose(found, exact, rtol=1e-10)
    np.testing.assert_allclose(group, permittivity * k / exact, rtol=1e-9)
    continuous = np.sqrt(permittivity * k**2 - np.sum((np.pi / sides) ** 2))
    np.testing.assert_allclose([found, group], [continuous, permittivity * k / continuous], rtol=1e-3)
    np.testing.assert_allclose(by_sides, (np.pi / sides) ** 2 / sides / continuous, rtol=3e-3)


def test_phononic_gap_has_a_gradient():
    import phononic

    design = jnp.asarray(0.2 * np.cos(2 * np.pi * phononic.BAND * np.arange(phononic.CELL) / phononic.CELL))
    slope = jax.jit(jax.grad(phononic.gap))(design)
    direction = slope / jnp.linalg.norm(slope)
    h = 1e-4
    gap = jax.jit(phononic.gap)
    rate = (gap(design + h * direction) - gap(design - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(slope, direction), rate, rtol=1e-5)
