"""Eigenpairs on the host, by ARPACK and PRIMME, and by factors of a shifted matrix. It never calls JAX."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from . import selection
from .frame import Spec
from .host_factors import (
    Factor,
    Indefinite,
    Matrix,
    Singular,
    factorized,
    is_finite,
    norm_of,
    shifted_factor,
    shifted_matrix,
)
from .krylov_state import OF_GAP, PASSES, Found

# If factors have no more entries than this for each unknown, they are cheap, and two more are computed to count
# eigenvalues.
CHEAP_FILL = 40


def has_primme() -> bool:
    """Whether the package primme is installed."""
    return importlib.util.find_spec("primme") is not None


class HostProblem:
    """A problem, for either library."""

    def __init__(self, spec: Spec, a: Matrix, b: Matrix | None):
        self.spec, self.a, self.b = spec, a, b
        self.n = a.shape[0]
        self.dtype = np.dtype(spec.dtype)
        self.scale = (norm_of(a), 1.0 if b is None else norm_of(b))
        self.products = 0

    def times_b(self, x: Any) -> Any:
        """`B x`."""
        return x if self.b is None else self.b @ x

    def projected_out(self, v: Any, x: Any) -> Any:
        """`x − V VᴴBx`."""
        return x - v @ (v.conj().T @ self.times_b(x))

    def orthonormal(self, x: Any) -> Any:
        """An orthonormal basis of the columns, in the metric of B."""
        for _ in range(2):
            gram = x.conj().T @ self.times_b(x)
            gram = (gram + gram.conj().T) / 2
            if np.min(np.linalg.eigvalsh(gram)) <= 0:
                raise Indefinite
            x = np.linalg.solve(np.linalg.cholesky(gram).conj(), x.T).T
        return x

    def ritz(self, x: Any) -> tuple[Any, Any, Any]:
        """Ritz values and vectors in the span of the columns, and their residuals."""
        x = self.orthonormal(x)
        h = x.conj().T @ (self.a @ x)
        w, u = np.linalg.eigh((h + h.conj().T) / 2)
        x = x @ u
        return w, x, np.linalg.norm(self.a @ x - self.times_b(x) * w, axis=0)

    def random(self, seed: int, count: int = 1) -> Any:
        """Random columns that depend only on the seed."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.n, count))
        if self.dtype.kind == "c":
            x = x + 1j * rng.standard_normal((self.n, count))
        return x.astype(self.dtype)


def _plain(problem: HostProblem, v: Any, k: int, which: str, tol: float, v0: Any) -> Any:
    """Eigenvectors of `A` orthogonal to `v`, by the library, to residuals of `tol·‖A‖`."""
    spec = problem.spec
    most = 40 * spec.cycles
    size = problem.scale[0] or 1.0
    if spec.solver == "primme":
        primme = importlib.import_module("primme")
        options = {} if v.shape[1] == 0 else {"lock": v}
        _, x, stats = primme.eigsh(
            problem.a, k, which=which, tol=tol, v0=v0, maxiter=most * 20,
            raise_for_unconverged=False, return_stats=True, **options,
        )  # fmt: skip
        problem.products += int(stats["numMatvecs"])
        return x
    import scipy.sparse.linalg as linalg

    # ARPACK measures residuals by the eigenvalue. Moved by the norm, the wanted ones are all of the size of A, and
    # what is projected out, 0, is at the other end.
    move = {"SA": -size, "LA": size}.get(which, 0.0)

    def product(x: Any) -> Any:
        problem.products += 1
        x = x.reshape(-1)
        if v.shape[1]:
            x = problem.projected_out(v, x)
        y = problem.a @ x + problem.dtype.type(move) * x
        return problem.projected_out(v, y) if v.shape[1] else y

    operator = linalg.LinearOperator((problem.n, problem.n), matvec=product, dtype=problem.dtype)
    ncv = min(problem.n - 1, max(2 * k + 1, 20))
    start = v0[:, 0] if v0.shape[1] == 1 else v0.sum(axis=1)
    try:
        _, x = linalg.eigsh(operator, k, which=which, tol=tol, v0=start, ncv=ncv, maxiter=spec.cycles * 10)
    except linalg.ArpackNoConvergence as error:
        x = error.eigenvectors
    return x


def _shifted(problem: HostProblem, factor: Factor, v: Any, k: int, tol: float, v0: Any) -> Any:
    """The eigenvectors closest to σ, orthogonal to `v`, by ARPACK in shift-invert mode."""
    import scipy.sparse.linalg as linalg

    def inverse(x: Any) -> Any:
        problem.products += 1
        x = x.reshape(-1)
        if v.shape[1]:
            x = x - problem.times_b(v @ (v.conj().T @ x))
        y = factor.solve(x)
        return problem.projected_out(v, y) if v.shape[1] else y

    shape = (problem.n, problem.n)
    operator = linalg.LinearOperator(shape, matvec=inverse, dtype=problem.dtype)
    ncv = min(problem.n - 1, max(2 * k + 1, 20))
    try:
        _, x = linalg.eigsh(
            linalg.aslinearoperator(problem.a), k, M=None if problem.b is None else linalg.aslinearoperator(problem.b),
            sigma=problem.spec.sigma, OPinv=operator, which="LM", tol=tol, v0=v0.sum(axis=1), ncv=ncv,
            maxiter=problem.spec.cycles * 10,
        )  # fmt: skip
    except linalg.ArpackNoConvergence as error:
        x = error.eigenvectors
    return x


def _order(spec: Spec, w: Any) -> Any:
    """Indices of eigenvalues in the order of `which`."""
    if spec.sigma is not None:
        key = np.abs(w - spec.sigma)
    elif spec.which == "BE":
        rank = np.argsort(np.argsort(w, kind="stable"), kind="stable")
        key = np.minimum(2 * rank + 1, 2 * (len(w) - 1 - rank))
    else:
        key = {"SA": w, "LA": -w, "LM": -np.abs(w)}[spec.which]
    return np.argsort(key, kind="stable")


def _displaces(spec: Spec, theta: Any, w: Any, reach: float) -> Any:
    """Which of the eigenvalues `theta` the search has missed: they are wanted more than one of `w`, by more than
    `reach`."""
    if spec.sigma is not None:
        return np.abs(theta - spec.sigma) < np.max(np.abs(w - spec.sigma)) - reach
    if spec.which == "SA":
        return theta < np.max(w) - reach
    if spec.which == "LA":
        return theta > np.min(w) + reach
    if spec.which == "LM":
        return np.abs(theta) > np.min(np.abs(w)) + reach
    ends, half = np.sort(w), len(w) // 2
    low = ends[half - 1] if half else -np.inf
    return (theta < low - reach) | (theta > ends[half] + reach)


def eigenpairs(spec: Spec, a: Matrix, b: Matrix | None, start: Any) -> Found:
    """The requested eigenpairs, after a search for missed ones.

    **Raises:** `Singular`, `Indefinite`.
    """
    problem = HostProblem(spec, a, b)
    k, n = spec.k, problem.n
    if not is_finite(a) or (b is not None and not is_finite(b)):
        return nothing_found(problem)
    v0 = np.asarray(start).T.astype(problem.dtype)
    v0 = v0[:, : max(spec.given, 1)]
    none = np.zeros((n, 0), problem.dtype)
    factor = None
    if spec.sigma is not None:
        if b is not None:
            _require_definite(b)
        factor = shifted_factor(a, b, spec.sigma)
        x = _shifted(problem, factor, none, k, 0.0, v0)
    else:
        x = _plain(problem, none, k, spec.which, spec.tol / 2, v0)
    complete = False
    edges = (-np.inf, np.inf)
    w, r = np.zeros(0), np.zeros(0)
    for attempt in range(PASSES):
        if x.shape[1] < k:  # the library gave up
            missing = problem.random(50 + attempt, k - x.shape[1])
            w, x, r = problem.ritz(np.concatenate([x, missing], axis=1))
            break
        w, x, r = problem.ritz(x)
        order = _order(spec, w)[:k]
        w, x, r = w[order], x[:, order], r[order]
        for _ in range(3):
            # Inverse iteration removes the errors that a projected solve leaves.
            rough = r > spec.tol / 4 * problem.scale[0] * np.linalg.norm(x, axis=0)
            if factor is None or not np.any(rough):
                break
            w, x, r = problem.ritz(factor.solve(problem.times_b(x)))
        size = problem.scale[0] + (0 if b is None else problem.scale[1] * np.abs(w))
        lengths = np.linalg.norm(x, axis=0)
        if np.any(r > spec.tol * size * lengths) and attempt > 0:
            break
        if n <= k + 2:
            complete = True
            break
        news, edges, sure = (
            _beyond(problem, w, x, attempt) if factor is None else _beyond_by_factor(problem, factor, w, x, attempt)
        )
        if news.shape[1] == 0:
            complete = sure
            break
        x = np.concatenate([x, news], axis=1)
    if complete and factor is not None:
        complete = _inertia_agrees(problem, factor, w, edges)
    order = np.argsort(w)
    w, x, r = w[order], x[:, order], r[order]
    return Found(
        w, np.ascontiguousarray(x.T), r, np.linalg.norm(x, axis=0), np.array(edges), np.array(problem.scale),
        np.array(problem.products), np.array(complete),
    )  # fmt: skip


def _beyond(problem: HostProblem, w: Any, x: Any, attempt: int) -> tuple[Any, Any, bool]:
    """Searches from random vectors orthogonal to `x`. Returns eigenvectors that should have been among the requested
    ones, the eigenvalues next to the requested ones, and whether the search finished."""
    spec = problem.spec
    edges = [-np.inf, np.inf]
    news = [np.zeros((problem.n, 0), problem.dtype)]
    sure = True
    size = problem.scale[0]
    for side, use in zip(("SA", "LA"), selection.sides(spec.which), strict=True):
        if not use:
            continue
        y, tol = problem.projected_out(x, problem.random(100 + attempt)), 1e-2
        while True:
            y = _plain(problem, x, 1, side, tol, y)
            if y.shape[1] == 0:
                return news[0], tuple(edges), False
            theta, y, r = problem.ritz(problem.projected_out(x, y))
            known = r[0] <= max(2 * spec.tol * size, OF_GAP * np.min(np.abs(theta[0] - w)))
            if known or tol <= spec.tol / 4:
                break
            tol = max(tol / 30, spec.tol / 4)
        sure = sure and bool(known)
        if _displaces(spec, theta, w, 4 * spec.tol * size)[0]:
            y = _plain(problem, x, 1, side, spec.tol / 4, y)  # no less accurate than the others
            news.append(problem.projected_out(x, y))
        edges[1 if side == "SA" else 0] = float(theta[0])
    return np.concatenate(news, axis=1), tuple(edges), sure


def _beyond_by_factor(problem: HostProblem, factor: Factor, w: Any, x: Any, attempt: int) -> tuple[Any, Any, bool]:
    """The same with a factorization: computes two more eigenvalues on either side of σ."""
    spec = problem.spec
    sigma: Any = spec.sigma
    count = min(2, problem.n - x.shape[1] - 1)
    y = problem.projected_out(x, problem.random(100 + attempt, count))
    y = _shifted(problem, factor, x, count, 1e-10, y)
    if y.shape[1] == 0:
        return y, (-np.inf, np.inf), False
    theta, y, r = problem.ritz(problem.projected_out(x, y))
    size = problem.scale[0] + (0 if problem.b is None else problem.scale[1] * np.abs(theta))
    sure = bool(np.all(r <= np.sqrt(np.finfo(w.dtype).eps) * size * np.linalg.norm(y, axis=0)))
    missed = _displaces(spec, theta, w, 1e-9 * float(np.max(np.abs(w - sigma))))
    if np.any(missed):
        y = problem.projected_out(x, _shifted(problem, factor, x, count, 0.0, y))  # no less accurate than the others
        theta, y, _ = problem.ritz(y)
        missed = _displaces(spec, theta, w, 0.0)
    # If nothing was found on one side of σ, there is nothing within the distance searched on the other side.
    far = float(np.max(np.abs(theta - sigma)))
    above, below = theta[theta >= sigma], theta[theta < sigma]
    edges = (float(np.max(below)) if below.size else sigma - far, float(np.min(above)) if above.size else sigma + far)
    return y[:, missed], edges, sure


def _require_definite(b: Matrix) -> None:
    try:
        negative = factorized(b).negative
    except Singular:
        raise Indefinite from None
    if negative:
        raise Indefinite


def _inertia_agrees(problem: HostProblem, factor: Factor, w: Any, edges: Any) -> bool:
    """Whether the number of eigenvalues found agrees with the inertia of two more factorizations. True where these are
    too expensive."""
    spec = problem.spec
    sigma: Any = spec.sigma
    if factor.fill > CHEAP_FILL * problem.n or factor.negative is None:
        return True
    inner = np.max(np.abs(w - sigma))
    outer = min(abs(edges[0] - sigma), abs(edges[1] - sigma))
    if not inner < outer * (1 - 1e-6):
        return True
    radius = (inner + outer) / 2
    counts = []
    for end in (sigma - radius, sigma + radius):
        try:
            counts.append(factorized(shifted_matrix(problem.a, problem.b, end)).negative)
        except Singular:
            return True
    below, above = counts
    return below is None or above is None or above - below == spec.k


def nothing_found(problem: HostProblem) -> Found:
    """NaN in place of every result."""
    k, real = problem.spec.k, np.finfo(problem.dtype).dtype
    nan = np.full(k, np.nan, real)
    return Found(
        nan, np.full((k, problem.n), np.nan, problem.dtype), nan, np.ones(k), np.array([-np.inf, np.inf]),
        np.array([0.0, 1.0]), np.array(0), np.array(False),
    )  # fmt: skip
