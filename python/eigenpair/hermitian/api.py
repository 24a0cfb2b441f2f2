"""Hermitian eigenproblems, standard and generalized, with their derivatives. The rules are derived in
`docs/derivations.md`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
from jax import Array, lax

from ..degeneracy import policies
from ..degeneracy.decision import clusters
from ..degeneracy.explanations import explain_asymmetry, explain_not_finite, explain_unsolved
from ..degeneracy.policies import Policy, check, explains, policy_of_call
from ..runtime import arguments, engines
from ..runtime.matrices import far_from_hermitian, hermitian_part
from ..runtime.remedies import HERMITIAN, VALUES, with_remedies
from . import intervals
from .diagonal_metric import DiagonalMetric
from .primitive import solve
from .rule import bases, scale_of
from .subset import solve_subset, worthwhile

__all__ = ["EighResult", "eigh", "eigvalsh"]


class EighResult(NamedTuple):
    """Eigenvalues, real and ascending, shape `(…, k)`; eigenvectors in the columns of `(…, n, k)`."""

    eigenvalues: Array
    eigenvectors: Array


jax.export.register_namedtuple_serialization(EighResult, serialized_name="eigenpair.EighResult")


# Fast path: jit the whole call of a bare array, because argument checks cost half of a small solve.


def _compiled(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    compiled = jax.jit(function)
    return lambda a: function(a) if policies.any_block_explains else compiled(a)


@_compiled
def _plain_eigh(a: Array) -> EighResult:
    return EighResult(*_Problem.of(a, None, 1, None, None, None).solve(vectors=True))


@_compiled
def _plain_eigvalsh(a: Array) -> Array:
    return _Problem.of(a, None, 1, None, None, None).values()


@with_remedies(HERMITIAN, plain=_plain_eigh)
def eigh(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    eigvals_only: bool = False,
    subset_by_index: tuple[int, int] | None = None,
    subset_by_value: tuple[float, float] | None = None,
    subset_size: int | None = None,
    degeneracy: Policy | None = None,
    tally: Any = None,
) -> EighResult | Array:
    """Eigenvalues and eigenvectors of a Hermitian matrix or of a definite pair: a differentiable `scipy.linalg.eigh`.

    | `type` | problem | normalization |
    |---|---|---|
    | without `b` | `A v = λ v` | `VᴴV = I` |
    | 1 | `A v = λ B v` | `VᴴBV = I` |
    | 2 | `A B v = λ v` | `VᴴBV = I` |
    | 3 | `B A v = λ v` | `VᴴB⁻¹V = I` |

    **Arguments:**

    - `a`: `(…, n, n)`, Hermitian. Real or complex, single or double precision; integers become floats.
    - `b`: `(…, n, n)`, Hermitian positive definite; its batch axes broadcast against those of `a`. Or `(n,)`, real and
        positive: the diagonal of `B`, such as a lumped mass matrix, the same for the whole batch. (For a batch of
        diagonals use `jax.vmap(eigh)(a, b)`.) The gradient has the shape of `b`.
    - `lower`: which entries of `a` and `b` are variables. With `None`, the result is a function of the Hermitian part
        `(a + aᴴ)/2`, and the gradient is Hermitian. With `True` or `False`, only that triangle is read, the gradient
        is zero outside of it, and its off-diagonal entries are doubled. SciPy's default is `True`. This matters for a
        matrix that is not Hermitian: the Hermitian part of `jnp.tril(a)` has halved off-diagonal entries.
    - `eigvals_only`: return only the eigenvalues.
    - `subset_by_index`: `(first, last)`, both included, counted from 0.
    - `subset_by_value`: `(low, high)`: the eigenvalues in `low < λ ≤ high`; the ends may be infinite. Their number
        determines the shape of the result. So the matrix and the ends must be concrete: call it outside of `jax.jit`
        and `jax.vmap` (`jax.grad` works). All matrices of a batch must have the same number of them.
    - `subset_size`: with `subset_by_value`, the number of results, for traced matrices and for batches with different
        numbers: the lowest eigenvalues in the interval, filled up with NaN if there are fewer. If there are more, the
        result of that matrix is NaN.
    - `degeneracy`: what a derivative does where eigenvalues coincide, see `eigenpair.degeneracy`. The default is the
        policy of the enclosing block, or `check()`.
    - `tally`: an array of zeros, of a shape that broadcasts to the batch. No value depends on it; its *gradient* is the
        number of matrices whose gradient `check` refused. See `eigenpair.degeneracy.check`.

    **Returns:** `EighResult(eigenvalues, eigenvectors)`, which unpacks like a tuple, `w, v = eigh(a)`, as in SciPy and
    `jnp.linalg`; `jax.lax.linalg.eigh` returns `v, w`. A matrix that cannot be solved (NaN or Inf among the entries
    read, `b` not positive definite, no convergence) gives NaN for that matrix alone.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.

    Derivatives: Giles 2008, §3.1; Magnus 1985; `docs/derivations.md`.
    """
    by_value = intervals.checked(subset_by_index, subset_by_value, subset_size)
    problem = _Problem.of(a, b, type, lower, subset_by_index, degeneracy, tally)
    if arguments.flag("eigvals_only", eigvals_only):
        return problem.values(by_value)
    return EighResult(*problem.solve(by_value, vectors=True))


@with_remedies(VALUES, plain=_plain_eigvalsh)
def eigvalsh(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    subset_by_index: tuple[int, int] | None = None,
    subset_by_value: tuple[float, float] | None = None,
    subset_size: int | None = None,
    degeneracy: Policy | None = None,
) -> Array:
    """Eigenvalues without eigenvectors, real and ascending, shape `(…, k)`. Arguments and errors as for `eigh`.

    If the loss is symmetric in repeated eigenvalues, `V Diag(λ̄) Vᴴ` is the gradient; otherwise it is a Clarke
    subgradient. `degeneracy` affects only second derivatives. At repeated eigenvalues, `check` returns them if the loss
    is linear in the eigenvalues with equal weights inside each cluster; otherwise they are NaN.
    """
    by_value = intervals.checked(subset_by_index, subset_by_value, subset_size)
    return _Problem.of(a, b, type, lower, subset_by_index, degeneracy).values(by_value)


def clusters_of(operands: Sequence[Array], type: int, lower: bool | None) -> Array:
    """Whether the eigenvalues `(i, j)` share a cluster under `check()`, shape `(…, n, n)`. `operands` have one
    shape."""
    triangle = arguments.triangle(lower)
    w, *vectors = solve(operands, type=type, triangle=triangle, policy=check(), vectors=type > 0)
    a, *b = (hermitian_part(x, triangle) for x in operands)
    x, y = bases(type, vectors[0], vectors[-1]) if vectors else (a, a)
    return clusters(check(), w, scale_of(type, a, b[0] if b else None, w, x, y))


class _Problem(NamedTuple):
    """A problem whose arguments have been checked."""

    operands: tuple[Array, ...]
    static: dict[str, Any]
    subset: tuple[int, int] | None
    tally: Array | None
    metric: DiagonalMetric | None

    @staticmethod
    def of(a: Any, b: Any, type: Any, lower: Any, subset_by_index: Any, degeneracy: Any, tally: Any = None) -> _Problem:
        a = arguments.matrices("a", a)
        static: dict[str, Any] = {
            "type": arguments.problem_type(type, b is not None),
            "triangle": arguments.triangle(lower),
            "policy": policy_of_call(degeneracy),
        }
        operands: tuple[Array, ...] = (a,)
        metric = None
        if b is not None:
            b = arguments.matrices_or_diagonal("b", b)
            if b.ndim == 1:
                metric = DiagonalMetric.of(a, b, static["type"])
                static["type"], operands = 0, (metric.standard(a),)
            else:
                operands = arguments.promoted(a, b)
        if tally is not None:
            engines.refuse("a tally")
            tally = arguments.tally(tally, operands[0])
        return _Problem(operands, static, arguments.subset(subset_by_index, a.shape[-1]), tally, metric)

    def values(self, by_value: intervals.ByValue | None = None) -> Array:
        return self.solve(by_value, vectors=False)[0]

    def solve(self, by_value: intervals.ByValue | None = None, *, vectors: bool) -> list[Array]:
        """With `by_value`, the eigenpairs in its interval; otherwise those of `subset`."""
        if by_value is None:
            return self._solve(vectors)

        def values(*operands: Array) -> Array:
            return self._replace(operands=operands, tally=None)._solve(False)[0]

        def solve(subset: tuple[int, int] | None) -> list[Array]:
            return self._replace(subset=subset)._solve(vectors)

        return intervals.solve_in(by_value, self.operands, values, solve)

    def _solve(self, vectors: bool) -> list[Array]:
        subset, static = self.subset, self.static
        if (
            subset is not None
            and engines.current() is None
            and worthwhile(self.operands[0].shape[-1], subset, static["type"], static["policy"])
        ):
            chosen = {name: static[name] for name in ("triangle", "policy")}
            results = solve_subset(self.operands, subset=subset, vectors=vectors, tally=self.tally, **chosen)
        else:
            results = list(solve(self.operands, vectors=vectors, tally=self.tally, **static)[: 1 + vectors])
            if subset is not None:
                results = [x[..., subset[0] : subset[1] + 1] for x in results]
        if explains(static["policy"]):
            self._explain(results[0])
        if self.metric is not None and vectors:
            results[1] = self.metric.vectors(results[1])
        return results

    def _explain(self, w: Array) -> None:
        """Warns about probably mistaken arguments."""
        a, *b = (lax.stop_gradient(x) for x in self.operands)
        policy = self.static["policy"]
        if self.metric is None:  # else `a` is scaled by it, and NaN where `b` is not positive
            for name, x in zip("ab", (a, *b), strict=False):
                explain_not_finite(policy, name, x)
        if self.static["triangle"] == "hermitian":
            explain_asymmetry("eigh", policy, a, far_from_hermitian(a))
        if self.metric is not None:
            a, *b = (lax.stop_gradient(x) for x in self.metric.pair_to_check(a))
        if b:
            explain_unsolved(policy, a, b[0], lax.stop_gradient(w))
