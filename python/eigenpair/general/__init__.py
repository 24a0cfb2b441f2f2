"""General eigenproblems: `eig`, `eigvals` and `condition_numbers`, and their derivatives."""

from .api import EigBothResult, EigLeftResult, EigResult, condition_numbers, eig, eigvals
from .derivatives import eig_pullback, eig_pushforward, eigvals_pullback, eigvals_pushforward

__all__ = [
    "EigBothResult",
    "EigLeftResult",
    "EigResult",
    "condition_numbers",
    "eig",
    "eig_pullback",
    "eig_pushforward",
    "eigvals",
    "eigvals_pullback",
    "eigvals_pushforward",
]
