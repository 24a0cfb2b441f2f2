"""Eigenvectors as residuals of a derivative, and as results of a function: the same arrays with other tangents.

Under `check`, the tangent of an eigenvector is NaN where the perturbation couples it with others of its cluster: the
vector has no derivative there. But a projector on the whole cluster has one, and so have second derivatives of
eigenvalues, in which the vectors appear as residuals. They take the tangent in which vectors of a cluster do not turn
into each other. Rules that need more of a residual than that are NaN by `TangentMap`'s `second_order`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import Policy, check
from ..runtime.tangent_maps import TangentMap, batched

# Operands: residuals, then the operands of the problem. Results: the residuals from the second one on that are vectors.
_shown_p = Primitive("eigenpair_shown")
_shown_p.multiple_results = True


def without_refusals(policy: Policy) -> Policy:
    """The policy under which residuals are computed."""
    return dataclasses.replace(policy, coupled="mask") if isinstance(policy, check) else policy


def shown(
    vectors: Sequence[Array],
    tangent_map: TangentMap,
    residuals: Sequence[Array],
    operands: Sequence[Array],
    outputs: tuple[bool, ...],
    static: Any,
) -> Sequence[Array]:
    """`vectors`, residuals themselves, with tangents under the caller's policy; `outputs` marks them for the map."""
    if without_refusals(static["policy"]) == static["policy"]:
        return vectors
    return _shown_p.bind(
        *residuals,
        *operands,
        kept=len(residuals),
        rule=tangent_map,
        outputs=outputs,
        static=tuple(static.items()),
    )


def _evaluate(*values: Any, outputs: tuple[bool, ...], **_: Any) -> list[Any]:
    return list(values[1 : 1 + sum(outputs)])


_shown_p.def_impl(_evaluate)
_shown_p.def_abstract_eval(_evaluate)
mlir.register_lowering(_shown_p, lambda ctx, *values, **params: _evaluate(*values, **params))
batching.primitive_batchers[_shown_p] = batched(_shown_p)


def _shown_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    kept: int,
    rule: TangentMap,
    outputs: tuple[bool, ...],
    static: Any,
) -> tuple[Sequence[Array], Sequence[Any]]:
    results = _shown_p.bind(*primals, kept=kept, rule=rule, outputs=outputs, static=static)
    moved = [None if isinstance(t, ad.Zero) else t for t in tangents[kept:]]
    moved += [None] * (2 - len(moved))
    if all(t is None for t in moved):
        return results, [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in results]
    return results, rule(moved, primals[:kept], outputs=outputs, **dict(static))


ad.primitive_jvps[_shown_p] = _shown_jvp
