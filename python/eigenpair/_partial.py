"""A few eigenpairs of a large Hermitian matrix, without the rest: forward and backward.

The solve reduces the matrix to tridiagonal form and finds what is asked there. Derivatives of its vectors have a part
inside the subset, which follows `eigenpair.hermitian`, and one outside, `−P (A − λⱼ)⁺ P dA vⱼ` with the projector `P`
on the complement, for which the reduction serves once more: O(n²) for each vector. See `docs/derivations.md`,
"Subsets".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import native
from ._linear_pair import LinearPair, batched, by_jit
from ._matrices import TRIANGLES, adjoint, hermitian_part, hermitian_part_transpose, matmul
from .degeneracy import (
    Policy,
    check,
    clusters,
    inverse_gaps,
    largest_column,
    noise,
    parts,
    raw,
    second_order_factor,
    verdict,
    width,
    without,
)

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

# ---- the complement -----------------------------------------------------------------------------------------------

# x_j = P (A − w_j)⁺ P y_j, linear in y and its own adjoint; a, w, v and the factor say what A is.
_complement_p = Primitive("eigenpair_complement")
_complement_p.def_impl(by_jit(jax.jit(_complement_p.bind, static_argnames=("first",))))


@_complement_p.def_abstract_eval
def _complement_abstract(y: Any, a: Any, w: Any, v: Any, factor: Any, *, first: int) -> Any:
    return y


def _complement_by_xla(y: Array, a: Array, w: Array, v: Array, factor: Array, *, first: int) -> Array:
    basis, spectrum = lax.linalg.eigh(a, symmetrize_input=False)
    n, count = v.shape[-2:]
    outside = ((np.arange(n) < first) | (np.arange(n) >= first + count))[:, None]
    gaps = spectrum[..., :, None] - w[..., None, :]
    inverse = jnp.where(outside, 1 / jnp.where(outside, gaps, 1), 0)
    return matmul(basis, inverse * matmul(adjoint(basis), y))


def _complement_native(ctx: Any, y: Any, a: Any, w: Any, v: Any, factor: Any, *, first: int) -> Any:
    avals = ctx.avals_in
    reduced = ctx.replace(avals_in=[avals[4], avals[2], avals[3], avals[0]])
    return native.lowering("eigenpair_complement")(reduced, factor, w, v, y)


mlir.register_lowering(_complement_p, mlir.lower_fun(_complement_by_xla, multiple_results=False))
if native.has_cpu_kernels():
    mlir.register_lowering(_complement_p, _complement_native, platform="cpu")
batching.primitive_batchers[_complement_p] = batched(_complement_p)


def _complement_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, first: int) -> tuple[Any, Any]:
    y, a, w, v, factor = primals
    dy, da, dw, dv, _ = (None if isinstance(t, ad.Zero) else t for t in tangents)
    x = _complement_p.bind(*primals, first=first)
    # Of (A − wⱼ) xⱼ = P yⱼ with vᴴx = 0, on the complement and along v.
    right = jnp.zeros_like(y) if dy is None else dy
    if da is not None:
        right = right - matmul(da, x)
    if dw is not None:
        right = right + x * dw[..., None, :]
    if dv is not None:
        right = right - matmul(dv, matmul(adjoint(v), y))
    dx = _complement_p.bind(right, a, w, v, factor, first=first)
    return x, (dx if dv is None else dx - matmul(v, matmul(adjoint(dv), x)))


def _complement_transpose(cotangent: Any, y: Any, *rest: Any, first: int) -> list[Any]:
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(y.aval)] + [None] * 4
    return [jnp.conj(_complement_p.bind(jnp.conj(cotangent), *rest, first=first))] + [None] * 4


ad.primitive_jvps[_complement_p] = _complement_jvp
ad.primitive_transposes[_complement_p] = _complement_transpose


def _outside(y: Array, residuals: Sequence[Array], first: int) -> Array:
    w, _, v, factor, a = residuals
    batch = jnp.broadcast_shapes(y.shape[:-2], v.shape[:-2])
    y, a, v, factor = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (y, a, v, factor))
    return _complement_p.bind(y, a, jnp.broadcast_to(w, (*batch, w.shape[-1])), v, factor, first=first)


# ---- derivatives --------------------------------------------------------------------------------------------------


def _of_whole(policy: Policy, n: int, k: int) -> Policy:
    """The policy with clusters as wide as in the whole problem."""
    return dataclasses.replace(policy, c=policy.c * math.sqrt(n / k)) if isinstance(policy, check) else policy


def _open(policy: Policy, w: Array, edges: Array) -> Array | None:
    """Which eigenvalues share a cluster with one that was not asked for; `(…, 1, k)`."""
    if not isinstance(policy, check):
        return None
    reach = width(policy, w) * edges[..., 2]
    low = ~(w[..., 0] - edges[..., 0] > reach)[..., None, None]
    high = ~(edges[..., 1] - w[..., -1] > reach)[..., None, None]
    together = clusters(policy, w, edges[..., 2:])
    return (together[..., :1, :] & low) | (together[..., -1:, :] & high)


def _tangent(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    first: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    w, edges, v, *_ = residuals
    policy = _of_whole(policy, *v.shape[-2:])
    y = matmul(hermitian_part(linear[0], triangle), v)
    moved = matmul(adjoint(v), y)
    results = [jnp.real(jnp.diagonal(moved, axis1=-2, axis2=-1))] if outputs[0] else []
    if outputs[1]:
        f = inverse_gaps(policy, w, lax.stop_gradient(edges[..., 2:]))
        dv = matmul(v, f * moved) - _outside(y, residuals, first)
        unknown = _open(policy, *(lax.stop_gradient(x) for x in (w, edges)))
        results.append(dv if unknown is None else jnp.where(unknown, jnp.nan, dv))
    return results


def _cotangent(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    first: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    w, edges, v, *_ = residuals
    policy = _of_whole(policy, *v.shape[-2:])
    w_bar, v_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    right = jnp.zeros((), v.dtype) if w_bar is None else v * w_bar[..., None, :]
    answer = None
    if v_bar is not None:
        scale = lax.stop_gradient(edges[..., 2:])
        k_bar = matmul(adjoint(v), v_bar)
        kappa = largest_column(v) * largest_column(v_bar)
        gap = w[..., None, :] - w[..., :, None]
        nothing = noise(policy, gap, *parts(k_bar), w_bar, kappa, scale[..., None])
        rotation = inverse_gaps(policy, w, scale) * without(nothing, (k_bar - adjoint(k_bar)) / 2)
        right = right + matmul(v, rotation) - _outside(v_bar, residuals, first)
        answer = verdict(policy, w, w_bar, k_bar, kappa, scale)
        unknown = _open(policy, *(lax.stop_gradient(x) for x in (w, edges)))
        if unknown is not None and answer is not None:
            used = jnp.any(unknown & (lax.stop_gradient(v_bar) != 0), axis=(-1, -2), keepdims=True)
            answer = jnp.where(used, jnp.nan, answer)
    gradient = jnp.conj(hermitian_part_transpose(matmul(right, adjoint(v)), triangle))
    return [gradient if answer is None else gradient * answer]


def _second_order(
    residuals: Sequence[Any], *, outputs: tuple[bool, ...], first: int, triangle: str, policy: Policy
) -> Array:
    w, edges, v, *_ = residuals
    all_known = jnp.concatenate([edges[..., :1], w, edges[..., 1:2]], axis=-1)
    policy = _of_whole(policy, v.shape[-2], all_known.shape[-1])
    return second_order_factor(policy, all_known, lax.stop_gradient(edges[..., 2:]), outputs[1])


_pair = LinearPair("eigenpair_partial", _tangent, _cotangent, _second_order)


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[list[Any], list[Any]]:
    (a,), (da,) = primals, tangents
    w, edges, v, factor = _solve_p.bind(a, **{**params, "vectors": True})
    residuals = (w, edges, v, factor, hermitian_part(a, params["triangle"]))
    vectors = params["vectors"]
    static = {name: params[name] for name in ("first", "triangle", "policy")}
    moved = _pair([da], residuals, outputs=(True, vectors), **static)
    still = [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in (edges, factor)]
    if not vectors:
        return [w, edges], [moved[0], still[0]]
    return [w, edges, v, factor], [moved[0], still[0], moved[1], still[1]]


ad.primitive_jvps[_solve_p] = _solve_jvp
