"""The primitive that solves Hermitian problems: lowerings, batching, forward rule. And solves by an engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import Policy, check
from ..degeneracy.refusals import tallied
from ..runtime import cuda, engines, native
from ..runtime.matrices import TRIANGLES, fusing, hermitian_part
from ..runtime.tangent_maps import TangentMap, batched, by_jit
from .core_rule import tangent_map
from .residuals import shown, without_refusals
from .rule import bases, pullback, pullback_again, pushforward, scale_of, second_order
from .xla import in_generic_basis, result_count, solve_by_xla

# ---- forward ------------------------------------------------------------------------------------------------------

# Parameters: type, triangle, policy, vectors. Results: (w), or (w, v) for types 0 and 1, or (w, v, u) for types 2 and
# 3, whose derivatives need the dual basis U = V⁻ᴴ.
_solve_p = Primitive("eigenpair_hermitian")
_solve_p.multiple_results = True
_solve_jit = by_jit(_solve_p, "type", "triangle", "policy", "vectors")


def solve(
    operands: Sequence[Array], *, type: int, triangle: str, policy: Policy, vectors: bool, tally: Any = None
) -> Sequence[Array]:
    """The results of the primitive, by the engine where the block has one."""
    engine = engines.current()
    if tally is not None:
        params: Any = {"type": type, "triangle": triangle, "policy": policy, "vectors": vectors}
        solved = functools.partial(_solve_jit, **params)
        return tallied(solved, functools.partial(_solve_jvp, **params), tally, operands)
    if engine is None:
        return _solve_jit(*operands, type=type, triangle=triangle, policy=policy, vectors=vectors)
    engines.judge(engine, operands)
    return _solve_by_engine(operands[0], engine, triangle, policy, vectors)


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *b: Array, type: int, triangle: str, policy: Policy, vectors: bool) -> list[Array]:
    for x in b:
        a = a + x
    return [jnp.sum(jnp.real(a), axis=-1)] + [a] * (result_count(type, vectors) - 1)


def _lower_native(ctx: Any, *operands: Any, type: int, triangle: str, policy: Policy, vectors: bool) -> Any:
    params = {"type": type, "triangle": triangle, "vectors": vectors}
    if vectors and isinstance(policy, check) and policy.generic_basis:

        def turned(*xs: Array) -> Sequence[Array]:
            return in_generic_basis(_solve_p.bind(*xs, policy=check(), **params), xs, type, triangle, policy)

        return mlir.lower_fun(turned, multiple_results=True)(ctx, *operands)
    rule = native.lowering("eigenpair_hermitian", type=np.int32(type), triangle=np.int32(TRIANGLES[triangle]))
    return rule(ctx, *operands)


def _lower_cuda(ctx: Any, *operands: Any, **params: Any) -> Any:
    kernels = cuda if cuda.has_kernels() else None
    solve = fusing(functools.partial(solve_by_xla, kernels=kernels, on_gpu=True))
    return native.lowering_by_xla(solve)(ctx, *operands, **params)


mlir.register_lowering(_solve_p, native.lowering_by_xla(fusing(solve_by_xla)))
mlir.register_lowering(
    _solve_p, native.lowering_by_xla(fusing(functools.partial(solve_by_xla, on_gpu=True))), platform="rocm"
)
mlir.register_lowering(_solve_p, _lower_cuda, platform="cuda")
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")


batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _jvp(
    solve: Callable[..., Sequence[Array]],
    tangent_map: TangentMap,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    type: int,
    triangle: str,
    policy: Policy,
    vectors: bool,
    tally: Any = None,
) -> tuple[list[Any], list[Any]]:
    """The forward rule, where `solve(*primals, policy=…)` returns vectors too; `tally`: the tangent of one."""
    w, v, *u = solve(*primals, policy=without_refusals(policy))
    residuals = [w, v, *u]
    if type > 0:
        a, b = (hermitian_part(lax.stop_gradient(x), triangle) for x in primals)
        residuals.append(lax.stop_gradient(scale_of(type, a, b, w, *bases(type, v, u[0] if u else None))))
        residuals.append(primals[0])
    moved = [None if isinstance(t, ad.Zero) else t for t in tangents]
    moved += [None] * (2 - len(moved)) + ([] if tally is None else [tally])
    static = {"type": type, "triangle": triangle, "policy": policy}
    results = [w]
    if vectors:
        results += shown([v, *u], tangent_map, residuals, primals, (False, True, type >= 2), static)
    return results, tangent_map(moved, residuals, outputs=(True, vectors, vectors and type >= 2), **static)


def _solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], tally: Any = None, **params: Any
) -> tuple[list[Any], list[Any]]:
    static = {name: params[name] for name in ("type", "triangle")}
    solve = functools.partial(_solve_p.bind, vectors=True, **static)
    return _jvp(solve, tangent_map, primals, tangents, tally=tally, **params)


ad.primitive_jvps[_solve_p] = _solve_jvp

# ---- by an engine -------------------------------------------------------------------------------------------------

# Without the core's rule, which would gather the matrix.
_engine_tangent_map = TangentMap("eigenpair_hermitian_spread", pushforward, pullback, second_order, pullback_again)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _solve_by_engine(a: Array, engine: engines.Engine, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    # Placed out here, so that the gradient is placed as well.
    return _by_engine(engines.place(engine, a), engine, triangle, policy, vectors)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _by_engine(a: Array, engine: engines.Engine, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    results = engines.solve(engine, hermitian_part(a, triangle), vectors)
    return list(in_generic_basis(results, (a,), 0, triangle, policy))


@_by_engine.defjvp
def _by_engine_jvp(
    engine: engines.Engine, triangle: str, policy: Policy, vectors: bool, primals: Any, tangents: Any
) -> tuple[list[Any], list[Any]]:
    solve = lambda a, policy: _by_engine(a, engine, triangle, policy, True)  # noqa: E731
    return _jvp(
        solve, _engine_tangent_map, primals, tangents, type=0, triangle=triangle, policy=policy, vectors=vectors
    )
