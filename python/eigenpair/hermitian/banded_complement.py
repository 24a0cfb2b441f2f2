"""Linear systems with a band matrix on the complement of a few of its eigenvectors. See complement.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import check
from ..runtime import native
from ..runtime.matrices import adjoint, matmul, of_rank
from ..runtime.primitives import batched, by_jit
from . import bands
from .xla import solve_by_xla

# x_j = Σ vᵢ vᵢᴴ y_j / (λᵢ − λ_j) over the eigenpairs that w and v leave out. Linear in y and its own adjoint. The
# operands are y, w, v and the band.
complement_p = Primitive("eigenpair_banded_complement")
by_jit(complement_p, "first")


@complement_p.def_abstract_eval
def _complement_abstract(y: Any, *_: Any, first: int) -> Any:
    return y


def _complement_by_xla(y: Array, w: Array, v: Array, band: Array, *, first: int) -> Array:
    spectrum, basis = solve_by_xla(
        bands.dense(bands.inside(band)), type=0, triangle="hermitian", policy=check(), vectors=True
    )
    n, count = v.shape[-2:]
    gaps = spectrum[..., :, None] - w[..., None, :]
    outside = (jnp.arange(n) < first) | (jnp.arange(n) >= first + count)
    outside = of_rank(outside[:, None], gaps.ndim)
    inverse = jnp.where(outside, 1 / jnp.where(outside, gaps, 1), 0)
    return matmul(basis, inverse.astype(y.dtype) * matmul(adjoint(basis), y))


def _complement_native(ctx: Any, y: Any, w: Any, v: Any, band: Any, *, first: int) -> Any:
    reordered = ctx.replace(avals_in=[ctx.avals_in[i] for i in (3, 1, 2, 0)])
    return native.lowering("eigenpair_banded_complement")(reordered, band, w, v, y)


mlir.register_lowering(complement_p, mlir.lower_fun(_complement_by_xla, multiple_results=False))
if native.has_cpu_kernels():
    mlir.register_lowering(complement_p, _complement_native, platform="cpu")
batching.primitive_batchers[complement_p] = batched(complement_p)


def _complement_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, first: int) -> tuple[Any, Any]:
    y, w, v, band = primals
    dy, dw, dv, dband = (None if isinstance(t, ad.Zero) else t for t in tangents)
    x = complement_p.bind(*primals, first=first)
    # Of (A − wⱼ) xⱼ = yⱼ − v vᴴ yⱼ with vᴴ x = 0, on the complement and along v.
    right = jnp.zeros_like(y) if dy is None else dy
    if dband is not None:
        right = right - bands.times(dband, x)
    if dw is not None:
        right = right + x * dw.astype(x.dtype)[..., None, :]
    if dv is not None:
        right = right - matmul(dv, matmul(adjoint(v), y))
    dx = complement_p.bind(right, w, v, band, first=first)
    return x, (dx if dv is None else dx - matmul(v, matmul(adjoint(dv), x)))


def _complement_transpose(cotangent: Any, y: Any, *rest: Any, first: int) -> list[Any]:
    none = [None] * len(rest)
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(y.aval), *none]
    return [jnp.conj(complement_p.bind(jnp.conj(cotangent), *rest, first=first)), *none]


ad.primitive_jvps[complement_p] = _complement_jvp
ad.primitive_transposes[complement_p] = _complement_transpose
