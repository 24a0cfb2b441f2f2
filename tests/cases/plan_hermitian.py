"""The cases of hermitian.json, and how their inputs are made."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import mpmath as mp
from oracle import FIRST_DIGITS, Inputs, read_hermitian, solve_hermitian
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
    is_single,
    near_levels,
    problem_from_basis,
    random_basis,
    require_exact,
    round_matrix,
    spoil_unread,
    spread_levels,
    twice,
)
from oracle_losses import EIGENVALUE_LOSSES

DTYPES = ("float32", "float64", "complex64", "complex128")
DOUBLE = ("float64", "complex128")
SINGLE = ("float32", "complex64")
TRIANGLES = (None, "lower", "upper")
LOSSES = ("weighted_sum", "projector", "sum_squares", "moduli", "resolvent", "density", "fixed_gauge")
GRID_BITS = 12
EPS = {True: 2.0**-23, False: 2.0**-52}


def pair_index(n: int) -> int:
    """Where `near-…` spectra put their close pair."""
    return (n - 2) // 2


def raw_problem(spec: Spec, rng: random.Random) -> Inputs:
    """(a, b) Hermitian, with the spectrum of the specification; not yet rounded unless it must be exact."""
    n, kind, cx = spec.n, spec.kind, spec.complex
    if spec.spectrum == "degenerate":
        return degenerate_problem(spec, rng)
    levels: Levels = spread_levels(rng, n)
    if spec.spectrum.startswith("near-"):
        levels = near_levels(rng, n, spec.spectrum.removeprefix("near-"), pair_index(n))
    elif spec.variant.startswith("near-"):
        levels = near_levels(rng, n, spec.variant.removeprefix("near-"), pair_index(n))
    elif spec.spectrum == "degenerate-rounded":
        levels = [mp.mpf(x) * 5 / 7 for x in CLUSTERS[n]]
    a, b = problem_from_basis(kind, random_basis(rng, kind, n, cx), levels)
    if spec.spectrum == "distinct":
        return grid_matrix(a, GRID_BITS), None if b is None else grid_matrix(b, GRID_BITS)
    return a * spec.scale, b * spec.scale if b is not None and spec.variant == "both" else b


def degenerate_problem(spec: Spec, rng: random.Random) -> Inputs:
    """Problems whose eigenvalues coincide exactly, for the exact floats given."""
    n, kind, cx = spec.n, spec.kind, spec.complex
    if spec.variant == "identity":
        return mp.eye(n) * mp.mpf(3) / 2, None
    if spec.variant == "kron":
        a, b = problem_from_basis(kind, random_basis(rng, kind, n // 2, cx), spread_levels(rng, n // 2))
        return twice(grid_matrix(a, 8)), twice(None if b is None else grid_matrix(b, 8))
    if spec.variant == "multiple":  # A = 2B: one eigenvalue, n times
        _, b = problem_from_basis(1, random_basis(rng, 1, n, cx), spread_levels(rng, n))
        b = grid_matrix(b, GRID_BITS)
        return 2 * b, b
    a, b = integer_problem(rng, kind, n, cx, CLUSTERS[n])
    return (a * mp.ldexp(1, -40) if spec.variant == "tiny" else a), b


def dress(spec: Spec, rng: random.Random, inputs: Inputs) -> Inputs:
    """The matrix as a caller may pass it: with other numbers in the other triangle, or with an anti-Hermitian part,
    rounded to the dtype."""
    out = []
    for which, m in enumerate(inputs):
        unit = scale_unit(spec, inputs, which)
        if spec.triangle is not None:
            m = spoil_unread(rng, m, spec.triangle, spec.complex, unit)
        elif spec.skew:
            m = add_skew(rng, m, spec.complex, unit)
        exact = spec.spectrum in ("degenerate", "distinct")
        out.append(None if m is None else (require_exact if exact else round_matrix)(m, spec.dtype))
    return out[0], out[1]


def make_loss(spec: Spec, rng: random.Random, w: list[Any]) -> dict[str, Any]:
    """The loss with parameters that suit the eigenvalues."""
    name, _, flavour = spec.loss.partition(".")
    top = max(abs(x) for x in w)
    if name == "weighted_sum":
        return {"name": name, "c": weights(rng, w, equal=flavour == "equal")}
    if name == "sum_squares":
        return {"name": name}
    if name == "resolvent":
        aside = mp.mpf(rng.randint(-96, 96)) / 64
        return {"name": name, "z": {"re": short_float(top * aside), "im": short_float(top)}}
    loss: dict[str, Any] = {"name": name, "C": loss_matrix(rng, spec, real=name == "moduli")}
    if name == "projector":
        loss["k"] = cut(spec, flavour)
    if name == "density":
        loss["s"] = short_float(top * 3 / 4)
    return loss


def cut(spec: Spec, flavour: str) -> int:
    """How many columns the projector takes, so that it cuts or spares the close pair or cluster."""
    n, at = spec.n, pair_index(spec.n)
    if spec.variant == "kron":
        return 1 if flavour == "cut" else 2
    if spec.degenerate:
        return CUTTING[n] if flavour == "cut" else WHOLE[n]
    if flavour == "cut":
        return at + 1
    return at + 2 if flavour == "whole" else max(1, n // 2)


def weights(rng: random.Random, w: list[Any], equal: bool) -> list[float]:
    """Distinct weights in [-1, 1], or weights that agree inside clusters."""
    drawn = rng.sample(range(-64, 65), len(w))
    for i in range(1, len(w)):
        if equal and w[i] - w[i - 1] < max(abs(x) for x in w) / 10**4:
            drawn[i] = drawn[i - 1]
    return [x / 64 for x in drawn]


def documented_tolerance(spec: Spec, inputs: Inputs, w: list[Any], v: Any) -> Any:
    """The width below which the default policy calls eigenvalues a cluster (docs/derivations.md)."""
    top = max(abs(x) for x in w)
    if spec.kind:
        dual = mp.inverse(v).H
        x, y = (dual if spec.kind == 2 else v), (dual if spec.kind == 3 else v)
        fa, fb = (mp.mnorm(m, "f") for m in inputs)
        top = max(fa * mp.norm(x[:, i]) ** 2 + abs(w[i]) * fb * mp.norm(y[:, i]) ** 2 for i in range(spec.n))
    return 10 * mp.sqrt(spec.n) * EPS[is_single(spec.dtype)] * top


def check_clusters(spec: Spec, inputs: Inputs, w: list[Any], v: Any) -> None:
    """Gaps must be clearly clusters or clearly not, so that the outcome does not depend on the last bits."""
    tol = documented_tolerance(spec, inputs, w, v)
    spread = w[-1] - w[0] or abs(w[0])
    merged = 0
    for low, high in pairwise(w):
        inside = spec.degenerate and high - low < spread / 10**3
        merged += inside
        if inside and high - low > tol / 4:
            raise Redraw("rounding split the cluster too far")
        if not inside and high - low < 4 * tol:
            raise Redraw("a gap near the tolerance")
    least = min((high - low for low, high in pairwise(w)), default=spread)
    if spec.spectrum == "distinct" and least < spread / (8 * spec.n):
        raise Redraw("not distinct enough")
    if spec.degenerate and not merged:
        raise Redraw("no cluster")


def build(spec: Spec, rng: random.Random) -> Parts:
    """Inputs, loss and verdict of one case."""
    with mp.workdps(FIRST_DIGITS):
        inputs = dress(spec, rng, raw_problem(spec, rng))
        read = tuple(read_hermitian(m, spec.triangle) for m in inputs)
        w, v = solve_hermitian(spec.kind, read[0], read[1], True)
        check_clusters(spec, read, w, v)
        loss = make_loss(spec, rng, w)
    return promise(spec, Parts(inputs, loss))


def promise(spec: Spec, parts: Parts) -> Parts:
    """The documented verdict on this loss at this spectrum."""
    if not spec.degenerate or spec.loss in ("sum_squares", "resolvent", "weighted_sum.equal", "projector.whole"):
        return parts
    if spec.loss == "weighted_sum":
        parts.clarke, parts.differentiable = True, False
        return parts
    parts.verdict = "nan"
    parts.differentiable = parts.has_value = spec.loss == "density"
    return parts


def function_for(loss: str, index: int) -> str:
    """`eigvalsh` for every other loss of eigenvalues, `eigh` otherwise."""
    return "eigvalsh" if loss.partition(".")[0] in EIGENVALUE_LOSSES and index % 3 else "eigh"


def spec_for(index: int, dtype: str, spectrum: str, loss: str, n: int, **axes: Any) -> Spec:
    """A specification whose remaining choices follow from its place in the list."""
    skew = axes.get("triangle") is None and index % 2 == 1 and axes.get("variant") != "identity"
    return Spec(function_for(loss, index), dtype, spectrum, loss, n, skew=skew, **axes)


def distinct_specs() -> Iterator[Spec]:
    """Every dtype, type and triangle; the losses take turns."""
    turn = 0
    for kind, triangle, dtype in product(range(4), TRIANGLES, DTYPES):
        for order in (1, 1) if dtype in SINGLE else (1, 2, 2):
            n = (2, 3, 4, 5, 3, 6, 2, 4)[turn % 8] if order == 1 else (3, 2, 3, 4, 2)[turn % 5]
            if dtype == "complex128" and order == 2:
                n = min(n, 3)
            yield spec_for(turn, dtype, "distinct", LOSSES[turn % 7], n, kind=kind, triangle=triangle, order=order)
            turn += 1
        turn += 1
    for turn, (kind, dtype) in enumerate(product(range(4), DOUBLE)):
        yield spec_for(turn, dtype, "distinct", ("sum_squares", "projector")[turn % 2], 1, kind=kind)


def near_specs() -> Iterator[Spec]:
    """Two close eigenvalues, with losses that distinguish them and losses that do not."""
    turn = 0
    resolving = ("moduli", "projector.cut", "fixed_gauge", "weighted_sum")
    for gap, dtype in product(("1e-04", "1e-07", "1e-10", "1e-13"), DOUBLE):
        for loss in (*resolving, "projector.whole", "sum_squares"):
            yield spec_for(turn, dtype, f"near-{gap}", loss, 3 + turn % 3, triangle=TRIANGLES[turn % 3])
            turn += 1
    for gap, dtype in product(("1e-02", "1e-04"), SINGLE):
        for loss in ("moduli", "projector.cut", "projector.whole", "sum_squares"):
            yield spec_for(
                turn,
                dtype,
                f"near-{gap}",
                loss,
                2 + turn % 3 if "whole" not in loss else 3,
                triangle=TRIANGLES[turn % 3],
            )
            turn += 1
    for gap, kind, dtype in product(("1e-04", "1e-07", "1e-10"), (1, 2, 3), DOUBLE):
        for loss in (
            ("moduli", "projector.cut", "fixed_gauge")[turn % 3],
            ("projector.whole", "sum_squares")[turn // 2 % 2],
        ):
            yield spec_for(turn, dtype, f"near-{gap}", loss, 3 + turn % 2, kind=kind, triangle=TRIANGLES[turn // 2 % 3])
            turn += 1
    for kind, dtype in product((1, 2, 3), SINGLE):
        for loss in ("moduli", "projector.whole"):
            yield spec_for(turn, dtype, "near-1e-02", loss, 3, kind=kind, triangle=TRIANGLES[turn % 3])
            turn += 1
    for turn, (gap, dtype) in enumerate(product(("1e-04", "1e-10"), DOUBLE)):
        yield spec_for(turn, dtype, f"near-{gap}", "density", 3)
    for turn, (kind, dtype) in enumerate(product(range(4), DOUBLE)):
        for extra, loss in enumerate(("projector.cut", "resolvent")):
            n = 2 if dtype == "complex128" else 3
            axes = {"kind": kind, "triangle": TRIANGLES[(turn + extra) % 3], "order": 2}
            yield spec_for(turn + extra, dtype, "near-1e-04", loss, n, **axes)


def degenerate_specs() -> Iterator[Spec]:
    """Exact clusters and clusters up to rounding: symmetric losses, refused losses, Clarke subgradients."""
    turn = 0
    symmetric = ("sum_squares", "projector.whole", "resolvent", "weighted_sum.equal")
    for kind, dtype in product(range(4), DTYPES):
        n = (4, 3, 5, 6)[turn % 4] if kind == 0 else 3 + turn % 2
        for loss in symmetric if kind == 0 else symmetric[:2]:
            yield spec_for(turn, dtype, "degenerate", loss, n, kind=kind, triangle=TRIANGLES[turn % 3])
            turn += 1
    for dtype, loss in product(DTYPES, ("moduli", "density", "projector.cut", "fixed_gauge", "weighted_sum")):
        n = (3, 4, 5, 6)[turn % 4] if dtype in DOUBLE else 3
        yield spec_for(turn, dtype, "degenerate", loss, n, triangle=TRIANGLES[turn % 3])
        turn += 1
    for kind, loss in product((1, 2, 3), ("moduli", "density", "weighted_sum")):
        yield spec_for(turn, DOUBLE[turn % 2], "degenerate", loss, 3, kind=kind, triangle=TRIANGLES[turn % 3])
        turn += 1
    yield from degenerate_variants(turn)
    for dtype, loss in product(DTYPES, ("sum_squares", "projector.whole", "moduli", "projector.cut", "density")):
        yield spec_for(turn, dtype, "degenerate-rounded", loss, 3 + turn % 3, triangle=TRIANGLES[turn % 3])
        turn += 1
    for kind, loss in product((1, 2, 3), ("sum_squares", "projector.whole", "moduli")):
        yield spec_for(turn, DOUBLE[turn % 2], "degenerate-rounded", loss, 3, kind=kind, triangle=TRIANGLES[turn % 3])
        turn += 1


def degenerate_variants(turn: int) -> Iterator[Spec]:
    """Other exactly degenerate constructions."""
    for kind, loss in product(range(4), ("sum_squares", "projector.whole")):
        n = 6 if kind == 0 else 4
        yield spec_for(
            turn, DOUBLE[kind % 2], "degenerate", loss, n, kind=kind, variant="kron", triangle=TRIANGLES[turn % 3]
        )
        turn += 1
    for dtype, loss in product(DTYPES, ("sum_squares", "weighted_sum.equal")):
        yield spec_for(turn, dtype, "degenerate", loss, 2 + turn % 3, variant="identity")
        yield spec_for(
            turn, dtype, "degenerate", loss, 2 + turn % 3, kind=1, variant="multiple", triangle=TRIANGLES[turn % 3]
        )
        turn += 1
    for dtype, loss in product(DOUBLE, ("projector.whole", "sum_squares", "density")):
        yield spec_for(turn, dtype, "degenerate", loss, 4, variant="tiny", triangle=TRIANGLES[turn % 3])
        turn += 1


def scale_specs() -> Iterator[Spec]:
    """Matrices far from 1 in size, where an absolute threshold shows."""
    turn = 0
    for scale, kind, dtype in product(("1e-12", "1e+10"), range(4), DTYPES):
        if dtype in SINGLE and kind > 1:
            continue
        for loss in ("projector", LOSSES[turn // 2 % 7 if turn // 2 % 7 != 1 else 3]):
            yield spec_for(turn, dtype, f"scale-{scale}", loss, 2 + turn % 3, kind=kind, triangle=TRIANGLES[turn % 3])
            turn += 1
    for scale, dtype in product(("1e-12", "1e+10"), DOUBLE):
        yield spec_for(turn, dtype, f"scale-{scale}", "projector", 3, kind=1, variant="both")
        for loss in ("projector.cut", "moduli"):
            yield spec_for(turn, dtype, f"scale-{scale}", loss, 3, variant="near-1e-07")
            turn += 1
    for scale, (dtype, loss) in product(
        ("1e-150", "1e+150"),
        (("float64", "weighted_sum"), ("float64", "projector"), ("float64", "sum_squares"), ("complex128", "moduli")),
    ):
        yield spec_for(turn, dtype, f"scale-{scale}", loss, 3, triangle=TRIANGLES[turn % 3])
        turn += 1


def specs() -> list[Spec]:
    """Every case of hermitian.json, in order."""
    return [*distinct_specs(), *near_specs(), *degenerate_specs(), *scale_specs()]
