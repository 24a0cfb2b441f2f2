"""A subset of the eigenpairs of a large Hermitian matrix or definite pair `A v = λ B v`, without the rest: solution and
derivatives.

The solver reduces the problem to a tridiagonal matrix and computes the subset there. Derivatives of the vectors have
two parts. The part inside the subset follows rule.py. The part outside is computed from the same reduction, in O(n²)
for each vector. See `docs/derivations.md`, "Subsets".
"""

from __future__ import annotations

import functools
import operator
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
from ..runtime.matrices import TRIANGLES, hermitian_part
from ..runtime.primitives import batched, by_jit
from ..runtime.tangent_maps import tallied
from .primitive import residual_policy, result_vectors
from .rule import scale_of
from .subset_rule import tangent_map
from .xla import solve_by_xla

# For smaller matrices, or for more than an eighth of the spectrum, computing the whole spectrum is faster.
LEAST = 64
MOST = 8


def worthwhile(n: int, subset: tuple[int, int], type: int, policy: Policy) -> bool:
    """Whether to compute only the subset. Policies that drop gaps without a test need all vectors."""
    if type > 1 or n < LEAST or not native.has_cpu_kernels():
        return False
    plain = isinstance(policy, raw) or (isinstance(policy, check) and not policy.generic_basis)
    return plain and MOST * (subset[1] - subset[0] + 1) <= n


def solve_subset(
    operands: Sequence[Array],
    *,
    subset: tuple[int, int],
    triangle: str,
    policy: Policy,
    vectors: bool,
    tally: Any = None,
) -> list[Array]:
    """`[w]` or `[w, v]` of eigenpairs `subset[0]` to `subset[1]`, both included."""
    first, last = subset
    options: Any = {
        "first": first,
        "count": last - first + 1,
        "triangle": triangle,
        "policy": policy,
        "vectors": vectors,
    }
    if tally is None:
        return list(_solve_jit(*operands, **options)[: 1 + vectors])

    def jvp(*args: Any) -> tuple[list[Any], list[Any]]:
        results, moved = _solve_jvp(*args, **options)
        return results[: 1 + vectors], moved[: 1 + vectors]

    return tallied(lambda *xs: _solve_jit(*xs, **options)[: 1 + vectors], jvp, tally, operands)


# ---- forward ------------------------------------------------------------------------------------------------------

# Results: w (…, k). With vectors also v (…, n, k); edges (…, 3), which are the eigenvalue below, the one above, and a
# bound of the scale of the whole problem; and the factor (…, n + 4, n), or (…, 2n + 4, n) for a pair, whose contents
# only the core knows.
_solve_p = Primitive("eigenpair_subset")
_solve_p.multiple_results = True
_solve_jit = by_jit(_solve_p, "first", "count", "triangle", "policy", "vectors")


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(
    *operands: Array, first: int, count: int, triangle: str, policy: Policy, vectors: bool
) -> list[Array]:
    a = functools.reduce(operator.add, operands)
    w = jnp.real(a[..., :count, 0])
    if not vectors:
        return [w]
    edges = jnp.broadcast_to(w[..., :1], (*w.shape[:-1], 3))
    return [w, a[..., :, :count], edges, jnp.concatenate([a] * len(operands) + [a[..., :4, :]], axis=-2)]


def _solve_by_xla(
    *operands: Array, first: int, count: int, triangle: str, policy: Policy, vectors: bool
) -> Sequence[Array]:
    type = len(operands) - 1
    w, v = solve_by_xla(*operands, type=type, triangle=triangle, policy=check(), vectors=True)[:2]
    chosen = slice(first, first + count)
    if not vectors:
        return [w[..., chosen]]
    a, *b = (hermitian_part(x, triangle) for x in operands)
    infinity = jnp.full_like(w[..., :1], jnp.inf)
    beyond = jnp.concatenate([-infinity, w, infinity], axis=-1)[..., first :: count + 1][..., :2]
    edges = jnp.concatenate([beyond, scale_of(type, a, b[0] if b else None, w, v, v)], axis=-1)
    factor = jnp.zeros((*a.shape[:-2], len(operands) * a.shape[-1] + 4, a.shape[-1]), a.dtype)
    return [w[..., chosen], v[..., chosen], edges, factor]


def _lower_native(
    ctx: Any, *operands: Any, first: int, count: int, triangle: str, policy: Policy, vectors: bool
) -> Any:
    attributes: dict[str, Any] = {
        "triangle": np.int32(TRIANGLES[triangle]),
        "first": np.int64(first),
        "count": np.int64(count),
    }
    return native.lowering("eigenpair_subset", **attributes)(ctx, *operands)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")
batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], tally: Any = None, **params: Any
) -> tuple[list[Any], list[Any]]:
    policy = residual_policy(params["policy"])
    w, v, edges, factor = _solve_p.bind(*primals, **{**params, "vectors": True, "policy": policy})
    residuals = (w, v, edges, factor, *(hermitian_part(x, params["triangle"]) for x in primals))
    vectors = params["vectors"]
    static = {name: params[name] for name in ("first", "triangle", "policy")}
    given = [*tangents, *[None] * (2 - len(tangents)), *([] if tally is None else [tally])]
    moved = tangent_map(given, residuals, outputs=(True, vectors), type=len(primals) - 1, **static)
    if not vectors:
        return [w], moved
    still = [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in (edges, factor)]
    (v,) = result_vectors([v], tangent_map, residuals, primals, (False, True), {**static, "type": len(primals) - 1})
    return [w, v, edges, factor], [*moved, *still]


ad.primitive_jvps[_solve_p] = _solve_jvp
