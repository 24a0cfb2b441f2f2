"""First derivatives of Hermitian problems: the rule of `docs/derivations.md`, its signs in one table.

With the bases `X` and `Y` and the signs `s` and `t` of the type, `Lᵢⱼ = (λᵢ + λⱼ)/2`, the inverse gaps `F`, and for
Hermitian `dA` and `dB`

    N = Yᴴ dB Y,  M = Xᴴ dA X + s L∘N,  dλ = diag M,  K = F∘M + t N/2,  dV = V K,  dU = −U Kᴴ.

In reverse, with `K̄ = VᴴV̄ − ŪᴴU`,

    M̄ = Diag(λ̄) + F∘(K̄ − K̄ᴴ)/2,  Ā = X M̄ Xᴴ,  B̄ = Y (s L∘M̄ + t (K̄ + K̄ᴴ)/4) Yᴴ.

For a subset of the eigenpairs, subset_rule.py adds the contribution of the others.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import (
    at_most_half_of_digits,
    clusters,
    columns_without_tangent,
    gradient_factor,
    inverse_gaps,
    is_noise,
    rotation_and_mixing,
    rounding_of_form,
    rounding_of_product,
    second_order_factor,
    zero_at_noise,
)
from ..degeneracy.explanations import Subject
from ..degeneracy.policies import Policy, check
from ..runtime.matrices import adjoint, diagonal_matrix, hermitian_part, identity, matmul, nan_columns, norm


class RuleOfType(NamedTuple):
    """`X` and `Y` are `V`, or the dual basis `U = V⁻ᴴ` where marked; `s` and `t` are the signs of the rule."""

    x_is_dual: bool
    y_is_dual: bool
    s: int
    t: int


RULES = {
    0: RuleOfType(False, False, 0, 0),  # A v = λ v: there is no dB
    1: RuleOfType(False, False, -1, -1),  # A v = λ B v
    2: RuleOfType(True, False, 1, -1),  # A B v = λ v
    3: RuleOfType(False, True, 1, 1),  # B A v = λ v
}


def subject_of(type: int, first: int = 0) -> Subject:
    """The subject of an explanation: `eigh`, and the index of the first eigenvalue."""
    return Subject("eigh(a, b)" if type else "eigh", first)


def bases(type: int, v: Array, u: Array | None) -> tuple[Array, Array]:
    """`X` and `Y`, through which `dA` and `dB` act."""
    rule = RULES[type]
    return (u if rule.x_is_dual else v), (u if rule.y_is_dual else v)  # type: ignore[return-value]


def scale_of(type: int, a: Array, b: Array | None, w: Array, x: Array, y: Array) -> Array:
    """The scale `s` of the rounding errors in the eigenvalues, shape `(…, 1)`."""
    if type == 0:
        return jnp.max(jnp.abs(w), axis=-1, keepdims=True, initial=0)
    axes = (-2, -1)
    bound = norm(a, axes)[..., 0] * norm(x, -2)[..., 0, :] ** 2
    bound += jnp.abs(w) * norm(b, axes)[..., 0] * norm(y, -2)[..., 0, :] ** 2  # type: ignore[arg-type]
    return jnp.max(bound, axis=-1, keepdims=True, initial=0)


def mean(w: Array, dtype: Any) -> Array:
    """`L`, shape `(…, n, n)`."""
    return ((w[..., :, None] + w[..., None, :]) / 2).astype(dtype)


# ---- inside the basis: shared by whole spectra and subsets --------------------------------------------------------


def inner_pushforward(
    da: Array | None, db: Array | None, w: Array, v: Array, u: Array | None, f: Array, type: int
) -> tuple[Array, Array, Array]:
    """`dλ`, `K` and `M` for Hermitian `dA` and `dB`."""
    x, y = bases(type, v, u)
    rule = RULES[type]
    m = jnp.zeros((), v.dtype)
    n_ = None
    if da is not None:
        m = matmul(adjoint(x), matmul(da, x))
    if db is not None:
        n_ = matmul(adjoint(y), matmul(db, y))
        m = m + n_ * (rule.s * mean(w, v.dtype))
    dw = jnp.real(jnp.diagonal(m, axis1=-2, axis2=-1))
    k = f.astype(v.dtype) * m
    return dw, (k if n_ is None else k + n_ / (2 * rule.t)), m


def vectors_without_tangent(
    policy: Policy,
    da: Array | None,
    db: Array | None,
    w: Array,
    v: Array,
    u: Array | None,
    f: Array,
    scale: Array,
    m: Array,
    type: int,
    outside: Any = 0,
    largest: Any = 0,
    first: int = 0,
    form: Callable[[Array, Array], Array] = rounding_of_form,
) -> Array | None:
    """Which eigenvectors have no tangent, because the perturbation couples them inside their cluster; `(…, 1, n)`.

    For a subset that begins at `first`, `outside` has the norms of the columns of `K` outside the subset, `(…, 1, k)`,
    and `largest` is a lower bound of the largest entry of `M` in the whole problem. `form` is that of `da`.
    """
    if not isinstance(policy, check):
        return None
    w, v, f, m = (lax.stop_gradient(x) for x in (w, v, f, m))
    u, da, db = (None if x is None else lax.stop_gradient(x) for x in (u, da, db))

    def kappa() -> Array:
        x, y = bases(type, v, u)
        # What an error in the vectors, of the size of scale over gap, contributes.
        turn = norm(f.astype(v.dtype) * m, -2) + outside
        rounding = scale[..., None] * (turn + jnp.swapaxes(turn, -1, -2))
        if da is not None:
            rounding = rounding + form(x, da)
        if db is not None:
            rounding = rounding + jnp.abs(w[..., :, None] + w[..., None, :]) / 2 * rounding_of_form(y, db)
        rounding = rounding * math.sqrt(v.shape[-2] / v.shape[-1])
        return at_most_half_of_digits(m, rounding, largest)

    together = clusters(policy, w, scale) & ~identity(w.shape[-1], w.ndim + 1)
    return columns_without_tangent(policy, subject_of(type, first), w, together, m, kappa)


def inner_pullback(
    policy: Policy, subject: Subject, w: Array, w_bar: Array | None, k_bar: Array, kappa: Array, scale: Array
) -> tuple[Array, Array | None]:
    """`M̄`, and the factor of the gradients: 1, or NaN where they are refused, `(…, 1, 1)`; `None` for 1 everywhere.

    `kappa` is the size of the rounding errors in the entries of `K̄`.
    """
    gap = w[..., None, :] - w[..., :, None]
    noise = is_noise(policy, gap, *rotation_and_mixing(k_bar), w_bar, kappa, scale[..., None])
    m_bar = inverse_gaps(policy, w, scale).astype(k_bar.dtype) * zero_at_noise(noise, (k_bar - adjoint(k_bar)) / 2)
    if w_bar is not None:
        m_bar = m_bar + diagonal_matrix(w_bar, k_bar.dtype)
    return m_bar, gradient_factor(policy, subject, w, w_bar, k_bar, kappa, scale)


def inner_of_b(m_bar: Array, k_bar: Array, w: Array, type: int) -> Array:
    """The inner matrix of `B̄`, as `M̄` is that of `Ā`."""
    rule = RULES[type]
    return rule.s * mean(w, m_bar.dtype) * m_bar + rule.t * hermitian_part(k_bar) / 2


def finished(gradients: Sequence[Array], factor: Array | None, triangle: str) -> list[Array]:
    """Gradients of the entries that `triangle` reads, in JAX's convention, refused where the factor is NaN."""
    results = [jnp.conj(hermitian_part_transpose(x, triangle)) for x in gradients]
    return results if factor is None else [x * factor.astype(x.dtype) for x in results]


def hermitian_part_transpose(x: Array, triangle: str) -> Array:
    """The transpose of `hermitian_part` at a Hermitian `x`: the gradient of the entries that `triangle` reads."""
    if triangle == "hermitian":
        return x / 2 + adjoint(x) / 2
    strict = (
        jnp.tril(x, -1) + adjoint(jnp.triu(x, 1)) if triangle == "lower" else jnp.triu(x, 1) + adjoint(jnp.tril(x, -1))
    )
    return jnp.where(identity(x.shape[-1], x.ndim), jnp.real(x).astype(x.dtype), strict)


# ---- whole spectra ------------------------------------------------------------------------------------------------


def pushforward(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    type: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of the requested `outputs`."""
    w, v, u, scale = unpack(residuals, type)
    da, db = (None if x is None else hermitian_part(x, triangle) for x in linear)
    f = inverse_gaps(policy, w, scale)
    dw, k, m = inner_pushforward(da, db, w, v, u, f, type)
    results = [dw] if outputs[0] else []
    if outputs[1] or outputs[2]:
        without_tangent = vectors_without_tangent(policy, da, db, w, v, u, f, scale, m, type)
        if outputs[1]:
            results.append(nan_columns(without_tangent, matmul(v, k)))
        if outputs[2]:
            results.append(nan_columns(without_tangent, -matmul(u, adjoint(k))))
    return results


def pullback(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    type: int,
    triangle: str,
    policy: Policy,
    by_blocks: bool = False,
) -> list[Array]:
    """The reverse rule, for `TangentMap`: the gradients with respect to the requested `inputs`, in JAX's convention.

    `by_blocks`: `Diag(λ)` is written as `XᴴAX`, which has the same value but another derivative. Where eigenvalues
    repeat, the derivative of `XᴴAX` has the whole block of the cluster, as second derivatives need, and that of
    `Diag(λ)` only its diagonal.
    """
    w, v, u, scale = unpack(residuals, type)
    w_bar, v_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    x, y = bases(type, v, u)
    k_bar: Any = None
    kappa: Any = 0
    if v_bar is not None:
        k_bar, kappa = matmul(adjoint(v), v_bar), rounding_of_product(v, v_bar)
    if u_bar is not None:
        k, size = matmul(adjoint(u_bar), u), rounding_of_product(u, u_bar)
        k_bar, kappa = (-k if k_bar is None else k_bar - k), kappa + size
    if k_bar is None:
        assert w_bar is not None
        bars = [_around_diagonal(x, w_bar)] if inputs[0] else []
        if inputs[1] and by_blocks:
            block = matmul(adjoint(x), matmul(hermitian_part(residuals[-1], triangle), x))
            bars.append(_around(y, RULES[type].s * block * mean(w_bar, block.dtype)))
        elif inputs[1]:
            bars.append(_around_diagonal(y, RULES[type].s * w * w_bar))
        return finished(bars, None, triangle)
    m_bar, factor = inner_pullback(
        policy, subject_of(type), w, w_bar, k_bar, at_most_half_of_digits(k_bar, kappa), scale
    )
    bars = []
    if inputs[0]:
        bars.append(_around(x, m_bar))
    if inputs[1]:
        bars.append(_around(y, inner_of_b(m_bar, k_bar, w, type)))
    return finished(bars, factor, triangle)


pullback_again = functools.partial(pullback, by_blocks=True)


def _around(x: Array, inner: Array) -> Array:
    """`X M Xᴴ`."""
    return matmul(x, matmul(inner, adjoint(x)))


def _around_diagonal(x: Array, diagonal: Array) -> Array:
    """`X Diag(d) Xᴴ`."""
    return matmul(x * diagonal.astype(x.dtype)[..., None, :], adjoint(x))


def unpack(residuals: Sequence[Any], type: int) -> tuple[Any, Any, Any, Any]:
    """`w`, `v`, `u` (or `None`) and `scale`, which for the standard problem follows from `w`. The last
    residual of a pair is `a`."""
    w, v, *rest = residuals
    scale = scale_of(0, w, None, w, v, v) if type == 0 else rest[int(type >= 2)]
    return w, v, (rest[0] if type >= 2 else None), lax.stop_gradient(scale)


def second_order(
    residuals: Sequence[Any], *, outputs: tuple[bool, ...], weights: Any, type: int, triangle: str, policy: Policy
) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    w, _, _, scale = unpack(residuals, type)
    return second_order_factor(policy, subject_of(type), w, scale, any(outputs[1:]), weights)
