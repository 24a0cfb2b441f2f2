"""The results of the functions of this subpackage."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
from jax import Array

__all__ = ["EigsResult", "EigshResult"]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["eigenvalues", "eigenvectors", "residuals", "iterations", "converged"],
    meta_fields=["solver"],
)
@dataclasses.dataclass(frozen=True)
class EigshResult:
    """A few eigenpairs of a Hermitian operator. Unpacks like the result of `eigh`: `w, v = eigsh(…)`.

    - `eigenvalues`: real and ascending, shape `(k,)`.
    - `eigenvectors`: in the columns of `(n, k)`.
    - `residuals`: `‖A v − λ B v‖/‖v‖`, shape `(k,)`.
    - `iterations`: restarts of a Krylov method, steps of LOBPCG, or products with the operator, depending on the
        library.
    - `converged`: which eigenpairs have converged, shape `(k,)`; the others are NaN.
    - `solver`: the solver that was used, and the reason.
    """

    eigenvalues: Array
    eigenvectors: Array
    residuals: Array
    iterations: Array
    converged: Array
    solver: str

    def __iter__(self) -> Iterator[Array]:
        return iter((self.eigenvalues, self.eigenvectors))

    def __len__(self) -> int:
        return 2


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["eigenvalues", "left_eigenvectors", "eigenvectors", "residuals", "iterations", "converged"],
    meta_fields=["solver"],
)
@dataclasses.dataclass(frozen=True)
class EigsResult:
    """A few eigenpairs of a general operator. Unpacks like the result of `eig`: `w, v = eigs(…)`, with `left=True`
    `w, vl, v`.

    - `eigenvalues`: complex, shape `(k,)`, in the order of `sigma` or `which`.
    - `left_eigenvectors`, `eigenvectors`: in the columns of `(n, k)`, or `None` if not requested.
    - `residuals`, `iterations`, `converged`, `solver`: as in `EigshResult`.
    """

    eigenvalues: Array
    left_eigenvectors: Array | None
    eigenvectors: Array | None
    residuals: Array
    iterations: Array
    converged: Array
    solver: str

    def __iter__(self) -> Iterator[Array]:
        given = (self.eigenvalues, self.left_eigenvectors, self.eigenvectors)
        return iter([x for x in given if x is not None])
