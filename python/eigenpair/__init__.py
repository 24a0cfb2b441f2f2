"""Differentiable eigendecomposition: if it returns a number, the number is right."""

from importlib.metadata import version as _version
from typing import Any

from . import degeneracy, engines, functions, large, native
from .general import EigBothResult, EigLeftResult, EigResult, condition_numbers, eig, eigvals
from .hermitian import EighResult, eigh, eigvalsh
from .large import EigshResult, EigsResult, eigs, eigsh
from .runtime.remedies import missing_name
from .spectral import fix_gauge, logm, matrix_function, signm, spectral_map, spectral_projector, spectral_sum, sqrtm
from .verification import check_grads

__version__ = _version("eigenpair")

__all__ = [
    "EigBothResult",
    "EigLeftResult",
    "EigResult",
    "EighResult",
    "EigsResult",
    "EigshResult",
    "check_grads",
    "condition_numbers",
    "degeneracy",
    "eig",
    "eigh",
    "eigs",
    "eigsh",
    "eigvals",
    "eigvalsh",
    "engines",
    "fix_gauge",
    "functions",
    "large",
    "logm",
    "matrix_function",
    "native",
    "signm",
    "spectral_map",
    "spectral_projector",
    "spectral_sum",
    "sqrtm",
]


def __getattr__(name: str) -> Any:
    raise missing_name(name)
