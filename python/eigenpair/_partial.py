"""A few eigenpairs of a large Hermitian matrix, without the rest: forward and backward.

The solve reduces the matrix to tridiagonal form and finds what is asked there. Derivatives of its vectors have a part
inside the subset, which follows `eigenpair.hermitian`, and one outside, `−P (A − λⱼ)⁺ P dA vⱼ` with the projector `P`
on the complement, for which the reduction serves once more: O(n²) for each vector. See `docs/derivations.md`,
"Subsets".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import native
from ._linear_pair import batched, by_jit
from ._matrices import TRIANGLES, hermitian_part
from ._partial_rules import pair
from .degeneracy import Policy, check, raw

# Below, or for more than a quarter of the spectrum, the whole of it is faster.
LEAST = 64
MOST = 4


def worthwhile(n: int, subset: tuple[int, int], type: int, policy: Policy) -> bool:
    """Whether to compute the subset alone. Policies that leave out gaps unasked would have to know all vectors."""
    if type != 0 or n < LEAST or not native.has_cpu_kernels():
        return False
    plain = isinstance(policy, raw) or (isinstance(policy, check) and not policy.generic_basis)
    return plain and MOST * (subset[1] - subset[0] + 1) <= n


def solve(a: Array, *, subset: tuple[int, int], triangle: str, policy: Policy, vectors: bool) -> list[Array]:
    """`[w]` or `[w, v]` of eigenpairs `subset[0]` to `subset[1]`, both included."""
    first, last = subset
    results = _solve_jit(a, first=first, count=last - first + 1, triangle=triangle, policy=policy, vectors=vectors)
    return [results[0], results[2]] if vectors else [results[0]]


# ---- forward ------------------------------------------------------------------------------------------------------

# Results: w (…, k); edges (…, 3): the eigenvalue below, the one above, the largest |λ|; with vectors also v (…, n, k)
# and the factor (…, n + 4, n), which is private to the core.
_solve_p = Primitive("eigenpair_partial")
_solve_p.multiple_results = True
_solve_jit = jax.jit(_solve_p.bind, static_argnames=("first", "count", "triangle", "policy", "vectors"))
_solve_p.def_impl(by_jit(_solve_jit))


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *, first: int, count: int, triangle: str, policy: Policy, vectors: bool) -> list[Array]:
    w = jnp.real(a[..., :count, 0])
    edges = jnp.broadcast_to(jnp.real(a[..., :1, 0]), (*a.shape[:-2], 3))
    if not vectors:
        return [w, edges]
    return [w, edges, a[..., :, :count], jnp.concatenate([a, a[..., :4, :]], axis=-2)]


def _solve_by_xla(a: Array, *, first: int, count: int, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    a = hermitian_part(a, triangle)
    finite = jnp.all(jnp.isfinite(a), axis=(-1, -2), keepdims=True)
    v, w = lax.linalg.eigh(jnp.where(finite, a, jnp.eye(a.shape[-1], dtype=a.dtype)), symmetrize_input=False)
    w = jnp.where(finite[..., 0], w, jnp.nan)
    infinity = jnp.full_like(w[..., :1], jnp.inf)
    beyond = jnp.concatenate([-infinity, w, infinity], axis=-1)
    largest = jnp.max(jnp.abs(w), axis=-1, keepdims=True)
    edges = jnp.concatenate(
        [beyond[..., first : first + 1], beyond[..., first + count + 1 : first + count + 2], largest], -1
    )
    results = [w[..., first : first + count], edges]
    if vectors:
        v = jnp.where(finite, v[..., first : first + count], jnp.nan)
        results += [v, jnp.zeros((*a.shape[:-2], a.shape[-1] + 4, a.shape[-1]), a.dtype)]
    return results


def _lower_native(ctx: Any, a: Any, *, first: int, count: int, triangle: str, policy: Policy, vectors: bool) -> Any:
    attributes: dict[str, Any] = {
        "triangle": np.int32(TRIANGLES[triangle]),
        "first": np.int64(first),
        "count": np.int64(count),
    }
    return native.lowering("eigenpair_partial", **attributes)(ctx, a)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")
batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[list[Any], list[Any]]:
    (a,), (da,) = primals, tangents
    w, edges, v, factor = _solve_p.bind(a, **{**params, "vectors": True})
    residuals = (w, edges, v, factor, hermitian_part(a, params["triangle"]))
    vectors = params["vectors"]
    static = {name: params[name] for name in ("first", "triangle", "policy")}
    moved = pair([da], residuals, outputs=(True, vectors), **static)
    still = [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in (edges, factor)]
    if not vectors:
        return [w, edges], [moved[0], still[0]]
    return [w, edges, v, factor], [moved[0], still[0], moved[1], still[1]]


ad.primitive_jvps[_solve_p] = _solve_jvp
