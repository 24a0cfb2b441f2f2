"""The losses of README.md and the scalar functions of the spectral cases, in mpmath arithmetic.

This module contains only the documented formulas; it has no derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp

Matrix = Any  # mp.matrix is created dynamically, so it cannot be named in an annotation
Loss = dict[str, Any]
EIGENVALUE_LOSSES = frozenset({"weighted_sum", "sum_squares", "resolvent"})


def to_mp(m: dict[str, Any] | None) -> Matrix:
    """The matrix a JSON object {"re": rows, "im": rows or null} stands for, exactly."""
    if m is None:
        return None
    re, im = m["re"], m["im"]
    if im is None:
        return mp.matrix([[mp.mpf(x) for x in row] for row in re])
    return mp.matrix([[mp.mpc(x, y) for x, y in zip(*rows, strict=True)] for rows in zip(re, im, strict=True)])


def number(x: Any) -> Any:
    """The number a JSON entry stands for: a float, or {"re", "im"}."""
    return mp.mpc(x["re"], x["im"]) if isinstance(x, dict) else mp.mpf(x)


def trace_inner(c: Matrix, m: Matrix) -> Any:
    """Re tr(Cᴴ M)."""
    return mp.fsum(mp.re(mp.conj(c[i, j]) * m[i, j]) for i in range(c.rows) for j in range(c.cols))


def fix_gauge(v: Matrix) -> Matrix:
    """Columns of `v` with the phase that makes the component of largest modulus real and positive."""
    out = v.copy()
    for j in range(v.cols):
        pivot = max((v[i, j] for i in range(v.rows)), key=abs)
        phase = mp.conj(pivot) / abs(pivot)
        for i in range(v.rows):
            out[i, j] = v[i, j] * phase
    return out


def gauge_margin(v: Matrix, c: Matrix) -> Any:
    """The largest ratio, over columns with weight in `c`, of the second largest modulus to the largest: 1 is a tie."""
    worst = mp.mpf(0)
    for j in range(v.cols):
        if not any(c[i, j] for i in range(c.rows)):
            continue
        sizes = sorted((abs(v[i, j]) for i in range(v.rows)), reverse=True)
        if len(sizes) > 1:
            worst = max(worst, sizes[1] / sizes[0])
    return worst


def outer_columns(v: Matrix, weights: list[Any]) -> Matrix:
    """V Diag(weights) Vᴴ, for as many leading columns as there are weights."""
    n = v.rows
    return mp.matrix(
        [
            [mp.fsum(v[i, m] * weights[m] * mp.conj(v[j, m]) for m in range(len(weights))) for j in range(n)]
            for i in range(n)
        ]
    )


def evaluate_loss(loss: Loss, w: list[Any], v: Matrix | None) -> Any:
    """The real loss of eigenvalues `w` (in the documented order) and eigenvectors `v`."""
    name = loss["name"]
    if name == "weighted_sum":
        return mp.re(mp.fsum(mp.conj(number(c)) * x for c, x in zip(loss["c"], w, strict=True)))
    if name == "sum_squares":
        return mp.re(mp.fsum(x * x for x in w))
    if name == "resolvent":
        z = number(loss["z"])
        return mp.re(mp.fsum(1 / (z - x) for x in w))
    c = to_mp(loss["C"])
    if name == "projector":
        return trace_inner(c, outer_columns(v, [mp.mpf(1)] * loss["k"]))
    if name == "moduli":
        return mp.fsum(c[i, j] * abs(v[i, j]) ** 2 for i in range(c.rows) for j in range(c.cols))
    if name == "density":
        s = mp.mpf(loss["s"])
        return trace_inner(c, outer_columns(v, [1 / (1 + (x / s) ** 2) for x in w]))
    if name == "fixed_gauge":
        return trace_inner(c, fix_gauge(v))
    raise ValueError(f"unknown loss {name!r}")


def loss_magnitude(loss: Loss, w: list[Any], v: Matrix | None) -> Any:
    """The size of the largest term of the loss: a value much below it has cancelled and tests rounding only."""
    name = loss["name"]
    top = max(abs(x) for x in w)
    if name == "weighted_sum":
        return top * max(abs(number(c)) for c in loss["c"])
    if name == "sum_squares":
        return top**2
    if name == "resolvent":
        return max(1 / abs(number(loss["z"]) - x) for x in w)
    size = max(mp.norm(v[:, j]) for j in range(v.cols))
    return largest(to_mp(loss["C"])) * size ** (1 if name == "fixed_gauge" else 2)


def largest(m: Matrix | None) -> Any:
    """The largest modulus among the entries, 0 for no matrix."""
    return mp.mpf(0) if m is None else max(abs(x) for x in m)


def scalar_function(f: dict[str, Any]) -> Callable[[Any], Any]:
    """The scalar function a spectral case names, on mpmath numbers."""
    name = f["name"]
    if name == "power":
        p = mp.mpf(f["p"])
        return lambda x: mp.power(x, p)
    if name == "fermi_dirac":
        mu, beta = mp.mpf(f["mu"]), mp.mpf(f["beta"])
        return lambda x: 1 / (1 + mp.exp(beta * (x - mu)))
    return {"exp": mp.exp, "log": mp.log, "sqrt": mp.sqrt, "inv_sqrt": lambda x: 1 / mp.sqrt(x), "tanh": mp.tanh}[name]
