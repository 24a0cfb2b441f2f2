"""The cases of general.json, and how their inputs are made."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import mpmath as mp
import numpy as np
from oracle import FIRST_DIGITS, Inputs, solve_general
from oracle_cases import Parts, Spec, loss_matrix, short_float
from oracle_inputs import (
    Levels,
    Redraw,
    diagonal,
    grid_matrix,
    is_single,
    near_levels,
    problem_from_basis,
    random_basis,
    random_matrix,
    require_exact,
    round_matrix,
    spread_levels,
)
from oracle_losses import EIGENVALUE_LOSSES, Matrix
from plan_clusters import BELOW, check_gaps, cluster_numbers, clustered_problem, promise, repeated

DTYPES = ("float32", "float64", "complex64", "complex128")
DOUBLE, SINGLE = ("float64", "complex128"), ("float32", "complex64")
VALUE_LOSSES = ("weighted_sum", "sum_squares", "resolvent")
VECTOR_LOSSES = ("moduli", "fixed_gauge", "projector", "density")
GRID_BITS = 12


def complex_levels(rng: random.Random, levels: Levels) -> Levels:
    """The levels moved off the real axis."""
    return [mp.mpc(x, mp.mpf(rng.randint(-64, 64)) / 64) for x in levels]


def pair_blocks(rng: random.Random, levels: Levels) -> Matrix:
    """A real block-diagonal matrix with conjugate pairs, and one real eigenvalue if the size is odd."""
    n = len(levels)
    d = mp.zeros(n)
    for i in range(0, n - 1, 2):
        x, y = levels[i], mp.mpf(rng.randint(24, 96)) / 64
        d[i, i] = d[i + 1, i + 1] = x
        d[i, i + 1], d[i + 1, i] = y, -y
    if n % 2:
        d[n - 1, n - 1] = levels[n - 1]
    return d


def middle_matrix(spec: Spec, rng: random.Random) -> Matrix:
    """The matrix in the middle of X D X⁻¹: diagonal, with conjugate pairs, or with a coupled close pair."""
    n = spec.n
    levels = spread_levels(rng, n)
    if spec.spectrum == "complex-pairs":
        return pair_blocks(rng, levels)
    if spec.spectrum.startswith("near-"):
        levels = near_levels(rng, n, spec.spectrum.removeprefix("near-"), (n - 2) // 2)
    if spec.spectrum == "nearly-defective":
        levels[1] = levels[0] + mp.mpf(spec.variant)
    if spec.complex:
        levels = complex_levels(rng, levels)
        if spec.spectrum == "nearly-defective" or spec.spectrum.startswith("near-"):
            at = 0 if spec.spectrum == "nearly-defective" else (n - 2) // 2
            levels[at + 1] = mp.mpc(levels[at + 1].real, levels[at].imag)
    d = mp.diag(levels)
    if spec.spectrum == "nearly-defective":
        d[0, 1] = mp.mpf(1)
    return d


def symmetric_matrix(spec: Spec, rng: random.Random) -> Matrix:
    """A matrix that happens to be Hermitian, exactly or but for one unit in the last place."""
    if spec.variant.startswith("jacobian"):
        return mp.matrix([[1, 2], [2, 3]])
    a, _ = problem_from_basis(0, random_basis(rng, 0, spec.n, spec.complex), spread_levels(rng, spec.n))
    if spec.variant != "ulp":
        return grid_matrix(a, GRID_BITS)
    a = round_matrix(a, spec.dtype)
    dtype = np.float32 if is_single(spec.dtype) else np.float64
    x = dtype(float(mp.re(a[0, 1])))
    a[0, 1] += mp.mpf(float(np.nextafter(x, dtype(np.inf)))) - mp.mpf(float(x))
    return a


def raw_problem(spec: Spec, rng: random.Random) -> Inputs:
    """(a, b) with the spectrum of the specification, in the dtype."""
    n, cx = spec.n, spec.complex
    if spec.spectrum == "symmetric-by-accident":
        return require_exact(symmetric_matrix(spec, rng), spec.dtype), None
    x = random_basis(rng, 1, n, cx)
    a, b = x * middle_matrix(spec, rng) * mp.inverse(x) * spec.scale, None
    if spec.kind:
        b = diagonal([mp.mpf(5) / 4] * n) + grid_matrix(random_matrix(rng, n, cx) / n, GRID_BITS)
        a = b * a
    short = spec.spectrum in ("distinct", "complex-pairs")
    return round_matrix(grid_matrix(a, GRID_BITS) if short else a, spec.dtype), b


def weights(spec: Spec, rng: random.Random) -> list[Any]:
    """Distinct weights, complex where eigenvalues are."""
    if spec.variant.startswith("jacobian"):
        return [float(spec.variant.endswith(str(i))) for i in range(spec.n)]
    re = [x / 64 for x in rng.sample(range(-64, 65), spec.n)]
    if not spec.complex and spec.spectrum != "complex-pairs" and spec.variant != "kron-pairs":
        return re
    return [{"re": x, "im": rng.randint(-64, 64) / 64} for x in re]


def make_loss(spec: Spec, rng: random.Random, w: list[Any]) -> dict[str, Any]:
    """The loss with parameters that suit the eigenvalues."""
    name, _, flavour = spec.loss.partition(".")
    top = max(abs(x) for x in w)
    if name == "weighted_sum":
        c = weights(spec, rng)
        return {"name": name, "c": [c[k] for k in cluster_numbers(w)] if flavour == "equal" else c}
    if name == "sum_squares":
        return {"name": name}
    if name == "resolvent":
        aside = mp.mpf(rng.randint(-96, 96)) / 64
        return {"name": name, "z": {"re": short_float(top * aside), "im": short_float(top * 7 / 4)}}
    loss: dict[str, Any] = {"name": name, "C": loss_matrix(rng, spec, real=name == "moduli")}
    if name == "projector":
        loss["k"] = BELOW[spec.n] if flavour == "outside" else max(1, spec.n // 2)
    elif flavour == "outside":  # no weight on the columns of repeated eigenvalues
        spared = repeated(cluster_numbers(w))
        for rows in filter(None, loss["C"].values()):
            rows[:] = [[0.0 if r else x for x, r in zip(row, spared, strict=True)] for row in rows]
    if name == "density":
        loss["s"] = short_float(top * rng.randint(48, 96) / 64)
        if min(abs(1 + (x / loss["s"]) ** 2) for x in w) < 0.3:
            raise Redraw("an eigenvalue near a pole")
    return loss


def check_order(spec: Spec, w: list[Any]) -> None:
    """Real parts must order the eigenvalues clearly, but for the two of a conjugate pair of a real matrix."""
    least = mp.mpf(1) / 20
    if spec.spectrum.startswith("near-"):
        least = mp.mpf(spec.spectrum.removeprefix("near-")) / 2
    if spec.spectrum == "nearly-defective":
        least = mp.mpf(spec.variant) / 20
    top = max(abs(x) for x in w)
    tiny = top * mp.mpf(10) ** -40
    for x, y in pairwise(w):
        partner = not spec.complex and x.imag < -tiny and abs(y - mp.conj(x)) < tiny
        if not partner and y.real - x.real < least * top:
            raise Redraw("real parts too close to order by")
    crossed = any(abs(x.imag) > tiny for x in w)
    if not spec.complex and crossed != (spec.spectrum == "complex-pairs"):
        raise Redraw("conjugate pairs where none were requested, or the reverse")


def build(spec: Spec, rng: random.Random) -> Parts:
    """Inputs and loss of one case."""
    with mp.workdps(FIRST_DIGITS):
        if spec.degenerate or spec.defective:
            inputs = clustered_problem(spec, rng)
            w, _ = solve_general(*inputs, False)
            check_gaps(spec, inputs, w)
            return promise(spec, Parts(inputs, make_loss(spec, rng, w)))
        inputs = raw_problem(spec, rng)
        w, _ = solve_general(*inputs, False)
        check_order(spec, w)
        # The Jacobian's rows are given; one eigenvalue is small and may be.
        least = 0 if spec.variant.startswith("jacobian") else None
        return Parts(inputs, make_loss(spec, rng, w), least_value=least)


def spec_for(dtype: str, spectrum: str, loss: str, n: int, **axes: Any) -> Spec:
    """`eigvals` for losses of eigenvalues unless told otherwise, `eig` for the others."""
    function = axes.pop("function", "eigvals" if loss.partition(".")[0] in EIGENVALUE_LOSSES else "eig")
    return Spec(function, dtype, spectrum, loss, n, **axes)


def size(turn: int, dtype: str, order: int = 1) -> int:
    """Sizes 2 to 5, smaller if a case is expensive."""
    if order == 2:
        return 2 + turn % 2
    return (3, 2, 4, 5)[turn % 4] if not dtype.startswith("complex") else (2, 3, 3, 4)[turn % 4]


def distinct_specs() -> Iterator[Spec]:
    """Well separated spectra: all real, complex, with conjugate pairs; both orders."""
    families = [*product(DTYPES, ("distinct",)), ("float32", "complex-pairs"), ("float64", "complex-pairs")]
    for turn, ((dtype, spectrum), loss) in enumerate(product(families, VALUE_LOSSES + VECTOR_LOSSES)):
        yield spec_for(dtype, spectrum, loss, size(turn, dtype))
        if dtype in DOUBLE:
            yield spec_for(dtype, spectrum, loss, size(turn, dtype, 2), order=2)
    for dtype, loss in (("float64", "weighted_sum"), ("float64", "moduli"), ("complex128", "resolvent")):
        yield spec_for(dtype, "distinct", loss, 6 if dtype == "float64" else 5, function="eig")
    for dtype, loss in product(DOUBLE, ("weighted_sum", "sum_squares")):
        yield spec_for(dtype, "distinct", loss, 1)


def accident_specs() -> Iterator[Spec]:
    """Matrices that happen to be symmetric or Hermitian, which must not be treated specially."""
    for turn, (dtype, loss) in enumerate(product(DTYPES, VALUE_LOSSES + VECTOR_LOSSES)):
        yield spec_for(dtype, "symmetric-by-accident", loss, size(turn, dtype))
    for dtype, loss in product(DOUBLE, ("weighted_sum", "sum_squares", "moduli", "fixed_gauge")):
        yield spec_for(dtype, "symmetric-by-accident", loss, 3, variant="ulp")
        yield spec_for(dtype, "symmetric-by-accident", loss, 2, order=2, variant="ulp" if loss == "moduli" else "")
    for i in range(2):
        yield spec_for("float64", "symmetric-by-accident", "weighted_sum", 2, order=2, variant=f"jacobian{i}")


def close_specs() -> Iterator[Spec]:
    """Close eigenvalues, with and without nearly parallel eigenvectors."""
    for gap, dtype, loss in product(("1e-03", "1e-06"), DOUBLE, ("weighted_sum", "sum_squares", "moduli")):
        yield spec_for(dtype, "nearly-defective", loss, 3, variant=gap)
    for dtype, loss in product(SINGLE, ("weighted_sum", "moduli")):
        yield spec_for(dtype, "nearly-defective", loss, 3, variant="1e-02")
    for dtype, loss in product(DOUBLE, ("weighted_sum", "moduli", "fixed_gauge")):
        yield spec_for(dtype, "near-1e-07", loss, 3)
        yield spec_for(dtype, "near-1e-04", loss, 2 if dtype == "complex128" else 3, order=2)


def other_specs() -> Iterator[Spec]:
    """Other sizes of numbers, and pencils."""
    for turn, (scale, dtype) in enumerate(product(("1e-12", "1e+10"), DTYPES)):
        for loss in (VALUE_LOSSES[turn % 3], VECTOR_LOSSES[turn % 4]):
            yield spec_for(dtype, f"scale-{scale}", loss, 3)
    for dtype, loss in product(DOUBLE, (*VALUE_LOSSES, "moduli", "fixed_gauge", "projector")):
        yield spec_for(dtype, "distinct", loss, 3 if dtype == "float64" else 2, kind=1)
    for dtype, loss in product(SINGLE, ("weighted_sum", "moduli")):
        yield spec_for(dtype, "distinct", loss, 2, kind=1)
    for loss in ("weighted_sum", "sum_squares", "moduli"):
        yield spec_for("float64", "complex-pairs", loss, 3, kind=1)
    for dtype, loss in product(DOUBLE, ("weighted_sum", "moduli")):
        yield spec_for(dtype, "distinct", loss, 2, kind=1, order=2)


def degenerate_specs() -> Iterator[Spec]:
    """Exactly repeated eigenvalues with a full set of eigenvectors, and losses that do not depend on their basis."""
    symmetric = ("sum_squares", "weighted_sum.equal", "resolvent")
    for turn, dtype in enumerate(DTYPES):
        for loss in symmetric[:2]:
            yield spec_for(dtype, "degenerate", loss, 3 + turn % 2, variant="similar")
        for step, construction in enumerate(("identity", "diagonal", "kron", "reflection", "multiple")):
            if (turn + step) % 3 == 2:
                continue
            n = {"identity": 2 + turn % 2, "diagonal": 4, "kron": 4}.get(construction, 3)
            kind = int(construction == "multiple")
            yield spec_for(dtype, "degenerate", symmetric[(turn + step) % 3], n, variant=construction, kind=kind)
        yield spec_for(dtype, "degenerate", "moduli.outside", 4 - turn % 2, variant="similar")
    for loss in symmetric:
        yield spec_for("float64", "degenerate", loss, 4, variant="kron-pairs")
    yield spec_for("float64", "degenerate", "resolvent", 5, variant="similar")
    yield spec_for("float32", "degenerate", "weighted_sum.equal", 3, variant="pencil", kind=1)
    for dtype in DOUBLE:
        for loss in ("sum_squares", "weighted_sum.equal", "moduli.outside"):
            yield spec_for(dtype, "degenerate", loss, 3, variant="pencil", kind=1)
        yield spec_for(dtype, "degenerate", "weighted_sum.equal", 3, variant="similar", function="eig")
        for loss in ("fixed_gauge.outside", "projector.outside"):
            yield spec_for(dtype, "degenerate", loss, 4 if dtype == "float64" else 3, variant="similar")
        yield spec_for(dtype, "degenerate", "moduli.outside", 3, variant="reflection")


def refused_specs() -> Iterator[Spec]:
    """Repeated eigenvalues without a derivative, and defective matrices, where few derivatives exist."""
    for turn, dtype in enumerate(DTYPES):
        for loss in ("weighted_sum", "moduli"):
            yield spec_for(dtype, "degenerate", loss, 3 + turn % 2, variant="similar")
        yield spec_for(dtype, "degenerate", ("weighted_sum", "fixed_gauge")[turn % 2], 3, variant="reflection")
        yield spec_for(dtype, "defective", "weighted_sum", 2 + turn % 2, variant="jordan")
        yield spec_for(dtype, "defective", ("moduli", "weighted_sum")[turn % 2], 3, variant="jordan-similar")
    for dtype, loss in zip(DOUBLE, ("projector", "density"), strict=True):
        yield spec_for(dtype, "degenerate", loss, 4, variant="similar")
        yield spec_for(dtype, "degenerate", "weighted_sum", 2, variant="identity")
        yield spec_for(dtype, "degenerate", "weighted_sum", 3, variant="pencil", kind=1)
        yield spec_for(dtype, "defective", "moduli", 3, variant="jordan")
    yield spec_for("float64", "degenerate", "moduli", 3, variant="pencil", kind=1)
    yield spec_for("float64", "degenerate", "weighted_sum", 4, variant="kron")
    yield spec_for("float64", "defective", "weighted_sum", 3, variant="jordan-chain")
    yield spec_for("float64", "defective", "weighted_sum", 3, variant="jordan-chain-similar")


def specs() -> list[Spec]:
    """Every case of general.json, in order."""
    regular = [*distinct_specs(), *accident_specs(), *close_specs(), *other_specs()]
    return [*regular, *degenerate_specs(), *refused_specs()]
