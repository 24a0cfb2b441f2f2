"""Scalar functions for `spectral_map` and `spectral_sum`. Any other function written with `jax.numpy` does as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["exp", "fermi_dirac", "inv_sqrt", "log", "power", "sign", "sqrt"]

exp = jnp.exp
log = jnp.log
sqrt = jnp.sqrt


def sign(x: Array) -> Array:
    """−1, 0 or 1: the sign of `x`, or of the real part of a complex `x`, as for the matrix sign."""
    return jnp.sign(jnp.real(x)).astype(x.dtype)


def inv_sqrt(x: Array) -> Array:
    """`1/√x`: Löwdin orthogonalization, whitening."""
    return 1 / jnp.sqrt(x)


def power(p: Any) -> Callable[[Array], Array]:
    """`x ↦ xᵖ`; real on the positive numbers, and everywhere if `p` is a Python integer."""
    return lambda x: x**p


def fermi_dirac(mu: Any, beta: Any) -> Callable[[Array], Array]:
    """`x ↦ 1/(1 + exp(β(x − μ)))`: occupations at chemical potential `mu` and inverse temperature `beta`, which may
    be traced.

    `mu` in the units of the eigenvalues, `beta` in their inverse.
    """
    return lambda x: jax.nn.sigmoid(-beta * (x - mu))
