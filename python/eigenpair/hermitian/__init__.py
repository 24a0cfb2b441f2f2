"""Hermitian eigenproblems: `eigh` and `eigvalsh` of matrices, definite pairs and subsets, and their derivatives."""

from .api import EighResult, eigh, eigvalsh
from .banded_api import eigh_banded, eigh_tridiagonal, eigvalsh_banded, eigvalsh_tridiagonal
from .derivatives import eigh_pullback, eigh_pushforward, eigvalsh_pullback, eigvalsh_pushforward

__all__ = [
    "EighResult",
    "eigh",
    "eigh_banded",
    "eigh_pullback",
    "eigh_pushforward",
    "eigh_tridiagonal",
    "eigvalsh",
    "eigvalsh_banded",
    "eigvalsh_pullback",
    "eigvalsh_pushforward",
    "eigvalsh_tridiagonal",
]
