"""The primitive that solves general problems: its lowerings, its batching, its forward rule."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import Policy, check
from ..runtime import arguments, cuda, native
from ..runtime.matrices import adjoint, finite_or_identity, largest_column, matmul
from ..runtime.primitives import batched, by_jit
from ..runtime.tangent_maps import tallied
from .rule import conditioning, normalize, tangent_map

# ---- forward ------------------------------------------------------------------------------------------------------

# Results: w, then the requested ones of v (right), vl (left), u (dual).
_solve_p = Primitive("eigenpair_general")
_solve_p.multiple_results = True
_solve_jit = by_jit(_solve_p, "policy", "right", "left", "dual")


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *b: Array, policy: Policy, right: bool, left: bool, dual: bool) -> list[Array]:
    for x in b:
        a = a + x
    a = a.astype(np.promote_types(a.dtype, np.complex64))
    return [jnp.sum(a, axis=-1)] + [a] * (right + left + dual)


def _lower_native(ctx: Any, *operands: Any, policy: Policy, right: bool, left: bool, dual: bool) -> Any:
    return native.lowering("eigenpair_general", right=right, left=left, dual=dual)(ctx, *operands)


def _solve_by_xla(
    *operands: Array, policy: Policy, right: bool, left: bool, dual: bool, kernels: Any = None
) -> Sequence[Array]:
    """The same results by XLA's own `eig`, for platforms without a kernel, or by that of `kernels`, a module like
    `eigenpair.runtime.cuda`. Infinite eigenvalues are NaN."""
    finite, (a, *b) = finite_or_identity(*operands)
    dtype = np.promote_types(a.dtype, np.complex64)
    # With B singular, the quotient is not finite.
    regular, (standard,) = finite_or_identity(jnp.linalg.solve(b[0], a) if b else a)
    finite = finite & regular
    vectors = right or left or dual
    standard, size = _to_size_one(standard)
    (w, *vs), solved = (_eig_by_xla if kernels is None else kernels.eig)(standard, vectors)
    w = w * size.astype(dtype)
    order = jnp.lexsort((jnp.imag(w), jnp.real(w)), axis=-1)
    w = jnp.take_along_axis(w, order, axis=-1)
    vs = [normalize(jnp.take_along_axis(v, order[..., None, :], axis=-1)) for v in vs]
    results = [w] + vs * right
    if left or dual:
        (v,) = vs
        u = adjoint(jnp.linalg.inv(matmul(b[0].astype(dtype), v) if b else v))
        limit = 1 / (10 * math.sqrt(max(a.shape[-1], 1)) * jnp.finfo(dtype).eps)
        u = jnp.where(largest_column(u) < limit, u, jnp.nan) if a.shape[-1] else u
        results += [normalize(u)] * left + [u] * dual
    good = finite[..., 0] & solved[..., None] & jnp.all(jnp.isfinite(w), axis=-1, keepdims=True)
    return [jnp.where(good if r.ndim < a.ndim else good[..., None], r, jnp.nan) for r in results]


def _to_size_one(a: Array) -> tuple[Array, Array]:
    """The matrices divided by a power of two, and that power, shape `(…, 1)`; 1 unless they are very large or small.
    Solvers should scale by themselves, but some do not scale the results back."""
    largest = jnp.max(jnp.abs(a), axis=(-1, -2), initial=0)
    limits = jnp.finfo(a.dtype)
    # In the middle of the range both factors are normal numbers.
    exponent = jnp.clip(jnp.frexp(largest)[1], limits.minexp + 2, limits.maxexp - 2)
    exponent = jnp.where((largest > 0) & (jnp.abs(exponent) >= 30), exponent, 0)
    one = jnp.ones_like(largest)
    return a * jnp.ldexp(one, -exponent).astype(a.dtype)[..., None, None], jnp.ldexp(one, exponent)[..., None]


def _eig_by_xla(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    results = lax.linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=vectors)
    return list(results), jnp.full(a.shape[:-2], True)


def _lower_cuda(ctx: Any, *operands: Any, **params: Any) -> Any:
    kernels = cuda if cuda.has_kernels("Xgeev") else None
    rule = mlir.lower_fun(functools.partial(_solve_by_xla, kernels=kernels), multiple_results=True)
    return rule(ctx, *operands, **params)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
mlir.register_lowering(_solve_p, _lower_cuda, platform="cuda")
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")
batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], tally: Any = None, **params: Any
) -> tuple[list[Any], list[Any]]:
    policy, right, left, dual = (params[key] for key in ("policy", "right", "left", "dual"))
    if primals[0].shape[-1] == 0:
        empty = _solve_p.bind(*primals, **params)
        return list(empty), [jnp.zeros_like(r) for r in empty]
    w, v, *rest = _solve_p.bind(*primals, policy=policy, right=True, left=left, dual=True)
    u = rest[-1]
    a, *b = primals
    reach, condition = conditioning(a, b[0] if b else None, w, v, u)
    moved = [None if t is None or isinstance(t, ad.Zero) else t.astype(v.dtype) for t in tangents]
    moved += [None] * (2 - len(moved)) + ([] if tally is None else [tally])
    outputs = (True, right, left, dual)
    results = [r for r, wanted in zip((w, v, rest[0], u), outputs, strict=True) if wanted]
    return results, tangent_map(moved, (w, v, u, reach, condition), outputs=outputs, policy=policy)


ad.primitive_jvps[_solve_p] = _solve_jvp


def solve(operands: Sequence[Array], tally: Any, **params: Any) -> Sequence[Array]:
    """The results of the primitive; with a tally, its gradient is the number of refused matrices."""
    if tally is None:
        return _solve_jit(*operands, **params)
    tally = arguments.tally(tally, operands[0])
    solve, jvp = functools.partial(_solve_jit, **params), functools.partial(_solve_jvp, **params)
    return tallied(solve, jvp, tally, operands)


def solve_with_dual(a: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues, right vectors and their dual basis `U = V⁻ᴴ` (NaN where there is none) of one checked matrix."""
    w, v, u = _solve_jit(a, policy=check(), right=True, left=False, dual=True)
    return w, v, u
