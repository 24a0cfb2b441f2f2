"""Where the largest of several numbers, one for each eigenvalue of a general matrix, has no derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import check
from ..general.primitive import solve
from ..general.rule import conditioning


def largest_is_tied(number: Callable[[Any], Any], matrices: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Whether `max number(λᵢ)` is reached by more than one eigenvalue, up to their rounding errors; one truth value for
    each matrix of the batch.

    `number` is `real` or `abs`. The two members of a complex-conjugate pair of real matrices count once: they stay
    conjugate, so their maximum is smooth. `abs` is tied at 0 too.
    """
    operands = tuple(map(jnp.asarray, matrices))
    w, v, u = solve(operands, None, policy=check(), right=True, left=False, dual=True)
    reach, _ = conditioning(operands[0], operands[1] if len(operands) > 1 else None, w, v, u)
    if not w.shape[-1]:
        return np.zeros(w.shape[:-1], bool)
    width = cluster_width(check(), w.shape[-1], w.dtype)
    rounding = width * np.asarray(reach)  # NaN where the matrix is defective, and then nothing is known
    numbers = np.asarray(number(w))
    values = np.asarray(w)

    first = np.argmax(numbers, axis=-1)[..., None]
    of_first = [np.take_along_axis(x, first, axis=-1) for x in (values, numbers, rounding)]
    with np.errstate(invalid="ignore"):  # infinite eigenvalues
        tied = ~(of_first[1] - numbers > np.maximum(of_first[2], rounding))
        if not any(np.iscomplexobj(x) for x in matrices):
            tied &= ~((values == np.conj(of_first[0])) & (2 * np.abs(values.imag) > rounding))
        tied &= np.arange(w.shape[-1]) != first
        found: np.ndarray[Any, Any] = tied.any(axis=-1)
        return found | (numbers.max(axis=-1) <= of_first[2][..., 0]) if number is jnp.abs else found
