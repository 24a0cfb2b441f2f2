"""General eigenproblems, in which every entry is a variable, with their derivatives. The rules are derived in
`docs/derivations.md`.

No code here depends on whether a matrix happens to be symmetric: values and gradients are continuous there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.export
from jax import Array, lax

from ..degeneracy.policies import Policy, check, policy_of_call
from ..runtime import arguments, engines
from ..runtime.matrices import norm
from ..runtime.remedies import GENERAL, GENERAL_VALUES, with_remedies
from .primitive import solve

__all__ = ["EigBothResult", "EigLeftResult", "EigResult", "condition_numbers", "eig", "eigvals"]


class EigResult(NamedTuple):
    """Eigenvalues, complex, shape `(…, n)`; right eigenvectors in the columns of `(…, n, n)`."""

    eigenvalues: Array
    eigenvectors: Array


class EigLeftResult(NamedTuple):
    """Eigenvalues, complex, shape `(…, n)`; left eigenvectors in the columns of `(…, n, n)`."""

    eigenvalues: Array
    left_eigenvectors: Array


class EigBothResult(NamedTuple):
    """Eigenvalues, complex, shape `(…, n)`; left and right eigenvectors in the columns of `(…, n, n)`."""

    eigenvalues: Array
    left_eigenvectors: Array
    eigenvectors: Array


for _result in (EigResult, EigLeftResult, EigBothResult):
    jax.export.register_namedtuple_serialization(_result, serialized_name=f"eigenpair.{_result.__name__}")


@with_remedies(GENERAL)
def eig(
    a: Any,
    b: Any = None,
    *,
    left: bool = False,
    right: bool = True,
    degeneracy: Policy | None = None,
    tally: Any = None,
) -> EigResult | EigLeftResult | EigBothResult | Array:
    """Eigenvalues and eigenvectors of a square matrix, `A v = λ v`, or of a pair, `A v = λ B v`: a differentiable
    `scipy.linalg.eig`.

    Every entry of `a` and `b` is a variable.

    **Arguments:**

    - `a`, `b`: `(…, n, n)`, real or complex, single or double precision; batch axes broadcast; integers become floats.
    - `left`: also return left vectors, `yᴴA = λ yᴴ` or `yᴴA = λ yᴴB`.
    - `right`: return right vectors.
    - `degeneracy`: what a derivative does where eigenvalues coincide, see `eigenpair.degeneracy`. The default is the
        policy of the enclosing block, or `check()`.
    - `tally`: as for `eigenpair.eigh`.

    **Returns:** a named tuple `(w, v)`, `(w, vl)` or `(w, vl, v)`, or `w` alone if no vectors are requested. All are
    complex, even if the matrix and its eigenvalues are real. `jax.grad` needs a real loss: take `.real` or `jnp.abs` of
    the result.

    *Order.* By real part, then by imaginary part. (LAPACK, SciPy and `jnp.linalg` have no fixed order.) So of a
    conjugate pair, the eigenvalue with negative imaginary part comes first; in LAPACK the other one does.
    Infinite eigenvalues (singular `b`) follow as `inf + 0j`, then undetermined ones (singular pencil) as NaN.

    *Gauge.* Each vector has unit 2-norm, and its largest component is real and positive. If several components are
    largest to within `√ε`, the first of them is.

    A matrix that cannot be solved (NaN or Inf in it, no convergence) gives NaN for that matrix alone.

    *Derivatives* exist where the eigenvalues are distinct. They grow with the condition numbers
    (`condition_numbers`). They are NaN if the matrix is so close to a defective one that no digit would be correct.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.
    """
    operands, policy = _problem(a, b, degeneracy)
    left, right = arguments.flag("left", left), arguments.flag("right", right)
    w, *vectors = solve(operands, tally, policy=policy, right=right, left=left, dual=False)
    if left and right:
        return EigBothResult(w, vectors[1], vectors[0])
    if right:
        return EigResult(w, vectors[0])
    return EigLeftResult(w, vectors[0]) if left else w


@with_remedies(GENERAL_VALUES)
def eigvals(a: Any, b: Any = None, *, degeneracy: Policy | None = None, tally: Any = None) -> Array:
    """Eigenvalues without eigenvectors: complex, `(…, n)`. Arguments, order and errors as for `eig`.

    The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, also for a matrix that happens to be symmetric. Where eigenvalues coincide,
    the gradient exists for losses that are symmetric in them, and is NaN for others.
    """
    operands, policy = _problem(a, b, degeneracy)
    (w,) = solve(operands, tally, policy=policy, right=False, left=False, dual=False)
    return w


@with_remedies(GENERAL_VALUES)
def condition_numbers(a: Any, b: Any = None) -> Array:
    """The condition number of each eigenvalue, `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair): how far it moves relative to a
    perturbation of `a`. Real, shape `(…, n)`, in the order of `eigvals`.

    They are 1 for normal matrices, and NaN if the matrix is defective to working precision.
    """
    operands, policy = _problem(a, b, check())
    _, v, u = solve(operands, None, policy=policy, right=True, left=False, dual=True)
    return lax.stop_gradient(norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :])


def _problem(a: Any, b: Any, degeneracy: Any) -> tuple[tuple[Array, ...], Policy]:
    engines.refuse("a general problem")
    a = arguments.matrices("a", a)
    operands: tuple[Array, ...] = (a,)
    if b is not None:
        operands = arguments.promoted(a, arguments.matrices("b", b))
    return operands, policy_of_call(degeneracy)
