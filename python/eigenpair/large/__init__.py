"""A few eigenpairs of large and sparse operators, with derivatives, without forming the matrix. See `docs/large.md`."""

from . import slepc
from .general import eigs
from .hermitian import eigsh
from .messages import ConvergenceWarning
from .results import EigshResult, EigsResult
from .spectral import SpectralProjector, spectral_projector, spectral_sum

__all__ = [
    "ConvergenceWarning",
    "EigsResult",
    "EigshResult",
    "SpectralProjector",
    "eigs",
    "eigsh",
    "slepc",
    "spectral_projector",
    "spectral_sum",
]
