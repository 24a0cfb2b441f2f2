"""What a few eigenpairs of a large Hermitian matrix are blind to: linear systems on the complement of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import native
from ._linear_pair import batched, by_jit
from ._matrices import adjoint, matmul

# x_j = P (A − w_j)⁺ P y_j, linear in y and its own adjoint; a, w, v and the factor say what A is.
complement_p = Primitive("eigenpair_complement")
complement_p.def_impl(by_jit(jax.jit(complement_p.bind, static_argnames=("first",))))


@complement_p.def_abstract_eval
def _complement_abstract(y: Any, a: Any, w: Any, v: Any, factor: Any, *, first: int) -> Any:
    return y


def _complement_by_xla(y: Array, a: Array, w: Array, v: Array, factor: Array, *, first: int) -> Array:
    basis, spectrum = lax.linalg.eigh(a, symmetrize_input=False)
    n, count = v.shape[-2:]
    outside = ((np.arange(n) < first) | (np.arange(n) >= first + count))[:, None]
    gaps = spectrum[..., :, None] - w[..., None, :]
    inverse = jnp.where(outside, 1 / jnp.where(outside, gaps, 1), 0)
    return matmul(basis, inverse * matmul(adjoint(basis), y))


def _complement_native(ctx: Any, y: Any, a: Any, w: Any, v: Any, factor: Any, *, first: int) -> Any:
    avals = ctx.avals_in
    reduced = ctx.replace(avals_in=[avals[4], avals[2], avals[3], avals[0]])
    return native.lowering("eigenpair_complement")(reduced, factor, w, v, y)


mlir.register_lowering(complement_p, mlir.lower_fun(_complement_by_xla, multiple_results=False))
if native.has_cpu_kernels():
    mlir.register_lowering(complement_p, _complement_native, platform="cpu")
batching.primitive_batchers[complement_p] = batched(complement_p)


def _complement_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, first: int) -> tuple[Any, Any]:
    y, a, w, v, factor = primals
    dy, da, dw, dv, _ = (None if isinstance(t, ad.Zero) else t for t in tangents)
    x = complement_p.bind(*primals, first=first)
    # Of (A − wⱼ) xⱼ = P yⱼ with vᴴx = 0, on the complement and along v.
    right = jnp.zeros_like(y) if dy is None else dy
    if da is not None:
        right = right - matmul(da, x)
    if dw is not None:
        right = right + x * dw[..., None, :]
    if dv is not None:
        right = right - matmul(dv, matmul(adjoint(v), y))
    dx = complement_p.bind(right, a, w, v, factor, first=first)
    return x, (dx if dv is None else dx - matmul(v, matmul(adjoint(dv), x)))


def _complement_transpose(cotangent: Any, y: Any, *rest: Any, first: int) -> list[Any]:
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(y.aval)] + [None] * 4
    return [jnp.conj(complement_p.bind(jnp.conj(cotangent), *rest, first=first))] + [None] * 4


ad.primitive_jvps[complement_p] = _complement_jvp
ad.primitive_transposes[complement_p] = _complement_transpose
