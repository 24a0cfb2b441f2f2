"""Derivatives of `eig` and `eigvals` for any AD engine: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import Array

from ..degeneracy.policies import Policy
from ..runtime import arguments
from ..runtime.derivatives import Gradients, input_matrices, solution_and_pullback, solution_and_tangents
from ..runtime.remedies import GENERAL, GENERAL_VALUES, with_remedies
from .api import EigBothResult, EigResult, eig, eigvals


@with_remedies(GENERAL)
def eig_pullback(
    a: Any, b: Any = None, *, left: bool = False, degeneracy: Policy | None = None
) -> tuple[EigResult | EigBothResult, Callable[..., Gradients]]:
    """`eig` and its reverse-mode derivative, for AD engines other than JAX's.

    **Arguments:** as for `eig`; NumPy arrays are accepted.

    **Returns:** `(result, pullback)`. `pullback(w_bar, v_bar)` returns `(a_bar, b_bar)`, the gradients with respect to
    `a` and `b` in their shapes, real for real matrices; with `left` it is `pullback(w_bar, v_bar, vl_bar)`. `None`
    stands for a zero cotangent, and for the gradient with respect to a missing `b`.

    Complex cotangents and gradients are `∂l/∂Re x + i ∂l/∂Im x` of a real loss `l`, as in PyTorch and ChainRules;
    `jax.grad` returns the conjugate.

    **Raises:** as `eig`; `ValueError` naming a cotangent of the wrong shape.
    """
    left = arguments.flag("left", left)
    results, pull = solution_and_pullback(
        lambda *x: _right_first(eig(*x, left=left, degeneracy=degeneracy)),
        input_matrices(a, b),
        ("w_bar", "v_bar", "vl_bar"),
    )

    def pullback(w_bar: Any = None, v_bar: Any = None, vl_bar: Any = None) -> Gradients:
        if vl_bar is not None and not left:
            raise ValueError("vl_bar is a cotangent of left eigenvectors, which are computed with left=True only")
        return pull(w_bar, v_bar, vl_bar)

    return _result(results), pullback


@with_remedies(GENERAL_VALUES)
def eigvals_pullback(
    a: Any, b: Any = None, *, degeneracy: Policy | None = None
) -> tuple[Array, Callable[..., Gradients]]:
    """`(w, pullback)`: as `eig_pullback`, for `eigvals`. `pullback(w_bar)` returns `(a_bar, b_bar)`."""
    (w,), pull = solution_and_pullback(
        lambda *x: (eigvals(*x, degeneracy=degeneracy),), input_matrices(a, b), ("w_bar",)
    )

    def pullback(w_bar: Any = None) -> Gradients:
        return pull(w_bar)

    return w, pullback


@with_remedies(GENERAL)
def eig_pushforward(
    tangents: tuple[Any, ...], a: Any, b: Any = None, *, left: bool = False, degeneracy: Policy | None = None
) -> tuple[EigResult | EigBothResult, tuple[Array, ...]]:
    """`eig` and its derivative along tangents, for AD engines other than JAX's.

    **Arguments:** `tangents`: `(a_dot,)`, or `(a_dot, b_dot)` with a `b`, in the shapes of the matrices, `None` for
    zero; the others as for `eig`. NumPy arrays are accepted.

    **Returns:** `(result, (w_dot, v_dot))`, with `left` `(result, (w_dot, v_dot, vl_dot))`.

    **Raises:** as `eig`; `TypeError` or `ValueError` naming a tangent of the wrong type or shape.
    """
    left = arguments.flag("left", left)
    results, dots = solution_and_tangents(
        lambda *x: _right_first(eig(*x, left=left, degeneracy=degeneracy)), input_matrices(a, b), tangents
    )
    return _result(results), dots


@with_remedies(GENERAL_VALUES)
def eigvals_pushforward(
    tangents: tuple[Any, ...], a: Any, b: Any = None, *, degeneracy: Policy | None = None
) -> tuple[Array, Array]:
    """`(w, w_dot)`: as `eig_pushforward`, for `eigvals`."""
    (w,), (w_dot,) = solution_and_tangents(
        lambda *x: (eigvals(*x, degeneracy=degeneracy),), input_matrices(a, b), tangents
    )
    return w, w_dot


def _right_first(result: Any) -> tuple[Array, ...]:
    """`(w, v)` or `(w, v, vl)`."""
    w, *vectors = result
    return (w, *reversed(vectors))


def _result(results: tuple[Array, ...]) -> EigResult | EigBothResult:
    w, v, *left = results
    return EigBothResult(w, left[0], v) if left else EigResult(w, v)
