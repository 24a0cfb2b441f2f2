"""Scalar functions for `spectral_map`, `spectral_sum` and `matrix_function`, and `chemical_potential`. Any other
function written with `jax.numpy` works too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..runtime.remedies import POTENTIAL, TEMPERATURE, with_remedies

__all__ = ["chemical_potential", "exp", "fermi_dirac", "inv_sqrt", "log", "power", "sign", "sqrt"]

exp = jnp.exp
log = jnp.log
sqrt = jnp.sqrt


def sign(x: Array) -> Array:
    """−1, 0 or 1: the sign of `x`, or of the real part of a complex `x`, as for the matrix sign."""
    return jnp.sign(jnp.real(x)).astype(x.dtype)


def inv_sqrt(x: Array) -> Array:
    """`1/√x`, for Löwdin orthogonalization and whitening."""
    return 1 / jnp.sqrt(x)


def power(p: Any) -> Callable[[Array], Array]:
    """`x ↦ xᵖ`; real on the positive numbers, and everywhere if `p` is a Python integer."""
    return lambda x: x**p


@with_remedies(TEMPERATURE)
def fermi_dirac(mu: Any, beta: Any) -> Callable[[Array], Array]:
    """`x ↦ 1/(1 + exp(β(x − μ)))`: occupations at chemical potential `mu` and inverse temperature `beta`. Both may be
    traced.

    `mu` has the units of the eigenvalues, `beta` their inverse.
    """
    return lambda x: _occupation(beta * (x - mu))


@jax.custom_jvp
def _occupation(x: Array) -> Array:
    """`1/(1 + exp(x))`."""
    return jax.nn.sigmoid(-x)


@_occupation.defjvp
def _occupation_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (t,) = primals, tangents
    # Not with 1 − y, which is 0 for the occupied levels below a gap, whose share decides where μ lies.
    return _occupation(x), -_occupation(x) * _occupation(-x) * t


@with_remedies(POTENTIAL)
def chemical_potential(a: Any, b: Any = None, *, electrons: Any, beta: Any, type: int = 1) -> Array:
    """`μ` with `Σ fermi_dirac(μ, β)(λᵢ) = electrons`, over the eigenvalues of a Hermitian matrix or of a definite pair;
    shape `(…,)`.

        mu = functions.chemical_potential(a, b, electrons=5, beta=20)
        density = spectral_map(functions.fermi_dirac(mu, 20), a, b)

    **Arguments:** `a`, `b`, `type` as for `spectral_sum`; `electrons`: a number between 0 and n, which need not be an
    integer; `beta`: the inverse temperature `1/kT`, positive. Both may be traced. An eigenvalue holds one electron. If
    each level holds two, give half of the electrons, and double the density.

    Inside a loop, apply `jax.jit` to the whole step: outside of it, every call is traced again.

    **Raises:** `ValueError` for numbers that are out of these ranges. If they are traced, the result is NaN.

    Twice differentiable with respect to `a`, `b`, `electrons` and `beta`, at any degeneracy, by the implicit function
    theorem. The derivative is NaN if the temperature is so low that the number of electrons does not depend on `μ` in
    working precision.
    """
    from ..hermitian.diagonal_metric import DiagonalMetric
    from ..runtime import arguments
    from .spectral import spectral_sum

    operands = [arguments.matrices("a", a)]
    type = arguments.problem_type(type, b is not None)
    if b is not None:
        b = arguments.matrices_or_diagonal("b", b)
        if b.ndim > 1:
            operands = list(arguments.promoted(operands[0], b))
        else:
            operands, type = [DiagonalMetric.of(operands[0], b, type).standard(operands[0])], 0
    dtype = jnp.finfo(operands[0].dtype).dtype
    n = operands[0].shape[-1]
    parameters = [
        _within("electrons", electrons, n, f"between 0 and n = {n}, both excluded").astype(dtype),
        _within("beta", beta, math.inf, "positive and finite").astype(dtype),
    ]

    def one(electrons: Array, beta: Array, *matrices: Array) -> Array:
        def excess(mu: Array) -> Array:
            return spectral_sum(fermi_dirac(mu, beta), *matrices, type=type or 1) - electrons

        def tangent_solve(g: Callable[[Array], Array], y: Array) -> Array:
            slope = g(jnp.ones_like(y))
            return y / jnp.where(slope == 0, jnp.nan, slope)

        start = lax.stop_gradient(_bisected(electrons, beta, matrices, type))
        return lax.custom_root(excess, start, lambda _, x: x, tangent_solve)

    signature = "(),()" + ",(n,n)" * len(operands) + "->()"
    return jnp.vectorize(one, signature=signature)(*parameters, *operands)


def _within(name: str, value: Any, largest: float, described: str) -> Array:
    """`value` as an array, with NaN where it is not between 0 and `largest`; an error if it is concrete."""
    from ..degeneracy.explanations import explain_limits
    from ..degeneracy.policies import explains, policy_of_call
    from ..runtime import arguments

    x = arguments.array(name, value)
    if jnp.iscomplexobj(x):
        raise TypeError(f"{name} must be real, got {x.dtype}")
    still = lax.stop_gradient(x)
    fine = (still > 0) & (still < largest)
    if not isinstance(fine, jax.core.Tracer):
        if not bool(jnp.all(fine)):
            raise ValueError(f"{name} must be {described}, got {still}")
        return x
    policy = policy_of_call(None)
    if explains(policy):
        explain_limits(policy, name, described, still, fine)
    return jnp.where(fine, x, jnp.nan)


def _bisected(electrons: Array, beta: Array, matrices: tuple[Array, ...], type: int) -> Array:
    from ..hermitian.api import eigvalsh

    electrons, beta, *matrices = (lax.stop_gradient(x) for x in (electrons, beta, *matrices))  # type: ignore[assignment]
    w = eigvalsh(*matrices, type=type or 1)
    # If all eigenvalues were equal, μ would be this much above them.
    above = jnp.log(electrons / (w.shape[-1] - electrons)) / beta
    filled = jnp.round(electrons)
    is_filled = jnp.arange(w.shape[-1], dtype=w.dtype) < filled

    def particles_and_holes(mu: Array) -> tuple[Array, Array]:
        # In a gap, both are far below the rounding error of the number of electrons, which could not tell them apart.
        f = fermi_dirac(mu, beta)
        return jnp.sum(jnp.where(is_filled, 0, f(w))), jnp.sum(jnp.where(is_filled, f(2 * mu - w), 0))

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = low + (high - low) / 2
        particles, holes = particles_and_holes(middle)
        fewer = particles - holes < electrons - filled
        return jnp.where(fewer, middle, low), jnp.where(fewer, high, middle)

    low, high = lax.fori_loop(0, 2 * jnp.finfo(w.dtype).nmant, halve, (w[0] + above, w[-1] + above))
    mu = low + (high - low) / 2
    particles, holes = particles_and_holes(mu)
    excess = electrons - filled
    # If the temperature is so low that both underflow, any μ in the gap would do.
    return jnp.where(abs(particles - holes - excess) < (particles + holes + abs(excess)) / 100, mu, jnp.nan)
