"""Derivatives of `eigh` and `eigvalsh` for any AD engine: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import Array

from ..degeneracy.policies import Policy
from ..runtime.derivatives import Gradients, input_matrices, solution_and_pullback, solution_and_tangents
from ..runtime.remedies import HERMITIAN, VALUES, with_remedies
from .api import EighResult, eigh, eigvalsh


@with_remedies(HERMITIAN)
def eigh_pullback(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
) -> tuple[EighResult, Callable[..., Gradients]]:
    """`eigh` and its reverse-mode derivative, for AD engines other than JAX's.

    **Arguments:** as for `eigh`; NumPy arrays are accepted.

    **Returns:** `(result, pullback)`. `pullback(w_bar, v_bar)` returns `(a_bar, b_bar)`, the gradients with respect to
    `a` and `b` in their shapes, for cotangents in the shapes of the eigenvalues and eigenvectors. `None` stands for a
    zero cotangent, and for the gradient with respect to a missing `b`.

    Complex cotangents and gradients are `∂l/∂Re x + i ∂l/∂Im x` of a real loss `l`, as in PyTorch and ChainRules;
    `jax.grad` returns the conjugate.

    **Raises:** as `eigh`; `ValueError` naming a cotangent of the wrong shape. A gradient that is refused is NaN, see
    `eigenpair.degeneracy.check`.

    ```python
    (w, v), pullback = eigenpair.eigh_pullback(a)
    a_bar, _ = pullback(2 * w, None)  # the gradient of sum(w**2)
    ```

    The formulas are those of `eigh`: Giles 2008, §3.1; `docs/derivations.md`.
    """
    options: dict[str, Any] = {"lower": lower, "subset_by_index": subset_by_index, "degeneracy": degeneracy}
    results, pull = solution_and_pullback(
        lambda *x: tuple(eigh(*x, type=type, **options)), input_matrices(a, b), ("w_bar", "v_bar")
    )

    def pullback(w_bar: Any = None, v_bar: Any = None) -> Gradients:
        return pull(w_bar, v_bar)

    return EighResult(*results), pullback


@with_remedies(VALUES)
def eigvalsh_pullback(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
) -> tuple[Array, Callable[..., Gradients]]:
    """`(w, pullback)`: as `eigh_pullback`, for `eigvalsh`. `pullback(w_bar)` returns `(a_bar, b_bar)`."""
    options: dict[str, Any] = {"lower": lower, "subset_by_index": subset_by_index, "degeneracy": degeneracy}
    (w,), pull = solution_and_pullback(
        lambda *x: (eigvalsh(*x, type=type, **options),), input_matrices(a, b), ("w_bar",)
    )

    def pullback(w_bar: Any = None) -> Gradients:
        return pull(w_bar)

    return w, pullback


@with_remedies(HERMITIAN)
def eigh_pushforward(
    tangents: tuple[Any, ...],
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
) -> tuple[EighResult, tuple[Array, Array]]:
    """`eigh` and its derivative along tangents, for AD engines other than JAX's.

    **Arguments:** `tangents`: `(a_dot,)`, or `(a_dot, b_dot)` with a `b`, in the shapes of the matrices, `None` for
    zero; the others as for `eigh`. NumPy arrays are accepted.

    **Returns:** `(result, (w_dot, v_dot))`.

    **Raises:** as `eigh`; `TypeError` or `ValueError` naming a tangent of the wrong type or shape. Tangents that do
    not exist are NaN, see `eigenpair.degeneracy.check`.

    The formulas are those of `eigh`: Giles 2008, §3.1; `docs/derivations.md`.
    """
    options: dict[str, Any] = {"lower": lower, "subset_by_index": subset_by_index, "degeneracy": degeneracy}
    results, (w_dot, v_dot) = solution_and_tangents(
        lambda *x: tuple(eigh(*x, type=type, **options)), input_matrices(a, b), tangents
    )
    return EighResult(*results), (w_dot, v_dot)


@with_remedies(VALUES)
def eigvalsh_pushforward(
    tangents: tuple[Any, ...],
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
) -> tuple[Array, Array]:
    """`(w, w_dot)`: as `eigh_pushforward`, for `eigvalsh`."""
    options: dict[str, Any] = {"lower": lower, "subset_by_index": subset_by_index, "degeneracy": degeneracy}
    (w,), (w_dot,) = solution_and_tangents(
        lambda *x: (eigvalsh(*x, type=type, **options),), input_matrices(a, b), tangents
    )
    return w, w_dot
