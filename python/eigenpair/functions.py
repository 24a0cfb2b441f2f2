"""Scalar functions for `spectral_map`, `spectral_sum` and `matrix_function`, and `chemical_potential`. Any other
function written with `jax.numpy` works too."""

from .spectral.functions import chemical_potential, exp, fermi_dirac, inv_sqrt, log, power, sign, sqrt

__all__ = ["chemical_potential", "exp", "fermi_dirac", "inv_sqrt", "log", "power", "sign", "sqrt"]
