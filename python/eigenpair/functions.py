"""Scalar functions for `spectral_map`, `spectral_sum` and `matrix_function`, and what one of them needs. Any other
function written with `jax.numpy` does as well."""

from .spectral.functions import chemical_potential, exp, fermi_dirac, inv_sqrt, log, power, sign, sqrt

__all__ = ["chemical_potential", "exp", "fermi_dirac", "inv_sqrt", "log", "power", "sign", "sqrt"]
