"""The gradient of a few eigenpairs with respect to the entries of a distributed matrix: the rule of `frame` and `gauge`
with PETSc's vectors."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..degeneracy.decision import (
    at_most_half_of_digits,
    cluster_width,
    open_columns,
    policy_of_whole,
    rounding_of_product,
)
from ..degeneracy.explanations import Subject
from ..degeneracy.policies import Policy, check
from ..hermitian.rule import inner_pullback
from . import messages


class Problem:
    """A matrix or a pair, and its computed eigenpairs."""

    def __init__(self, a: Any, b: Any, sigma: float | None, which: str, tol: float, most: int):
        self.a, self.b, self.sigma, self.which, self.tol, self.most = a, b, sigma, which, tol, most
        self.n = a.getSize()[0]
        self.norm_a = _norm(a)
        self.norm_b = 0.0 if b is None else _norm(b)

    def times(self, matrix: Any, x: Any) -> Any:
        """The product, as a new vector."""
        if matrix is None:
            return x.copy()
        y = x.duplicate()
        matrix.mult(x, y)
        return y

    def quotients(self, vectors: list[Any]) -> Any:
        """Rayleigh quotients."""
        tops = [self.times(self.a, x).dot(x) for x in vectors]
        return np.real(np.array([t / self.times(self.b, x).dot(x) for t, x in zip(tops, vectors, strict=True)]))

    def normalized(self, x: Any) -> Any:
        """`x`, with `xᴴBx = 1`."""
        x.scale(1 / math.sqrt(np.real(self.times(self.b, x).dot(x))))
        return x

    def residuals(self, vectors: list[Any], w: Any) -> Any:
        """`‖A v − λ B v‖/‖v‖`."""
        return np.array([self.shifted(x, e).norm() / x.norm() for x, e in zip(vectors, w, strict=True)])

    def shifted(self, x: Any, e: float) -> Any:
        """`(A − λB) x`."""
        y = self.times(self.a, x)
        y.axpy(-e, self.times(self.b, x))
        return y

    def sort_keys(self, w: Any) -> Any:
        """A sort key for each eigenvalue, lowest for those that `which` puts first."""
        if self.sigma is not None:
            return np.abs(w - self.sigma)
        return {"SA": w, "LA": -w, "LM": -np.abs(w)}[self.which]

    def edges(self, theta: float) -> tuple[float, float]:
        """The nearest eigenvalues below and above the requested ones; `theta` is the first eigenvalue after them."""
        if self.sigma is not None:
            return self.sigma - abs(theta - self.sigma), self.sigma + abs(theta - self.sigma)
        return {"SA": (-np.inf, theta), "LA": (theta, np.inf), "LM": (abs(theta), -abs(theta))}[self.which]

    def keep(self, vectors: list[Any], w: Any, residuals: Any, edges: Any, solver: Any) -> None:
        """For the pullback."""
        self.vectors, self.w, self.residuals_found, self.edges_found, self.solver = vectors, w, residuals, edges, solver
        self.dual = [self.times(self.b, v) for v in vectors]

    def outside(self, x: Any) -> Any:
        """`x − V VᴴBx`."""
        y = x.copy()
        y.maxpy([-x.dot(u) for u in self.dual], self.vectors)
        return y

    def outside_dual(self, x: Any) -> Any:
        """`x − BV Vᴴx`."""
        y = x.copy()
        y.maxpy([-x.dot(u) for u in self.vectors], self.dual)
        return y


def _norm(a: Any) -> float:
    from petsc4py import PETSc

    return float(a.norm(PETSc.NormType.NORM_INFINITY))


class _System:
    """`(A − λB)` on the complement of the eigenvectors, and the inverse of `A − σB` as its preconditioner."""

    def __init__(self, problem: Problem, e: float):
        self.problem, self.e = problem, e

    def mult(self, _: Any, x: Any, y: Any) -> None:
        """For PETSc."""
        self.problem.outside_dual(self.problem.shifted(self.problem.outside(x), self.e)).copy(y)

    def apply(self, _: Any, x: Any, y: Any) -> None:
        """For PETSc."""
        self.problem.solver.getST().getKSP().solve(self.problem.outside_dual(x), y)
        self.problem.outside(y).copy(y)


def _solution(problem: Problem, e: float, right: Any) -> Any:
    """`z` with `(A − λB) z = (1 − BVVᴴ) right` and `VᴴBz = 0`; `None` if the iteration fails."""
    from petsc4py import PETSc

    context = _System(problem, e)
    system = PETSc.Mat().createPython([right.getSizes(), right.getSizes()], context, comm=problem.a.getComm())
    system.setUp()
    solver = PETSc.KSP().create(problem.a.getComm())
    solver.setOperators(system)
    if problem.sigma is None:
        solver.setType("minres")
        solver.getPC().setType("none")
    else:
        solver.setType("gmres")
        solver.setGMRESRestart(60)
        solver.getPC().setType("python")
        solver.getPC().setPythonContext(context)
    solver.setTolerances(rtol=1e-13, atol=1e-300, max_it=200 * problem.most)
    right = problem.outside_dual(right)
    size = right.norm()
    z = right.duplicate()
    z.set(0)
    lost = right.copy()
    for _ in range(3):
        if lost.norm() <= problem.tol * size:
            break
        step = right.duplicate()
        solver.solve(lost, step)
        z.axpy(1, problem.outside(step))
        lost = right.copy()
        lost.axpy(-1, problem.outside_dual(problem.shifted(z, e)))
    reach = size + (problem.norm_a + abs(e) * problem.norm_b) * z.norm()
    return z if lost.norm() <= 30 * problem.tol * reach else None


def gradients(problem: Problem, policy: Policy, w_bar: Any, v_bar: Any, converged: bool) -> Any:
    """`Ā` on the pattern of `A`, or `(Ā, B̄)`."""
    k = len(problem.w)
    if not converged:
        left = [np.full((problem.a.getLocalSize()[0], k), np.nan)] * 2
        return _on_patterns(problem, left, left[0])
    v = np.stack([x.array for x in problem.vectors], axis=1)
    inner, factor, k_bar = _inner(problem, policy, w_bar, v_bar)
    left_a = v @ inner
    left_b = -v @ (inner * problem.w + problem.w[:, None] * inner) / 2
    if v_bar is not None:
        z = np.zeros_like(v)
        for j in range(k):
            right = problem.vectors[j].duplicate()
            right.array = v_bar[:, j]
            if right.norm() == 0:
                continue
            found = _solution(problem, problem.w[j], right)
            if found is None:
                messages.warn(
                    "a derivative of eigenvectors of eigsh is NaN: its linear system was not solved. Raise "
                    "max_iterations, or ask for one eigenvalue more or less."
                )
                factor = np.nan
                continue
            z[:, j] = found.array
        left_a = left_a - z
        left_b = left_b + z * problem.w - v @ k_bar / 2
    return _on_patterns(problem, [left_a * factor, left_b * factor], v)


def _inner(problem: Problem, policy: Policy, w_bar: Any, v_bar: Any) -> tuple[Any, Any, Any]:
    """`M̄`, a factor that is 1 or NaN, and `VᴴV̄`: the rule inside the subspace."""
    w, vectors = problem.w, problem.vectors
    k, n = len(w), problem.n
    if v_bar is None:
        return np.diag(w_bar).astype(vectors[0].array.dtype), 1.0, None
    bars = []
    for j in range(k):
        bar = vectors[j].duplicate()
        bar.array = v_bar[:, j]
        bars.append(bar)
    lengths = np.array([x.norm() for x in vectors])
    sizes = np.array([x.norm() for x in bars])
    k_bar = np.array([[bar.dot(v) for bar in bars] for v in vectors])
    scale = np.max((problem.norm_a + np.abs(w) * problem.norm_b) * lengths**2, keepdims=True)
    if isinstance(policy, check):
        width = cluster_width(policy, n, jnp.dtype(w.dtype))
        scale = np.maximum(scale, 2 * np.max(problem.residuals_found * lengths**2) / width)
    whole = policy_of_whole(policy, n, k)
    # Only lengths of columns enter the estimate of rounding errors.
    kappa = rounding_of_product(jnp.asarray(np.diag(lengths)), jnp.asarray(np.diag(sizes)))
    kappa = at_most_half_of_digits(jnp.asarray(k_bar), kappa, np.max(sizes) * np.min(lengths) / math.sqrt(n))
    m_bar, factor = inner_pullback(
        whole, Subject("eigsh"), jnp.asarray(w), jnp.asarray(w_bar), jnp.asarray(k_bar), kappa, jnp.asarray(scale)
    )
    refused = np.nan if factor is not None and not np.all(np.isfinite(factor)) else 1.0
    unknown = open_columns(whole, jnp.asarray(w), jnp.asarray(problem.edges_found), jnp.asarray(scale))
    if unknown is not None and np.any(np.asarray(unknown)[0] & (sizes > 0)):
        refused = np.nan
    return np.asarray(m_bar), refused, k_bar


def _on_patterns(problem: Problem, lefts: list[Any], right: Any) -> Any:
    """The Hermitian parts of `left rightᴴ`, at the entries that the matrices store."""
    found = [
        _on_pattern(matrix, left, right)
        for matrix, left in zip((problem.a, problem.b), lefts, strict=True)
        if matrix is not None
    ]
    return found[0] if problem.b is None else tuple(found)


def _on_pattern(matrix: Any, left: Any, right: Any) -> Any:
    from petsc4py import PETSc

    pointers, columns, _ = matrix.getValuesCSR()
    needed, place = np.unique(columns, return_inverse=True)
    both = np.concatenate([left, right], axis=1)
    elsewhere = np.zeros((len(needed), both.shape[1]), both.dtype)
    # Of the other ranks' rows, only those of columns in which this rank has entries are sent.
    source = matrix.createVecRight()
    target = PETSc.Vec().createSeq(len(needed), comm=PETSc.COMM_SELF)
    scatter = PETSc.Scatter().create(source, PETSc.IS().createGeneral(needed, comm=PETSc.COMM_SELF), target, None)
    for j in range(both.shape[1]):
        source.array = both[:, j]
        scatter.scatter(source, target)
        elsewhere[:, j] = target.array
    k = left.shape[1]
    rows = np.repeat(np.arange(left.shape[0]), np.diff(pointers))
    other_left, other_right = elsewhere[place, :k], elsewhere[place, k:]
    values = np.sum(left[rows] * other_right.conj() + right[rows] * other_left.conj(), axis=1) / 2
    gradient = matrix.duplicate(copy=False)
    gradient.setValuesCSR(pointers, columns, values)
    gradient.assemble()
    return gradient
