"""First derivatives of a subset of the eigenpairs of a large Hermitian problem: the rules of `docs/derivations.md`,
"Subsets".

Inside the subset they are the rules of rule.py. The contribution of the other eigenpairs is the solution of linear
systems on their span, `complement_p`.
"""

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

from ..degeneracy.decision import (
    at_most_half_of_digits,
    inverse_gaps,
    open_columns,
    policy_of_whole,
    rounding_of_product,
    second_order_factor,
)
from ..degeneracy.explanations import EDGE, Subject, explain_neighbours
from ..degeneracy.policies import Policy, check, explains
from ..runtime import native
from ..runtime.matrices import adjoint, hermitian_part, matmul, nan_columns, norm, of_rank
from ..runtime.primitives import batched, by_jit
from ..runtime.tangent_maps import TangentMap
from .rule import (
    RULES,
    finished,
    inner_of_b,
    inner_pullback,
    inner_pushforward,
    mean,
    subject_of,
    vectors_without_tangent,
)
from .xla import solve_by_xla

# ---- the part outside the subset ----------------------------------------------------------------------------------
# x_j = Σ vᵢ vᵢᴴ y_j / (λᵢ − λ_j) over the eigenpairs that w and v leave out. Linear in y and its own adjoint. The
# operands are y, w, v, the factor that the solver returned, a and, for a pair, b.
complement_p = Primitive("eigenpair_complement")
by_jit(complement_p, "first")


@complement_p.def_abstract_eval
def _complement_abstract(y: Any, *_: Any, first: int) -> Any:
    return y


def _complement_by_xla(y: Array, w: Array, v: Array, factor: Array, *matrices: Array, first: int) -> Array:
    spectrum, basis = solve_by_xla(
        *matrices, type=len(matrices) - 1, triangle="hermitian", policy=check(), vectors=True
    )[:2]
    n, count = v.shape[-2:]
    gaps = spectrum[..., :, None] - w[..., None, :]
    outside = (jnp.arange(n) < first) | (jnp.arange(n) >= first + count)
    outside = of_rank(outside[:, None], gaps.ndim)
    inverse = jnp.where(outside, 1 / jnp.where(outside, gaps, 1), 0)
    return matmul(basis, inverse.astype(y.dtype) * matmul(adjoint(basis), y))


def _complement_native(ctx: Any, y: Any, w: Any, v: Any, factor: Any, *matrices: Any, first: int) -> Any:
    reduced = ctx.replace(avals_in=[ctx.avals_in[i] for i in (3, 1, 2, 0)])
    return native.lowering("eigenpair_complement", type=np.int32(len(matrices) - 1))(reduced, factor, w, v, y)


mlir.register_lowering(complement_p, mlir.lower_fun(_complement_by_xla, multiple_results=False))
if native.has_cpu_kernels():
    mlir.register_lowering(complement_p, _complement_native, platform="cpu")
batching.primitive_batchers[complement_p] = batched(complement_p)


def _complement_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, first: int) -> tuple[Any, Any]:
    y, w, v, _, _, *b = primals
    dy, dw, dv, _, da, *rest = (None if isinstance(t, ad.Zero) else t for t in tangents)
    db = rest[0] if b else None
    x = complement_p.bind(*primals, first=first)

    def times_b(z: Array) -> Array:
        return matmul(b[0], z) if b else z

    # Of (A − wⱼ B) xⱼ = yⱼ − B v vᴴ yⱼ with vᴴ B x = 0, on the complement and along v.
    right = jnp.zeros_like(y) if dy is None else dy
    along = None
    if da is not None:
        right = right - matmul(da, x)
    if dw is not None:
        right = right + times_b(x * dw.astype(x.dtype)[..., None, :])
    if dv is not None:
        right = right - times_b(matmul(dv, matmul(adjoint(v), y)))
        along = matmul(adjoint(dv), times_b(x))
    if db is not None:
        right = right + matmul(db, x * w.astype(x.dtype)[..., None, :] - matmul(v, matmul(adjoint(v), y)))
        turned = matmul(adjoint(v), matmul(db, x))
        along = turned if along is None else along + turned
    dx = complement_p.bind(right, *primals[1:], first=first)
    return x, (dx if along is None else dx - matmul(v, along))


def _complement_transpose(cotangent: Any, y: Any, *rest: Any, first: int) -> list[Any]:
    none = [None] * len(rest)
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(y.aval), *none]
    return [jnp.conj(complement_p.bind(jnp.conj(cotangent), *rest, first=first)), *none]


ad.primitive_jvps[complement_p] = _complement_jvp
ad.primitive_transposes[complement_p] = _complement_transpose


# ---- the rule -----------------------------------------------------------------------------------------------------


def _outside(y: Array, residuals: Sequence[Array], first: int) -> Array:
    """The solution `xⱼ` of `(A − λⱼ B) xⱼ = yⱼ`, projected on the span of the eigenvectors outside the subset."""
    w, v, _, factor, *matrices = residuals
    batch = jnp.broadcast_shapes(y.shape[:-2], v.shape[:-2])
    y, v, factor, *matrices = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (y, v, factor, *matrices))
    return complement_p.bind(y, jnp.broadcast_to(w, (*batch, w.shape[-1])), v, factor, *matrices, first=first)


def _least_of_whole(columns: Array, residuals: Sequence[Array]) -> Array:
    """A lower bound of the largest `|xᵢᴴ yⱼ|`, `yⱼ` in `columns` and `i` in the whole problem: `‖yⱼ‖² ≤ ‖B‖ Σᵢ|xᵢᴴ
    yⱼ|²`."""
    size = jnp.max(norm(lax.stop_gradient(columns), -2), axis=-1, keepdims=True, initial=0)
    return size / (math.sqrt(columns.shape[-2]) * _root_of_b(residuals))


def _root_of_b(residuals: Sequence[Array]) -> Any:
    """`√‖B‖`, shape `(…, 1, 1)`."""
    _, _, _, _, _, *b = residuals
    return jnp.sqrt(norm(lax.stop_gradient(b[0]), (-2, -1))) if b else 1


def explain_open_ends(
    policy: Policy, subject: Subject, w: Array, edges: Array, below: Array | None, above: Array | None
) -> None:
    """Warns if a cluster at either end of the subset continues outside; `below` and `above` mark its columns."""
    if below is None or above is None or not explains(policy):
        return
    w, edges = lax.stop_gradient(w), lax.stop_gradient(edges)
    ends = [jnp.any(x, axis=(-1, -2))[..., None] for x in (below, above)]
    inside = jnp.zeros((*ends[0].shape[:-1], w.shape[-1] - 1), bool)
    all_known = jnp.broadcast_to(_with_edges(w, edges), (*ends[0].shape[:-1], w.shape[-1] + 2))
    explain_neighbours(subject, policy, all_known, ~jnp.concatenate([ends[0], inside, ends[1]], axis=-1), EDGE)


def open_ends(policy: Policy, w: Array, edges: Array) -> list[Array | None]:
    """Which columns share a cluster with the eigenvalue below the subset, and with the one above; `(…, 1, k)` each."""
    return [open_columns(policy, w, edges[..., end : end + 1], edges[..., 2:]) for end in (0, 1)]


def _with_edges(w: Array, edges: Array) -> Array:
    return jnp.concatenate([edges[..., :1], w, edges[..., 1:2]], axis=-1)


def pullback_inside(
    policy: Policy,
    type: int,
    first: int,
    w: Array,
    v: Array,
    edges: Array,
    w_bar: Array | None,
    v_bar: Array,
    k_bar: Array,
    least: Array,
) -> tuple[Array, Array | None]:
    """`M̄` of `inner_pullback`, and a factor that is also NaN if a cluster of the subset continues outside. `least` is a
    lower bound of the largest entry of `K̄` in the whole problem."""
    kappa = at_most_half_of_digits(k_bar, rounding_of_product(v, v_bar), least)
    scale = lax.stop_gradient(edges[..., 2:])
    m_bar, factor = inner_pullback(policy, subject_of(type, first), w, w_bar, k_bar, kappa, scale)
    used = lax.stop_gradient(v_bar) != 0
    below, above = (None if x is None else x & used for x in open_ends(policy, w, edges))
    explain_open_ends(policy, subject_of(type, first - 1), w, edges, below, above)
    if below is not None and above is not None and factor is not None:
        factor = jnp.where(jnp.any(below | above, axis=(-1, -2), keepdims=True), jnp.nan, factor)
    return m_bar, factor


def pushforward(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    first: int,
    type: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of the requested `outputs`."""
    w, v, edges, *_ = residuals
    policy = policy_of_whole(policy, *v.shape[-2:])
    da, db = (None if x is None else hermitian_part(x, triangle) for x in linear)
    scale = lax.stop_gradient(edges[..., 2:])
    f = inverse_gaps(policy, w, scale)
    dw, k, m = inner_pushforward(da, db, w, v, None, f, type)
    results = [dw] if outputs[0] else []
    if outputs[1]:
        right = jnp.zeros((), v.dtype) if da is None else matmul(da, v)
        if db is not None:
            right = right - matmul(db, v) * w.astype(v.dtype)[..., None, :]
        outside = _outside(right, residuals, first)
        lengths = norm(lax.stop_gradient(outside), -2) * _root_of_b(residuals)
        largest = _least_of_whole(right, residuals)
        if da is not None:  # in the metric of B it has at least this norm, and n² entries
            size = norm(lax.stop_gradient(da), (-2, -1))
            largest = jnp.maximum(largest, size / (v.shape[-2] * _root_of_b(residuals) ** 2))
        dv = matmul(v, k) - outside
        without_tangent = vectors_without_tangent(
            policy, da, db, w, v, None, f, scale, m, type, lengths, largest, first
        )
        below, above = open_ends(policy, w, edges)
        explain_open_ends(policy, subject_of(type, first - 1), w, edges, below, above)
        for columns in (without_tangent, below, above):
            dv = nan_columns(columns, dv)
        results.append(dv)
    return results


def pullback(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    first: int,
    type: int,
    triangle: str,
    policy: Policy,
    by_blocks: bool = False,
) -> list[Array]:
    """The reverse rule, for `TangentMap`: the gradients with respect to the requested `inputs`, in JAX's convention;
    `by_blocks` as for whole spectra."""
    w, v, edges, _, *matrices = residuals
    policy = policy_of_whole(policy, *v.shape[-2:])
    w_bar: Any
    w_bar, v_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    of_each = w.astype(v.dtype)[..., None, :]
    factor = None
    if v_bar is None:
        of_a = v * w_bar.astype(v.dtype)[..., None, :]
        if by_blocks and inputs[1]:
            block = matmul(adjoint(v), matmul(matrices[0], v))
            of_b = matmul(v, RULES[type].s * block * mean(w_bar, v.dtype))
        else:
            of_b = RULES[type].s * of_a * of_each
    else:
        k_bar = matmul(adjoint(v), v_bar)
        least = _least_of_whole(v_bar, residuals)
        m_bar, factor = pullback_inside(policy, type, first, w, v, edges, w_bar, v_bar, k_bar, least)
        outside = _outside(v_bar, residuals, first)
        of_a = matmul(v, m_bar) - outside
        of_b = matmul(v, inner_of_b(m_bar, k_bar, w, type)) + outside * of_each
    bars = [matmul(right, adjoint(v)) for right, wanted in zip((of_a, of_b), inputs, strict=True) if wanted]
    return finished(bars, factor, triangle)


def second_order(
    residuals: Sequence[Any],
    *,
    outputs: tuple[bool, ...],
    weights: Any,
    first: int,
    type: int,
    triangle: str,
    policy: Policy,
) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    w, v, edges, *_ = residuals
    all_known = _with_edges(w, edges)
    policy = policy_of_whole(policy, v.shape[-2], all_known.shape[-1])
    if weights is not None:  # those that were left out have weight 0
        weights = jnp.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(1, 1)])
    return second_order_factor(
        policy, subject_of(type, first - 1), all_known, lax.stop_gradient(edges[..., 2:]), outputs[1], weights
    )


tangent_map = TangentMap(
    "eigenpair_subset", pushforward, pullback, second_order, functools.partial(pullback, by_blocks=True)
)
