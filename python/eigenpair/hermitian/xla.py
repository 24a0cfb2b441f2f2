"""Hermitian problems solved by XLA where there is no kernel, by element-wise operations or by XLA's own `eigh`; and the
change to the basis of a policy."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..degeneracy.decision import clusters
from ..degeneracy.policies import Policy, check
from ..elementwise import solver
from ..elementwise.pair import cholesky, solve_triangular
from ..runtime.matrices import adjoint, all_finite, finite_part, hermitian_part, identity, matmul, of_rank
from .rule import bases, scale_of


def result_count(type: int, vectors: bool) -> int:
    """The number of arrays `w`, `v`, `u` that a solver returns."""
    return (3 if type >= 2 else 2) if vectors else 1


def solve_by_xla(
    *operands: Array,
    type: int,
    triangle: str,
    policy: Policy,
    vectors: bool,
    kernels: Any = None,
    on_gpu: bool = False,
) -> Sequence[Array]:
    """The results of the primitive of `eigenpair.hermitian`, by element-wise operations for small matrices, and else by
    XLA's own `eigh` or that of `kernels`, a module like `eigenpair.runtime.cuda`."""
    small = 0 < operands[0].shape[-1] <= (solver.LARGEST if kernels is None else kernels.ELEMENTWISE)
    eigh_ = _eigh_by_xla if kernels is None else kernels.eigh
    if small:
        eigh_ = functools.partial(solver.eigh, by_entries=on_gpu)
    finite = functools.reduce(operator.and_, [all_finite(x, triangle) for x in operands])
    a, *b = (hermitian_part(finite_part(x), triangle) for x in operands)
    if type == 0:
        results, solved = eigh_(a, vectors)
    elif not small and kernels is not None and kernels.takes_pair(a):
        results, solved = kernels.eigh_pair(a, *b, type, vectors)
    else:
        if small:
            factor = cholesky(b[0])
            solve = functools.partial(solve_triangular, factor)
        else:
            factor = lax.linalg.cholesky(b[0], symmetrize_input=False)
            solve = _triangular_solver(factor)
        a = solve(adjoint(solve(a))) if type == 1 else matmul(adjoint(factor), matmul(a, factor))
        # Cholesky has failed where B is not positive definite.
        finite = finite & all_finite(a)
        results, solved = eigh_(hermitian_part(finite_part(a)), vectors)
        if vectors:
            w, y = results
            primal, dual = solve(y, adjoint=True), matmul(factor, y)
            results = [w, dual, primal] if type == 3 else [w, primal, dual]
    results = results[: result_count(type, vectors)]
    good = finite[..., 0] & solved[..., None] & jnp.all(jnp.isfinite(results[0]), axis=-1, keepdims=True)
    results = [jnp.where(good if r.ndim < a.ndim else good[..., None], r, jnp.nan) for r in results]
    return in_generic_basis(results, operands, type, triangle, policy)


def _eigh_by_xla(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    v, w = lax.linalg.eigh(a, symmetrize_input=False)
    return [w, v][: 1 + vectors], jnp.full(w.shape[:-1], True)


def _triangular_solver(factor: Array) -> Any:
    def solve(x: Array, *, adjoint: bool = False) -> Array:
        return lax.linalg.triangular_solve(
            factor, x, left_side=True, lower=True, transpose_a=adjoint, conjugate_a=adjoint
        )

    return solve


def in_generic_basis(
    results: Sequence[Array], operands: Sequence[Array], type: int, triangle: str, policy: Policy
) -> Sequence[Array]:
    """The same solution in the basis of the policy."""
    if not isinstance(policy, check) or not policy.generic_basis or len(results) == 1:
        return results
    w, v, *u = results
    a, *b = (hermitian_part(x, triangle) for x in operands)
    scale = scale_of(type, a, b[0] if b else None, w, *bases(type, v, u[0] if u else None))
    turn = generic_rotation(policy, w, scale, v.dtype)
    return [w, *(matmul(x, turn) for x in (v, *u))]


def generic_rotation(policy: check, w: Array, scale: Array, dtype: Any) -> Array:
    """A unitary matrix that mixes only vectors of the same cluster: one reflection per cluster, at a fixed vector
    without symmetry."""
    n = w.shape[-1]
    same = clusters(policy, w, scale)
    k = np.arange(1, n + 1)
    vector = 1 + np.modf(k * (np.sqrt(5) - 1) / 2)[0]
    if jnp.issubdtype(dtype, jnp.complexfloating):
        vector = vector * np.exp(2j * np.pi * np.modf(k * np.sqrt(2))[0])
    inside = same & (jnp.sum(same, axis=-1, keepdims=True) > 1)
    squares = of_rank(jnp.asarray(np.abs(vector) ** 2, w.dtype), same.ndim)
    length = jnp.sum(jnp.where(same, squares, 0), axis=-1, keepdims=True)
    dyad = of_rank(jnp.asarray(2 * np.outer(vector, np.conj(vector)), dtype), same.ndim)
    return identity(n, same.ndim, dtype) - jnp.where(inside, dyad / length.astype(dtype), 0)
