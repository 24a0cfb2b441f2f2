"""Tangent maps as JAX primitives: a linear map and its transpose.

`jax.custom_vjp` gives a rule the cotangent, but has no forward mode. `jax.custom_jvp` has forward mode, but its rule
never sees the cotangent. Two primitives that are each other's transpose have both, so reverse mode can refuse a
gradient (see `eigenpair.degeneracy`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..degeneracy.policies import Policy, check
from . import native
from .matrices import fusing
from .primitives import batched, by_jit, with_results

Arrays = Sequence[Any]
Rule = Callable[..., Sequence[Any]]


class TangentMap:
    """Two primitives, `x ↦ T x` and `y ↦ Tᵀ y`, where `T` depends on residuals and on static parameters.

    **Arguments:**

    - `forward(linear, residuals, *, inputs, outputs, **static)`: returns the requested outputs. `linear` has one
        entry for each input, `None` where it is zero.
    - `backward(cotangents, residuals, *, inputs, outputs, **static)`: the transpose in JAX's convention (no
        conjugation in the pairing); returns the requested inputs. `cotangents` has `None` for zeros.
    - `second_order(residuals, *, outputs, weights, **static)`: a factor, of the batch's shape, that multiplies every
        derivative with respect to the residuals: 1, or NaN where the second derivative does not exist. `weights`
        are the cotangents of the eigenvalues, if these are constant and nothing else has a cotangent; else `None`.
    - `backward_again`: `backward`, written so that its derivative with respect to the residuals is right for constant
        weights at repeated eigenvalues; `backward` itself if its derivative is.
    - `on_cpu(residuals, *, inputs, outputs, reverse, **static)`: a function of `(linear, residuals)` that computes the
        same on a CPU, or `None`.

    `inputs` and `outputs` are tuples of booleans that say which ones are present. Linear arrays have all batch axes in
    front; residuals may have axes of size 1 there. The first two residuals are eigenvalues and eigenvectors. There are
    two inputs, or three with a tally (see below), which the rules do not see.
    """

    def __init__(
        self,
        name: str,
        forward: Rule,
        backward: Rule,
        second_order: Callable[..., Any],
        backward_again: Rule | None = None,
        on_cpu: Callable[..., Callable[[Arrays, Arrays], Sequence[Any]] | None] | None = None,
    ):
        self._second_order = second_order
        self._on_cpu = on_cpu
        self._forward_p = with_results(f"{name}_tangent")
        self._backward_p = with_results(f"{name}_cotangent")
        self._define(self._forward_p, forward, forward, self._backward_p, "inputs", "outputs")
        self._define(self._backward_p, backward, backward_again or backward, self._forward_p, "outputs", "inputs")

    def __call__(self, linear: Arrays, residuals: Arrays, *, outputs: tuple[bool, ...], **static: Any) -> list[Any]:
        """`T` applied to `linear` (with `None` or a symbolic zero for zeros): a list of all requested outputs."""
        present = [x for x in linear if not _is_zero(x)]
        inputs = tuple(not _is_zero(x) for x in linear)
        result = self._forward_p.bind(*present, *residuals, inputs=inputs, outputs=outputs, static=_freeze(static))
        return list(result)

    def _factors(self, residuals: Arrays, params: dict[str, Any], weights: Any, *, one_by_one: bool) -> Iterator[Any]:
        """The factor of the second derivative of each result. For a tangent, it depends on that output alone; for a
        gradient, on all outputs."""
        outputs, static = params["outputs"], dict(params["static"])
        if not one_by_one:
            return itertools.repeat(self._second_order(residuals, outputs=outputs, weights=weights, **static))
        alone = [tuple(j == i for j in range(len(outputs))) for i, flag in enumerate(outputs) if flag]
        return iter([self._second_order(residuals, outputs=flags, weights=None, **static) for flags in alone])

    def _define(
        self, primitive: Primitive, rule: Rule, rule_again: Rule, transpose_p: Primitive, given: str, wanted: str
    ) -> None:
        reverse = given == "outputs"

        def evaluate(*operands: Any, kernels: Any = None, rule: Rule = rule, **params: Any) -> list[Any]:
            count = sum(params[given])
            linear, residuals = _spread(operands[:count], params[given]), operands[count:]
            inputs, outputs, static = params["inputs"], params["outputs"], dict(params["static"])

            def compute(linear: Arrays, inputs: tuple[bool, ...]) -> list[Any]:
                options = {"inputs": inputs, "outputs": outputs, **static}
                kernel = kernels and kernels(residuals, reverse=reverse, **options)
                if kernel is not None:
                    return list(kernel([x for x in linear if x is not None], residuals))
                return list(rule(linear, residuals, **options))

            if reverse:
                return _gradients_and_count(
                    lambda asked: compute(linear, asked), inputs, linear, residuals, static["policy"]
                )
            moved = _matrices_only(linear, residuals[1])
            return compute(moved, tuple(x is not None for x in moved))

        on_cpu = functools.partial(evaluate, kernels=self._on_cpu)

        def jvp(primals: Arrays, tangents: Arrays, **params: Any) -> tuple[list[Any], list[Any]]:
            results = primitive.bind(*primals, **params)
            count = sum(params[given])
            residuals, residual_tangents = primals[count:], tangents[count:]
            totals: list[Any] = []
            live = [not _is_zero(t) for t in tangents[:count]]
            if any(live):
                kept = iter(live)
                fewer = {**params, given: tuple(flag and next(kept) for flag in params[given])}
                totals = primitive.bind(*[t for t in tangents[:count] if not _is_zero(t)], *residuals, **fewer)
            if any(not _is_zero(t) for t in residual_tangents):
                of_values_alone = params["outputs"][0] and not any(params["outputs"][1:])
                weights = primals[0] if reverse and of_values_alone and not any(live) else None
                linear = primals[:count]
                if weights is not None:
                    outputs, static = params["outputs"], dict(params["static"])
                    linear = (
                        _constant(weights, self._second_order(residuals, outputs=outputs, weights=None, **static)),
                    )
                _, moved = jax.jvp(
                    lambda *rs: evaluate(*linear, *rs, rule=rule_again, **params),
                    tuple(residuals),
                    tuple(ad.instantiate_zeros(t) for t in residual_tangents),
                )
                factors = self._factors(residuals, params, weights, one_by_one=wanted == "outputs")
                moved = [
                    f.reshape(f.shape + (1,) * (m.ndim - f.ndim)).astype(m.dtype) * m
                    for f, m in zip(factors, moved, strict=False)
                ]
                totals = [t + m for t, m in zip(totals, moved, strict=True)] if totals else moved
            return list(results), list(totals)

        def transpose(cotangents: Arrays, *operands: Any, **params: Any) -> list[Any]:
            count = sum(params[given])
            unknown = [ad.is_undefined_primal(x) for x in operands[:count]]
            rest = [None] * (len(operands) - count)
            if all(_is_zero(ct) for ct in cotangents):
                return [ad.Zero(x.aval) if u else None for x, u in zip(operands, unknown, strict=False)] + rest
            live = iter([not _is_zero(ct) for ct in cotangents])
            asked = iter(unknown)
            fewer = {
                **params,
                wanted: tuple(flag and next(live) for flag in params[wanted]),
                given: tuple(flag and next(asked) for flag in params[given]),
            }
            found = iter(transpose_p.bind(*[ct for ct in cotangents if not _is_zero(ct)], *operands[count:], **fewer))
            return [next(found) if u else None for u in unknown] + rest

        by_jit(primitive, "inputs", "outputs", "static")
        primitive.def_abstract_eval(native.abstract(evaluate))
        mlir.register_lowering(primitive, mlir.lower_fun(fusing(evaluate), multiple_results=True))
        rule_on_cpu = evaluate if self._on_cpu is None else on_cpu
        mlir.register_lowering(primitive, mlir.lower_fun(rule_on_cpu, multiple_results=True), platform="cpu")
        ad.primitive_jvps[primitive] = jvp
        ad.primitive_transposes[primitive] = transpose
        batching.primitive_batchers[primitive] = batched(primitive, lambda params: sum(params[given]))


def _is_zero(x: Any) -> bool:
    return x is None or type(x) is ad.Zero


def _spread(values: Arrays, present: Sequence[bool]) -> tuple[Any, ...]:
    """`values` where `present` is true, `None` elsewhere."""
    left = iter(values)
    return tuple(next(left) if flag else None for flag in present)


def _freeze(static: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(static.items()))


@jax.custom_jvp
def _constant(weights: Any, factor: Any) -> Any:
    """`weights`, with their derivatives multiplied by `factor`, 1 or NaN: a second derivative that is right only for
    constant weights has no derivative with respect to them."""
    return weights


@functools.partial(_constant.defjvp, symbolic_zeros=True)
def _constant_jvp(primals: Arrays, tangents: Arrays) -> tuple[Any, Any]:
    weights, factor = primals
    tangent = tangents[0]
    if isinstance(tangent, SymbolicZero):
        return weights, tangent
    return _constant(weights, factor), tangent * factor[..., None].astype(tangent.dtype)


# ---- refused gradients: replaced by zeros, and counted ------------------------------------------------------------


# A pure function can return the number of refused gradients only as the gradient of a *tally*, an argument of zeros on
# which no value depends. For a `TangentMap` it is a third input: its tangent is ignored, its cotangent is the number.


def _gradients_and_count(
    compute: Callable[[tuple[bool, ...]], Arrays],
    inputs: tuple[bool, ...],
    cotangents: Arrays,
    residuals: Arrays,
    policy: Policy,
) -> list[Array]:
    """The gradients from `compute` with respect to the matrices among `inputs`, with zeros where the policy replaces
    refused ones, and the number of refused matrices for the tally."""
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
    """Which matrices have a NaN gradient although their solution and cotangents are not NaN; `(…,)`."""
    batch = gradients[0].shape[:-2]
    if not isinstance(policy, check):
        return jnp.zeros(batch, bool)
    # If one gradient of a problem is refused, all are.
    result = jnp.any(jnp.isnan(lax.stop_gradient(gradients[0])), axis=(-1, -2))
    result = result & ~jnp.any(jnp.isnan(lax.stop_gradient(w)), axis=-1)
    for x in cotangents:
        if x is not None:
            result = result & jnp.all(jnp.isfinite(lax.stop_gradient(x)), axis=tuple(range(len(batch), x.ndim)))
    return result


def _matrices_only(linear: Arrays, like: Array) -> Arrays:
    """The tangents other than that of the tally; zeros if there are none."""
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
