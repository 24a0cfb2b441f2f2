"""The multilinear forms behind derivatives of functions of general matrices, as JAX primitives.

They are the open forms of `eigenpair.spectral.forms` for general matrices, in complex arithmetic. There are two ways to
compute a form. With `A = V Diag(λ) V⁻¹`, `U = V⁻ᴴ` and `X = Uᴴ E V`:

    order 0     V Diag(fᵢ) Uᴴ
    order 1     V (f[i,j] ∘ X) Uᴴ
    order 2     V (Σₖ f[i,k,j] (X¹ᵢₖ X²ₖⱼ + X²ᵢₖ X¹ₖⱼ)) Uᴴ

If `V` is too ill-conditioned for that (`hard`), with the Schur form `A = Q T Qᴴ`: functions of block triangular
matrices, which have the derivatives in a corner (`eigenpair.spectral.triangular`). Both ways are linear in the jet.
Because `tr(Y L(E)) = tr(L(Y) E)`, a form without one of its directions is its own transpose.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..runtime import native
from ..runtime.matrices import adjoint, matmul
from ..runtime.primitives import batched, by_jit
from . import triangular

_METHODS = {"sqrt": triangular.sqrt, "log": triangular.log, "sign": triangular.sign}


class Jet(NamedTuple):
    """The data of `f` from which forms are computed."""

    values: Array  # f(λᵢ), `(…, n)`
    first: Array  # f[λᵢ, λⱼ], `(…, n, n)`
    slopes: Array  # ∂f[λᵢ, λⱼ]/∂λⱼ
    coefficients: Array  # Taylor coefficients for every eigenvalue, `(…, n, K)`; not used by named methods


class Reduced(NamedTuple):
    """The data of the matrix from which forms are computed: all constant except `a`."""

    a: Array
    w: Array
    v: Array
    u: Array
    q: Array
    t: Array
    same: Array
    center: Array
    radius: Array
    trust: Array  # 1, or NaN where a careful value or derivative of that order is unknown, `(…, 3)`
    hard: Array


_JET, _MATRIX = len(Jet._fields), len(Reduced._fields)


def form(jet: Jet, reduced: Reduced, method: str) -> Array:
    """`f(A)` as a differentiable function of `reduced.a` and of the jet. `method`: `"taylor"`, or a named function."""
    return _bind(_form_p, jet, (), reduced, method=method)


# Operands: jet, directions, matrix.
_form_p = Primitive("eigenpair_function_form")
# Operands: y, directions, matrix. Results: the cotangent of the jet. A further parameter: the number of coefficients.
_dual_p = Primitive("eigenpair_function_dual")
_dual_p.multiple_results = True


def _bind(primitive: Primitive, leading: Sequence[Any], directions: Sequence[Any], matrix: Any, **params: Any) -> Any:
    if len(directions) > 2:
        raise NotImplementedError("functions of matrices have first and second derivatives; a higher one was requested")
    return primitive.bind(*leading, *directions, *matrix, **params)


def _split(operands: Sequence[Any], leading: int) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    return operands[:leading], operands[leading:-_MATRIX], operands[-_MATRIX:]


# ---- values -------------------------------------------------------------------------------------------------------


def _evaluate(*operands: Array, method: str) -> Array:
    jet, directions, matrix = _split(operands, _JET)
    jet, matrix = Jet(*jet), Reduced(*matrix)
    plain = _by_vectors(jet, directions, matrix)
    careful = lax.cond(
        jnp.any(matrix.hard),
        lambda: _by_schur(jet, directions, matrix, method) * matrix.trust[..., None, None, len(directions)],
        lambda: jnp.zeros_like(plain),
    )
    return jnp.where(matrix.hard[..., None, None], careful, plain)


def _by_vectors(jet: Jet, directions: Sequence[Array], matrix: Reduced) -> Array:
    left = adjoint(matrix.u)
    if not directions:
        return matmul(matrix.v * jet.values[..., None, :], left)
    inner = [matmul(left, matmul(e, matrix.v)) for e in directions]
    middle = jet.first * inner[0] if len(inner) == 1 else _middle(jet.slopes, matrix.w, *inner)
    return matmul(matrix.v, matmul(middle, left))


def _middle(slopes: Array, w: Array, x: Array, y: Array) -> Array:
    def add(total: Array, k: Array) -> tuple[Array, None]:
        pair = jnp.take(x, k, axis=-1)[..., :, None] * jnp.take(y, k, axis=-2)[..., None, :]
        pair += jnp.take(y, k, axis=-1)[..., :, None] * jnp.take(x, k, axis=-2)[..., None, :]
        return total + second(slopes, w, k) * pair, None

    return lax.scan(add, 0 * (x + y + slopes), jnp.arange(w.shape[-1]))[0]


def second(slopes: Array, w: Array, k: Array) -> Array:
    """`f[λᵢ, λₖ, λⱼ]` for one `k`, from the slopes: `p ∂f[a, b]/∂b + (1 − p) ∂f[c, b]/∂b` with `p = (b − a)/(c − a)`,
    where `a` and `c` are the two of the three that are farthest apart, so that nothing cancels."""
    i, j = w[..., :, None], w[..., None, :]
    m = jnp.take(w, k, axis=-1)[..., None, None]
    at, to = jnp.take(slopes, k, axis=-2), jnp.take(slopes, k, axis=-1)
    to_k_from_i, to_k_from_j = to[..., :, None], to[..., None, :]
    to_i_from_k, to_j_from_k = at[..., :, None], at[..., None, :]
    to_j_from_i, to_i_from_j = slopes, jnp.swapaxes(slopes, -1, -2)

    def combined(a: Array, b: Array, c: Array, from_a: Array, from_c: Array) -> Array:
        p = jnp.where(c == a, 0.5, (b - a) / jnp.where(c == a, 1, c - a))
        return p * from_a + (1 - p) * from_c

    ij, ik, jk = jnp.abs(i - j), jnp.abs(i - m), jnp.abs(j - m)
    outer_ij = combined(i, m, j, to_k_from_i, to_k_from_j)
    outer_ik = combined(i, j, m, to_j_from_i, to_j_from_k)
    outer_jk = combined(j, i, m, to_i_from_j, to_i_from_k)
    return jnp.where((ij >= ik) & (ij >= jk), outer_ij, jnp.where(ik >= jk, outer_ik, outer_jk))


def _by_schur(jet: Jet, directions: Sequence[Array], matrix: Reduced, method: str) -> Array:
    left = adjoint(matrix.q)
    inner = [matmul(left, matmul(e, matrix.q)) for e in directions]
    # Linear in every direction: brought to a size at which they do not stand out beside T.
    sizes = [_size_beside(e, matrix.t) for e in inner]
    inner = [e / size for e, size in zip(inner, sizes, strict=True)]

    def f(t: Array, blocks: int) -> Array:
        if method != "taylor":
            return _METHODS[method](t)
        tile = lambda x: jnp.concatenate([x] * blocks, axis=-1)  # noqa: E731
        same = jnp.concatenate([tile(matrix.same)] * blocks, axis=-2)
        coefficients = jnp.concatenate([jet.coefficients] * blocks, axis=-2)
        return triangular.taylor(t, same, tile(matrix.center), tile(matrix.radius), coefficients)

    orders = [inner] if len(inner) < 2 else [inner, inner[::-1]]
    total = functools.reduce(jnp.add, [triangular.corner(f, matrix.t, order) for order in orders])
    return matmul(matrix.q, matmul(functools.reduce(jnp.multiply, sizes, total), left))


def _size_beside(e: Array, t: Array) -> Array:
    """A thousand times the size of `e` in units of `t`, or 1."""
    size, unit = (jnp.max(jnp.abs(x), axis=(-1, -2), keepdims=True, initial=0) for x in (e, t))
    ratio = 1024 * size / jnp.where(unit > 0, unit, 1)
    return jnp.where((ratio > 0) & jnp.isfinite(ratio), ratio, 1).astype(t.dtype)


def _evaluate_dual(*operands: Array, method: str, count: int) -> Sequence[Array]:
    (y,), directions, matrix = _split(operands, 1)
    w = matrix[1]
    shapes = [w.shape, (*w.shape, w.shape[-1]), (*w.shape, w.shape[-1]), (*w.shape, count)]
    jet = [jnp.zeros(shape, w.dtype) for shape in shapes]
    linear = lambda *slots: _evaluate(*slots, *directions, *matrix, method=method)  # noqa: E731
    # Not `jax.linear_transpose`: that of JAX 0.7 does not transpose a scan over its arguments.
    return list(jax.vjp(linear, *jet)[1](y))


# ---- transformations ----------------------------------------------------------------------------------------------


def _is_zero(x: Any) -> bool:
    return type(x) is ad.Zero


def _jvp(
    primitive: Primitive, leading: int, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    first, directions, matrix = _split(primals, leading)
    d_first, d_directions, (da, *_) = _split(tangents, leading)
    parts = []
    if any(not _is_zero(t) for t in d_first):
        parts.append(_bind(primitive, [ad.instantiate_zeros(t) for t in d_first], directions, matrix, **params))
    for index, t in enumerate(d_directions):
        if not _is_zero(t):
            others = [*directions[:index], t, *directions[index + 1 :]]
            parts.append(_bind(primitive, first, others, matrix, **params))
    if not _is_zero(da):
        parts.append(_bind(primitive, first, [*directions, da], matrix, **params))
    value = _bind(primitive, first, directions, matrix, **params)
    if not parts:
        return value, jax.tree.map(lambda x: ad.Zero(jax.typeof(x).to_tangent_aval()), value)
    return value, jax.tree.map(lambda *xs: functools.reduce(jnp.add, xs), *parts)


def _transposed(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)


def _to_direction(jet: Any, y: Any, directions: Sequence[Any], index: int, matrix: Any, method: str) -> Array:
    others = [*directions[:index], *directions[index + 1 :], _transposed(y)]
    return _transposed(_bind(_form_p, jet, others, matrix, method=method))


def _form_transpose(y: Any, *operands: Any, method: str) -> list[Any]:
    jet, directions, matrix = _split(operands, _JET)
    if _is_zero(y):
        return [ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in operands]
    results: list[Any] = [None] * len(operands)
    if any(ad.is_undefined_primal(x) for x in jet):
        last = jet[-1].aval if ad.is_undefined_primal(jet[-1]) else jet[-1]
        duals = _bind(_dual_p, [y], directions, matrix, method=method, count=last.shape[-1])
        results[:_JET] = [d if ad.is_undefined_primal(x) else None for d, x in zip(duals, jet, strict=True)]
    for index, e in enumerate(directions):
        if ad.is_undefined_primal(e):
            results[_JET + index] = _to_direction(jet, y, directions, index, matrix, method)
    return results


def _dual_transpose(cotangents: Sequence[Any], *operands: Any, method: str, count: int) -> list[Any]:
    (y,), directions, matrix = _split(operands, 1)
    if all(_is_zero(ct) for ct in cotangents):
        return [ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in operands]
    results: list[Any] = [None] * len(operands)
    jet = [ad.instantiate_zeros(ct) for ct in cotangents]
    if ad.is_undefined_primal(y):
        results[0] = _bind(_form_p, jet, directions, matrix, method=method)
    for index, e in enumerate(directions):
        if ad.is_undefined_primal(e):
            results[1 + index] = _to_direction(jet, y, directions, index, matrix, method)
    return results


by_jit(_form_p, "method")
by_jit(_dual_p, "method", "count")
_form_p.def_abstract_eval(lambda *avals, **params: native.abstract(_evaluate)(*avals, **params)[0])
_dual_p.def_abstract_eval(native.abstract(_evaluate_dual))
mlir.register_lowering(_form_p, mlir.lower_fun(_evaluate, multiple_results=False))
mlir.register_lowering(_dual_p, mlir.lower_fun(_evaluate_dual, multiple_results=True))
ad.primitive_jvps[_form_p] = functools.partial(_jvp, _form_p, _JET)
ad.primitive_jvps[_dual_p] = functools.partial(_jvp, _dual_p, 1)
ad.primitive_transposes[_form_p] = _form_transpose
ad.primitive_transposes[_dual_p] = _dual_transpose
batching.primitive_batchers[_form_p] = batched(_form_p)
batching.primitive_batchers[_dual_p] = batched(_dual_p)
