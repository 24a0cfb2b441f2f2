"""The physics of the examples: water's orbital energies and graphene's bands, against PySCF and formulas by hand."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))

pytestmark = pytest.mark.usefixtures("defaults_of_jax")


@pytest.fixture(scope="module")
def water():
    pytest.importorskip("pyscf")
    import water

    return water


@pytest.fixture(scope="module")
def graphene():
    import graphene

    return graphene


@pytest.fixture
def bent(water):
    """A molecule without symmetry, which could hide errors: both bonds and all coordinates differ."""
    nuclei = water.coordinates()
    nuclei[1] += [0.03, 0.10, -0.05]
    return nuclei


def test_water_energies_and_forces_are_pyscfs(water, bent):
    here = water.orbitals(bent)
    np.testing.assert_allclose(here.energies, here.pyscf_energies, atol=1e-9)
    np.testing.assert_allclose(here.forces, here.pyscf_forces, atol=1e-8)
    # No orbital energy changes when all nuclei move together.
    np.testing.assert_allclose(here.gradient.reshape(-1, 3, 3).sum(axis=1), 0, atol=1e-12)


def test_water_gradient_against_displaced_calculations(water, bent):
    here = water.orbitals(bent)
    direction = np.random.default_rng(0).standard_normal((3, 3))
    h = 4e-3
    energies = [water.converged(water.molecule(bent + s * h * direction)).mo_energy for s in (-2, -1, 1, 2)]
    rate = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
    occupied_and_two = slice(0, 7)  # above, virtual orbitals come too close for this step
    np.testing.assert_allclose((here.gradient @ direction.ravel())[occupied_and_two], rate[occupied_and_two], atol=1e-7)


def test_water_integral_derivatives(water, bent):
    direction = np.random.default_rng(1).standard_normal((3, 3))
    h = 1e-3
    ahead, behind = (water.integrals(water.molecule(bent + s * h * direction)) for s in (1, -1))
    analytic = water.integral_derivatives(water.molecule(bent))
    for up, down, derivative in zip(ahead, behind, analytic, strict=True):
        rate = np.tensordot(direction.ravel(), derivative, 1)
        np.testing.assert_allclose(rate, (up - down) / (2 * h), atol=2e-5)


def test_water_fock_derivative_needs_the_response(water, bent):
    """With a fixed density the gradient is wrong by percents, so the implicit part is needed."""
    mol = water.molecule(bent)
    calculation = water.converged(mol)
    ints, d_ints = water.integrals(mol), water.integral_derivatives(mol)
    here = water.orbitals(bent)
    frozen = np.asarray(jax.vmap(lambda t: water.fock(calculation.make_rdm1(), t) + 0 * t.core)(d_ints))
    _, gradient = water.orbital_gradients(calculation.get_fock(), ints.overlap, frozen, d_ints.overlap)
    assert np.abs(gradient - here.gradient).max() > 1e-2


def test_graphene_bands_and_velocities_by_hand(graphene):
    k = np.random.default_rng(0).uniform(-3, 3, (200, 2))
    energies, velocities = graphene.analytic(k)
    np.testing.assert_allclose(graphene.all_bands(k), energies, atol=1e-13)
    np.testing.assert_allclose(graphene.velocities(k), velocities, atol=1e-12)


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-8, 1e-11])
def test_graphene_velocity_on_the_cone(graphene, distance):
    """±v_F at every distance from K, in every direction."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    outward = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for corner in (graphene.K, graphene.K_PRIME):
        v = np.asarray(graphene.velocities(corner + distance * outward)) * graphene.SPEED
        radial = np.einsum("kbd,kd->kb", v, outward)
        close = 1e-5 if distance >= 1e-8 else 1e-3  # where rounding of k itself turns the direction
        allowed = 3 * distance + close
        np.testing.assert_allclose(
            radial, np.broadcast_to([-1, 1], radial.shape) * graphene.FERMI_VELOCITY, atol=allowed
        )


def test_graphene_at_the_dirac_point(graphene):
    corners = np.stack([graphene.K, graphene.K_PRIME])
    single = np.asarray(graphene.velocities(corners)) * graphene.SPEED
    # At the tip, an element of the subdifferential: its norm is at most the slope of the cone.
    assert np.all(np.linalg.norm(single, axis=-1) <= graphene.FERMI_VELOCITY * (1 + 1e-12))
    # The sum of the bands is smooth, and stationary by symmetry.
    np.testing.assert_allclose(graphene.velocity_of_sum(corners), 0, atol=1e-12)
    # A function of the eigenvector of one band has no limit here.
    assert np.isnan(graphene.bond_gradient(corners)).all()


def test_arrays_survive_the_way_to_another_language(tmp_path):
    pytest.importorskip("pyscf")
    import demo

    rng = np.random.default_rng(0)
    arrays = {"a": rng.standard_normal((2, 3, 4)), "b": np.array([5e-324, 0.1, -np.pi])}
    demo.write_arrays(tmp_path / "x.txt", arrays)
    back = demo.read_arrays(tmp_path / "x.txt")
    for name, x in arrays.items():
        assert np.array_equal(back[name], x)
