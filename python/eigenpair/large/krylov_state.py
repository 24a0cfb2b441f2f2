"""The plan and the state of the Krylov solver, and the result of every solver."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

Map = Callable[[Array], Array]

# A guard is the first eigenvalue after the requested ones. Its error must be at most this part of its distance to
# them.
OF_GAP = 0.05
PASSES = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static parameters of a compiled program."""

    k: int
    which: str
    tol: float
    cycles: int
    block: int
    kept: int
    steps: int

    @property
    def capacity(self) -> int:
        """The number of basis vectors from which Ritz vectors are computed; `block` more vectors are stored."""
        return self.kept + self.steps * self.block


def plan(n: int, k: int, which: str, tol: float, cycles: int) -> Plan | None:
    """Sizes for `k` eigenpairs of a problem with `n` unknowns; `None` if the basis would fill the whole space."""
    # Small blocks, because the degree of the Krylov space matters most. Two vectors, to find copies of eigenvalues.
    block = 2 if k <= 8 else min(8, -(-k // 4))
    kept = k + max(4, k // 2)
    most = -(-(max(3 * kept, 28) - kept) // block)
    fitting = (n // 2 - 2 * block - kept) // block
    return None if fitting < 6 else Plan(k, which, tol, cycles, block, kept, min(most, fitting))


class State(NamedTuple):
    """The state between two cycles."""

    basis: Array  # (capacity + block, n)
    theta: Array  # (kept,), Ritz values of the first rows
    alive: Array  # (kept,), which of the first rows are not zero
    scale: Array  # (2,), sizes of A and B
    residuals: Array  # (k,), absolute; estimates until a pass has ended
    edges: Array  # (2,), the nearest eigenvalues below and above that were left out
    previous: Array  # (k,), the wanted eigenvalues when this pass began
    searching: Array  # whether this pass began at random
    passes: Array
    cycle: Array
    done: Array
    complete: Array  # done because a search found nothing new


class Found(NamedTuple):
    """The result of every solver, as arrays of JAX or of NumPy. Vectors are rows."""

    values: Any  # (k,), ascending
    vectors: Any  # (k, n), orthonormal in the metric of B
    residuals: Any  # (k,), ‖A v − λ B v‖
    lengths: Any  # (k,), ‖v‖
    edges: Any  # (2,), the nearest that were left out, below and above; infinite where there is nothing
    scale: Any  # (2,), sizes of A and B
    iterations: Any
    complete: Any  # whether the search for missed ones came to its end
