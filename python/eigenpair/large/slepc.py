"""A few eigenpairs of a Hermitian matrix that PETSc spreads over MPI ranks, by SLEPc, and gradients on its pattern.

Every call is collective: all ranks of the matrix must make it. `slepc4py` and `petsc4py` are needed, and are imported
when a function is called. The rule is that of `eigenpair.large.eigsh`, as a function of cotangents, because PETSc
matrices are not JAX arrays.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from ..degeneracy.policies import Policy, broaden, check, mask, policy_of_call
from . import messages
from .krylov_state import PASSES
from .request import choice, integer, number, tolerance
from .slepc_pullback import Problem, gradients

__all__ = ["DistributedEigshResult", "eigsh"]

WHICH = ("SA", "LA", "LM")


@dataclasses.dataclass(frozen=True)
class DistributedEigshResult:
    """A few eigenpairs of a distributed matrix. Unpacks to `(eigenvalues, eigenvectors)`.

    - `eigenvalues`: NumPy, ascending, `(k,)`, the same on all ranks.
    - `eigenvectors`: NumPy, this rank's rows, `(rows, k)`, given by `Mat.getOwnershipRange`.
    - `residuals`, `iterations`, `converged`: as in `EigshResult`.
    """

    eigenvalues: Any
    eigenvectors: Any
    residuals: Any
    iterations: int
    converged: Any
    problem: Problem = dataclasses.field(repr=False)
    policy: Policy = dataclasses.field(repr=False)

    def __iter__(self) -> Any:
        return iter((self.eigenvalues, self.eigenvectors))

    def pullback(self, eigenvalues_bar: Any = None, eigenvectors_bar: Any = None) -> Any:
        """The gradient of a loss with respect to the stored entries of the matrix, from the gradients with respect to
        eigenvalues and eigenvectors, `∂L/∂Re + i ∂L/∂Im`.

        **Arguments:** `eigenvalues_bar`: `(k,)`, the same on all ranks. `eigenvectors_bar`: this rank's rows,
        `(rows, k)`.

        **Returns:** a PETSc matrix with the pattern and the distribution of the operator, or two, the second for `b`.
        The gradient is that of a function of the Hermitian part. It is NaN, with a warning, if there is no derivative
        or a linear system was not solved.
        """
        k = len(self.eigenvalues)
        w_bar = np.zeros(k) if eigenvalues_bar is None else np.asarray(eigenvalues_bar, dtype=float)
        if w_bar.shape != (k,):
            raise ValueError(f"eigenvalues_bar must have shape ({k},), got {w_bar.shape}")
        v_bar = None if eigenvectors_bar is None else np.asarray(eigenvectors_bar)
        if v_bar is not None and v_bar.shape != self.eigenvectors.shape:
            raise ValueError(f"eigenvectors_bar must have shape {self.eigenvectors.shape}, got {v_bar.shape}")
        return gradients(self.problem, self.policy, w_bar, v_bar, bool(np.all(self.converged)))


def eigsh(
    operator: Any,
    k: int,
    *,
    b: Any = None,
    sigma: float | None = None,
    which: str | None = None,
    tol: float | None = None,
    max_iterations: int | None = None,
    degeneracy: Policy | None = None,
) -> DistributedEigshResult:
    """A few eigenpairs of a Hermitian matrix, or of a definite pair, that PETSc distributes.

    **Arguments:**

    - `operator`, `b`: assembled PETSc matrices of type AIJ, on one or more ranks. They must not change before
        `pullback` is called.
    - `sigma`: a number: the eigenvalues closest to it, by factorization (by MUMPS on more than one rank).
    - `which`: without `sigma`: `"SA"`, the lowest (the default); `"LA"`, `"LM"`.
    - `k`, `tol`, `max_iterations`, `degeneracy`: as for `eigenpair.eigsh`.

    **Returns:** `DistributedEigshResult`. The result is NaN, with a `ConvergenceWarning`, if an eigenpair has not
    converged or the search for missed copies of repeated eigenvalues did not finish.

    **Raises:** `TypeError` or `ValueError` naming the argument; `ImportError` without `slepc4py`.
    """
    try:
        from slepc4py import SLEPc
    except ImportError as error:
        raise ImportError("eigenpair.large.slepc needs slepc4py and petsc4py, built for the same PETSc") from error
    policy = policy_of_call(degeneracy)
    if isinstance(policy, (mask, broaden)) or (isinstance(policy, check) and policy.generic_basis):
        raise ValueError(f"degeneracy: {policy} would have to know all eigenvectors; eigsh has check() and raw()")
    k = integer("k", k, 1)
    for name, matrix in (("operator", operator), ("b", b)):
        if matrix is None and name == "b":
            continue
        if not callable(getattr(matrix, "getType", None)) or not matrix.getType().endswith("aij"):
            raise TypeError(f"{name} must be a PETSc matrix of type AIJ, got {matrix!r}")
        if matrix.getSize()[0] != matrix.getSize()[1] or matrix.getSize() != operator.getSize():
            raise ValueError(f"{name} must be square and of the operator's size, got {matrix.getSize()}")
    n = operator.getSize()[0]
    if k > n - 2:
        raise ValueError(f"k must be at most {n - 2} for a matrix of size {n}, got {k}; for more call eigh")
    if sigma is not None and which is not None:
        raise ValueError("with sigma the eigenvalues next to it are wanted; leave out which")
    sigma = None if sigma is None else number("sigma", sigma)
    which = choice("which", "SA" if which is None else which, WHICH)
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError(
            'eigenpair.large.slepc computes in double precision: jax.config.update("jax_enable_x64", True)'
        )
    scalar = operator.createVecRight().array.dtype
    most = 300 if max_iterations is None else integer("max_iterations", max_iterations, 1)
    problem = Problem(operator, b, sigma, which, tolerance(tol, scalar), most)
    _require_hermitian(problem)
    return _solved(SLEPc, problem, k, policy)


def _require_hermitian(problem: Problem) -> None:
    for name, matrix in (("operator", problem.a), ("b", problem.b)):
        if matrix is None:
            continue
        x, y = (matrix.createVecRight() for _ in range(2))
        low, high = x.getOwnershipRange()
        place = np.arange(low, high)
        x.array, y.array = np.sin(1.0 + 7.3 * place), np.cos(2.0 + 3.1 * place**1.1)
        ax, ay = matrix.createVecLeft(), matrix.createVecLeft()
        matrix.mult(x, ax)
        matrix.mult(y, ay)
        size = ax.norm() * y.norm() + ay.norm() * x.norm()
        if abs(ax.dot(y) - x.dot(ay)) > np.finfo(x.array.dtype).eps ** 0.6 * size / np.sqrt(problem.n):
            raise ValueError(messages.not_hermitian(name))


def _search(slepc: Any, problem: Problem, count: int, found: list[Any]) -> tuple[list[Any], int, Any]:
    """Eigenvectors orthogonal to those found so far, the number of iterations, and the solver."""
    eps = slepc.EPS().create(problem.a.getComm())
    eps.setOperators(problem.a, problem.b)
    eps.setProblemType(slepc.EPS.ProblemType.HEP if problem.b is None else slepc.EPS.ProblemType.GHEP)
    eps.setDimensions(count, max(2 * count + 2, min(20, problem.n)))
    eps.setTolerances(problem.tol / 4 * problem.norm_a, problem.most)
    eps.setConvergenceTest(slepc.EPS.Conv.ABS)
    which = slepc.EPS.Which
    transformation = eps.getST()
    linear = transformation.getKSP()
    if problem.sigma is not None:
        eps.setWhichEigenpairs(which.TARGET_MAGNITUDE)
        eps.setTarget(problem.sigma)
        eps.setTrueResidual(True)
        transformation.setType(slepc.ST.Type.SINVERT)
        linear.setType("preonly")
        linear.getPC().setType("lu")
        if problem.a.getComm().size > 1:
            linear.getPC().setFactorSolverType("mumps")
    else:
        kinds = {"SA": which.SMALLEST_REAL, "LA": which.LARGEST_REAL, "LM": which.LARGEST_MAGNITUDE}
        eps.setWhichEigenpairs(kinds[problem.which])
        if problem.b is not None:
            eps.setTrueResidual(True)
            linear.setType("cg")
            linear.getPC().setType("jacobi")
            linear.setTolerances(rtol=1e-15, max_it=2000)
    if found:
        eps.setDeflationSpace(found)
    eps.solve()
    vectors = []
    for i in range(min(eps.getConverged(), count)):
        x = problem.a.createVecRight()
        eps.getEigenvector(i, x)
        vectors.append(x)
    return vectors, eps.getIterationNumber(), eps


def _solved(slepc: Any, problem: Problem, k: int, policy: Policy) -> DistributedEigshResult:
    vectors, iterations, solver = _search(slepc, problem, k, [])
    complete = False
    edges = (-np.inf, np.inf)
    for _ in range(PASSES):
        if len(vectors) < k:
            break
        w = problem.quotients(vectors)
        order = np.argsort(problem.sort_keys(w), kind="stable")[:k]
        vectors, w = [vectors[i] for i in order], w[order]
        # Single vectors find one copy of a repeated eigenvalue; others appear in the space orthogonal to it.
        more, count, _ = _search(slepc, problem, 1, vectors)
        iterations += count
        if not more:
            break
        theta = problem.quotients(more)[0]
        reach = 4 * problem.tol * problem.norm_a
        if problem.sort_keys(theta) >= np.max(problem.sort_keys(w)) - reach:
            edges, complete = problem.edges(theta), True
            break
        vectors = [*vectors, *more]
    rows = problem.a.getLocalSize()[0]
    if len(vectors) < k:
        nan = np.full(k, np.nan)
        w, x, residuals = nan, np.full((rows, k), np.nan), nan
    else:
        order = np.argsort(w)
        vectors, w = [problem.normalized(vectors[i]) for i in order], w[order]
        residuals = problem.residuals(vectors, w)
        x = np.stack([v.array.copy() for v in vectors], axis=1)
    allowed = problem.tol * (problem.norm_a + np.abs(w) * problem.norm_b)
    converged = (residuals <= allowed) & complete
    if not np.all(converged):
        messages.warn(
            f"eigsh: NaN, because SLEPc found {int(np.sum(residuals <= allowed))} of {k} eigenpairs in {iterations} "
            "iterations. Raise max_iterations or tol, or give sigma."
        )
    problem.keep(vectors, w, residuals, edges, solver)
    answer = np.where(converged, 1, np.nan)
    return DistributedEigshResult(w * answer, x * answer, residuals, iterations, converged, problem, policy)
