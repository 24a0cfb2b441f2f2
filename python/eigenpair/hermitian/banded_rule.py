"""First derivatives of eigenpairs of band matrices, with respect to the band: the rules of subset_rule.py, with
products by a band.

Derivatives of eigenvalues alone cost O(n) per eigenvalue and diagonal. For a tridiagonal matrix, `∂λₖ/∂dᵢ = vᵢₖ²` and
`∂λₖ/∂eᵢ = 2 vᵢₖ vᵢ₊₁ₖ`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import inverse_gaps, policy_of_whole
from ..degeneracy.policies import Policy
from ..runtime.matrices import adjoint, matmul, nan_columns, norm
from ..runtime.tangent_maps import TangentMap
from . import bands, subset_rule
from .banded_complement import complement_p
from .rule import subject_of, vectors_without_tangent
from .subset_rule import explain_open_ends, open_ends, pullback_inside


def _outside(y: Array, residuals: Sequence[Array], first: int) -> Array:
    """The solution `xⱼ` of `(A − λⱼ) xⱼ = yⱼ`, projected on the span of the eigenvectors outside the subset."""
    w, v, _, band = residuals
    if w.shape[-1] == v.shape[-2]:
        return jnp.zeros_like(y)
    batch = jnp.broadcast_shapes(y.shape[:-2], v.shape[:-2])
    y, v, band = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (y, v, band))
    return complement_p.bind(y, jnp.broadcast_to(w, (*batch, w.shape[-1])), v, band, first=first)


def _rounding_of_form(x: Array, band: Array) -> Array:
    """`|x|ᵀ |m| |x|`, as for matrices."""
    size = jnp.abs(x)
    return matmul(jnp.swapaxes(size, -1, -2), bands.times(jnp.abs(bands.inside(band)), size))


def _least_of_whole(columns: Array) -> Array:
    """A lower bound of the largest `|vᵢᴴ yⱼ|`, `yⱼ` in `columns` and `i` in the whole problem."""
    return jnp.max(norm(lax.stop_gradient(columns), -2), axis=-1, keepdims=True, initial=0) / math.sqrt(
        columns.shape[-2]
    )


def pushforward(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    first: int,
    policy: Policy,
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of the requested `outputs`."""
    w, v, edges, _ = residuals
    n = v.shape[-2]
    policy = policy_of_whole(policy, n, w.shape[-1])
    da = linear[0]
    right = bands.times(da, v)
    results = [jnp.real(jnp.sum(jnp.conj(v) * right, axis=-2))] if outputs[0] else []
    if outputs[1]:
        scale = lax.stop_gradient(edges[..., 2:])
        f = inverse_gaps(policy, w, scale)
        m = matmul(adjoint(v), right)
        outside = _outside(right, residuals, first)
        largest = jnp.maximum(_least_of_whole(right), norm(bands.frobenius_bound(lax.stop_gradient(da)), (-2, -1)) / n)
        lengths = norm(lax.stop_gradient(outside), -2)
        without_tangent = vectors_without_tangent(
            policy, da, None, w, v, None, f, scale, m, 0, lengths, largest, first, form=_rounding_of_form
        )
        below, above = open_ends(policy, w, edges)
        explain_open_ends(policy, subject_of(0, first - 1), w, edges, below, above)
        dv = matmul(v, f.astype(v.dtype) * m) - outside
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
    policy: Policy,
) -> list[Array]:
    """The reverse rule, for `TangentMap`: the gradient of the band, in JAX's convention."""
    w, v, edges, band = residuals
    policy = policy_of_whole(policy, v.shape[-2], w.shape[-1])
    w_bar: Any
    w_bar, v_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    factor = None
    if v_bar is None:
        of_a = v * w_bar.astype(v.dtype)[..., None, :]
    else:
        k_bar = matmul(adjoint(v), v_bar)
        least = _least_of_whole(v_bar)
        m_bar, factor = pullback_inside(policy, 0, first, w, v, edges, w_bar, v_bar, k_bar, least)
        of_a = matmul(v, m_bar) - _outside(v_bar, residuals, first)
    result = jnp.conj(bands.gradient(of_a, v, band.shape[-2] - 1))
    return [result if factor is None else bands.inside(result * factor.astype(result.dtype))]


def second_order(
    residuals: Sequence[Any], *, outputs: tuple[bool, ...], weights: Any, first: int, policy: Policy
) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    return subset_rule.second_order(
        residuals, outputs=outputs, weights=weights, first=first, type=0, triangle="hermitian", policy=policy
    )


tangent_map = TangentMap("eigenpair_banded", pushforward, pullback, second_order)
