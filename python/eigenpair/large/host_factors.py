"""Matrices and their factors on the host: NumPy, SciPy and SuperLU, without JAX."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .operators import Sparse

Matrix = Any  # a SciPy sparse matrix or an ndarray


class Singular(ValueError):
    """`A − σB` has no factorization."""


class Indefinite(ValueError):
    """`B` is not positive definite."""


def matrix_of(form: Any, parameters: Any) -> Matrix:
    """The matrix of an operator that has one."""
    import scipy.sparse

    if not isinstance(form, Sparse):
        return np.asarray(parameters[0])
    data, indices = (np.asarray(x) for x in parameters)
    inside = np.all(indices < form.n, axis=1)  # JAX pads with indices out of bounds
    data, indices = data[inside], indices[inside]
    return scipy.sparse.csr_matrix((data, (indices[:, 0], indices[:, 1])), shape=(form.n, form.n))


def norm_of(a: Matrix) -> float:
    """The 1-norm, a bound of the 2-norm of a Hermitian matrix."""
    return float(np.max(np.asarray(abs(a).sum(axis=0)), initial=0.0))


def is_finite(a: Matrix) -> bool:
    """Whether all entries are finite."""
    return bool(np.all(np.isfinite(a if isinstance(a, np.ndarray) else a.data)))


class Factor(NamedTuple):
    """`(A − σB)⁻¹`."""

    solve: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]  # of columns
    negative: int | None  # how many eigenvalues are below σ, where the factors tell
    fill: int


def factorized(a: Matrix) -> Factor:
    """The factors of a Hermitian matrix.

    **Raises:** `Singular`.
    """
    if isinstance(a, np.ndarray):
        return _dense_factor(a)
    import scipy.sparse.linalg

    a = a.tocsc()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((a.shape[0], 1)).astype(a.dtype)
    right = a @ x
    for options in (
        {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}},
        {"permc_spec": "COLAMD"},
    ):
        try:
            lu = scipy.sparse.linalg.splu(a, **options)
        except RuntimeError as error:
            failure: Exception | None = error
            continue
        y = lu.solve(right)
        lost = np.linalg.norm(a @ y - right)
        size = norm_of(a) * np.linalg.norm(y) + np.linalg.norm(right)
        if np.isfinite(lost) and lost <= 1e5 * np.finfo(a.dtype).eps * size:
            pivots = np.real(lu.U.diagonal())
            symmetric = np.array_equal(lu.perm_r, lu.perm_c)
            negative = int(np.sum(pivots < 0)) if symmetric and np.all(pivots != 0) else None
            return Factor(lu.solve, negative, lu.nnz)
        failure = None
    raise Singular(str(failure or "the factors are inaccurate"))


def _dense_factor(a: np.ndarray[Any, Any]) -> Factor:
    import scipy.linalg

    _, d, _ = scipy.linalg.ldl(a)
    w = scipy.linalg.eigvalsh(d) if a.shape[0] else np.zeros(0)
    if not np.all(np.isfinite(w)) or np.min(np.abs(w), initial=np.inf) == 0:
        raise Singular("a pivot is zero")
    factors = scipy.linalg.lu_factor(a)
    return Factor(lambda x: scipy.linalg.lu_solve(factors, x), int(np.sum(w < 0)), a.size)


_cache: OrderedDict[bytes, Factor] = OrderedDict()
_lock = threading.Lock()


def shifted_factor(a: Matrix, b: Matrix | None, sigma: float) -> Factor:
    """The factors of `A − σB`. The last two are kept, because derivatives need them again."""
    digest = hashlib.blake2b(np.float64(sigma).tobytes())
    for m in (a, b):
        if m is not None:
            for part in (m,) if isinstance(m, np.ndarray) else (m.data, m.indices, m.indptr):
                digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    key = digest.digest()
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    factor = factorized(shifted_matrix(a, b, sigma))
    with _lock:
        _cache[key] = factor
        while len(_cache) > 2:
            _cache.popitem(last=False)
    return factor


def shifted_matrix(a: Matrix, b: Matrix | None, sigma: float) -> Matrix:
    """`A − σ B`."""
    import scipy.sparse

    if b is None:
        b = (
            np.eye(a.shape[0], dtype=a.dtype)
            if isinstance(a, np.ndarray)
            else scipy.sparse.identity(a.shape[0], a.dtype)
        )
    if isinstance(a, np.ndarray) != isinstance(b, np.ndarray):
        a, b = (m if isinstance(m, np.ndarray) else m.toarray() for m in (a, b))
    return a - a.dtype.type(sigma) * b
