"""Input matrices with prescribed spectra, exactly representable in the dtype they are meant for.

Everything is built from a seeded `random.Random` and mpmath, never from a BLAS: every machine gets the same bytes.
"""

from __future__ import annotations

import random
from typing import Any

import mpmath as mp
import numpy as np
from oracle_losses import Matrix

REAL, COMPLEX = ("float32", "float64"), ("complex64", "complex128")
WORK_DIGITS = 60
Levels = list[Any]


class Redraw(Exception):
    """These random inputs would make a poor test (a tie, a cancelled value): draw the next ones."""


def is_complex(dtype: str) -> bool:
    """Whether entries have imaginary parts."""
    return dtype in COMPLEX


def is_single(dtype: str) -> bool:
    """Whether parts have 24 bits."""
    return dtype in ("float32", "complex64")


def round_part(x: Any, dtype: str) -> float:
    """The nearest float of the dtype's precision."""
    return float(np.float32(float(x))) if is_single(dtype) else float(x)


def round_number(x: Any, dtype: str) -> Any:
    """`x` with both parts rounded to the dtype, as an mpmath number."""
    if is_complex(dtype):
        return mp.mpc(round_part(mp.re(x), dtype), round_part(mp.im(x), dtype))
    return mp.mpf(round_part(mp.re(x), dtype))


def round_matrix(m: Matrix, dtype: str) -> Matrix:
    """Every entry rounded to the dtype."""
    return m.apply(lambda x: round_number(x, dtype))


def grid_matrix(m: Matrix, bits: int) -> Matrix:
    """Every entry rounded to a multiple of 2**-bits: short numbers, the same in every dtype."""

    def snap(x: Any) -> Any:
        return mp.ldexp(mp.nint(mp.ldexp(x, bits)), -bits)

    return m.apply(lambda x: mp.mpc(snap(x.real), snap(x.imag)) if isinstance(x, mp.mpc) else snap(x))


def require_exact(m: Matrix, dtype: str) -> Matrix:
    """`m` itself, after checking that the dtype holds it exactly."""
    if any(x != y for x, y in zip(m, round_matrix(m, dtype), strict=True)):
        raise Redraw(f"not representable in {dtype}")
    return m


def random_matrix(rng: random.Random, n: int, complex_: bool, low: int = -64, high: int = 64, unit: int = 64) -> Matrix:
    """Independent entries k/unit with integer k in [low, high]."""

    def draw() -> Any:
        re = mp.mpf(rng.randint(low, high)) / unit
        return mp.mpc(re, mp.mpf(rng.randint(low, high)) / unit) if complex_ else re

    return mp.matrix([[draw() for _ in range(n)] for _ in range(n)])


def random_unitary(rng: random.Random, n: int, complex_: bool) -> Matrix:
    """An orthogonal or unitary matrix: Gram–Schmidt on random columns."""
    columns: list[Matrix] = []
    while len(columns) < n:
        v = random_matrix(rng, n, complex_)[:, 0]
        for _ in range(2):
            for u in columns:
                v = v - u * (u.H * v)[0]
        if mp.norm(v) > 0.2:
            columns.append(v / mp.norm(v))
    return mp.matrix([[c[i] for c in columns] for i in range(n)])


def hermitian(m: Matrix) -> Matrix:
    """(M + Mᴴ)/2."""
    return (m + m.H) / 2


def diagonal(levels: Levels) -> Matrix:
    """Diag(levels)."""
    return mp.diag([mp.mpf(x) for x in levels])


def problem_from_basis(kind: int, basis: Matrix, levels: Levels) -> tuple[Matrix, Matrix | None]:
    """(a, b) whose eigenvalues are `levels` and whose eigenvectors are the columns of `basis` (unitary for type 0)."""
    d = diagonal(levels)
    if kind == 0:
        return hermitian(basis * d * basis.H), None
    dual = mp.inverse(basis).H
    a = basis * d * basis.H if kind == 2 else dual * d * dual.H
    b = basis * basis.H if kind == 3 else dual * dual.H
    return hermitian(a), hermitian(b)


def random_basis(rng: random.Random, kind: int, n: int, complex_: bool) -> Matrix:
    """A unitary basis (type 0), else one of condition about 2, so that cond(B) is about 4."""
    q = random_unitary(rng, n, complex_)
    if kind == 0:
        return q
    stretch = [mp.mpf(rng.randint(46, 92)) / 64 for _ in range(n)]
    return q * diagonal(stretch) * random_unitary(rng, n, complex_)


def spread_levels(rng: random.Random, n: int) -> Levels:
    """Ascending eigenvalues about 1 apart, none of them 0."""
    return [i - mp.mpf(n - 1) / 2 + mp.mpf(3) / 8 + mp.mpf(rng.randint(-16, 16)) / 64 for i in range(n)]


def near_levels(rng: random.Random, n: int, gap: str, at: int) -> Levels:
    """As `spread_levels`, with the pair (at, at + 1) at `gap` relative to the largest."""
    levels = spread_levels(rng, n)
    levels[at + 1] = levels[at] + mp.mpf(gap) * max(abs(x) for x in levels)
    return levels


# Lowest cluster first, so that a projector on it is neither empty nor everything.
CLUSTERS = {
    1: [2],
    2: [2, 2],
    3: [-1, -1, 2],
    4: [-1, -1, 2, 3],
    5: [-2, 1, 1, 1, 3],
    6: [-2, -2, 1, 3, 3, 3],
}
WHOLE = {2: 2, 3: 2, 4: 2, 5: 4, 6: 3}  # between clusters
CUTTING = {2: 1, 3: 1, 4: 1, 5: 2, 6: 1}  # through a cluster


def integer_reflection(rng: random.Random, n: int, complex_: bool) -> Matrix:
    """s I − 2 u uᴴ with integer u and s = uᴴu: s times a reflection, so Q D Qᴴ is exact."""
    u = [mp.mpf(rng.choice((-2, -1, 1, 2))) for _ in range(n)]
    if complex_:
        u = [mp.mpc(x, rng.choice((-1, 0, 1))) for x in u]
    s = mp.fsum(abs(x) ** 2 for x in u)
    return mp.matrix([[(s if i == j else 0) - 2 * u[i] * mp.conj(u[j]) for j in range(n)] for i in range(n)])


def integer_problem(
    rng: random.Random, kind: int, n: int, complex_: bool, levels: Levels
) -> tuple[Matrix, Matrix | None]:
    """An exactly degenerate problem in integers, with a full eigenvector matrix; `levels` come out scaled."""
    if kind == 0:
        q = integer_reflection(rng, n, complex_)
        # QQᴴ = s²I; the nearest power of two brings it back to about 1 without a rounding.
        shrink = mp.ldexp(1, -int(mp.nint(mp.log(mp.norm(q[:, 0]), 2) * 2)))
        return shrink * hermitian(q * diagonal(levels) * q.H), None
    while True:
        m = 3 * mp.eye(n) + random_matrix(rng, n, complex_, -1, 1, 1)
        det = mp.det(m)
        if abs(det) < 1:
            continue
        adjugate = (mp.inverse(m) * det).apply(
            lambda x: mp.mpc(mp.nint(x.real), mp.nint(x.imag)) if complex_ else mp.nint(x)
        )
        if mp.mnorm(m, 2 if n == 1 else "f") * mp.mnorm(adjugate, "f") < 4 * n * abs(det):
            break
    d = diagonal(levels)
    shrink = mp.ldexp(1, -2 * int(mp.log(abs(det), 2)))
    if kind == 1:
        return hermitian(m.H * d * m), hermitian(m.H * m)
    if kind == 2:
        return hermitian(m * d * m.H), shrink * hermitian(adjugate.H * adjugate)
    return shrink * hermitian(adjugate.H * d * adjugate), hermitian(m * m.H)


def twice(m: Matrix | None) -> Matrix | None:
    """kron(I₂, M): every eigenvalue exactly twice."""
    if m is None:
        return None
    n = m.rows
    out = mp.zeros(2 * n)
    for i in range(n):
        for j in range(n):
            out[i, j] = out[n + i, n + j] = m[i, j]
    return out


def add_skew(rng: random.Random, m: Matrix | None, complex_: bool, unit: Any) -> Matrix | None:
    """`m` plus an anti-Hermitian matrix with entries in multiples of `unit`: the same Hermitian part."""
    if m is None:
        return None
    k = random_matrix(rng, m.rows, complex_, -3, 3, 1)
    return m + unit * (k - k.H) / 2


def spoil_unread(rng: random.Random, m: Matrix | None, triangle: str, complex_: bool, unit: Any) -> Matrix | None:
    """`m` with other numbers in the triangle that is not read, and in the imaginary part of the diagonal."""
    if m is None:
        return None
    out = m.copy()
    for i in range(m.rows):
        if complex_:
            out[i, i] = mp.mpc(mp.re(m[i, i]), unit * rng.randint(1, 3))
        for j in range(i):
            place = (j, i) if triangle == "lower" else (i, j)
            out[place] = unit * (mp.mpc(rng.randint(2, 9), rng.randint(1, 9)) if complex_ else rng.randint(2, 9))
    return out
