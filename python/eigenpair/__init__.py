"""Differentiable eigendecomposition: if it returns a number, the number is right."""

from . import degeneracy, native
from .gauge import fix_gauge
from .general import EigBothResult, EigLeftResult, EigResult, condition_numbers, eig, eigvals
from .hermitian import EighResult, eigh, eigvalsh

__version__ = "0.1.0"

__all__ = [
    "EigBothResult",
    "EigLeftResult",
    "EigResult",
    "EighResult",
    "condition_numbers",
    "degeneracy",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "fix_gauge",
    "native",
]
