"""Derivatives of functions of one or two matrices for any AD engine: arrays in, arrays out, `None` for zeros.

Complex cotangents are `x̄ = ∂l/∂Re x + i ∂l/∂Im x` for a real loss `l`, the convention of ChainRules and PyTorch. JAX's
own cotangents are the conjugates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .arguments import array, matrices, matrices_or_diagonal

Function = Callable[..., tuple[Array, ...]]
Gradients = tuple[Array | None, Array | None]


def input_matrices(a: Any, b: Any) -> tuple[Array, ...]:
    """`(a,)` or `(a, b)` as arrays, each in its own precision and batch shape; `b` may be a diagonal."""
    return (matrices("a", a),) if b is None else (matrices("a", a), matrices_or_diagonal("b", b))


def solution_and_pullback(
    function: Function, inputs: tuple[Array, ...], names: Sequence[str]
) -> tuple[tuple[Array, ...], Callable[..., Gradients]]:
    """The results of `function(*inputs)`, and a function from their cotangents, called `names`, to `(ā, b̄)`."""
    results, pushforward = jax.linearize(function, *inputs)

    def pullback(*cotangents: Any) -> Gradients:
        given = [i for i, x in enumerate(cotangents) if x is not None]
        if not given:
            return None, None
        bars = tuple(jnp.conj(_like(names[i], cotangents[i], results[i])) for i in given)

        def given_results(*tangents: Array) -> tuple[Array, ...]:
            moved = pushforward(*tangents)
            return tuple(moved[i] for i in given)

        # Results without a cotangent are left out, so the rule knows that they are not used.
        gradients = [jnp.conj(x) for x in jax.linear_transpose(given_results, *inputs)(bars)]
        return gradients[0], gradients[1] if len(gradients) > 1 else None

    return results, pullback


def solution_and_tangents(
    function: Function, inputs: tuple[Array, ...], tangents: Any
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The results of `function(*inputs)`, and their derivatives along `tangents`."""
    if not isinstance(tangents, (tuple, list)) or len(tangents) != len(inputs):
        expected = "(a_dot, b_dot)" if len(inputs) > 1 else "(a_dot,)"
        raise TypeError(f"tangents must be a tuple {expected}, with None for zero, got {tangents!r}")
    given = [i for i, x in enumerate(tangents) if x is not None]
    if not given:
        results = function(*inputs)
        return results, tuple(jnp.zeros_like(x) for x in results)

    def of_given(*moving: Array) -> tuple[Array, ...]:
        chosen = dict(zip(given, moving, strict=True))
        return function(*(chosen.get(i, x) for i, x in enumerate(inputs)))

    dots = tuple(_tangent_like(("a_dot", "b_dot")[i], tangents[i], inputs[i]) for i in given)
    return jax.jvp(of_given, tuple(inputs[i] for i in given), dots)


def _like(name: str, value: Any, result: Array) -> Array:
    """A cotangent in the shape and type of a result: its real part if the result is real."""
    bar = array(name, value)
    if bar.shape != result.shape:
        raise ValueError(f"{name} must have the shape of its result, {result.shape}, got {bar.shape}")
    return (bar if jnp.iscomplexobj(result) else jnp.real(bar)).astype(result.dtype)


def _tangent_like(name: str, value: Any, matrix: Array) -> Array:
    """A tangent in the type of its matrix."""
    dot = array(name, value)
    if dot.shape != matrix.shape:
        raise ValueError(f"{name} must have the shape of its matrix, {matrix.shape}, got {dot.shape}")
    if jnp.iscomplexobj(dot) and not jnp.iscomplexobj(matrix):
        raise TypeError(f"{name} is complex and its matrix is real; cast the matrix: {name[0]}.astype({dot.dtype})")
    return dot.astype(matrix.dtype)
