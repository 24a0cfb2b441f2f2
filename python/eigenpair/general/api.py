"""General eigenproblems, every entry free, with their derivatives. The rules are derived in `docs/derivations.md`.

Nothing here asks whether a matrix happens to be symmetric: neither values nor gradients change across exact symmetry.
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
    """Eigenvalues and eigenvectors of a square matrix, or of a pair: `A v = λ v`, `A v = λ B v`. `scipy.linalg.eig`,
    differentiable.

    Every entry of `a` and `b` is a variable.

    **Arguments:**

    - `a`, `b`: `(…, n, n)`, real or complex, single or double precision; batch axes broadcast; integers become floats.
    - `left`: also return left vectors, `yᴴA = λ yᴴ` or `yᴴA = λ yᴴB`.
    - `right`: return right vectors.
    - `degeneracy`: what a derivative does where eigenvalues coincide, see `eigenpair.degeneracy`; `check()` unless
        set for the block.
    - `tally`: as for `eigenpair.eigh`.

    **Returns:** `(w, v)`, `(w, vl)` or `(w, vl, v)`, named; `w` alone when neither is asked for. All are complex, also
    of a real matrix with real eigenvalues. `jax.grad` wants a real loss: take `.real` or `jnp.abs` of the result.

    *Order.* By real part, then imaginary part, where LAPACK, SciPy and `jnp.linalg` have none. So the member of a
    conjugate pair with negative imaginary part comes first; with them it is the one with positive imaginary part.
    Infinite eigenvalues (singular `b`) follow as `inf + 0j`, undetermined ones (a singular pencil) as NaN.

    *Gauge.* Unit 2-norm, largest component real and positive; of components equal to within `√ε`, the first.

    A matrix that cannot be solved (NaN or Inf in it, no convergence) gives NaN for itself alone.

    *Derivatives* exist where the eigenvalues are distinct. Their size follows the condition numbers
    (`condition_numbers`); a matrix too close to a defective one for its derivative to have a correct digit has NaN.

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
    """Eigenvalues alone: complex, `(…, n)`. Arguments, order and errors as for `eig`.

    The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, the same for a matrix that happens to be symmetric as for its
    neighbours. Where eigenvalues coincide it exists for losses that are symmetric in them, and is NaN for others.
    """
    operands, policy = _problem(a, b, degeneracy)
    (w,) = solve(operands, tally, policy=policy, right=False, left=False, dual=False)
    return w


@with_remedies(GENERAL_VALUES)
def condition_numbers(a: Any, b: Any = None) -> Array:
    """How strongly each eigenvalue answers to a perturbation of `a`: `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair), real,
    shape `(…, n)`.

    1 for normal matrices; NaN where the matrix is defective to working precision. In the order of `eigvals`.
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
