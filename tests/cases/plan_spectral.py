"""The cases of spectral.json, and how their inputs are made."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import mpmath as mp
from oracle import FIRST_DIGITS, read_hermitian, solve_hermitian
from oracle_cases import Parts, Spec, loss_matrix, scale_unit, short_float
from oracle_inputs import (
    CLUSTERS,
    CUTTING,
    WHOLE,
    Levels,
    Redraw,
    add_skew,
    grid_matrix,
    integer_problem,
    problem_from_basis,
    random_basis,
    require_exact,
    round_matrix,
    spread_levels,
    twice,
)
from oracle_losses import Matrix, largest, scalar_function, to_mp

DOUBLE, SINGLE = ("float64", "complex128"), ("float32", "complex64")
FUNCTIONS = ("exp", "log", "sqrt", "inv_sqrt", "power", "fermi_dirac", "tanh")
POSITIVE = frozenset({"log", "sqrt", "inv_sqrt", "power"})
GAPS = ("1e-02", "1e-04", "1e-06", "1e-08", "1e-10", "1e-13", "1e-16")
GRID_BITS = 12


def levels_for(spec: Spec, rng: random.Random) -> Levels:
    """Eigenvalues where the function is defined and varies: positive for roots and logarithms."""
    n = spec.n
    if spec.spectrum.startswith("degenerate"):
        shift = 3 if spec.f in POSITIVE else 0
        return [mp.mpf(x + shift) / 2 for x in CLUSTERS[n]]
    levels = spread_levels(rng, n)
    if spec.f in POSITIVE:
        levels = [(x - levels[0]) * mp.mpf(3) / 4 + mp.mpf(rng.randint(16, 40)) / 64 for x in levels]
    return levels


def dyadic_pair(spec: Spec, rng: random.Random, gap: Any) -> Matrix:
    """[[x, e], [e, x]] beside a full block: the gap 2e is exact, however far below the rounding of x it lies."""
    e = mp.ldexp(1, int(mp.nint(mp.log(gap / 2, 2))))
    levels = grid_levels(levels_for(spec, rng))
    rest, _ = problem_from_basis(0, random_basis(rng, 0, spec.n - 2, spec.complex), levels[2:])
    a = mp.zeros(spec.n)
    a[0, 0] = a[1, 1] = levels[0]
    a[0, 1], a[1, 0] = (mp.mpc(0, e), mp.mpc(0, -e)) if spec.complex else (e, e)
    rest = grid_matrix(rest, 10)
    for i in range(spec.n - 2):
        for j in range(spec.n - 2):
            a[i + 2, j + 2] = rest[i, j]
    return a


def grid_levels(levels: Levels) -> Levels:
    """Levels in multiples of 2**-10."""
    return [mp.ldexp(mp.nint(mp.ldexp(x, 10)), -10) for x in levels]


def raw_matrix(spec: Spec, rng: random.Random) -> tuple[Matrix, bool]:
    """A Hermitian matrix with the spectrum of the specification, and whether rounding must not change it."""
    n, cx = spec.n, spec.complex
    if spec.variant == "zero":
        return mp.zeros(n), True
    if spec.variant == "identity":
        return mp.eye(n) * mp.mpf(3) / 4, True
    if spec.variant == "dyadic":
        return dyadic_pair(spec, rng, mp.mpf(spec.spectrum.removeprefix("near-"))), True
    levels = levels_for(spec, rng)
    if spec.variant == "kron":
        half = grid_matrix(problem_from_basis(0, random_basis(rng, 0, n // 2, cx), levels[::2])[0], 8)
        return twice(half), True
    if spec.spectrum == "degenerate":
        a, _ = integer_problem(rng, 0, n, cx, levels)
        return (a * mp.ldexp(1, -40) if spec.variant == "tiny" else a), True
    if spec.spectrum.startswith("near-"):
        at = near_place(spec)
        levels[at + 1] = levels[at] + mp.mpf(spec.spectrum.removeprefix("near-")) * max(abs(x) for x in levels)
    a, _ = problem_from_basis(0, random_basis(rng, 0, n, cx), levels)
    return (grid_matrix(a, GRID_BITS), True) if spec.spectrum == "distinct" else (a * spec.scale, False)


def near_place(spec: Spec) -> int:
    """Where the close pair sits: below the projector's cut, across it, or in the middle."""
    if spec.function == "spectral_projector":
        return spec.n // 2 - 1 if spec.loss == "inner.cut" else 0
    return (spec.n - 2) // 2


def function_parameters(spec: Spec, w: list[Any]) -> dict[str, Any]:
    """The scalar function, with parameters of the spectrum's size."""
    if spec.f == "power":
        return {"name": "power", "p": 1.5 if spec.complex else -0.75}
    if spec.f == "fermi_dirac":
        size = max(abs(x) for x in w) or mp.mpf(1)
        return {"name": "fermi_dirac", "mu": short_float(size / 3), "beta": short_float(2 / size)}
    return {"name": spec.f}


def projector_rank(spec: Spec) -> int:
    """A cut between clusters, or through one."""
    if spec.variant == "kron":
        return 2
    if spec.degenerate:
        return CUTTING[spec.n] if spec.loss == "inner.cut" else WHOLE[spec.n]
    return max(1, spec.n // 2)


def set_least_value(parts: Parts, w: list[Any]) -> None:
    """The size below which a value counts as cancelled."""
    assert parts.extra is not None
    f = (lambda x: mp.mpf(1)) if "k" in parts.extra else scalar_function(parts.extra["f"])
    size = max(abs(f(x)) for x in w)
    if "C" in parts.loss:
        size *= largest(to_mp(parts.loss["C"]))
    parts.least_value = size / 8


def build(spec: Spec, rng: random.Random) -> Parts:
    """Inputs, loss and verdict of one case."""
    with mp.workdps(FIRST_DIGITS):
        a, exact = raw_matrix(spec, rng)
        if spec.skew:
            a = add_skew(rng, a, spec.complex, scale_unit(spec, (a, None), 0))
        a = (require_exact if exact else round_matrix)(a, spec.dtype)
        w, _ = solve_hermitian(0, read_hermitian(a, None), None, False)
        if spec.f in POSITIVE and w[0] <= w[-1] / 100:
            raise Redraw("too close to the edge of the domain")
        loss: dict[str, Any] = {"name": "identity"}
        if spec.function != "spectral_sum":
            loss = {"name": "inner", "C": loss_matrix(rng, spec)}
        extra = (
            {"k": projector_rank(spec)}
            if spec.function == "spectral_projector"
            else {"f": function_parameters(spec, w)}
        )
        parts = Parts((a, None), loss, extra=extra)
        set_least_value(parts, w)
    if spec.loss == "inner.cut" and spec.degenerate:
        parts.verdict, parts.differentiable, parts.has_value = "nan", False, False
    return parts


def spec_for(turn: int, function: str, dtype: str, spectrum: str, n: int, **axes: Any) -> Spec:
    """A specification: second order in double precision, every other input not Hermitian."""
    loss = axes.pop("loss", "identity" if function == "spectral_sum" else "inner")
    order = axes.pop("order", 2 if dtype in DOUBLE else 1)
    # An anti-Hermitian part swallows offsets of 1e-16 when the sum is rounded.
    skew = turn % 2 == 1 and axes.get("variant") != "dyadic"
    return Spec(function, dtype, spectrum, loss, n, order=order, skew=skew, **axes)


def function_specs() -> Iterator[Spec]:
    """Every scalar function at every kind of spectrum."""
    for turn, (f, spectrum) in enumerate(product(FUNCTIONS, ("distinct", "near-1e-04", "near-1e-10", "degenerate"))):
        n = 3 + turn % 2
        yield spec_for(turn, "spectral_map", DOUBLE[turn // 2 % 2], spectrum, n if turn // 2 % 2 == 0 else 3, f=f)
        if spectrum in ("distinct", "degenerate"):
            yield spec_for(
                turn,
                "spectral_map",
                SINGLE[turn // 2 % 2],
                spectrum,
                2 + turn % 4 if spectrum == "distinct" else n,
                f=f,
            )
            yield spec_for(turn + 1, "spectral_sum", DOUBLE[turn // 3 % 2], spectrum, n, f=f)
    for number, f in enumerate(FUNCTIONS):
        yield spec_for(
            number, "spectral_sum", SINGLE[number % 2], ("degenerate", "distinct")[number % 3 % 2], 3 + number % 3, f=f
        )
        yield spec_for(number, "spectral_map", DOUBLE[number % 2], "degenerate", 2, f=f, variant="identity")
        yield spec_for(number, "spectral_sum", DOUBLE[1 - number % 2], "degenerate", 3, f=f, variant="identity")
        yield spec_for(number, "spectral_sum", DOUBLE[number % 2], "near-1e-08", 3, f=f)
        yield spec_for(number, "spectral_map", DOUBLE[number % 2], "degenerate", 4, f=f, variant="kron", order=1)
        yield spec_for(number, "spectral_map", DOUBLE[number % 2], "degenerate-rounded", 3, f=f)


def small_gap_specs() -> Iterator[Spec]:
    """Gaps down to rounding and below, exact in the input."""
    turn = 0
    for gap, f in product(GAPS, ("exp", "sqrt", "fermi_dirac", "tanh")):
        function = ("spectral_map", "spectral_map", "spectral_sum")[turn % 3]
        yield spec_for(turn, function, DOUBLE[turn // 4 % 2], f"near-{gap}", 3 + turn // 2 % 2, f=f, variant="dyadic")
        turn += 1
    for gap, f in product(("1e-02", "1e-04", "1e-07"), ("log", "inv_sqrt")):
        yield spec_for(turn, "spectral_map", SINGLE[turn % 2], f"near-{gap}", 4, f=f, variant="dyadic")
        turn += 1
    for f, dtype in product(("exp", "fermi_dirac"), DOUBLE):
        yield spec_for(turn, "spectral_map", dtype, "degenerate", 3, f=f, variant="zero")
        yield spec_for(turn, "spectral_sum", dtype, "degenerate", 3, f=f, variant="zero")
    yield spec_for(turn, "spectral_map", "float64", "degenerate", 3, f="tanh", variant="zero", order=1)


def projector_specs() -> Iterator[Spec]:
    """Projectors: the gap at the cut decides, clusters elsewhere do not."""
    for turn, dtype in enumerate((*DOUBLE, *SINGLE)):
        for at, (spectrum, n) in enumerate(
            (("distinct", 3), ("degenerate", 4), ("degenerate-rounded", 3), ("degenerate", 6))
        ):
            order = 1 if n == 6 or dtype in SINGLE else 2
            yield spec_for(turn + at, "spectral_projector", dtype, spectrum, n, order=order)
    for turn, dtype in enumerate(DOUBLE):
        yield spec_for(turn, "spectral_projector", dtype, "near-1e-10", 4, order=2 - turn)
        yield spec_for(turn, "spectral_projector", dtype, "near-1e-04", 3, loss="inner.cut")
        yield spec_for(turn, "spectral_projector", dtype, "degenerate", 4, variant="kron", order=2 - turn)
        yield spec_for(turn, "spectral_projector", dtype, "degenerate", 3, variant="tiny")
        yield spec_for(turn, "spectral_projector", dtype, "degenerate", 4, loss="inner.cut", order=1)
        for scale in ("1e-12", "1e+10"):
            yield spec_for(turn, "spectral_projector", dtype, f"scale-{scale}", 3)
    for turn, scale in enumerate(("1e-12", "1e+10")):
        yield spec_for(turn, "spectral_projector", SINGLE[turn], f"scale-{scale}", 3)


def scale_specs() -> Iterator[Spec]:
    """Matrices far from 1 in size, and 1×1."""
    for turn, (scale, f) in enumerate(product(("1e-12", "1e+10"), ("log", "sqrt", "inv_sqrt", "power", "fermi_dirac"))):
        function = ("spectral_map", "spectral_sum")[turn % 2]
        yield spec_for(turn // 2, function, DOUBLE[turn % 2], f"scale-{scale}", 3, f=f)
    for turn, dtype in enumerate(DOUBLE):
        yield spec_for(turn, "spectral_map", dtype, "distinct", 1, f="exp")
        yield spec_for(turn, "spectral_sum", dtype, "distinct", 1, f="sqrt")


def specs() -> list[Spec]:
    """Every case of spectral.json, in order."""
    return [*function_specs(), *small_gap_specs(), *projector_specs(), *scale_specs()]
