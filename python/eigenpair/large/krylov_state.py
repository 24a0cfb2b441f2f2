"""The plan and the state of the Krylov solver, and what every solver returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

Map = Callable[[Array], Array]

# A guard is the first eigenvalue that was not asked for. Its error must be at most this part of its distance to the
# wanted ones.
OF_GAP = 0.05
PASSES = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a compiled program depends on."""

    k: int
    which: str
    tol: float
    cycles: int
    block: int
    kept: int
    steps: int

    @property
    def capacity(self) -> int:
        """Vectors of the basis in which Ritz vectors are sought; as many as `block` more are stored."""
        return self.kept + self.steps * self.block


def plan(n: int, k: int, which: str, tol: float, cycles: int) -> Plan | None:
    """Sizes for `k` pairs of a problem with `n` unknowns; `None` where it is so small that the basis would fill it."""
    # Small blocks: what counts is the degree that a basis reaches. Two vectors, for a copy of what was found.
    block = 2 if k <= 8 else min(8, -(-k // 4))
    kept = k + max(4, k // 2)
    most = -(-(max(3 * kept, 28) - kept) // block)
    fitting = (n // 2 - 2 * block - kept) // block
    return None if fitting < 6 else Plan(k, which, tol, cycles, block, kept, min(most, fitting))


class State(NamedTuple):
    """Between two cycles."""

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
    """What every solver returns, as arrays of JAX or of NumPy. Rows are vectors."""

    values: Any  # (k,), ascending
    vectors: Any  # (k, n), orthonormal in the metric of B
    residuals: Any  # (k,), ‖A v − λ B v‖
    lengths: Any  # (k,), ‖v‖
    edges: Any  # (2,), the nearest that were left out, below and above; infinite where there is nothing
    scale: Any  # (2,), sizes of A and B
    iterations: Any
    complete: Any  # whether the search for missed ones came to its end
