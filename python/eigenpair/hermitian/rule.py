"""First derivatives of Hermitian problems, forward and in reverse: the rules of `docs/derivations.md`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import clusters, coupled, noise, parts, second_order_factor, verdict
from ..degeneracy.explanations import Subject
from ..degeneracy.inverse_gaps import inverse_gaps, without
from ..degeneracy.policies import Policy, check
from ..degeneracy.rounding import at_most_of, norm, rounding_of_form, rounding_of_product
from ..runtime.matrices import adjoint, diagonal_matrix, hermitian_part, hermitian_part_transpose, identity, matmul


def subject_of(type: int, first: int = 0) -> Subject:
    """Of explanations."""
    return Subject("eigh(a, b)" if type else "eigh", first)


def bases(type: int, v: Array, u: Array | None) -> tuple[Array, Array]:
    """`X` and `Y`, through which `dA` and `dB` act."""
    if type == 2:
        return u, v  # type: ignore[return-value]
    return v, (u if type == 3 else v)  # type: ignore[return-value]


def scale_of(type: int, a: Array, b: Array | None, w: Array, x: Array, y: Array) -> Array:
    """Size of the source of rounding in the eigenvalues, shape `(…, 1)`."""
    if type == 0:
        return jnp.max(jnp.abs(w), axis=-1, keepdims=True, initial=0)
    axes = (-2, -1)
    bound = norm(a, axes)[..., 0] * norm(x, -2)[..., 0, :] ** 2
    bound += jnp.abs(w) * norm(b, axes)[..., 0] * norm(y, -2)[..., 0, :] ** 2  # type: ignore[arg-type]
    return jnp.max(bound, axis=-1, keepdims=True, initial=0)


def pushforward(
    da: Array | None, db: Array | None, w: Array, v: Array, u: Array | None, f: Array, type: int
) -> tuple[Array, Array, Array]:
    """`dλ`, `K` (`dV = V K`, `dU = −U Kᴴ`) and `M + sL∘N`, which is what `K` divides by gaps, for Hermitian `dA`,
    `dB`."""
    x, y = bases(type, v, u)
    moved = jnp.zeros((), v.dtype)
    n_ = None
    if da is not None:
        moved = matmul(adjoint(x), matmul(da, x))
    if db is not None:
        n_ = matmul(adjoint(y), matmul(db, y))
        means = mean(w, v.dtype)
        moved = moved + (n_ * -means if type == 1 else n_ * means)
    dw = jnp.real(jnp.diagonal(moved, axis1=-2, axis2=-1))
    k = f.astype(v.dtype) * moved
    if n_ is not None:
        k = k + (n_ / 2 if type == 3 else n_ / -2)
    return dw, k, moved


def turned(
    policy: Policy,
    da: Array | None,
    db: Array | None,
    w: Array,
    v: Array,
    u: Array | None,
    f: Array,
    scale: Array,
    moved: Array,
    type: int,
    beyond: Any = 0,
    largest: Any = 0,
    first: int = 0,
) -> Array | None:
    """Which eigenvectors have no tangent, for the perturbation couples them with others of their cluster; `(…, 1, n)`.

    Of a subset from `first` on, `beyond` has the norms of the columns of `K` in what was left out, `(…, 1, k)`, and
    `largest` is what is known of entries of `M` that are not in `moved`.
    """
    if not isinstance(policy, check):
        return None
    w, v, f, moved = (lax.stop_gradient(x) for x in (w, v, f, moved))
    u, da, db = (None if x is None else lax.stop_gradient(x) for x in (u, da, db))

    def kappa() -> Array:
        x, y = bases(type, v, u)
        turn = (
            norm(f.astype(v.dtype) * moved, -2) + beyond
        )  # what an error in the vectors, of the size of scale over gap, makes of it
        rounding = scale[..., None] * (turn + jnp.swapaxes(turn, -1, -2))
        if da is not None:
            rounding = rounding + rounding_of_form(x, da)
        if db is not None:
            rounding = rounding + jnp.abs(w[..., :, None] + w[..., None, :]) / 2 * rounding_of_form(y, db)
        rounding = rounding * math.sqrt(v.shape[-2] / v.shape[-1])
        return at_most_of(moved, rounding, largest)

    together = clusters(policy, w, scale) & ~identity(w.shape[-1], w.ndim + 1)
    return coupled(policy, subject_of(type, first), w, together, moved, kappa)


def without_tangent(columns: Array | None, x: Array) -> Array:
    """`x` with NaN in the marked columns."""
    return x if columns is None else jnp.where(columns, jnp.nan, x)


def mean(w: Array, dtype: Any) -> Array:
    """`(λᵢ + λⱼ)/2`, shape `(…, n, n)`."""
    return ((w[..., :, None] + w[..., None, :]) / 2).astype(dtype)


def around(x: Array, diagonal: Any, inner: Any) -> Array:
    """`X M Xᴴ`, where `M` is `inner` or, if that is `None`, diagonal."""
    if inner is None:
        return matmul(x * diagonal.astype(x.dtype)[..., None, :], adjoint(x))
    return matmul(x, matmul(inner, adjoint(x)))


def inner_of_b(m_bar: Array, mixing: Array, w: Array, type: int) -> Array:
    """The inner matrix of `B̄`, as `M̄` is that of `Ā`; `mixing` is `(K̄ + K̄ᴴ)/2`, where `K̄ = VᴴV̄ − ŪᴴU`."""
    return (-1 if type == 1 else 1) * mean(w, m_bar.dtype) * m_bar + (1 if type == 3 else -1) * mixing / 2


def tangent(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    type: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    """The forward rule, for `TangentMap`: the tangents of what `outputs` asks for."""
    w, v, u, scale = unpack(residuals, type)
    da, db = (None if x is None else hermitian_part(x, triangle) for x in linear)
    f = inverse_gaps(policy, w, scale)
    dw, k, moved = pushforward(da, db, w, v, u, f, type)
    results = [dw] if outputs[0] else []
    if outputs[1] or outputs[2]:
        lost = turned(policy, da, db, w, v, u, f, scale, moved, type)
        if outputs[1]:
            results.append(without_tangent(lost, matmul(v, k)))
        if outputs[2]:
            results.append(without_tangent(lost, -matmul(u, adjoint(k))))
    return results


def cotangent(
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
    """The reverse rule, for `TangentMap`: the gradients that `inputs` asks for, in JAX's convention.

    `by_blocks`: `Diag(λ)` is written as `XᴴAX`, the same number with another derivative. Where eigenvalues repeat, that
    of `XᴴAX` has the whole block of the cluster, as second derivatives need, and that of `Diag(λ)` only its diagonal.
    """
    w, v, u, scale = unpack(residuals, type)
    w_bar, v_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    k_bar: Any = None
    kappa: Any = 0
    m_bar = None  # M̄ = Diag(λ̄) + F ∘ (K̄ − K̄ᴴ)/2, if there are cotangents of vectors
    if v_bar is not None:
        k_bar, kappa = matmul(adjoint(v), v_bar), rounding_of_product(v, v_bar)
    if u_bar is not None:
        k, size = matmul(adjoint(u_bar), u), rounding_of_product(u, u_bar)
        k_bar, kappa = (-k if k_bar is None else k_bar - k), kappa + size
    answer = None
    if k_bar is not None:
        kappa = at_most_of(k_bar, kappa)
        gap = w[..., None, :] - w[..., :, None]
        nothing = noise(policy, gap, *parts(k_bar), w_bar, kappa, scale[..., None])
        m_bar = inverse_gaps(policy, w, scale).astype(v.dtype) * without(nothing, (k_bar - adjoint(k_bar)) / 2)
        if w_bar is not None:
            m_bar = m_bar + diagonal_matrix(w_bar, v.dtype)
        answer = verdict(policy, subject_of(type), w, w_bar, k_bar, kappa, scale)
    x, y = bases(type, v, u)
    bars = []
    if inputs[0]:
        bars.append(around(x, w_bar, m_bar))
    if inputs[1] and m_bar is not None:
        bars.append(around(y, None, inner_of_b(m_bar, hermitian_part(k_bar), w, type)))
    elif inputs[1] and by_blocks and w_bar is not None:
        a = hermitian_part(residuals[-1], triangle)
        matrix = matmul(adjoint(x), matmul(a, x))
        bars.append(around(y, None, (-1 if type == 1 else 1) * matrix * mean(w_bar, matrix.dtype)))
    elif inputs[1]:
        bars.append(around(y, (-1 if type == 1 else 1) * w * w_bar, None))
    # back to JAX's convention
    gradients = [jnp.conj(hermitian_part_transpose(bar, triangle)) for bar in bars]
    return gradients if answer is None else [gradient * answer.astype(gradient.dtype) for gradient in gradients]


cotangent_again = functools.partial(cotangent, by_blocks=True)


def unpack(residuals: Sequence[Any], type: int) -> tuple[Any, Any, Any, Any]:
    """`w`, `v`, `u` (or `None`) and `scale`; of the standard problem `w` has the scale in itself, of a pair the last
    residual is `a`."""
    w, v, *rest = residuals
    scale = scale_of(0, w, None, w, v, v) if type == 0 else rest[int(type >= 2)]
    return w, v, (rest[0] if type >= 2 else None), lax.stop_gradient(scale)


def second_order(
    residuals: Sequence[Any], *, outputs: tuple[bool, ...], weights: Any, type: int, triangle: str, policy: Policy
) -> Array:
    """1, or NaN for matrices without a second derivative, for `TangentMap`; shape `(…,)`."""
    w, _, _, scale = unpack(residuals, type)
    return second_order_factor(policy, subject_of(type), w, scale, any(outputs[1:]), weights)
