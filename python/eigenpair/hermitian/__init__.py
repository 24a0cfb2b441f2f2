"""Hermitian eigenproblems: `eigh` and `eigvalsh` of matrices, definite pairs and subsets, and their derivatives."""

from .api import EighResult, eigh, eigvalsh
from .derivatives import eigh_pullback, eigh_pushforward, eigvalsh_pullback, eigvalsh_pushforward

__all__ = [
    "EighResult",
    "eigh",
    "eigh_pullback",
    "eigh_pushforward",
    "eigvalsh",
    "eigvalsh_pullback",
    "eigvalsh_pushforward",
]
