"""Eigenpairs of tridiagonal and of Hermitian band matrices, differentiable in the entries of the band."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..degeneracy.policies import Policy, policy_of_call
from ..runtime import arguments, engines
from ..runtime.matrices import of_rank
from ..runtime.remedies import BANDED, TRIDIAGONAL, with_remedies
from . import bands, intervals
from .api import EighResult
from .banded import solve_band

__all__ = ["eigh_banded", "eigh_tridiagonal", "eigvalsh_banded", "eigvalsh_tridiagonal"]


@with_remedies(TRIDIAGONAL)
def eigh_tridiagonal(
    d: Any,
    e: Any,
    *,
    eigvals_only: bool = False,
    subset_by_index: tuple[int, int] | None = None,
    subset_by_value: tuple[float, float] | None = None,
    subset_size: int | None = None,
    degeneracy: Policy | None = None,
    tally: Any = None,
) -> EighResult | Array:
    """Eigenvalues and eigenvectors of a real symmetric tridiagonal matrix: a differentiable
    `scipy.linalg.eigh_tridiagonal`.

    **Arguments:**

    - `d`: the diagonal, `(…, n)`, real, single or double precision.
    - `e`: the off-diagonal entries, `(…, n - 1)`; the batch axes broadcast against those of `d`.
    - `eigvals_only`, `subset_by_index`, `subset_by_value`, `subset_size`, `degeneracy`, `tally`: as for `eigh`. Only
        the subset is computed, whatever its size.

    **Returns:** `EighResult(eigenvalues, eigenvectors)`, of shapes `(…, k)` and `(…, n, k)`, or the eigenvalues alone.
    NaN for a matrix with NaN or Inf in it.

    The gradient has the shapes of `d` and `e`: `∂λₖ/∂dᵢ = vᵢₖ²`, `∂λₖ/∂eᵢ = 2 vᵢₖ vᵢ₊₁ₖ`. It takes O(n) for each
    eigenvalue, and derivatives of the `k` eigenvectors of a subset take O(n k²). No `(n, n)` matrix is formed, except
    the eigenvectors if all of them are requested or differentiated. If no entry of `e` is zero, all eigenvalues are
    distinct. But they may agree to the last digit, as for Wilkinson's matrix W21+, and `degeneracy` treats them as in
    `eigh`.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.

    Solved by LAPACK's `stevd`, a subset by `stemr`. Derivatives: Giles 2008, §3.1; `docs/derivations.md`, "Band
    matrices".
    """
    problem = _tridiagonal(d, e)
    return _solution(problem, eigvals_only, subset_by_index, subset_by_value, subset_size, degeneracy, tally)


@with_remedies({**TRIDIAGONAL, "eigvals_only": "leave it out: only eigenvalues are returned; eigh_tridiagonal has it"})
def eigvalsh_tridiagonal(
    d: Any,
    e: Any,
    *,
    subset_by_index: tuple[int, int] | None = None,
    subset_by_value: tuple[float, float] | None = None,
    subset_size: int | None = None,
    degeneracy: Policy | None = None,
) -> Array:
    """Eigenvalues of a real symmetric tridiagonal matrix, ascending, `(…, k)`: a differentiable
    `scipy.linalg.eigvalsh_tridiagonal`. Arguments and errors as for `eigh_tridiagonal`; repeated eigenvalues as for
    `eigvalsh`."""
    problem = _tridiagonal(d, e)
    result = _solution(problem, True, subset_by_index, subset_by_value, subset_size, degeneracy, None)
    assert not isinstance(result, EighResult)
    return result


@with_remedies(BANDED)
def eigh_banded(
    a_band: Any,
    *,
    lower: bool = False,
    eigvals_only: bool = False,
    subset_by_index: tuple[int, int] | None = None,
    subset_by_value: tuple[float, float] | None = None,
    subset_size: int | None = None,
    degeneracy: Policy | None = None,
    tally: Any = None,
) -> EighResult | Array:
    """Eigenvalues and eigenvectors of a Hermitian band matrix: a differentiable `scipy.linalg.eig_banded`.

    **Arguments:**

    - `a_band`: `(…, u + 1, n)`, the diagonals of one half of the matrix in its rows, real or complex. Entry `(i, j)` is
        at `a_band[u + i - j, j]` for `i ≤ j`, or with `lower` at `a_band[i - j, j]` for `i ≥ j`. The unused entries in
        the corners and the imaginary part of the diagonal are not read.
    - `lower`: whether `a_band` holds the lower half.
    - `eigvals_only`, `subset_by_index`, `subset_by_value`, `subset_size`, `degeneracy`, `tally`: as for `eigh`.

    **Returns:** `EighResult(eigenvalues, eigenvectors)`, of shapes `(…, k)` and `(…, n, k)`, or the eigenvalues alone.
    NaN for a matrix with NaN or Inf in it.

    The gradient has the shape of `a_band` and is taken with respect to the stored entries. Off-diagonal entries are
    doubled, because each stands for two entries of the matrix; the corners are zero. The gradient takes O(n) for each
    diagonal and eigenvalue. If all eigenvectors are needed, `eigh` of the whole matrix is about as fast.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.

    Solved by LAPACK's `sbtrd` or `hbtrd`, and `stevd` or `stemr`. Derivatives: Giles 2008, §3.1; `docs/derivations.md`,
    "Band matrices".
    """
    problem = _banded(a_band, lower)
    return _solution(problem, eigvals_only, subset_by_index, subset_by_value, subset_size, degeneracy, tally)


@with_remedies({**BANDED, "eigvals_only": "leave it out: only eigenvalues are returned; eigh_banded has it"})
def eigvalsh_banded(
    a_band: Any,
    *,
    lower: bool = False,
    subset_by_index: tuple[int, int] | None = None,
    subset_by_value: tuple[float, float] | None = None,
    subset_size: int | None = None,
    degeneracy: Policy | None = None,
) -> Array:
    """Eigenvalues of a Hermitian band matrix, real and ascending, `(…, k)`: a differentiable
    `scipy.linalg.eigvals_banded`. Arguments and errors as for `eigh_banded`; repeated eigenvalues as for `eigvalsh`."""
    problem = _banded(a_band, lower)
    result = _solution(problem, True, subset_by_index, subset_by_value, subset_size, degeneracy, None)
    assert not isinstance(result, EighResult)
    return result


def _tridiagonal(d: Any, e: Any) -> Array:
    """The lower half of the band."""
    d, e = (_vector(name, x) for name, x in (("d", d), ("e", e)))
    n = d.shape[-1]
    if e.shape[-1] != max(n - 1, 0):
        raise ValueError(f"e must have one entry less than d, {max(n - 1, 0)}; got {e.shape} for d of {d.shape}")
    dtype = jnp.promote_types(d.dtype, e.dtype)
    try:
        batch = np.broadcast_shapes(d.shape[:-1], e.shape[:-1])
    except ValueError:
        raise ValueError(f"the batch axes of e do not broadcast against those of d: {e.shape} and {d.shape}") from None
    d, e = (jnp.broadcast_to(of_rank(x.astype(dtype), len(batch) + 1), (*batch, x.shape[-1])) for x in (d, e))
    if n < 2:
        return d[..., None, :]
    return jnp.stack([d, jnp.pad(e, [(0, 0)] * len(batch) + [(0, 1)])], axis=-2)


def _vector(name: str, value: Any) -> Array:
    x = arguments.array(name, value)
    if jnp.iscomplexobj(x):
        remedy = (
            "the diagonal of a Hermitian matrix is real; give d.real"
            if name == "d"
            else "eigenvalues depend on jnp.abs(e) alone; for eigenvectors, eigh_banded takes complex matrices"
        )
        raise TypeError(f"{name} must be real, got {x.dtype}; {remedy}")
    if x.ndim < 1:
        raise ValueError(f"{name} must be a vector or a batch of them, got a number")
    return x


def _banded(a_band: Any, lower: Any) -> Array:
    """The lower half of the band."""
    band = arguments.array("a_band", a_band)
    if band.ndim < 2 or band.shape[-2] < 1:
        raise ValueError(
            f"a_band must have the diagonals in its rows, (…, u + 1, n), got shape {band.shape}; "
            "for a whole matrix use eigh"
        )
    lower = arguments.flag("lower", lower)
    rows, n = band.shape[-2:]
    if rows > max(n, 1):  # those diagonals are beyond the matrix
        band = band[..., : max(n, 1), :] if lower else band[..., rows - max(n, 1) :, :]
    return band if lower else bands.from_upper(band)


def _solution(
    band: Array,
    eigvals_only: Any,
    subset_by_index: Any,
    subset_by_value: Any,
    subset_size: Any,
    degeneracy: Any,
    tally: Any,
) -> EighResult | Array:
    engines.refuse("a band matrix")
    n = band.shape[-1]
    vectors = not arguments.flag("eigvals_only", eigvals_only)
    by_value = intervals.checked(subset_by_index, subset_by_value, subset_size)
    subset = arguments.subset(subset_by_index, n)
    policy = policy_of_call(degeneracy)
    if tally is not None:
        tally = arguments.tally(tally, band)

    def solve(subset: tuple[int, int] | None) -> list[Array]:
        if n == 0:
            w = jnp.zeros((*band.shape[:-2], 0), jnp.finfo(band.dtype).dtype)
            return [w, jnp.zeros((*w.shape, 0), band.dtype)]
        return solve_band(band, subset=subset or (0, n - 1), policy=policy, vectors=vectors, tally=tally)

    if by_value is None:
        results = solve(subset)
    else:

        def values(band: Array) -> Array:
            return solve_band(band, subset=(0, n - 1), policy=policy, vectors=False)[0]

        results = intervals.solve_in(by_value, (band,), values, solve)
    return EighResult(*results) if vectors else results[0]
