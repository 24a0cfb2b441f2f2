"""Hermitian eigenproblems: `eigh` and `eigvalsh` of matrices, definite pairs and subsets, and their derivatives."""

from .api import EighResult, eigh, eigvalsh

__all__ = ["EighResult", "eigh", "eigvalsh"]
