"""The cases of pairs.json: spectral functions of definite pairs, and how their inputs are made."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import mpmath as mp
from oracle import FIRST_DIGITS, read_hermitian, solve_hermitian
from oracle_cases import Parts, Spec, loss_matrix
from oracle_inputs import integer_problem, problem_from_basis, random_basis, require_exact, round_matrix
from oracle_losses import largest, scalar_function, to_mp
from plan_spectral import DOUBLE, POSITIVE, SINGLE, Redraw, function_parameters, levels_for, projector_rank

TYPES = (1, 2, 3)


def graded(m: Any) -> Any:
    """The matrix with rows and columns scaled by powers of two."""
    return mp.matrix([[m[i, j] * mp.ldexp(1, -6 * (i + j)) for j in range(m.cols)] for i in range(m.rows)])


def build(spec: Spec, rng: random.Random) -> Parts:
    """Inputs, loss and verdict of one case."""
    with mp.workdps(FIRST_DIGITS):
        levels = levels_for(spec, rng)
        if spec.degenerate:
            inputs = integer_problem(rng, spec.kind, spec.n, spec.complex, levels)
            inputs = tuple(require_exact(m, spec.dtype) for m in inputs)
        else:
            if spec.spectrum.startswith("near-"):
                at = 0 if spec.function == "spectral_projector" else (spec.n - 2) // 2
                levels[at + 1] = levels[at] + mp.mpf(spec.spectrum.removeprefix("near-")) * max(abs(x) for x in levels)
            a, b = problem_from_basis(spec.kind, random_basis(rng, spec.kind, spec.n, spec.complex), levels)
            if spec.spectrum == "graded":
                # By a change of basis, in which B of types 2 and 3 changes like the inverse of B of type 1.
                a, b = (graded(a), graded(b)) if spec.kind == 1 else (graded(a), mp.inverse(graded(mp.inverse(b))))
                b = (b + b.H) / 2
            inputs = tuple(round_matrix(m, spec.dtype) for m in (a, b))
        read = tuple(read_hermitian(m, None) for m in inputs)
        w, _ = solve_hermitian(spec.kind, read[0], read[1], False)
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
        f = (lambda x: mp.mpf(1)) if "k" in extra else scalar_function(extra["f"])
        # A value much smaller than its largest terms has cancelled.
        size = max(abs(f(x)) for x in w)
        if spec.function != "spectral_sum":
            _, v = solve_hermitian(spec.kind, read[0], read[1], True)
            size *= largest(to_mp(loss["C"])) * max(mp.norm(v[:, j]) ** 2 for j in range(v.cols))
    parts = Parts(inputs, loss, extra=extra, least_value=size / 8)  # type: ignore
    if spec.loss == "inner.cut":
        parts.verdict, parts.differentiable, parts.has_value = "nan", False, False
    return parts


def spec_for(function: str, dtype: str, kind: int, spectrum: str, n: int, **axes: Any) -> Spec:
    """A specification: second order in double precision."""
    loss = axes.pop("loss", "identity" if function == "spectral_sum" else "inner")
    order = axes.pop("order", 2 if dtype in DOUBLE else 1)
    return Spec(function, dtype, spectrum, loss, n, kind, order=order, **axes)


def specs() -> list[Spec]:
    """Every case of pairs.json, in order."""
    return list(all_specs())


def all_specs() -> Iterator[Spec]:
    """Every type at every kind of spectrum."""
    functions = ("fermi_dirac", "tanh", "exp", "log", "sqrt")
    for turn, (kind, spectrum) in enumerate(
        product(TYPES, ("distinct", "near-1e-04", "near-1e-10", "degenerate", "graded"))
    ):
        f = functions[turn % 5]
        yield spec_for(
            "spectral_map", DOUBLE[turn % 2], kind, spectrum, 3 if turn % 2 == 0 else 2 + (turn % 4 == 3), f=f
        )
        yield spec_for("spectral_sum", DOUBLE[(turn + 1) % 2], kind, spectrum, 3, f=functions[(turn + 2) % 5])
    for turn, (kind, spectrum) in enumerate(product(TYPES, ("distinct", "near-1e-10", "degenerate"))):
        yield spec_for("spectral_projector", DOUBLE[turn % 2], kind, spectrum, 3)
        yield spec_for("spectral_map", SINGLE[turn % 2], kind, spectrum.replace("1e-10", "1e-04"), 3, f="tanh")
    for turn, kind in enumerate(TYPES):
        yield spec_for("spectral_projector", DOUBLE[turn % 2], kind, "degenerate", 4, order=1)
        yield spec_for("spectral_projector", DOUBLE[turn % 2], kind, "degenerate", 3, loss="inner.cut", order=1)
        yield spec_for("spectral_map", "float64", kind, "degenerate", 4, f="fermi_dirac", order=1)
