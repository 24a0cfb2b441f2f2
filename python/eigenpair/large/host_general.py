"""A few eigenpairs of a general matrix or pair on the host: ARPACK and SuperLU by SciPy. It never calls JAX."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from .host_factors import Matrix, Singular, is_finite, norm_of, shifted_matrix
from .krylov_state import PASSES

# For each end of the spectrum, the shift, in units of the norm, that moves it away from 0.
MOVES = {"LM": 0, "LR": 1, "SR": -1, "LI": 1j, "SI": -1j}


class FoundGeneral(NamedTuple):
    """`AX = BXΛ`, `YᴴA = ΛYᴴB`, `YᴴBX = I`; vectors are rows."""

    values: Any  # (k,)
    right: Any  # (k, n), unit length
    left: Any  # (k, n), dual to the right ones
    residuals: Any  # (k,), the larger of both sides, for vectors of unit length
    edge: Any  # the distance, in what is wanted, to the next eigenvalue
    scale: Any  # (2,), sizes of A and B
    iterations: Any
    complete: Any


class _Factor:
    """`(A − σB)⁻¹` and its adjoint, of columns."""

    def __init__(self, a: Matrix):
        if isinstance(a, np.ndarray):
            import scipy.linalg

            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # of a pivot that is zero, which is looked for below
                lu = scipy.linalg.lu_factor(a)
            if np.min(np.abs(np.diagonal(lu[0]))) <= np.finfo(a.dtype).eps ** 2 * norm_of(a):
                raise Singular("a pivot is zero")
            self.solve = lambda x: scipy.linalg.lu_solve(lu, x)
            self.solve_adjoint = lambda x: scipy.linalg.lu_solve(lu, x, trans=2)
        else:
            import scipy.sparse.linalg

            try:
                factors = scipy.sparse.linalg.splu(a.tocsc())
            except RuntimeError as error:
                raise Singular(str(error)) from None
            self.solve = lambda x: factors.solve(np.ascontiguousarray(x))
            self.solve_adjoint = lambda x: factors.solve(np.ascontiguousarray(x), trans="H")
        x = np.ones((a.shape[0], 1), a.dtype)
        y = self.solve(x)
        if not np.linalg.norm(a @ y - x) <= 1e6 * np.finfo(a.dtype).eps * (norm_of(a) * np.linalg.norm(y) + 1):
            raise Singular("the factors are inaccurate")


class _Side:
    """The problem for right vectors, or for left ones: that of the adjoints."""

    def __init__(self, a: Matrix, b: Matrix | None, factor: _Factor | None, sigma: Any, which: str, adjoint: bool):
        self.a = a.conj().T if adjoint else a
        self.b = None if b is None else (b.conj().T if adjoint else b)
        self.n = a.shape[0]
        self.dtype = a.dtype
        self.inverse = None if factor is None else (factor.solve_adjoint if adjoint else factor.solve)
        move = MOVES[which] * norm_of(a)
        self.move = np.conj(move) if adjoint else move
        self.which = {"LI": "SI", "SI": "LI"}.get(which, which) if adjoint else which
        self.sigma = None if sigma is None else (np.conj(sigma) if adjoint else sigma)
        self.products = 0

    def times_b(self, x: Any) -> Any:
        return x if self.b is None else self.b @ x

    def search(self, count: int, x: Any, y: Any, tol: float, most: int, seed: int) -> Any:
        """Eigenvectors outside the span of `x`, whose dual is `y`."""
        import scipy.sparse.linalg as linalg

        dual = None if x.shape[1] == 0 else (self.b.conj().T @ y if self.b is not None else y)

        def outside(z: Any) -> Any:
            return z if dual is None else z - x @ (dual.conj().T @ z)

        def product(z: Any) -> Any:
            self.products += 1
            z = outside(z.reshape(-1))
            if self.inverse is not None:
                return outside(self.inverse(self.times_b(z)))
            return outside(self.a @ z + self.move * z)

        rng = np.random.default_rng(seed)
        v0 = (rng.standard_normal(self.n) + 1j * rng.standard_normal(self.n)).astype(self.dtype)
        operator = linalg.LinearOperator((self.n, self.n), matvec=product, dtype=self.dtype)
        which = "LM" if self.inverse is not None else self.which
        ncv = min(self.n - 1, max(2 * count + 2, 20))
        try:
            return linalg.eigs(operator, count, which=which, v0=outside(v0), tol=tol, ncv=ncv, maxiter=most)[1]
        except linalg.ArpackNoConvergence as error:
            return error.eigenvectors


def sort_keys(w: Any, sigma: Any, which: str) -> Any:
    """A sort key for each eigenvalue, lowest for those that `which` puts first."""
    if sigma is not None:
        return np.abs(w - sigma)
    return {"LM": -np.abs(w), "LR": -w.real, "SR": w.real, "LI": -w.imag, "SI": w.imag}[which]


def eigenpairs(a: Matrix, b: Matrix | None, k: int, sigma: Any, which: str, tol: float, most: int) -> FoundGeneral:
    """The requested eigenpairs of complex matrices, after a search for missed ones.

    **Raises:** `Singular`.
    """
    n = a.shape[0]
    scale = np.array([norm_of(a), 1.0 if b is None else norm_of(b)])
    if not is_finite(a) or (b is not None and not is_finite(b)):
        return nothing_found(n, k, a.dtype)
    factor = None if sigma is None else _Factor(shifted_matrix(a, b, sigma) if b is not None or sigma else a)
    sides = [_Side(a, b, factor, sigma, which, adjoint) for adjoint in (False, True)]
    x = y = np.zeros((n, 0), a.dtype)
    w = np.zeros(0, a.dtype)
    edge, complete = np.inf, False
    inner = 0.0 if sigma is not None else tol / 10
    same = float(np.finfo(a.dtype).eps) ** 0.5
    digits = 10 if same < 1e-6 else 4
    for attempt in range(PASSES):
        count = min(k if attempt == 0 else 2, n - 2 - x.shape[1])
        if count < 1:
            complete = True
            break
        new_x = sides[0].search(count, x, y, inner, most, 10 + attempt)
        new_y = sides[1].search(count, y, x, inner, most, 20 + attempt)
        both = min(new_x.shape[1], new_y.shape[1])
        if both == 0:
            break
        all_w, all_x, all_y = _reduced(sides[0], np.hstack([x, new_x[:, :both]]), np.hstack([y, new_y[:, :both]]))
        order = np.lexsort(
            (-all_w.imag, np.round(sort_keys(all_w, sigma, which) / (np.abs(all_w).max() + 1e-300), digits))
        )
        chosen = order[: min(k, len(order))]
        previous = w
        w, x, y = all_w[chosen], all_x[:, chosen], all_y[:, chosen]
        if len(order) > k:
            key = sort_keys(all_w, sigma, which)
            edge = float(key[order[k]] - np.max(key[chosen]))
        still = len(previous) == k and np.max(np.abs(np.sort_complex(w) - np.sort_complex(previous))) <= same * (
            np.abs(w).max() + 1e-300
        )
        if still:
            complete = True
            break
    if len(w) < k:
        return nothing_found(n, k, a.dtype)
    length = np.linalg.norm(x, axis=0)
    x, y = x / length, y * length
    side = sides[0]
    right = np.linalg.norm(side.a @ x - side.times_b(x) * w, axis=0)
    other = sides[1]
    left = np.linalg.norm(other.a @ y - other.times_b(y) * w.conj(), axis=0) / np.linalg.norm(y, axis=0)
    return FoundGeneral(
        w, np.ascontiguousarray(x.T), np.ascontiguousarray(y.T), np.maximum(right, left), np.array(edge), scale,
        np.array(sides[0].products + sides[1].products), np.array(complete),
    )  # fmt: skip


def _reduced(side: _Side, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Eigenvalues and dual bases of eigenvectors in the spans of `x` and `y`: the problem projected from both sides."""
    x, y = np.linalg.qr(x)[0], np.linalg.qr(y)[0]
    u, s, vh = np.linalg.svd(y.conj().T @ side.times_b(x))
    kept = s > float(np.finfo(x.dtype).eps) ** 0.6 * s[0] if s[0] > 0 else s > 0
    x, y = x @ vh.conj().T[:, kept] / np.sqrt(s[kept]), y @ u[:, kept] / np.sqrt(s[kept])
    w, z = np.linalg.eig(y.conj().T @ (side.a @ x))
    try:
        dual = np.linalg.inv(z).conj().T
    except np.linalg.LinAlgError:
        dual = np.full_like(z, np.nan)
    return w, x @ z, y @ dual


def nothing_found(n: int, k: int, dtype: Any) -> FoundGeneral:
    """NaN in place of every result."""
    nan = np.full(k, np.nan)
    vectors = np.full((k, n), np.nan, dtype)
    return FoundGeneral(
        nan.astype(dtype), vectors, vectors, nan, np.array(np.inf), np.array([0.0, 1.0]), np.array(0), np.array(False)
    )


def complement(a: Matrix, b: Matrix | None, sigma: Any, x: Any, y: Any, w: Any, right: Any, adjoint: bool) -> Any:
    """`(A − λⱼB) zⱼ = rⱼ` outside the span of `x`, or the adjoint systems outside that of `y`; rows. NaN where GMRES
    fails.

    Preconditioned by the factors of `A − σB`, `σ` close to the eigenvalues if none is given.
    """
    import scipy.sparse.linalg as linalg

    x, y, right = x.T, y.T, right.T
    if not all(np.all(np.isfinite(m)) for m in (x, y, w, right)) or not is_finite(a):
        return np.full_like(right.T, np.nan)
    if sigma is None:
        spread = np.max(np.abs(w - np.mean(w)), initial=0.0)
        sigma = np.mean(w) + (0.3 * spread + 1e-3 * norm_of(a)) * np.exp(1j)
    try:
        factor = _Factor(shifted_matrix(a, b, sigma))
    except Singular:
        return np.full_like(right.T, np.nan)
    if adjoint:
        a, b, x, y, w = a.conj().T, None if b is None else b.conj().T, y, x, w.conj()
        sigma, inverse = np.conj(sigma), factor.solve_adjoint
    else:
        inverse = factor.solve
    times_b = (lambda z: z) if b is None else (lambda z: b @ z)
    bx, by = times_b(x), y if b is None else b.conj().T @ y

    def outside(z: Any) -> Any:
        return z - x @ (by.conj().T @ z)

    right = right - bx @ (y.conj().T @ right)
    result = np.zeros_like(right)
    eps = float(np.finfo(right.dtype).eps)
    for j in range(right.shape[1]):
        size = np.linalg.norm(right[:, j])
        if size == 0:
            continue

        def product(z: Any, j: int = j) -> Any:
            z = outside(z.reshape(-1))
            return outside(z - (w[j] - sigma) * inverse(times_b(z)))

        operator = linalg.LinearOperator(a.shape, matvec=product, dtype=right.dtype)
        z = np.zeros_like(right[:, j])
        lost = right[:, j]
        for _ in range(4):
            step, _ = linalg.gmres(operator, outside(inverse(lost)), rtol=1e3 * eps, restart=60, maxiter=10)
            z = outside(z + step)
            moved = a @ z - w[j] * times_b(z)
            lost = right[:, j] - (moved - bx @ (y.conj().T @ moved))
            reach = norm_of(a) * np.linalg.norm(z) + size
            if np.linalg.norm(lost) <= 30 * eps * reach:
                break
        good = np.linalg.norm(lost) <= 1e5 * eps * reach
        result[:, j] = z if good else np.nan
    return np.ascontiguousarray(result.T)
