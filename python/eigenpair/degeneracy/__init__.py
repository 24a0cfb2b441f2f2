"""What to do where eigenvalues coincide: the policies, and what they have in common.

Derivatives of eigenvectors divide by the gaps between eigenvalues. Where a gap is zero, or as small as rounding, the
derivative of an eigenvector does not exist; the derivative of a loss that uses the vectors only through the invariant
subspace does. A policy says what is done about it. See `docs/derivations.md`, section "Degeneracy".
"""

from .explanations import DegeneracyWarning
from .policies import Policy, broaden, check, mask, policy, raw

__all__ = ["DegeneracyWarning", "Policy", "broaden", "check", "mask", "policy", "raw"]
