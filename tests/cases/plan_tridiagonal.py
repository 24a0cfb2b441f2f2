"""The cases of tridiagonal.json: eigenpairs of real symmetric tridiagonal matrices, and how their inputs are made. `a`
is the diagonal, `b` has the off-diagonal entries, one row each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import mpmath as mp
from oracle import FIRST_DIGITS, standard_eigh, tridiagonal
from oracle_cases import Parts, Spec, loss_matrix, short_float
from oracle_inputs import Redraw, round_matrix, spread_levels

VALUES, VECTORS = ("weighted_sum", "sum_squares"), ("projector", "moduli", "density", "fixed_gauge")
# Equal diagonal entries with nothing between them.
DIAGONALS = {3: [-1, -1, 2], 4: [-1, -1, 2, 3], 5: [-2, 1, 1, 1, 3]}
WHOLE = {3: 2, 4: 2, 5: 1}


def entries(spec: Spec, rng: random.Random) -> tuple[list[Any], list[Any]]:
    """The diagonal, and the off-diagonal entries."""
    n = spec.n
    draw = lambda: mp.mpf(rng.choice((-1, 1)) * rng.randint(24, 64)) / 64  # noqa: E731
    if spec.spectrum == "degenerate":
        return [mp.mpf(x) for x in DIAGONALS[n]], [mp.mpf(0)] * (n - 1)
    if spec.variant == "wilkinson":
        # Without a zero beside the diagonal, its highest eigenvalues are as close as a coupling through the middle.
        return [3 * abs(mp.mpf(i - n // 2)) for i in range(n)], [mp.mpf(1) / 4] * (n - 1)
    d, e = list(spread_levels(rng, n)), [draw() for _ in range(n - 1)]
    if spec.spectrum.startswith("near-"):
        gap = mp.mpf(spec.spectrum.removeprefix("near-"))
        # A pair [[x, gap/2], [gap/2, x]] that does not touch the rest.
        d[1], e[0], e[1] = d[0], mp.ldexp(1, int(mp.nint(mp.log(gap / 2, 2)))), mp.mpf(0)
    if spec.spectrum == "graded":
        d = [mp.ldexp(x, -8 * i) for i, x in enumerate(d)]
        e = [mp.ldexp(x, -8 * i - 5) for i, x in enumerate(e)]
    return [x * spec.scale for x in d], [x * spec.scale for x in e]


def make_loss(spec: Spec, rng: random.Random, w: list[Any]) -> dict[str, Any]:
    """The loss, with parameters of the spectrum's size."""
    name = spec.loss.split(".")[0]
    loss: dict[str, Any] = {"name": name}
    if name == "weighted_sum":
        loss["c"] = [rng.choice((-1, 1)) * rng.randint(24, 64) / 64 for _ in w]
        if spec.loss == "weighted_sum.equal":
            for i in range(1, len(w)):  # inside clusters
                if w[i] - w[i - 1] < max(abs(x) for x in w) / 20:
                    loss["c"][i] = loss["c"][i - 1]
    if name in VECTORS:
        loss["C"] = loss_matrix(rng, spec)
    if name == "projector":
        loss["k"] = 1 if spec.loss == "projector.cut" else WHOLE[spec.n] if spec.spectrum != "distinct" else 1
    if name == "density":
        loss["s"] = short_float(max(abs(x) for x in w))
    return loss


def build(spec: Spec, rng: random.Random) -> Parts:
    """Inputs, loss and verdict of one case."""
    with mp.workdps(FIRST_DIGITS):
        d, e = (round_matrix(mp.matrix([x]), spec.dtype) for x in entries(spec, rng))
        w, _ = standard_eigh(tridiagonal(d, e), False)
        if spec.spectrum == "distinct" and not spec.variant and min(y - x for x, y in pairwise(w)) < 0.2:
            raise Redraw("not so distinct")
        parts = Parts((d, e), make_loss(spec, rng, w))
    if spec.loss == "projector.cut":
        c = parts.loss["C"]["re"]
        if abs(c[0][1] + c[1][0]) < 0.25:
            raise Redraw("the loss would hardly depend on the basis")
        parts.verdict, parts.differentiable, parts.has_value = "nan", False, False
    return parts


def spec_for(dtype: str, spectrum: str, loss: str, n: int, **axes: Any) -> Spec:
    """A specification: the function follows from the loss."""
    function = "eigvalsh_tridiagonal" if loss.split(".")[0] in VALUES else "eigh_tridiagonal"
    return Spec(function, dtype, spectrum, loss, n, **axes)


def specs() -> list[Spec]:
    """Every case of tridiagonal.json, in order."""
    return list(all_specs())


def all_specs() -> Iterator[Spec]:
    """Losses of values and of vectors at every kind of spectrum."""
    for turn, loss in enumerate((*VALUES, *VECTORS)):
        yield spec_for("float64", "distinct", loss, 3 + turn % 3, order=2)
        yield spec_for("float32", "distinct", loss, 4)
        for scale in ("1e-12", "1e+10"):
            yield spec_for("float64", f"scale-{scale}", loss, 3)
    for loss in (*VALUES, "projector", "moduli", "density"):
        yield spec_for("float64", "graded", loss, 4)
    for gap, loss in product(("1e-04", "1e-10"), ("weighted_sum.equal", "sum_squares", "projector")):
        yield spec_for("float64", f"near-{gap}", loss, 4)
    yield spec_for("float64", "near-1e-04", "sum_squares", 4, variant="second", order=2)
    for n, loss in product((3, 4, 5), ("sum_squares", "weighted_sum.equal", "projector")):
        yield spec_for("float64", "degenerate", loss, n)
    for n in (3, 4):
        yield spec_for("float64", "degenerate", "projector.cut", n)
    for loss in ("sum_squares", "weighted_sum.equal"):
        yield spec_for("float64", "distinct", loss, 5, variant="wilkinson", order=2)
