"""First derivatives of a few eigenpairs of a large Hermitian problem: the rules of `docs/derivations.md`, "Subsets"."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import clusters, noise, parts, second_order_factor, verdict, width
from ..degeneracy.explanations import EDGE, Subject, explain_neighbours
from ..degeneracy.inverse_gaps import inverse_gaps, without
from ..degeneracy.policies import Policy, check
from ..degeneracy.rounding import at_most_of, norm, rounding_of_product
from ..runtime.matrices import adjoint, diagonal_matrix, hermitian_part, hermitian_part_transpose, matmul
from ..runtime.tangent_maps import TangentMap
from .complement import complement_p
from .rule import inner_of_b, mean, pushforward, subject_of, turned, without_tangent


def _outside(y: Array, residuals: Sequence[Array], first: int) -> Array:
    """Of `(A − λⱼ B) xⱼ = yⱼ`, the part of `xⱼ` in what was left out."""
    w, v, _, factor, *matrices = residuals
    batch = jnp.broadcast_shapes(y.shape[:-2], v.shape[:-2])
    y, v, factor, *matrices = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (y, v, factor, *matrices))
    return complement_p.bind(y, jnp.broadcast_to(w, (*batch, w.shape[-1])), v, factor, *matrices, first=first)


def _of_whole(policy: Policy, n: int, k: int) -> Policy:
    """The policy with clusters as wide as in the whole problem."""
    return dataclasses.replace(policy, c=policy.c * math.sqrt(n / k)) if isinstance(policy, check) else policy


def _least_of_whole(columns: Array, residuals: Sequence[Array]) -> Array:
    """A lower bound of the largest `|xᵢᴴ yⱼ|`, `yⱼ` in `columns` and `i` in the whole problem: `‖yⱼ‖² ≤ ‖B‖ Σᵢ|xᵢᴴ
    yⱼ|²`."""
    size = jnp.max(norm(lax.stop_gradient(columns), -2), axis=-1, keepdims=True, initial=0)
    return size / (math.sqrt(columns.shape[-2]) * _root_of_b(residuals))


def _root_of_b(residuals: Sequence[Array]) -> Any:
    """`√‖B‖`, shape `(…, 1, 1)`."""
    _, _, _, _, _, *b = residuals
    return jnp.sqrt(norm(lax.stop_gradient(b[0]), (-2, -1))) if b else 1


def _open(
    policy: Policy, subject: Subject, w: Array, edges: Array, used: Callable[[Array], Array] = lambda unknown: unknown
) -> Array | None:
    """Which eigenvalues share a cluster with one that was not asked for, if they are `used`; `(…, 1, k)`."""
    if not isinstance(policy, check):
        return None
    w, edges = lax.stop_gradient(w), lax.stop_gradient(edges)
    reach = width(policy, w) * edges[..., 2]
    low = ~(w[..., 0] - edges[..., 0] > reach)[..., None, None]
    high = ~(edges[..., 1] - w[..., -1] > reach)[..., None, None]
    together = clusters(policy, w, edges[..., 2:])
    below, above = used(together[..., :1, :] & low), used(together[..., -1:, :] & high)
    if policy.explain:
        ends = [jnp.any(x, axis=(-1, -2))[..., None] for x in (below, above)]
        inside = jnp.zeros((*ends[0].shape[:-1], w.shape[-1] - 1), bool)
        all_known = jnp.broadcast_to(_with_edges(w, edges), (*ends[0].shape[:-1], w.shape[-1] + 2))
        explain_neighbours(subject, policy, all_known, ~jnp.concatenate([ends[0], inside, ends[1]], axis=-1), EDGE)
    return below | above


def _with_edges(w: Array, edges: Array) -> Array:
    return jnp.concatenate([edges[..., :1], w, edges[..., 1:2]], axis=-1)


def tangent(
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
    """The forward rule, for `TangentMap`: the tangents of what `outputs` asks for."""
    w, v, edges, *_ = residuals
    policy = _of_whole(policy, *v.shape[-2:])
    da, db = (None if x is None else hermitian_part(x, triangle) for x in linear)
    scale = lax.stop_gradient(edges[..., 2:])
    f = inverse_gaps(policy, w, scale)
    dw, k, moved = pushforward(da, db, w, v, None, f, type)
    results = [dw] if outputs[0] else []
    if outputs[1]:
        right = jnp.zeros((), v.dtype) if da is None else matmul(da, v)
        if db is not None:
            right = right - matmul(db, v) * w.astype(v.dtype)[..., None, :]
        outside = _outside(right, residuals, first)
        beyond = norm(lax.stop_gradient(outside), -2) * _root_of_b(residuals)
        largest = _least_of_whole(right, residuals)
        if da is not None:  # in the metric of B it has at least this norm, and n² entries
            size = norm(lax.stop_gradient(da), (-2, -1))
            largest = jnp.maximum(largest, size / (v.shape[-2] * _root_of_b(residuals) ** 2))
        lost = turned(policy, da, db, w, v, None, f, scale, moved, type, beyond, largest, first)
        dv = without_tangent(lost, matmul(v, k) - outside)
        results.append(without_tangent(_open(policy, subject_of(type, first - 1), w, edges), dv))
    return results


def cotangent(
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
    """The reverse rule, for `TangentMap`: the gradients that `inputs` asks for, in JAX's convention; `by_blocks` as for
    whole spectra."""
    w, v, edges, _, *matrices = residuals
    policy = _of_whole(policy, *v.shape[-2:])
    w_bar: Any
    w_bar, v_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    if v_bar is None:
        of_a, answer = v * w_bar.astype(v.dtype)[..., None, :], None
        if by_blocks and inputs[1]:
            matrix = matmul(adjoint(v), matmul(matrices[0], v))
            of_b = matmul(v, -matrix * mean(w_bar, v.dtype))
        else:
            of_b = -of_a * w.astype(v.dtype)[..., None, :]
    else:
        scale = lax.stop_gradient(edges[..., 2:])
        k_bar = matmul(adjoint(v), v_bar)
        kappa = at_most_of(k_bar, rounding_of_product(v, v_bar), _least_of_whole(v_bar, residuals))
        gap = w[..., None, :] - w[..., :, None]
        nothing = noise(policy, gap, *parts(k_bar), w_bar, kappa, scale[..., None])
        m_bar = inverse_gaps(policy, w, scale).astype(v.dtype) * without(nothing, (k_bar - adjoint(k_bar)) / 2)
        if w_bar is not None:
            m_bar = m_bar + diagonal_matrix(w_bar, v.dtype)
        outside = _outside(v_bar, residuals, first)
        of_a = matmul(v, m_bar) - outside
        of_b = matmul(v, inner_of_b(m_bar, hermitian_part(k_bar), w, type)) + outside * w.astype(v.dtype)[..., None, :]
        answer = verdict(policy, subject_of(type, first), w, w_bar, k_bar, kappa, scale)
        unknown = _open(policy, subject_of(type, first - 1), w, edges, lambda x: x & (lax.stop_gradient(v_bar) != 0))
        if unknown is not None and answer is not None:
            answer = jnp.where(jnp.any(unknown, axis=(-1, -2), keepdims=True), jnp.nan, answer)
    results = []
    for wanted, right in zip(inputs, (of_a, of_b), strict=True):
        if wanted:
            gradient = jnp.conj(hermitian_part_transpose(matmul(right, adjoint(v)), triangle))
            results.append(gradient if answer is None else gradient * answer.astype(gradient.dtype))
    return results


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
    policy = _of_whole(policy, v.shape[-2], all_known.shape[-1])
    if weights is not None:  # those that were left out have weight 0
        weights = jnp.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(1, 1)])
    return second_order_factor(
        policy, subject_of(type, first - 1), all_known, lax.stop_gradient(edges[..., 2:]), outputs[1], weights
    )


tangent_map = TangentMap(
    "eigenpair_partial", tangent, cotangent, second_order, functools.partial(cotangent, by_blocks=True)
)
