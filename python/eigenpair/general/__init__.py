"""General eigenproblems: `eig`, `eigvals` and `condition_numbers`, and their derivatives."""

from .api import EigBothResult, EigLeftResult, EigResult, condition_numbers, eig, eigvals

__all__ = ["EigBothResult", "EigLeftResult", "EigResult", "condition_numbers", "eig", "eigvals"]
