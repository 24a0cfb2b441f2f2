"""First derivatives of Hermitian problems on CPU: small matrices by the core's rule, large ones by XLA's products and,
between them, the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import mlir

from . import native
from ._hermitian_rules import cotangent, pullback, second_order, tangent, unpack
from ._linear_pair import LinearPair
from ._matrices import TRIANGLES, adjoint, matmul
from .degeneracy import Policy, broaden, check, largest_column, mask, raw

# The core's products are for matrices that fit the cache; beyond, XLA's.
LIMIT = 64
_POLICIES = {check: 0, mask: 1, broaden: 2, raw: 3}  # as the C ABI numbers them


def on_cpu(
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    reverse: bool,
    type: int,
    triangle: str,
    policy: Policy,
) -> Any:
    """A function `(linear, residuals)` to compute with instead of the rule in JAX; `None` where the core has nothing to
    add, or somebody wants to have the verdict explained."""
    n = residuals[1].shape[-1]
    if n == 0 or not native.has_small_kernels() or (isinstance(policy, check) and policy.explain):
        return None
    if n > LIMIT and not reverse:
        return None
    given, wanted = (outputs, inputs) if reverse else (inputs, outputs)

    def kernel(linear: Sequence[Array], residuals: Sequence[Array]) -> Sequence[Array]:
        # All share the batch of the linear arrays, but residuals may have it in parts only, as under jacrev.
        batch = linear[0].shape[: -1 if reverse and given[0] else -2]
        sizes = [(n,), (n, n)] + [(n, n)] * (type >= 2) + [(1,)] * (type > 0)
        kept = [jnp.broadcast_to(x, (*batch, *size)) for x, size in zip(residuals, sizes, strict=True)]
        if n > LIMIT:
            left = iter(linear)
            cotangents = [next(left) if flag else None for flag in given]
            return _large(cotangents, kept, inputs=wanted, type=type, triangle=triangle, policy=policy)
        return _small(linear, kept, given, wanted, reverse=reverse, type=type, triangle=triangle, policy=policy)

    return kernel


def _parameters(policy: Policy) -> dict[str, Any]:
    return {
        "policy": np.int32(_POLICIES[policy.__class__]),
        "parameter": np.float64(next(iter(vars(policy).values()), 0)),
    }


def _primitive(name: str, *, of_matrices: bool = False, in_place: dict[int, int] | None = None) -> Primitive:
    """A call of the core as an operation of its own, which exists in lowered programs only. `of_matrices`: of nothing
    else, so that the batch is what precedes the last two axes. Its parameter `results` names, for each result, an
    operand of the same shape, spread in the same way, and a type."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_abstract_eval(
        lambda *avals, results, attributes: [avals[like].update(dtype=dtype) for like, dtype in results]
    )

    def lower(ctx: Any, *operands: Any, results: Any, attributes: Any) -> Any:
        batch = len(ctx.avals_in[0].shape) - 2 if of_matrices else None
        return native.lowering(name, batch=batch, in_place=in_place, **dict(attributes))(ctx, *operands)

    mlir.register_lowering(primitive, lower)
    return primitive


# ---- small ----------------------------------------------------------------------------------------------------------

_rule_p = _primitive("eigenpair_hermitian_rule")


def _small(
    linear: Sequence[Array],
    kept: Sequence[Array],
    given: tuple[bool, ...],
    wanted: tuple[bool, ...],
    *,
    reverse: bool,
    type: int,
    triangle: str,
    policy: Policy,
) -> Sequence[Array]:
    w, v = kept[:2]
    # Only gaps are judged by a scale, and computing one takes longer than the derivative of eigenvalues.
    scaled = type > 0 and any((given if reverse else wanted)[1:])
    kept = kept[: 2 + (type >= 2) + scaled]
    results = [(1, v.dtype)] * 2 if reverse else [(0, w.dtype), (1, v.dtype), (1, v.dtype)]
    attributes = {
        "type": np.int32(type),
        "triangle": np.int32(TRIANGLES[triangle]),
        **_parameters(policy),
        "reverse": np.int32(reverse),
        "residuals": np.uint32(3 + 4 * (type >= 2) + 8 * scaled),
        "given": _bits(given),
        "wanted": _bits(wanted),
    }
    return _rule_p.bind(
        *kept,
        *linear,
        results=tuple(result for result, flag in zip(results, wanted, strict=True) if flag),
        attributes=tuple(attributes.items()),
    )


def _bits(flags: Sequence[bool]) -> np.uint32:
    return np.uint32(sum(1 << i for i, flag in enumerate(flags) if flag))


# ---- large ----------------------------------------------------------------------------------------------------------

_rotation_p = _primitive("eigenpair_rotation", in_place={1: 0})
_gradient_p = _primitive("eigenpair_gradient", of_matrices=True, in_place={0: 0})


def _large(
    cotangents: Sequence[Any],
    residuals: Sequence[Array],
    *,
    inputs: tuple[bool, ...],
    type: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    """`cotangent`, where XLA would read matrices by columns between the products, which takes as long as they do."""
    w, v, u, _ = unpack(residuals, type)
    w_bar, v_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    k_bar: Any = None
    kappa: Any = jnp.zeros((*w.shape[:-1], 1, 1), w.dtype)
    if v_bar is not None:
        k_bar = matmul(_copied(adjoint(v)), v_bar)
        # Vectors of the standard problem are of unit length.
        kappa = kappa + largest_column(v_bar) * (1 if type == 0 else largest_column(v))
    if u_bar is not None:
        k = matmul(_copied(adjoint(u_bar)), u)
        k_bar = -k if k_bar is None else k_bar - k
        kappa = kappa + largest_column(u) * largest_column(u_bar)
    m_bar = None
    refused: list[Array] = []
    if k_bar is not None:
        extra = [x for x in (w_bar, residuals[-1] if type > 0 else None) if x is not None]
        attributes = {**_parameters(policy), "has_dw": w_bar is not None, "has_scale": type > 0}
        m_bar, *refused = _rotation_p.bind(
            w,
            k_bar,
            kappa[..., 0],
            *extra,
            results=((1, v.dtype), (2, np.dtype("int32"))),
            attributes=tuple(attributes.items()),
        )
    bars = pullback(w_bar, m_bar, lambda: _of_triangle(k_bar, [], "hermitian", conjugated=False), w, v, u, type)
    return [_of_triangle(bar(), refused, triangle) for bar, wanted in zip(bars, inputs, strict=True) if wanted]


def _copied(x: Array) -> Array:
    """As a matrix of its own: XLA is slow at products whose first factor is transposed."""
    return lax.optimization_barrier(x)


def _of_triangle(x: Array, refused: Sequence[Array], triangle: str, *, conjugated: bool = True) -> Array:
    """What the variables of `triangle` get of the gradient `x`, in JAX's convention; NaN where it is refused."""
    attributes = (("triangle", np.int32(TRIANGLES[triangle])), ("conjugated", conjugated))
    (gradient,) = _gradient_p.bind(x, *refused, results=((0, x.dtype),), attributes=attributes)
    return gradient


pair = LinearPair("eigenpair_hermitian", tangent, cotangent, second_order, on_cpu)
