"""Differentiable eigendecomposition: if it returns a number, the number is right."""

from importlib.metadata import version as _version
from typing import Any

from . import degeneracy, engines, functions, large, native
from .general import (
    EigBothResult,
    EigLeftResult,
    EigResult,
    condition_numbers,
    eig,
    eig_pullback,
    eig_pushforward,
    eigvals,
    eigvals_pullback,
    eigvals_pushforward,
)
from .hermitian import (
    EighResult,
    eigh,
    eigh_banded,
    eigh_pullback,
    eigh_pushforward,
    eigh_tridiagonal,
    eigvalsh,
    eigvalsh_banded,
    eigvalsh_pullback,
    eigvalsh_pushforward,
    eigvalsh_tridiagonal,
)
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
    "eig_pullback",
    "eig_pushforward",
    "eigh",
    "eigh_banded",
    "eigh_pullback",
    "eigh_pushforward",
    "eigh_tridiagonal",
    "eigs",
    "eigsh",
    "eigvals",
    "eigvals_pullback",
    "eigvals_pushforward",
    "eigvalsh",
    "eigvalsh_banded",
    "eigvalsh_pullback",
    "eigvalsh_pushforward",
    "eigvalsh_tridiagonal",
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


def __dir__() -> list[str]:
    return [*__all__, "__version__", "__doc__", "__file__", "__path__"]


def __getattr__(name: str) -> Any:
    raise missing_name(name)
