"""The primitives that solve Hermitian band matrices, also tridiagonal ones: lowerings, batching, forward rule.

Their operand is the lower half of the band (bands.py), `(…, k + 1, n)`. Neither they nor their derivatives form the
matrix. Derivatives are those of subsets (`docs/derivations.md`, "Subsets"), with products by the band.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import Policy, check, raw
from ..runtime import native
from ..runtime.matrices import matmul
from ..runtime.primitives import batched, by_jit
from ..runtime.tangent_maps import tallied
from . import bands
from .banded_rule import tangent_map
from .primitive import residual_policy, result_vectors
from .xla import generic_rotation, solve_by_xla


def solve_band(
    band: Array, *, subset: tuple[int, int], policy: Policy, vectors: bool, tally: Any = None
) -> list[Array]:
    """`[w]` or `[w, v]` of eigenpairs `subset[0]` to `subset[1]`, both included."""
    n = band.shape[-1]
    first, last = subset
    plain = isinstance(policy, raw) or (isinstance(policy, check) and not policy.generic_basis)
    # Other policies need all vectors.
    whole = vectors and not plain
    options: Any = {
        "first": 0 if whole else first,
        "count": n if whole else last - first + 1,
        "policy": policy,
        "vectors": vectors,
    }
    if tally is None:
        results = list(_solve_jit(band, **options)[: 1 + vectors])
    else:

        def jvp(*args: Any) -> tuple[list[Any], list[Any]]:
            found, moved = _solve_jvp(*args, **options)
            return found[: 1 + vectors], moved[: 1 + vectors]

        results = tallied(lambda x: _solve_jit(x, **options)[: 1 + vectors], jvp, tally, (band,))
    return [x[..., first : last + 1] for x in results] if whole else results


# ---- forward ------------------------------------------------------------------------------------------------------

# Results: w (…, k); with vectors also v (…, n, k) and edges (…, 3), as of a dense subset.
_solve_p = Primitive("eigenpair_banded")
_solve_p.multiple_results = True
_solve_jit = by_jit(_solve_p, "first", "count", "policy", "vectors")


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(band: Array, *, first: int, count: int, policy: Policy, vectors: bool) -> list[Array]:
    w = jnp.real(band[..., 0, :count])
    if not vectors:
        return [w]
    v = jnp.broadcast_to(band[..., :1, :count], (*band.shape[:-2], band.shape[-1], count))
    return [w, v, jnp.broadcast_to(w[..., :1], (*w.shape[:-1], 3))]


def _solve_by_xla(band: Array, *, first: int, count: int, policy: Policy, vectors: bool) -> Sequence[Array]:
    finite = bands.all_finite(band)
    a = jnp.where(finite, bands.dense(bands.inside(band)), jnp.nan)
    w, *v = solve_by_xla(a, type=0, triangle="hermitian", policy=check(), vectors=vectors)
    chosen = slice(first, first + count)
    if not vectors:
        return [w[..., chosen]]
    infinity = jnp.full_like(w[..., :1], jnp.inf)
    beyond = jnp.concatenate([-infinity, w, infinity], axis=-1)[..., first :: count + 1][..., :2]
    size = jnp.max(jnp.abs(w), axis=-1, keepdims=True)
    return _in_basis_of_policy([w[..., chosen], v[0][..., chosen], jnp.concatenate([beyond, size], axis=-1)], policy)


def _in_basis_of_policy(results: list[Array], policy: Policy) -> list[Array]:
    """The same solution in the basis of the policy, for problems with all vectors."""
    if not isinstance(policy, check) or not policy.generic_basis:
        return results
    w, v, edges = results
    return [w, matmul(v, generic_rotation(policy, w, edges[..., 2:], v.dtype)), edges]


def _lower_native(ctx: Any, band: Any, *, first: int, count: int, policy: Policy, vectors: bool) -> Any:
    if vectors and isinstance(policy, check) and policy.generic_basis:

        def turned(x: Array) -> list[Array]:
            results = _solve_p.bind(x, first=first, count=count, policy=check(), vectors=True)
            return _in_basis_of_policy(list(results), policy)

        return mlir.lower_fun(turned, multiple_results=True)(ctx, band)
    return native.lowering("eigenpair_banded", first=np.int64(first), count=np.int64(count))(ctx, band)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")
batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _solve_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    tally: Any = None,
    *,
    first: int,
    count: int,
    policy: Policy,
    vectors: bool,
) -> tuple[list[Any], list[Any]]:
    (band,) = primals
    solved = functools.partial(_solve_p.bind, first=first, count=count, vectors=True)
    w, v, edges = solved(band, policy=residual_policy(policy))
    residuals = (w, v, edges, band)
    static = {"first": first, "policy": policy}
    given = [*tangents, None, *([] if tally is None else [tally])]
    moved = tangent_map(given, residuals, outputs=(True, vectors), **static)
    if not vectors:
        return [w], moved
    (v,) = result_vectors([v], tangent_map, residuals, primals, (False, True), static)
    return [w, v, edges], [*moved, ad.Zero(jax.typeof(edges).to_tangent_aval())]


ad.primitive_jvps[_solve_p] = _solve_jvp
