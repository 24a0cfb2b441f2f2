"""Differentiable eigendecomposition: if it returns a number, the number is right."""

from . import degeneracy, native
from .gauge import fix_gauge
from .hermitian import EighResult, eigh, eigvalsh

__version__ = "0.1.0"

__all__ = ["EighResult", "degeneracy", "eigh", "eigvalsh", "fix_gauge", "native"]
