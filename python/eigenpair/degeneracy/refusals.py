"""Gradients that `check` refuses: replaced by zero where the policy says so, and counted.

The count leaves the pure function as the gradient of a *tally*, an argument of zeros that no value depends on. To a
`TangentMap` it is a third input: its tangent is ignored, and its cotangent is the count.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from .policies import Policy, check

Arrays = Sequence[Any]


def gradients_and_count(
    compute: Callable[[tuple[bool, ...]], Arrays],
    inputs: tuple[bool, ...],
    cotangents: Arrays,
    residuals: Arrays,
    policy: Policy,
) -> list[Array]:
    """The gradients from `compute` of the matrices among `inputs`, zeros where the policy wants them, and the number of
    refused matrices for the tally."""
    matrices, tally = inputs[:2], inputs[2:] == (True,)
    zero = isinstance(policy, check) and policy.refused == "zero"
    if not (tally or zero):
        return list(compute(matrices))
    gradients = list(compute(matrices if any(matrices) else (True, False)))
    refused = _refused(gradients, cotangents, residuals[0], policy)
    if zero:
        gradients = [jnp.where(refused[..., None, None], 0, x) for x in gradients]
    counts = [refused.astype(jnp.finfo(gradients[0].dtype).dtype)] if tally else []
    return (gradients if any(matrices) else []) + counts


def _refused(gradients: Arrays, cotangents: Arrays, w: Array, policy: Policy) -> Array:
    """Which matrices have a gradient that is NaN, but a solution and cotangents that are not; `(…,)`."""
    batch = gradients[0].shape[:-2]
    if not isinstance(policy, check):
        return jnp.zeros(batch, bool)
    # Where one gradient of a matrix is refused, all are.
    result = jnp.any(jnp.isnan(lax.stop_gradient(gradients[0])), axis=(-1, -2))
    result = result & ~jnp.any(jnp.isnan(lax.stop_gradient(w)), axis=-1)
    for x in cotangents:
        if x is not None:
            result = result & jnp.all(jnp.isfinite(lax.stop_gradient(x)), axis=tuple(range(len(batch), x.ndim)))
    return result


def matrices_only(linear: Arrays, like: Array) -> Arrays:
    """The tangents without that of the tally; zeros if there are no others."""
    if len(linear) < 3:
        return linear
    a, b, tally = linear
    if a is None and b is None:
        a = jnp.zeros((*tally.shape, like.shape[-2], like.shape[-2]), like.dtype)
    return a, b


def tallied(solve: Callable[..., Arrays], jvp: Callable[..., Any], tally: Array, operands: Arrays) -> list[Array]:
    """`solve(*operands)` with the forward rule `jvp(operands, tangents, tally)`, tangents `None` where zero."""

    @jax.custom_jvp
    def call(tally: Array, *operands: Array) -> list[Array]:
        return list(solve(*operands))

    @functools.partial(call.defjvp, symbolic_zeros=True)
    def _(primals: Arrays, tangents: Arrays) -> tuple[list[Array], list[Array]]:
        of_tally, *moved = (None if isinstance(t, SymbolicZero) else t for t in tangents)
        results, results_moved = jvp(primals[1:], moved, of_tally)
        return list(results), list(results_moved)

    return call(tally, *operands)
