"""First derivatives of general problems, forward and in reverse: the rules of `docs/derivations.md` written in JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import ROUNDING_OF_COTANGENT, coupled, nan_where, noise, second_order_width, width
from ..degeneracy.explanations import BASIS, COUPLED, DEFECTIVE, ORDER, SECOND, Subject, explain
from ..degeneracy.inverse_gaps import without
from ..degeneracy.policies import Policy, broaden, check, mask
from ..degeneracy.rounding import finite_or_nan, norm, rounding_of_form, rounding_of_product
from ..hermitian.rule import without_tangent
from ..runtime.matrices import adjoint, diagonal_matrix, identity, matmul, of_rank
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
    """Index of the component that the gauge made real, shape `(…, 1, n)`: the first of the largest that are real."""
    size = jnp.where(jnp.imag(v) == 0, jnp.abs(v), 0)
    enough = 1 - 2 * math.sqrt(jnp.finfo(v.dtype).eps)
    return jnp.argmax(size >= enough * jnp.max(jnp.abs(v), axis=-2, keepdims=True), axis=-2, keepdims=True)


def _gauge(v: Array) -> tuple[Array, Array]:
    """`e_k` as a mask, `(…, n, n)`, and the real components `v_kj`, `(…, 1, n)`."""
    k = _pivot(lax.stop_gradient(v))
    rows = of_rank(jnp.arange(v.shape[-2])[:, None], k.ndim)
    return rows == k, jnp.real(jnp.take_along_axis(v, k, axis=-2))


# ---- gaps and clusters --------------------------------------------------------------------------------------------


def _homogeneous(w: Array) -> tuple[Array, Array]:
    """`(α, β)` with `λ = α/β`: `(λ, 1)`, and `(1, 0)` where infinite."""
    infinite = jnp.isinf(w)
    return jnp.where(infinite, 1, w), jnp.where(infinite, 0, 1).astype(w.dtype)


def _gaps(w: Array) -> Array:
    """`αⱼβᵢ − βⱼαᵢ`, which is `λⱼ − λᵢ` for finite eigenvalues."""
    alpha, beta = _homogeneous(w)
    return alpha[..., None, :] * beta[..., :, None] - beta[..., None, :] * alpha[..., :, None]


def conditioning(a: Array, b: Array | None, w: Array, v: Array, u: Array) -> tuple[Array, Array]:
    """How far a rounding error reaches in each eigenvalue, and its condition number: `(…, n)` both."""
    a, w, v, u = (lax.stop_gradient(x) for x in (a, w, v, u))
    size = norm(a, (-2, -1))[..., 0]
    condition = norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :]
    if b is None:
        return size * condition, condition
    largest = norm(lax.stop_gradient(b), (-2, -1))[..., 0]
    return (size + jnp.where(jnp.isinf(w), 0, jnp.abs(w)) * largest) * condition, condition * largest


def _close(w: Array, tol: Array) -> Array:
    infinite = jnp.isinf(w)
    apart = jnp.abs(_gaps(w)) > jnp.maximum(tol[..., :, None], tol[..., None, :])
    return ~(apart | (infinite[..., :, None] != infinite[..., None, :]))


def clusters(policy: check, w: Array, reach: Array) -> Array:
    """Which pairs share a cluster: those closer than `c·√n·ε` times the larger `reach`, and whatever such pairs
    connect."""
    together = _close(w, width(policy, w) * reach) | identity(w.shape[-1], w.ndim + 1)

    def in_two_steps(now: Array) -> Array:
        counts = now.astype(jnp.float32)
        return jnp.matmul(counts, counts) > 0

    if w.ndim > 1:
        # Enough for the longest chain. Whether the batch is done already would be a question to all devices it is
        # spread over.
        return lax.fori_loop(0, max(w.shape[-1] - 2, 0).bit_length(), lambda _, now: in_two_steps(now), together)

    def more(state: tuple[Array, Array]) -> tuple[Array, Array]:
        now, _ = state
        reached = in_two_steps(now)
        return reached, jnp.any(reached != now)

    return lax.while_loop(lambda state: state[1], more, (together, jnp.any(together)))[0]


def inverse_gaps(policy: Policy, w: Array, reach: Array) -> Array:
    """`F`: `1/(λⱼ − λᵢ)` as the policy has it, 0 on the diagonal."""
    gap = _gaps(w)
    size = jnp.abs(gap)
    dropped = identity(w.shape[-1], gap.ndim)
    if isinstance(policy, broaden):
        dropped = dropped | (size == 0)
        safe = jnp.where(dropped, 1, gap)
        return jnp.where(dropped, 0, 1 / (safe + policy.eps / jnp.conj(safe)))
    if isinstance(policy, check):
        dropped = dropped | clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach))
    elif isinstance(policy, mask):
        dropped = dropped | (size <= policy.tol)
    return jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, gap))


def verdict(
    policy: Policy, w: Array, w_bar: Array | None, k_bar: Array | None, kappa: Any, reach: Array, condition: Array
) -> Array | None:
    """1 where a gradient exists as far as can be seen, else NaN; shape `(…, 1, 1)`. `None`: nothing to judge."""
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    together = clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach)) & ~identity(w.shape[-1], w.ndim + 1)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    wrong = jnp.zeros_like(together)
    if k_bar is not None:
        wrong |= ~(jnp.abs(lax.stop_gradient(k_bar)) <= small * lax.stop_gradient(kappa))
        wrong |= _defective(policy, condition)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        wrong |= ~(split <= small * jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None])
    wrong &= together
    if policy.explain:
        rotates = jnp.zeros_like(together) if k_bar is None else ~(jnp.abs(k_bar) <= small * kappa)
        parallel = _defective(policy, condition)
        # Without a dual basis all is NaN anyway.
        unknown = together & jnp.isnan(_worst_of(condition))
        explain(
            Subject("eig"), policy, w, wrong | unknown, jnp.where(parallel, DEFECTIVE, jnp.where(rotates, BASIS, ORDER))
        )
    return nan_where(wrong, reach.dtype)


# ---- rules --------------------------------------------------------------------------------------------------------


def tangent(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    policy: Policy,
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of what `outputs` asks for."""
    da, db = linear
    w, v, u, reach, _ = residuals
    alpha, beta = _homogeneous(w)
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
    lost = _coupled(policy, da, db, residuals, moved, turn)
    results = [dw if lost is None else jnp.where(lost[..., 0, :], jnp.nan, dw)] if outputs[0] else []
    if outputs[1]:
        results.append(without_tangent(lost, matmul(v, k)))
    if outputs[2] or outputs[3]:
        du = -matmul(u, adjoint(k if pencil is None else k + pencil))
        if outputs[2]:
            dl = jax.jvp(normalize, (jnp.broadcast_to(u, du.shape),), (du,))[1]
            results.append(without_tangent(lost, dl))
        if outputs[3]:
            results.append(without_tangent(lost, du))
    return results


def _coupled(policy: Policy, da: Any, db: Any, residuals: Sequence[Any], moved: Array, turn: Array) -> Array | None:
    """Which eigenpairs have no tangent, for the perturbation couples them with others of their cluster; `(…, 1, n)`."""
    if not isinstance(policy, check) or policy.coupled != "nan":
        return None
    w, v, u, reach, condition = (lax.stop_gradient(x) for x in residuals)
    moved, turn = lax.stop_gradient(moved), lax.stop_gradient(turn)
    da, db = (None if x is None else lax.stop_gradient(x) for x in (da, db))
    alpha, beta = _homogeneous(w)

    def kappa() -> Array:
        # What errors in the vectors make of it: of the right ones, and of the left ones.
        rounding = norm(jnp.abs(turn) * reach[..., None, :], -1) + reach[..., :, None] * norm(turn, -2)
        if da is not None:
            rounding = rounding + rounding_of_form(u, da, v) * jnp.abs(beta)[..., None, :]
        if db is not None:
            rounding = rounding + rounding_of_form(u, db, v) * jnp.abs(alpha)[..., None, :]
        return jnp.where(_defective(policy, condition), jnp.nan, finite_or_nan(rounding))

    together = clusters(policy, w, reach) & ~identity(w.shape[-1], w.ndim + 1)
    why = jnp.where(_defective(policy, condition), DEFECTIVE, COUPLED)
    return coupled(policy, Subject("eig"), w, together, moved, kappa, why)


def _defective(policy: check, condition: Array) -> Array:
    """Pairs of vectors so close to parallel that in a cluster they mean a defective eigenvalue, where no coupling is
    small enough to be left out."""
    n = condition.shape[-1]
    return ~(10 * policy.c * math.sqrt(n) * jnp.finfo(condition.dtype).eps * _worst_of(condition) ** 2 < 1)


def _worst_of(condition: Array) -> Array:
    """The larger condition number of each pair."""
    return jnp.maximum(condition[..., :, None], condition[..., None, :])


def _phase(v: Array, k: Array) -> Array:
    """`c` of the gauge: unit norm, and component `v_kj` stays real."""
    chosen, real = _gauge(v)
    turned = matmul(v, k)
    along = jnp.sum(jnp.real(jnp.conj(v) * turned), axis=-2)
    out = jnp.sum(jnp.where(chosen, jnp.imag(turned), 0), axis=-2) / real[..., 0, :]
    return lax.complex(-along, -out)


def cotangent(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    policy: Policy,
) -> list[Array]:
    """The reverse rule, for `TangentMap`: the gradients that `inputs` asks for, in JAX's convention."""
    w, v, u, reach, condition = residuals
    w_bar, v_bar, left_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    if left_bar is not None:
        # Residuals may lack batch axes that cotangents have, as under jacrev.
        (pulled,) = jax.vjp(normalize, jnp.broadcast_to(u, left_bar.shape))[1](jnp.conj(left_bar))
        u_bar = jnp.conj(pulled) if u_bar is None else u_bar + jnp.conj(pulled)
    alpha, beta = _homogeneous(w)
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
        size = jnp.abs(k_bar)
        coupling = jnp.maximum(size, jnp.swapaxes(size, -1, -2))
        scale = jnp.max(reach, axis=-1)[..., None, None]
        nothing = noise(policy, jnp.abs(_gaps(w)), coupling, coupling, w_bar, kappa, scale)
        if nothing is not None:
            # Where vectors are nearly parallel, little coupling does not mean little effect.
            nothing &= _worst_of(condition) < 1e3
        e = jnp.conj(f) * without(nothing, k_bar)
        m_bar = m_bar + e * jnp.conj(beta)[..., None, :]
        n_bar = n_bar - e * jnp.conj(alpha)[..., None, :]
    answer = verdict(policy, w, w_bar, k_bar, kappa, reach, condition)
    if w_bar is not None:
        infinite = jnp.isinf(w)
        w_bar = jnp.where(infinite & (w_bar != 0), jnp.nan, w_bar)
        m_bar = m_bar + diagonal_matrix(w_bar, v.dtype)
        n_bar = n_bar - diagonal_matrix(w_bar * jnp.where(infinite, 0, jnp.conj(w)), v.dtype)
    results = []
    for wanted, bar in zip(inputs, (m_bar, n_bar), strict=True):
        if wanted:
            gradient = jnp.conj(matmul(u, matmul(bar, adjoint(v))))  # back to JAX's convention
            results.append(gradient if answer is None else gradient * answer.astype(gradient.dtype))
    return results


def _phase_transpose(v: Array, c_bar: Array) -> Array:
    """The transpose of `_phase` as a function of `V K`."""
    chosen, real = _gauge(v)
    out = jnp.where(chosen, (jnp.imag(c_bar) / real[..., 0, :])[..., None, :], 0)
    return -v * jnp.real(c_bar).astype(v.dtype)[..., None, :] - 1j * out.astype(v.dtype)


def second_order(residuals: Sequence[Any], *, outputs: tuple[bool, ...], weights: Any, policy: Policy) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    w, _, _, reach, _ = residuals
    factor = jnp.where(jnp.any(jnp.isinf(w), axis=-1), jnp.nan, 1).astype(reach.dtype)
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return factor
    w, reach = lax.stop_gradient(w), lax.stop_gradient(reach)
    close = _close(w, second_order_width(policy, w, any(outputs[1:])) * reach)
    close &= ~identity(w.shape[-1], close.ndim)
    if policy.explain:
        explain(Subject("eig"), policy, w, close, SECOND)
    return jnp.where(jnp.any(close, axis=(-1, -2)), jnp.nan, factor)


tangent_map = TangentMap("eigenpair_general", tangent, cotangent, second_order)
