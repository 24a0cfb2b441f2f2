"""The cases of functions.json: functions of general matrices, and how their inputs are made."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import mpmath as mp
from oracle import FIRST_DIGITS, matrix_function
from oracle_cases import Parts, Spec, loss_matrix
from oracle_inputs import (
    Levels,
    grid_matrix,
    random_basis,
    require_exact,
    round_matrix,
)
from oracle_losses import largest, to_mp
from plan_clusters import similar

DOUBLE, SINGLE = ("float64", "complex128"), ("float32", "complex64")
ENTIRE = ("exp", "tanh")
NAMED = ("sqrtm", "logm", "signm")
REPEATED = {2: [2, 2], 3: [3, 3, 5], 4: [2, 2, 4, 4]}


def levels_for(spec: Spec, rng: random.Random) -> Levels:
    """Eigenvalues with positive real parts for roots and logarithms, of both signs for `signm`."""
    n = spec.n
    if spec.spectrum in ("degenerate", "defective"):
        levels = [mp.mpf(x) for x in REPEATED[n]]
    else:
        levels = [mp.mpf(1) + i + mp.mpf(rng.randint(-16, 16)) / 64 for i in range(n)]
        if spec.spectrum.startswith("near") and n > 1:
            levels[1] = levels[0] + mp.mpf(
                spec.spectrum.removeprefix("near-") if "-1e" in spec.spectrum else spec.variant
            )
    if spec.function == "signm":
        levels = [-x if i >= 2 else x for i, x in enumerate(levels)]
    if spec.f in ENTIRE:
        levels = [x / 4 for x in levels]
    if spec.complex and spec.spectrum == "distinct":
        levels = [mp.mpc(x, mp.mpf(rng.randint(-32, 32)) / 64) for x in levels]
    return levels


def build(spec: Spec, rng: random.Random) -> Parts:
    """Inputs, loss and verdict of one case."""
    with mp.workdps(FIRST_DIGITS):
        n, levels = spec.n, levels_for(spec, rng)
        d = mp.diag(levels)
        if spec.spectrum in ("defective", "nearly-defective"):
            d[0, 1] = mp.mpf(1)
            if n == 4:
                d[2, 3] = mp.mpf(1)
        if spec.spectrum in ("degenerate", "defective"):
            a = require_exact(similar(rng, 4 * d, spec.complex) / 4, spec.dtype)
        else:
            x = random_basis(rng, 1, n, spec.complex)
            a = x * d * mp.inverse(x)
            if spec.spectrum == "graded":
                a = mp.matrix([[a[i, j] * mp.ldexp(1, 5 * (j - i)) for j in range(n)] for i in range(n)])
            a = grid_matrix(a, 12) if spec.spectrum == "distinct" else round_matrix(a, spec.dtype)
        a = round_matrix(a, spec.dtype)
        loss = {"name": "inner", "C": loss_matrix(rng, spec)}
        extra = {"f": {"name": spec.f}} if spec.function == "matrix_function" else {}
        size = largest(matrix_function({"function": spec.function, **extra}, a)) * largest(to_mp(loss["C"]))
    return Parts((a, None), loss, extra=extra, least_value=size / 8)


def spec_for(turn: int, function: str, dtype: str, spectrum: str, n: int, **axes: Any) -> Spec:
    """A specification: second order in double precision, where that takes the oracle seconds."""
    order = axes.pop("order", 2 if dtype == "float64" or (dtype == "complex128" and n == 2) else 1)
    return Spec(function, dtype, spectrum, "inner", n, order=order, **axes)


def specs() -> list[Spec]:
    """Every case of functions.json, in order."""
    return list(all_specs())


def all_specs() -> Iterator[Spec]:
    """Every function at every kind of spectrum."""
    spectra = ("distinct", "near-1e-07", "degenerate", "defective", "nearly-defective", "graded")
    for turn, (f, spectrum) in enumerate(product((*ENTIRE, "sqrt", "log"), spectra)):
        variant = {"variant": "1e-05"} if spectrum == "nearly-defective" else {}
        n = 3 if spectrum == "degenerate" else 2 + turn // 2 % 2  # a 2×2 one is a multiple of the identity
        yield spec_for(turn, "matrix_function", DOUBLE[(turn + turn // 6) % 2], spectrum, n, f=f, **variant)
    for turn, (function, spectrum) in enumerate(product(NAMED, spectra)):
        variant = {"variant": "1e-05"} if spectrum == "nearly-defective" else {}
        n = 3 if spectrum == "degenerate" else 3 - turn // 3 % 2
        yield spec_for(turn, function, DOUBLE[(turn + turn // 6) % 2], spectrum, n, **variant)
    for turn, spectrum in enumerate(("distinct", "degenerate", "defective")):
        yield spec_for(turn, "matrix_function", SINGLE[turn % 2], spectrum, 3, f="exp")
        yield spec_for(turn, "sqrtm", SINGLE[(turn + 1) % 2], spectrum, 3)
        yield spec_for(turn, "matrix_function", DOUBLE[turn % 2], spectrum, 4, f="exp", order=1)
