"""First derivatives of general problems, forward and in reverse: the rules of `docs/derivations.md` written in JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import finite_or_nan, rounding_of_form, rounding_of_product, zero_at_noise
from ..degeneracy.general_decision import (
    columns_without_tangent,
    gradient_factor,
    homogeneous,
    inverse_gaps,
    is_noise,
    second_order_factor,
)
from ..degeneracy.policies import Policy
from ..runtime.matrices import adjoint, diagonal_matrix, matmul, nan_columns, norm, of_rank
from ..runtime.tangent_maps import TangentMap

# ---- the gauge ----------------------------------------------------------------------------------------------------


def normalize(u: Array) -> Array:
    """Columns in the gauge of `eig`. Differentiable."""
    if u.shape[-1] == 0:
        return u
    fixed = lax.stop_gradient(u)
    size = jnp.abs(fixed)
    enough = 1 - math.sqrt(jnp.finfo(u.dtype).eps)
    k = jnp.argmax(size >= enough * jnp.max(size, axis=-2, keepdims=True), axis=-2, keepdims=True)
    z = jnp.take_along_axis(u, k, axis=-2)
    scale = lax.stop_gradient(jnp.max(size, axis=-2, keepdims=True))
    scaled = u / scale.astype(u.dtype)
    length = scale * jnp.sqrt(jnp.sum(jnp.real(scaled) ** 2 + jnp.imag(scaled) ** 2, axis=-2, keepdims=True))
    return u * (jnp.conj(z) / jnp.abs(z).astype(u.dtype)) / length.astype(u.dtype)


def _pivot(v: Array) -> Array:
    """Index of the component that the gauge made real, shape `(…, 1, n)`: the first of the largest real components."""
    size = jnp.where(jnp.imag(v) == 0, jnp.abs(v), 0)
    enough = 1 - 2 * math.sqrt(jnp.finfo(v.dtype).eps)
    return jnp.argmax(size >= enough * jnp.max(jnp.abs(v), axis=-2, keepdims=True), axis=-2, keepdims=True)


def _gauge(v: Array) -> tuple[Array, Array]:
    """`e_k` as a mask, `(…, n, n)`, and the real components `v_kj`, `(…, 1, n)`."""
    k = _pivot(lax.stop_gradient(v))
    rows = of_rank(jnp.arange(v.shape[-2])[:, None], k.ndim)
    return rows == k, jnp.real(jnp.take_along_axis(v, k, axis=-2))


def conditioning(a: Array, b: Array | None, w: Array, v: Array, u: Array) -> tuple[Array, Array]:
    """How far a rounding error of size 1 moves each eigenvalue, and its condition number; both `(…, n)`."""
    a, w, v, u = (lax.stop_gradient(x) for x in (a, w, v, u))
    size = norm(a, (-2, -1))[..., 0]
    condition = norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :]
    if b is None:
        return size * condition, condition
    largest = norm(lax.stop_gradient(b), (-2, -1))[..., 0]
    return (size + jnp.where(jnp.isinf(w), 0, jnp.abs(w)) * largest) * condition, condition * largest


# ---- rules --------------------------------------------------------------------------------------------------------


def pushforward(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    policy: Policy,
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of the requested `outputs`."""
    da, db = linear
    w, v, u, reach, _ = residuals
    alpha, beta = homogeneous(w)
    moved = jnp.zeros_like(v)
    dw = jnp.zeros_like(w)
    pencil = None
    if da is not None:
        m = matmul(adjoint(u), matmul(da, v))
        moved, dw = moved + m * beta[..., None, :], dw + jnp.diagonal(m, axis1=-2, axis2=-1)
    if db is not None:
        pencil = matmul(adjoint(u), matmul(db, v))
        moved, dw = moved - pencil * alpha[..., None, :], dw - w * jnp.diagonal(pencil, axis1=-2, axis2=-1)
    dw = jnp.where(jnp.isinf(w), jnp.nan, dw)
    turn = inverse_gaps(policy, w, reach) * moved
    k = turn + diagonal_matrix(_phase(v, turn), v.dtype)
    lost = _columns_without_tangent(policy, da, db, residuals, moved, turn)
    results = [dw if lost is None else jnp.where(lost[..., 0, :], jnp.nan, dw)] if outputs[0] else []
    if outputs[1]:
        results.append(nan_columns(lost, matmul(v, k)))
    if outputs[2] or outputs[3]:
        du = -matmul(u, adjoint(k if pencil is None else k + pencil))
        if outputs[2]:
            dl = jax.jvp(normalize, (jnp.broadcast_to(u, du.shape),), (du,))[1]
            results.append(nan_columns(lost, dl))
        if outputs[3]:
            results.append(nan_columns(lost, du))
    return results


def _columns_without_tangent(
    policy: Policy, da: Any, db: Any, residuals: Sequence[Any], moved: Array, turn: Array
) -> Array | None:
    """Which eigenpairs have no tangent, `(…, 1, n)`; see `degeneracy.general_decision`."""
    w, v, u, reach, condition = (lax.stop_gradient(x) for x in residuals)
    moved, turn = lax.stop_gradient(moved), lax.stop_gradient(turn)
    da, db = (None if x is None else lax.stop_gradient(x) for x in (da, db))
    alpha, beta = homogeneous(w)

    def kappa() -> Array:
        # The contribution of rounding errors in the right and in the left vectors.
        rounding = norm(jnp.abs(turn) * reach[..., None, :], -1) + reach[..., :, None] * norm(turn, -2)
        if da is not None:
            rounding = rounding + rounding_of_form(u, da, v) * jnp.abs(beta)[..., None, :]
        if db is not None:
            rounding = rounding + rounding_of_form(u, db, v) * jnp.abs(alpha)[..., None, :]
        return finite_or_nan(rounding)

    return columns_without_tangent(policy, w, moved, kappa, reach, condition)


def _phase(v: Array, k: Array) -> Array:
    """`c` of the gauge: unit norm, and component `v_kj` stays real."""
    chosen, real = _gauge(v)
    turned = matmul(v, k)
    along = jnp.sum(jnp.real(jnp.conj(v) * turned), axis=-2)
    out = jnp.sum(jnp.where(chosen, jnp.imag(turned), 0), axis=-2) / real[..., 0, :]
    return lax.complex(-along, -out)


def pullback(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    policy: Policy,
) -> list[Array]:
    """The reverse rule, for `TangentMap`: the gradients with respect to the requested `inputs`, in JAX's convention."""
    w, v, u, reach, condition = residuals
    w_bar, v_bar, left_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    if left_bar is not None:
        # Residuals may lack batch axes that cotangents have, as under jacrev.
        (pulled,) = jax.vjp(normalize, jnp.broadcast_to(u, left_bar.shape))[1](jnp.conj(left_bar))
        u_bar = jnp.conj(pulled) if u_bar is None else u_bar + jnp.conj(pulled)
    alpha, beta = homogeneous(w)
    k_bar: Any = None
    h_bar: Any = None
    kappa: Any = 0
    if v_bar is not None:
        k_bar, kappa = matmul(adjoint(v), v_bar), rounding_of_product(v, v_bar)
    if u_bar is not None:
        h_bar = -matmul(adjoint(u_bar), u)
        kappa = kappa + rounding_of_product(u, u_bar)
        k_bar = h_bar if k_bar is None else k_bar + h_bar
    m_bar = jnp.zeros_like(v)
    n_bar = jnp.zeros_like(v) if h_bar is None else h_bar
    if k_bar is not None:
        kappa = finite_or_nan(kappa)
        k_bar = k_bar + matmul(adjoint(v), _phase_transpose(v, jnp.diagonal(k_bar, axis1=-2, axis2=-1)))
        f = inverse_gaps(policy, w, reach)
        noise = is_noise(policy, w, w_bar, k_bar, kappa, reach, condition)
        e = jnp.conj(f) * zero_at_noise(noise, k_bar)
        m_bar = m_bar + e * jnp.conj(beta)[..., None, :]
        n_bar = n_bar - e * jnp.conj(alpha)[..., None, :]
    factor = gradient_factor(policy, w, w_bar, k_bar, kappa, reach, condition)
    if w_bar is not None:
        infinite = jnp.isinf(w)
        w_bar = jnp.where(infinite & (w_bar != 0), jnp.nan, w_bar)
        m_bar = m_bar + diagonal_matrix(w_bar, v.dtype)
        n_bar = n_bar - diagonal_matrix(w_bar * jnp.where(infinite, 0, jnp.conj(w)), v.dtype)
    results = []
    for wanted, bar in zip(inputs, (m_bar, n_bar), strict=True):
        if wanted:
            gradient = jnp.conj(matmul(u, matmul(bar, adjoint(v))))  # to JAX's convention
            results.append(gradient if factor is None else gradient * factor.astype(gradient.dtype))
    return results


def _phase_transpose(v: Array, c_bar: Array) -> Array:
    """The transpose of `_phase` as a function of `V K`."""
    chosen, real = _gauge(v)
    out = jnp.where(chosen, (jnp.imag(c_bar) / real[..., 0, :])[..., None, :], 0)
    return -v * jnp.real(c_bar).astype(v.dtype)[..., None, :] - 1j * out.astype(v.dtype)


def second_order(residuals: Sequence[Any], *, outputs: tuple[bool, ...], weights: Any, policy: Policy) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    w, _, _, reach, _ = residuals
    return second_order_factor(policy, w, reach, any(outputs[1:]))


tangent_map = TangentMap("eigenpair_general", pushforward, pullback, second_order)
