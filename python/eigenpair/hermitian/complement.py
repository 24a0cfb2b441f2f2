"""Linear systems on the complement of a few eigenvectors, for what the others contribute to their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import check
from ..runtime import native
from ..runtime.matrices import adjoint, matmul, of_rank
from ..runtime.tangent_maps import batched, by_jit
from .xla import solve_by_xla

# x_j = Σ vᵢ vᵢᴴ y_j / (λᵢ − λ_j) over the eigenpairs that w and v leave out. Linear in y and its own adjoint. The
# operands are y, w, v, the factor that the solver returned, a and, for a pair, b.
complement_p = Primitive("eigenpair_complement")
by_jit(complement_p, "first")


@complement_p.def_abstract_eval
def _complement_abstract(y: Any, *_: Any, first: int) -> Any:
    return y


def _complement_by_xla(y: Array, w: Array, v: Array, factor: Array, *matrices: Array, first: int) -> Array:
    spectrum, basis = solve_by_xla(
        *matrices, type=len(matrices) - 1, triangle="hermitian", policy=check(), vectors=True
    )[:2]
    n, count = v.shape[-2:]
    gaps = spectrum[..., :, None] - w[..., None, :]
    outside = (jnp.arange(n) < first) | (jnp.arange(n) >= first + count)
    outside = of_rank(outside[:, None], gaps.ndim)
    inverse = jnp.where(outside, 1 / jnp.where(outside, gaps, 1), 0)
    return matmul(basis, inverse.astype(y.dtype) * matmul(adjoint(basis), y))


def _complement_native(ctx: Any, y: Any, w: Any, v: Any, factor: Any, *matrices: Any, first: int) -> Any:
    reduced = ctx.replace(avals_in=[ctx.avals_in[i] for i in (3, 1, 2, 0)])
    return native.lowering("eigenpair_complement", type=np.int32(len(matrices) - 1))(reduced, factor, w, v, y)


mlir.register_lowering(complement_p, mlir.lower_fun(_complement_by_xla, multiple_results=False))
if native.has_cpu_kernels():
    mlir.register_lowering(complement_p, _complement_native, platform="cpu")
batching.primitive_batchers[complement_p] = batched(complement_p)


def _complement_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, first: int) -> tuple[Any, Any]:
    y, w, v, _, _, *b = primals
    dy, dw, dv, _, da, *rest = (None if isinstance(t, ad.Zero) else t for t in tangents)
    db = rest[0] if b else None
    x = complement_p.bind(*primals, first=first)

    def times_b(z: Array) -> Array:
        return matmul(b[0], z) if b else z

    # Of (A − wⱼ B) xⱼ = yⱼ − B v vᴴ yⱼ with vᴴ B x = 0, on the complement and along v.
    right = jnp.zeros_like(y) if dy is None else dy
    along = None
    if da is not None:
        right = right - matmul(da, x)
    if dw is not None:
        right = right + times_b(x * dw.astype(x.dtype)[..., None, :])
    if dv is not None:
        right = right - times_b(matmul(dv, matmul(adjoint(v), y)))
        along = matmul(adjoint(dv), times_b(x))
    if db is not None:
        right = right + matmul(db, x * w.astype(x.dtype)[..., None, :] - matmul(v, matmul(adjoint(v), y)))
        turned = matmul(adjoint(v), matmul(db, x))
        along = turned if along is None else along + turned
    dx = complement_p.bind(right, *primals[1:], first=first)
    return x, (dx if along is None else dx - matmul(v, along))


def _complement_transpose(cotangent: Any, y: Any, *rest: Any, first: int) -> list[Any]:
    none = [None] * len(rest)
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(y.aval), *none]
    return [jnp.conj(complement_p.bind(jnp.conj(cotangent), *rest, first=first)), *none]


ad.primitive_jvps[complement_p] = _complement_jvp
ad.primitive_transposes[complement_p] = _complement_transpose
