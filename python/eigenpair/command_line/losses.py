"""The losses that `eigenpair solve --gradient` knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..runtime.files import BadInput, read_matrix

HELP = """\
losses for --gradient, functions of the eigenvalues λ in ascending order, counted from 0:
  sum               Σ λᵢ                        with --general: Σ Re λᵢ
  sum-of-squares    Σ λᵢ²                       with --general: Σ |λᵢ|²
  eigenvalue:K      λ_K
  abscissa          the largest Re λᵢ           with --general
  radius            the largest |λᵢ|            with --general
  WEIGHTS.npy       Σ wᵢ λᵢ, as many weights as eigenvalues
"""


class Loss(NamedTuple):
    """A function of the eigenvalues, `(…, k)` to `(…)`."""

    value: Callable[[Any], Any]
    text: str
    # For a Hermitian problem: numbers that are equal if the loss treats the eigenvalues equally.
    treatment: np.ndarray[Any, Any] | None = None
    # For a general problem: the number of each eigenvalue whose maximum the loss is, if it is a maximum.
    maximum_of: Callable[[Any], Any] | None = None


def as_loss(text: str, count: int) -> Loss:
    """The loss of `count` ascending eigenvalues of a Hermitian problem."""
    if text == "sum":
        return Loss(lambda w: jnp.sum(w, axis=-1), "Σ λᵢ", np.ones(count))
    if text == "sum-of-squares":
        return Loss(lambda w: jnp.sum(w**2, axis=-1), "Σ λᵢ²", np.ones(count))
    if text.startswith("eigenvalue:"):
        index = text.removeprefix("eigenvalue:")
        if not index.isdecimal() or int(index) >= count:
            raise BadInput(f"--gradient {text}: K of eigenvalue:K counts from 0, and there are {count} eigenvalues")
        return Loss(lambda w: w[..., int(index)], f"λ_{index}", np.arange(count) == int(index))
    if text.endswith((".npy", ".npz", ".csv")) or ".npz:" in text:
        weights = read_matrix(text)
        weights = weights[:, 0] if weights.ndim == 2 and weights.shape[1] == 1 else weights  # a column of a .csv
        if weights.shape != (count,) or weights.dtype.kind == "c":
            raise BadInput(
                f"--gradient {text}: there are {count} eigenvalues, so the weights must be {count} real numbers; "
                f"the file holds {weights.dtype} of shape {weights.shape}"
            )
        return Loss(lambda w: jnp.sum(weights.astype(w.dtype) * w, axis=-1), "Σ wᵢ λᵢ", weights)
    if text in ("abscissa", "radius"):
        raise BadInput(f"--gradient {text} is a loss of general matrices: give --general")
    raise BadInput(f"--gradient {text}: unknown loss; choose sum, sum-of-squares, eigenvalue:K or WEIGHTS.npy")


_GENERAL = {
    "sum": Loss(lambda w: jnp.sum(jnp.real(w), axis=-1), "Σ Re λᵢ"),
    "sum-of-squares": Loss(lambda w: jnp.sum(jnp.real(w) ** 2 + jnp.imag(w) ** 2, axis=-1), "Σ |λᵢ|²"),
    "abscissa": Loss(lambda w: jnp.max(jnp.real(w), axis=-1, initial=-jnp.inf), "max Re λᵢ", maximum_of=jnp.real),
    "radius": Loss(lambda w: jnp.max(jnp.abs(w), axis=-1, initial=0), "max |λᵢ|", maximum_of=jnp.abs),
}


def as_general_loss(text: str) -> Loss:
    """The loss of the complex eigenvalues of a general problem."""
    if text not in _GENERAL:
        raise BadInput(f"--gradient {text}: of a general matrix, choose {', '.join(_GENERAL)}")
    return _GENERAL[text]
