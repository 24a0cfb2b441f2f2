"""From a frame to eigenvectors: the rule inside the subspace, which divides by gaps under the policies of
`eigenpair.degeneracy`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import (
    at_most_half_of_digits,
    clusters,
    columns_without_tangent,
    inverse_gaps,
    open_columns,
    policy_of_whole,
    rounding_of_product,
    second_order_factor,
)
from ..degeneracy.explanations import Subject
from ..degeneracy.policies import Policy, check
from ..hermitian.rule import inner_pullback
from ..runtime.matrices import adjoint, diagonal_matrix, hermitian_part, identity, matmul, nan_columns, norm
from ..runtime.tangent_maps import TangentMap

_SUBJECT = Subject("eigsh")


def pushforward(
    linear: Sequence[Any], residuals: Sequence[Any], *, inputs: Any, outputs: tuple[bool, ...], policy: Policy
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of the requested `outputs`."""
    (moved,) = linear
    w, v, edges, scale = residuals
    policy = policy_of_whole(policy, *v.shape[-2:])
    moved = hermitian_part(moved)
    results = [jnp.real(jnp.diagonal(moved, axis1=-2, axis2=-1))] if outputs[0] else []
    if outputs[1]:
        f = inverse_gaps(policy, w, lax.stop_gradient(scale)).astype(v.dtype)
        dv = matmul(v, f * moved)
        fixed = tuple(lax.stop_gradient(x) for x in (w, edges, scale))
        without_tangent = _vectors_without_tangent(policy, fixed, f, moved, v.shape[-2])
        for unknown in (open_columns(policy, *fixed), without_tangent):
            dv = nan_columns(unknown, dv)
        results.append(dv)
    return results


def _vectors_without_tangent(
    policy: Policy, spectrum: tuple[Array, Array, Array], f: Array, moved: Array, n: int
) -> Array | None:
    """Which vectors have no tangent, because the perturbation couples them inside their cluster; `(…, 1, k)`."""
    if not isinstance(policy, check):
        return None
    w, edges, scale = spectrum
    k = w.shape[-1]
    f, moved = lax.stop_gradient(f), lax.stop_gradient(moved)

    def kappa() -> Array:
        # How much an error in the vectors, of size scale/gap, changes the entries of the perturbation.
        largest = jnp.max(jnp.abs(moved), axis=(-1, -2), keepdims=True, initial=0)
        gap = jnp.min(jnp.abs(w[..., :, None] - edges[..., None, :]), axis=-1)[..., None, :]
        turn = norm(f * moved, -2) + largest / jnp.where(gap > 0, gap, jnp.inf)
        rounding = largest + scale[..., None] * (turn + jnp.swapaxes(turn, -1, -2))
        return at_most_half_of_digits(moved, rounding * math.sqrt(n / k))

    together = clusters(policy, w, scale) & ~identity(k, w.ndim + 1)
    return columns_without_tangent(policy, _SUBJECT, w, together, moved, kappa)


def pullback(
    cotangents: Sequence[Any], residuals: Sequence[Any], *, inputs: Any, outputs: tuple[bool, ...], policy: Policy
) -> list[Array]:
    """The reverse rule, for `TangentMap`: the gradients with respect to the requested `inputs`, in JAX's convention."""
    w, v, edges, scale = residuals
    n, k = v.shape[-2:]
    policy = policy_of_whole(policy, n, k)
    w_bar: Any
    w_bar, v_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    if v_bar is None:
        return [diagonal_matrix(w_bar, v.dtype)]
    scale = lax.stop_gradient(scale)
    k_bar = matmul(adjoint(v), v_bar)
    bar = jnp.max(norm(lax.stop_gradient(v_bar), -2), axis=-1, keepdims=True, initial=0)
    length = jnp.min(norm(lax.stop_gradient(v), -2), axis=-1, keepdims=True, initial=jnp.inf)
    kappa = at_most_half_of_digits(k_bar, rounding_of_product(v, v_bar), bar * length / math.sqrt(n))
    m_bar, factor = inner_pullback(policy, _SUBJECT, w, w_bar, k_bar, kappa, scale)
    unknown = open_columns(policy, *(lax.stop_gradient(x) for x in (w, edges, scale)))
    if unknown is not None and factor is not None:
        used = jnp.any(unknown & (lax.stop_gradient(v_bar) != 0), axis=(-1, -2), keepdims=True)
        factor = jnp.where(used, jnp.nan, factor)
    result = jnp.conj(m_bar)
    return [result if factor is None else result * factor.astype(result.dtype)]


def second_order(residuals: Sequence[Any], *, outputs: tuple[bool, ...], weights: Any, policy: Policy) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    w, v, edges, scale = residuals
    policy = policy_of_whole(policy, *v.shape[-2:])
    near = lax.stop_gradient(open_columns(policy, w, edges, scale)) if outputs[1] else None
    factor = second_order_factor(policy, _SUBJECT, w, lax.stop_gradient(scale), outputs[1])
    if near is None:
        return factor
    return jnp.where(jnp.any(near, axis=(-1, -2)), jnp.nan, factor)


_tangent_map = TangentMap("eigenpair_large", pushforward, pullback, second_order)


def eigenvectors(policy: Policy, matrix: Array, v: Array, edges: Array, scale: Array) -> tuple[Array, Array]:
    """Eigenvalues `(k,)` and vectors `(n, k)` from a frame `v` whose matrix, `(k, k)`, is diagonal."""
    return _eigenvectors(policy, matrix, v, edges, scale)[:2]


# Also returns the basis of eigenvectors within the frame: the identity, but with a derivative.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _eigenvectors(policy: Policy, matrix: Array, v: Array, edges: Array, scale: Array) -> tuple[Array, Array, Array]:
    return jnp.real(jnp.diagonal(matrix)), v, jnp.eye(matrix.shape[0], dtype=matrix.dtype)


@functools.partial(_eigenvectors.defjvp, symbolic_zeros=True)
def _eigenvectors_jvp(policy: Policy, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    matrix, frame, edges, scale = primals
    w, v, q = result = _eigenvectors(policy, matrix, frame, edges, scale)
    d_matrix, d_frame = (None if isinstance(t, jax.custom_derivatives.SymbolicZero) else t for t in tangents[:2])
    if d_matrix is None:
        return result, (jnp.zeros_like(w), jnp.zeros_like(v) if d_frame is None else d_frame, jnp.zeros_like(q))
    moved = matmul(adjoint(q), matmul(d_matrix, q))
    dw, dv = _tangent_map([moved], [w, v, edges, scale], outputs=(True, True), policy=policy)
    f = inverse_gaps(policy_of_whole(policy, *v.shape), w, lax.stop_gradient(scale))
    dq = matmul(q, f.astype(moved.dtype) * hermitian_part(moved))
    return result, (dw, dv if d_frame is None else dv + matmul(d_frame, q), dq)
