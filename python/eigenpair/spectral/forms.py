"""The multilinear forms behind derivatives of spectral functions, as JAX primitives.

A scalar function enters as a *jet*: its values and divided differences at the eigenvalues. Everything is linear in the
jet, and the derivative with respect to the matrix only moves on to the next entry of it. So eigenvalues and vectors
stay constants, nothing is divided by a gap, and what the function closes over is differentiated through the jet.

With `X = Vᴴ E V` and `f` the function, `F` an antiderivative of it:

    order   closed (a number)              open (a matrix)
    0       Σ Fᵢ                           V Diag(fᵢ) Vᴴ
    1       Σ fᵢ Xᵢᵢ                       V (f[i,j] ∘ X) Vᴴ
    2       Σ f[i,j] X¹ᵢⱼ X²ⱼᵢ             V (Σₖ f[i,k,j] (X¹ᵢₖ X²ₖⱼ + X²ᵢₖ X¹ₖⱼ)) Vᴴ
    3       Σ X³ⱼᵢ (…)ᵢⱼ as above

Each is symmetric in its directions, and an open form is the closed one of the next order with a direction left out:
that is all that transposition needs. See `docs/derivations.md`, "Spectral functions".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..runtime import native
from ..runtime.matrices import matmul
from ..runtime.primitives import batched, by_jit
from . import contraction, core_forms, divided_differences, step_differences


class Jet(NamedTuple):
    """What the forms know of a function `f`: its divided differences at each eigenvalue, `(…, n)`, and at neighbours
    `λₖ, λₖ₊₁`, `(…, n − 1)`. All others follow from them, see `divided_differences`."""

    antiderivative: Array
    values: Array
    derivative: Array
    first: Array  # f[λₖ, λₖ₊₁]
    half_second: Array  # f[λₖ, λₖ, λₖ]
    left: Array  # f[λₖ, λₖ, λₖ₊₁]
    right: Array  # f[λₖ, λₖ₊₁, λₖ₊₁]


_SLOTS = len(Jet._fields)


def closed(jet: Jet, a: Array, w: Array, v: Array) -> Array:
    """`Σ F(λᵢ)`, shape `(…,)`, as a differentiable function of the Hermitian `a` with eigenvalues `w` and vectors
    `v`."""
    return _bind(_form_p, jet, (), (a, w, v), closed=True, step=None)


def opened(jet: Jet, a: Array, w: Array, v: Array, step: int | None = None) -> Array:
    """`V Diag(f) Vᴴ`, likewise. `step`: `f` is 1 on that many lowest eigenvalues and 0 above, and the jet's
    `derivative` is what its differences are multiplied with."""
    return _bind(_form_p, jet, (), (a, w, v), closed=False, step=step)


# Operands: jet, directions, (a, w, v). Parameters: closed, step.
_form_p = Primitive("eigenpair_spectral_form")
# Operands: y, directions, (a, w, v). Results: the cotangent of the jet. Parameters: the same, and the jet's dtype.
_dual_p = Primitive("eigenpair_spectral_dual")
_dual_p.multiple_results = True


def _bind(primitive: Primitive, leading: Sequence[Any], directions: Sequence[Any], matrix: Any, **params: Any) -> Any:
    if len(directions) > (3 if params["closed"] else 2):
        raise NotImplementedError(
            "spectral_map and spectral_projector have first and second derivatives, spectral_sum also a third; "
            "a higher one was requested"
        )
    return primitive.bind(*leading, *directions, *matrix, **params)


def _split(operands: Sequence[Any], leading: int) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    return operands[:leading], operands[leading:-3], operands[-3:]


# ---- values -------------------------------------------------------------------------------------------------------


def _adjoint(x: Array) -> Array:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def _matmul(x: Array, y: Array) -> Array:
    return matmul(*_promoted(x, y))


def _times(x: Array, y: Array) -> Array:
    x, y = _promoted(x, y)
    return x * y


def _promoted(x: Array, y: Array) -> tuple[Array, Array]:
    """Both in one precision: a jet may be complex where the matrix is real, and the other way round."""
    dtype = np.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def _evaluate(
    *operands: Array, closed: bool, step: int | None, by_core: bool = False, to_transpose: bool = False
) -> Array:
    """`to_transpose`: only by operations that JAX transposes."""
    slots, directions, (a, w, v) = _split(operands, _SLOTS)
    jet = Jet(*slots)
    batch = _common_batch(slots, directions, (a, w, v))
    if closed and not directions:
        return jnp.broadcast_to(jnp.sum(jet.antiderivative, axis=-1), batch)
    *used, last = directions if closed else (*directions, None)
    result = core_forms.opened(jet, used, w, v, batch, step) if by_core else None
    if result is None:
        result = _opened(jet, used, w, v, step, to_transpose)
    if last is None:
        return jnp.broadcast_to(result, (*batch, *result.shape[-2:]))
    total = jnp.sum(_times(result, _transposed(last)), axis=(-1, -2))
    # A real function of Hermitian matrices; the imaginary part is rounding.
    return jnp.broadcast_to(total if jnp.iscomplexobj(jet.values) else jnp.real(total), batch)


def _opened(jet: Jet, directions: Sequence[Array], w: Array, v: Array, step: int | None, to_transpose: bool) -> Array:
    if not directions:
        return _matmul(_times(v, jet.values[..., None, :]), _adjoint(v))
    inner = [_matmul(_adjoint(v), _matmul(e, v)) for e in directions]
    return _matmul(v, _matmul(_middle(jet, inner, w, step, to_transpose), _adjoint(v)))


def _common_batch(slots: Sequence[Any], directions: Sequence[Any], matrix: Sequence[Any]) -> tuple[int, ...]:
    """The whole batch shape: operands may have axes of size 1."""
    a, w, v = matrix
    vectors, matrices = [*slots, w], [*directions, a, v]
    return np.broadcast_shapes(*(x.shape[:-1] for x in vectors), *(x.shape[:-2] for x in matrices))


def _middle(jet: Jet, inner: Sequence[Array], w: Array, step: int | None, to_transpose: bool) -> Array:
    if len(inner) == 1:
        return _times(_first(jet, w, step), inner[0])
    x, y = _promoted(*inner)
    if step is not None:
        return _times(jet.derivative[..., None], step_differences.contracted(x, y, w, step))
    slopes = divided_differences.slopes_of_all(jet.half_second, jet.left, jet.right, w)
    if w.shape[-1] <= core_forms.LIMIT or to_transpose:
        return contraction.by_all(slopes, x, y, w)
    return contraction.of_large(slopes, jet.left + jet.right, x, y, w)


def _first(jet: Jet, w: Array, step: int | None) -> Array:
    """First differences of all eigenvalues, `(…, n, n)`."""
    if step is None:
        return divided_differences.first_of_all(jet.derivative, jet.first, w)
    return step_differences.first(w, step) * jet.derivative[..., None]


def _evaluate_dual(*operands: Array, closed: bool, step: int | None, dtype: Any) -> Sequence[Array]:
    (y,), directions, matrix = _split(operands, 1)
    w = matrix[1]
    batch, n = _common_batch((), directions, matrix), w.shape[-1]
    y_batch = y.shape if closed else y.shape[:-2]
    batch = np.broadcast_shapes(batch, y_batch)
    sizes = Jet(n, n, n, n - 1, n, n - 1, n - 1)
    jet = [jax.ShapeDtypeStruct((*batch, max(size, 0)), dtype) for size in sizes]
    form = lambda *slots: _evaluate(*slots, *directions, *matrix, closed=closed, step=step, to_transpose=True)  # noqa: E731
    out = jax.eval_shape(form, *jet)
    return list(jax.linear_transpose(form, *jet)(y.astype(out.dtype)))


# ---- transformations ----------------------------------------------------------------------------------------------


def _is_zero(x: Any) -> bool:
    return type(x) is ad.Zero


def _form_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    return _jvp(_form_p, _SLOTS, primals, tangents, params, lambda xs: xs)


def _dual_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    return _jvp(_dual_p, 1, primals, tangents, params, list)


def _jvp(
    primitive: Primitive,
    leading: int,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    params: Any,
    as_list: Callable[[Any], Any],
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
        return as_list(value), jax.tree.map(lambda x: ad.Zero(jax.typeof(x).to_tangent_aval()), as_list(value))
    return as_list(value), jax.tree.map(lambda *xs: sum(xs[1:], xs[0]), *[as_list(p) for p in parts])


def _as(x: Array, aval: Any) -> Array:
    """A cotangent in the type of its operand: of a real operand, only the real part of the cotangent counts. Where the
    operand has size 1 on an axis, the cotangents are summed over it."""
    axes = tuple(axis for axis, size in enumerate(aval.shape) if size == 1 and x.shape[axis] != 1)
    if axes:
        x = jnp.sum(x, axis=axes, keepdims=True)
    if not jnp.issubdtype(aval.dtype, jnp.complexfloating):
        x = jnp.real(x)
    return x.astype(aval.dtype)


def _transposed(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)


def _to_direction(jet: Sequence[Any], y: Any, directions: Sequence[Any], index: int, matrix: Any, params: Any) -> Array:
    """The cotangent of direction `index` of a form whose value has cotangent `y`."""
    others = [*directions[:index], *directions[index + 1 :]]
    open_params = {"closed": False, "step": params["step"]}
    if params["closed"]:
        return _times(y[..., None, None], _transposed(_bind(_form_p, jet, others, matrix, **open_params)))
    if not others and not jnp.iscomplexobj(matrix[-1]):
        # With real vectors, the form of a transposed direction is the transposed form.
        return _bind(_form_p, jet, [y], matrix, **open_params)
    return _transposed(_bind(_form_p, jet, [*others, _transposed(y)], matrix, **open_params))


def _form_transpose(y: Any, *operands: Any, **params: Any) -> list[Any]:
    jet, directions, matrix = _split(operands, _SLOTS)
    results: list[Any] = [None] * len(operands)
    if _is_zero(y):
        return [ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in operands]
    if any(ad.is_undefined_primal(x) for x in jet):
        dtype = jet[1].aval.dtype if ad.is_undefined_primal(jet[1]) else jet[1].dtype
        duals = _bind(_dual_p, [y], directions, matrix, dtype=dtype, **params)
        results[:_SLOTS] = [
            _as(d, x.aval) if ad.is_undefined_primal(x) else None for d, x in zip(duals, jet, strict=True)
        ]
    for index, e in enumerate(directions):
        if ad.is_undefined_primal(e):
            results[_SLOTS + index] = _as(_to_direction(jet, y, directions, index, matrix, params), e.aval)
    return results


def _dual_transpose(cotangents: Sequence[Any], *operands: Any, **params: Any) -> list[Any]:
    (y,), directions, matrix = _split(operands, 1)
    results: list[Any] = [None] * len(operands)
    if all(_is_zero(ct) for ct in cotangents):
        return [ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in operands]
    jet = [ad.instantiate_zeros(ct) for ct in cotangents]
    form_params = {"closed": params["closed"], "step": params["step"]}
    if ad.is_undefined_primal(y):
        results[0] = _as(_bind(_form_p, jet, directions, matrix, **form_params), y.aval)
    for index, e in enumerate(directions):
        if ad.is_undefined_primal(e):
            results[1 + index] = _as(_to_direction(jet, y, directions, index, matrix, form_params), e.aval)
    return results


by_jit(_form_p, "closed", "step")
by_jit(_dual_p, "closed", "step", "dtype")
_form_p.def_abstract_eval(lambda *avals, **params: native.abstract(_evaluate)(*avals, **params)[0])
_dual_p.def_abstract_eval(native.abstract(_evaluate_dual))
mlir.register_lowering(_form_p, mlir.lower_fun(_evaluate, multiple_results=False))
_by_core = functools.partial(_evaluate, by_core=True)
mlir.register_lowering(_form_p, mlir.lower_fun(_by_core, multiple_results=False), platform="cpu")
mlir.register_lowering(_dual_p, mlir.lower_fun(_evaluate_dual, multiple_results=True))
ad.primitive_jvps[_form_p] = _form_jvp
ad.primitive_jvps[_dual_p] = _dual_jvp
ad.primitive_transposes[_form_p] = _form_transpose
ad.primitive_transposes[_dual_p] = _dual_transpose
batching.primitive_batchers[_dual_p] = batched(_dual_p)


def _batch_form(operands: Sequence[Any], axes: Sequence[Any], **params: Any) -> tuple[Any, int]:
    """Batch axes come in front. What does not vary gets an axis of size 1: the core reads it once for all directions,
    as in a Hessian."""
    moved = [x[None] if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(operands, axes, strict=True)]
    return _form_p.bind(*moved, **params), 0


batching.primitive_batchers[_form_p] = _batch_form
