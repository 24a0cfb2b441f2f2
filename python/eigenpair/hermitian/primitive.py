"""The primitive that solves Hermitian problems, and its derivatives, by the rule in rule.py or, on a CPU, by the core.
Also solves by an engine."""

from __future__ import annotations

import dataclasses
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

from ..degeneracy.policies import Policy, broaden, check, mask, raw
from ..runtime import cuda, engines, native
from ..runtime.matrices import TRIANGLES, fusing, hermitian_part
from ..runtime.primitives import batched, by_jit
from ..runtime.tangent_maps import TangentMap, tallied
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
    engines.require_solvable(engine, operands)
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

# ---- derivatives, by the core -------------------------------------------------------------------------------------

# In forward mode, the core's products are for matrices that fit into the cache; larger ones use XLA's products.
FORWARD_LIMIT = 64
# As the C ABI numbers them.
_POLICIES = {check: 0, mask: 1, broaden: 2, raw: 3}
_MASK_COUPLED = 1


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
    """A function of `(linear, residuals)` that replaces the rule in JAX; `None` if the core is not faster, or if the
    policy explains."""
    n = residuals[1].shape[-1]
    if n == 0 or not native.has_small_kernels() or (isinstance(policy, check) and policy.explain):
        return None
    if n > FORWARD_LIMIT and not reverse:
        return None
    given, wanted = (outputs, inputs) if reverse else (inputs, outputs)
    # Only derivatives of vectors need the scale, which costs more than the derivative of eigenvalues.
    scaled = type > 0 and any((given if reverse else wanted)[1:])
    attributes = {
        "type": np.int32(type),
        "triangle": np.int32(TRIANGLES[triangle]),
        "policy": np.int32(_POLICIES[policy.__class__]),
        "parameter": np.float64(next(iter(vars(policy).values()), 0)),
        "options": np.int32(_options(policy)),
        "reverse": np.int32(reverse),
        "residuals": np.uint32(3 + 4 * (type >= 2) + 8 * scaled),
        "given": _bits(given),
        "wanted": _bits(wanted),
    }

    def kernel(linear: Sequence[Array], residuals: Sequence[Array]) -> Sequence[Array]:
        # All arrays share the batch of the linear ones, but residuals may lack some of the batch axes, as under jacrev.
        batch = linear[0].shape[: -1 if reverse and given[0] else -2]
        sizes = [(n,), (n, n)] + [(n, n)] * (type >= 2) + [(1,)] * scaled
        kept = [jnp.broadcast_to(x, (*batch, *size)) for x, size in zip(residuals, sizes, strict=False)]
        w, v = kept[:2]
        results = [(1, v.dtype)] * 2 if reverse else [(0, w.dtype), (1, v.dtype), (1, v.dtype)]
        return _rule_p.bind(
            *kept,
            *linear,
            results=tuple(result for result, flag in zip(results, wanted, strict=True) if flag),
            attributes=tuple(attributes.items()),
        )

    return kernel


def _options(policy: Policy) -> int:
    return _MASK_COUPLED * (isinstance(policy, check) and policy.coupled == "mask")


def _bits(flags: Sequence[bool]) -> np.uint32:
    return np.uint32(sum(1 << i for i, flag in enumerate(flags) if flag))


# A call of the core as a separate operation, which exists only in lowered programs. For each result, its parameter
# `results` names an operand with the same shape and sharding, and a type.
_rule_p = Primitive("eigenpair_hermitian_rule")
_rule_p.multiple_results = True


@_rule_p.def_abstract_eval
def _rule_abstract(*avals: Any, results: Any, attributes: Any) -> list[Any]:
    return [avals[like].update(dtype=dtype) for like, dtype in results]


def _lower_rule(ctx: Any, *operands: Any, results: Any, attributes: Any) -> Any:
    return native.lowering("eigenpair_hermitian_rule", **dict(attributes))(ctx, *operands)


mlir.register_lowering(_rule_p, _lower_rule)

# ---- eigenvectors as residuals and as results ---------------------------------------------------------------------
# They are the same arrays with different tangents. Under `check`, the tangent of an eigenvector is NaN if the
# perturbation couples it with others of its cluster, because the vector has no derivative. But a projector on the whole
# cluster has a derivative, and second derivatives of eigenvalues, in which the vectors are residuals, may exist. So
# residuals have the tangent in which the vectors of a cluster do not rotate into each other. If a rule needs more than
# that, `second_order` of its `TangentMap` makes the result NaN.

# Operands: residuals, then the operands of the problem. Results: the residuals from the second one on that are vectors.
_result_vectors_p = Primitive("eigenpair_result_vectors")
_result_vectors_p.multiple_results = True


def residual_policy(policy: Policy) -> Policy:
    """The policy under which residuals are computed."""
    return dataclasses.replace(policy, coupled="mask") if isinstance(policy, check) else policy


def result_vectors(
    vectors: Sequence[Array],
    tangent_map: TangentMap,
    residuals: Sequence[Array],
    operands: Sequence[Array],
    outputs: tuple[bool, ...],
    static: Any,
) -> Sequence[Array]:
    """`vectors`, which are residuals, as results: with tangents under the caller's policy; `outputs` marks them for the
    map."""
    if residual_policy(static["policy"]) == static["policy"]:
        return vectors
    return _result_vectors_p.bind(
        *residuals,
        *operands,
        kept=len(residuals),
        rule=tangent_map,
        outputs=outputs,
        static=tuple(static.items()),
    )


def _evaluate(*values: Any, outputs: tuple[bool, ...], **_: Any) -> list[Any]:
    return list(values[1 : 1 + sum(outputs)])


_result_vectors_p.def_impl(_evaluate)
_result_vectors_p.def_abstract_eval(_evaluate)
mlir.register_lowering(_result_vectors_p, lambda ctx, *values, **params: _evaluate(*values, **params))
batching.primitive_batchers[_result_vectors_p] = batched(_result_vectors_p)


def _result_vectors_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    kept: int,
    rule: TangentMap,
    outputs: tuple[bool, ...],
    static: Any,
) -> tuple[Sequence[Array], Sequence[Any]]:
    results = _result_vectors_p.bind(*primals, kept=kept, rule=rule, outputs=outputs, static=static)
    moved = [None if isinstance(t, ad.Zero) else t for t in tangents[kept:]]
    moved += [None] * (2 - len(moved))
    if all(t is None for t in moved):
        return results, [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in results]
    return results, rule(moved, primals[:kept], outputs=outputs, **dict(static))


ad.primitive_jvps[_result_vectors_p] = _result_vectors_jvp

# ---- derivatives --------------------------------------------------------------------------------------------------

tangent_map = TangentMap("eigenpair_hermitian", pushforward, pullback, second_order, pullback_again, on_cpu)


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
    """The forward rule, for a `solve(*primals, policy=…)` that also returns vectors; `tally` is the tangent of a
    tally."""
    w, v, *u = solve(*primals, policy=residual_policy(policy))
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
        results += result_vectors([v, *u], tangent_map, residuals, primals, (False, True, type >= 2), static)
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
