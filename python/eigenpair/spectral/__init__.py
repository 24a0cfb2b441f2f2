"""Functions of matrices, with derivatives at any degeneracy, and the gauge of eigenvectors."""

from .gauge import fix_gauge
from .matrix_functions import logm, matrix_function, signm, sqrtm
from .spectral import spectral_map, spectral_projector, spectral_sum

__all__ = [
    "fix_gauge",
    "logm",
    "matrix_function",
    "signm",
    "spectral_map",
    "spectral_projector",
    "spectral_sum",
    "sqrtm",
]
