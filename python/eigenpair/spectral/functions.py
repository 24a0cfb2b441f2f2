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
    return lambda x: jax.nn.sigmoid(-beta * (x - mu))


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

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = low + (high - low) / 2
        fewer = jnp.sum(fermi_dirac(middle, beta)(w)) < electrons
        return jnp.where(fewer, middle, low), jnp.where(fewer, high, middle)

    low, high = lax.fori_loop(0, 2 * jnp.finfo(w.dtype).nmant, halve, (w[0] + above, w[-1] + above))
    return low + (high - low) / 2
