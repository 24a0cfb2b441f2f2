"""An Ogden material: its energy is a spectral function of C = FᵀF, stress and elasticity tensor are its derivatives.

At the undeformed state all three principal stretches coincide, where formulas in principal axes are 0/0.
"""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import unitary

MODULI, EXPONENTS, BULK = (0.63, 0.0012, -0.01), (1.3, 5.0, -2.0), 2.5  # Ogden 1972: rubber, in MPa
SHEAR = sum(m * a for m, a in zip(MODULI, EXPONENTS, strict=True)) / 2
TERMS = tuple(zip(MODULI, EXPONENTS, strict=True))


def energy(c):
    """`Σₚ μₚ/αₚ (Σᵢ λᵢ^αₚ − 3) − Σₚ μₚ ln J + κ/2 (ln J)²`, with `λᵢ²` the eigenvalues of `C`."""

    def of_one(x):
        return sum(m / a * (x ** (a / 2) - 1) for m, a in TERMS) - sum(MODULI) * jnp.log(x) / 2

    volume = eigenpair.spectral_sum(jnp.log, c) / 2
    return eigenpair.spectral_sum(of_one, c) + BULK / 2 * volume**2


def stress(c):
    """The second Piola–Kirchhoff stress."""
    return 2 * jax.grad(energy)(c)


def elasticity(c):
    """`2 ∂S/∂C`, the derivative along symmetric directions."""
    return 2 * jax.jacfwd(stress)(c)


def principal_stress(c):
    return sum(m * c ** (a / 2 - 1) for m, a in TERMS) + (BULK * np.sum(np.log(c)) / 2 - sum(MODULI)) / c


def in_principal_axes(c):
    """Stress and elasticity tensor at `C = Diag(c)`, by the formula of Simo and Taylor (1991) with its limits."""
    s = principal_stress(c)
    # 2 ∂Sᵢ/∂cⱼ
    slope = 2 * np.diag(
        [
            sum(m * (a / 2 - 1) * x ** (a / 2 - 2) for m, a in TERMS)
            - (BULK * np.sum(np.log(c)) / 2 - sum(MODULI)) / x**2
            for x in c
        ]
    ) + BULK / np.outer(c, c)
    tensor = np.zeros((3, 3, 3, 3))
    for i in range(3):
        for j in range(3):
            tensor[i, i, j, j] += slope[i, j]
            if i != j:
                shear = (slope[i, i] - slope[i, j]) / 2 if c[i] == c[j] else (s[i] - s[j]) / (c[i] - c[j])
                for m, n in ((i, j), (j, i)):
                    tensor[i, j, m, n] += shear
    return np.diag(s), tensor


IDENTITY = np.eye(3)
LINEAR = BULK * np.einsum("ij,kl->ijkl", IDENTITY, IDENTITY) + SHEAR * (
    np.einsum("ik,jl->ijkl", IDENTITY, IDENTITY) + np.einsum("il,jk->ijkl", IDENTITY, IDENTITY)
)


def test_undeformed():
    """No stress, and linear elasticity with Lamé's constants `κ` and `Σ μₚαₚ/2`."""
    np.testing.assert_allclose(stress(IDENTITY), 0, atol=1e-15)
    np.testing.assert_allclose(elasticity(IDENTITY), LINEAR, atol=1e-14)
    np.testing.assert_allclose(4 * jax.hessian(energy)(IDENTITY), LINEAR, atol=1e-14)
    np.testing.assert_allclose(in_principal_axes(np.ones(3))[1], LINEAR, atol=1e-14)  # the formula itself


@pytest.mark.parametrize(
    "stretches", [(1.0, 1, 1), (1.3, 1.3, 1.3), (1.4, 0.9, 0.9), (0.8, 1.1, 1.5), (1.0, 1.0, 1 + 1e-9)], ids=str
)
def test_in_any_axes(stretches):
    c = np.array(stretches) ** 2
    q = unitary(stretches, 3)
    s, tensor = in_principal_axes(c)
    turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", q, q, q, q, tensor)
    matrix = (q * c) @ q.T
    close = len(set(stretches)) == 2 and 0 < np.ptp(c) < 1e-6  # there the formula in principal axes loses digits
    np.testing.assert_allclose(stress(matrix), q @ s @ q.T, atol=1e-13)
    np.testing.assert_allclose(elasticity(matrix), turned, atol=1e-6 if close else 1e-12)


def test_every_quadrature_point():
    """A batch in which some points are undeformed, some stretched along one axis and some in no special state."""
    rng = np.random.default_rng(0)
    f = np.eye(3) + 0.2 * rng.standard_normal((60, 3, 3))
    f[:20] = np.eye(3)
    f[20:40] = np.diag([1.2, 1.0, 1.0])
    c = np.swapaxes(f, -1, -2) @ f
    tensors = jax.jit(jax.vmap(elasticity))(c)
    np.testing.assert_allclose(tensors[:20], np.broadcast_to(LINEAR, (20, 3, 3, 3, 3)), atol=1e-13)
    expected = in_principal_axes(np.array([1.44, 1, 1]))[1]
    np.testing.assert_allclose(tensors[20:40], np.broadcast_to(expected, (20, 3, 3, 3, 3)), atol=1e-12)
    for matrix, tensor in zip(c[40:], tensors[40:], strict=True):
        w, q = np.linalg.eigh(matrix)
        turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", q, q, q, q, in_principal_axes(w)[1])
        np.testing.assert_allclose(tensor, turned, atol=1e-10)
