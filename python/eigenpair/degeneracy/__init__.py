"""Policies for coinciding eigenvalues, and the code that they share.

Derivatives of eigenvectors divide by the gaps between eigenvalues. If a gap is zero, or as small as a rounding error,
the derivative of an eigenvector does not exist. But a loss that uses the vectors only through the invariant subspace
has a derivative. A policy says what is computed. See `docs/derivations.md`, section "Degeneracy".
"""

from .explanations import DegeneracyWarning
from .policies import Policy, broaden, check, mask, policy, raw

__all__ = ["DegeneracyWarning", "Policy", "broaden", "check", "mask", "policy", "raw"]
