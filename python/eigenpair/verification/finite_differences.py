"""Derivatives of a real function of one real number by finite differences, with an estimate of their error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


class Slope(NamedTuple):
    """A derivative, its estimated error, the two one-sided derivatives, and how their difference depends on the step.

    `growth` is the ratio of that difference to the difference at steps four times as long: 1/16 for a smooth function,
    1 at a kink, 4 at a jump. `steady`: the one-sided derivatives differ by more than they change with the step.
    """

    value: float
    uncertainty: float
    below: float
    above: float
    growth: float
    steady: bool


def slope(f: Callable[[float], float], step: float, epsilon: float, levels: int = 14) -> Slope:
    """The derivative of `f` at 0, by central differences with steps from `step` down, extrapolated to step zero.

    Ridders' method: each column of Neville's scheme removes one even power of the step from the error. The best entry
    is the one that differs least from the two entries from which it was computed, and this difference is the estimate
    of its error. `epsilon` is the rounding error of `f`, relative to its values.

    Values that are not finite are skipped. If fewer than two steps remain, the result is NaN.
    """
    centre = f(0.0)
    rows: list[list[float]] = []
    best, error = math.nan, math.inf
    sides: list[tuple[float, float]] = []
    for k in range(levels):
        h = step / 2**k
        ahead, behind = f(h), f(-h)
        if not (math.isfinite(ahead) and math.isfinite(behind)):
            rows.clear()
            continue
        sides.append(((centre - behind) / h, (ahead - centre) / h))
        # The effect of rounding errors on this difference.
        floor = 2 * epsilon * max(abs(ahead), abs(behind)) / h
        row = [(ahead - behind) / (2 * h)]
        for j, previous in enumerate(rows[-1] if rows else []):
            row.append(row[j] + (row[j] - previous) / (4.0 ** (j + 1) - 1))
            estimate = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - previous)) + floor
            # One extrapolation may agree with its two sources by accident.
            if j > 0 and estimate < error:
                best, error = row[j + 1], estimate
        rows.append(row)
    # One-sided differences at the step where truncation and rounding errors are about equal, extrapolated once.
    k = min(round(math.log2(1 / epsilon) / 3), len(sides) - 1)
    if k < 3:
        return Slope(best, error, math.nan, math.nan, 0.0, True)
    (below, above), (below_before, above_before) = (
        [2 * x - y for x, y in zip(sides[i], sides[i - 1], strict=True)] for i in (k, k - 2)
    )
    jump, before = abs(above - below), abs(above_before - below_before)
    steady = max(abs(below - below_before), abs(above - above_before)) < jump / 4
    return Slope(best, error, below, above, jump / before if before > 0 else 0.0, steady)
