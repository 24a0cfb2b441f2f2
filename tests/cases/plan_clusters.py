"""General problems whose eigenvalues coincide: built from integers, so they coincide exactly for the given floats."""

from __future__ import annotations

import random
from itertools import groupby
from typing import Any

import mpmath as mp
from oracle import Inputs
from oracle_cases import Parts, Spec
from oracle_inputs import (
    Levels,
    Redraw,
    diagonal,
    grid_matrix,
    integer_problem,
    is_single,
    random_basis,
    random_matrix,
    require_exact,
    spread_levels,
    twice,
)
from oracle_losses import Matrix
from oracle_noise import mended_basis

# The repeated ones neither all first nor all last, where there are others.
LEVELS = {1: [2], 2: [2, 2], 3: [-1, 2, 2], 4: [-2, 1, 1, 3], 5: [-1, -1, 2, 4, 4]}
BELOW = {3: 1, 4: 1}  # so many simple eigenvalues come first
EPS = {False: mp.mpf(2) ** -52, True: mp.mpf(2) ** -23}


def unimodular(rng: random.Random, n: int, complex_: bool) -> tuple[Matrix, Matrix]:
    """An integer matrix of determinant 1 and its inverse, in integers too; neither ill-conditioned nor diagonal."""
    low, up = (random_matrix(rng, n, complex_, -1, 1, 1) for _ in range(2))
    for i in range(n):
        low[i, i] = up[i, i] = mp.mpf(1)
        for j in range(i):
            low[j, i] = up[i, j] = mp.mpf(0)
    s = low * up
    inverse = mp.inverse(s).apply(
        lambda x: mp.mpc(mp.nint(x.real), mp.nint(x.imag)) if isinstance(x, mp.mpc) else mp.nint(x)
    )
    if not 1.5 * n < mp.mnorm(s, "f") * mp.mnorm(inverse, "f") < 8 * n:
        raise Redraw("an ill-conditioned basis, or none at all")
    return s, inverse


def similar(rng: random.Random, middle: Matrix, complex_: bool) -> Matrix:
    """S M S⁻¹ in integers, not Hermitian."""
    s, inverse = unimodular(rng, middle.rows, complex_)
    a = s * middle * inverse
    if mp.mnorm(a - a.H, "f") < mp.mnorm(a, "f") / 8:
        raise Redraw("nearly Hermitian")
    return a


def integer_levels(rng: random.Random, spec: Spec) -> Levels:
    """LEVELS, off the real axis where the matrix may be complex and need not be Hermitian."""
    levels = [mp.mpf(x) for x in LEVELS[spec.n]]
    if not spec.complex or spec.variant == "reflection":
        return levels
    aside = {x: rng.randint(-2, 2) for x in LEVELS[spec.n]}
    return [mp.mpc(x, aside[int(x)]) for x in levels]


def jordan(spec: Spec, levels: Levels) -> Matrix:
    """Diag(levels) with equal neighbours coupled; one chain over everything for `chain`."""
    n = spec.n
    if "chain" in spec.variant:
        levels = [levels[-1]] * n
    d = mp.diag(levels)
    for i in range(n - 1):
        if levels[i] == levels[i + 1]:
            d[i, i + 1] = mp.mpf(1)
    return d


def repeated_block(spec: Spec, rng: random.Random) -> Matrix:
    """kron(I₂, M) with M of distinct eigenvalues, or with a conjugate pair."""
    n = spec.n // 2
    x = random_basis(rng, 1, n, spec.complex)
    middle = diagonal(spread_levels(rng, n))
    if spec.variant == "kron-pairs":
        middle[1, 1], middle[0, 1], middle[1, 0] = middle[0, 0], mp.mpf(3) / 4, -mp.mpf(3) / 4
    return twice(grid_matrix(x * middle * mp.inverse(x), 8))


def well_conditioned_integers(rng: random.Random, n: int, complex_: bool) -> Matrix:
    """An integer matrix for B."""
    return 3 * mp.eye(n) + random_matrix(rng, n, complex_, -1, 1, 1)


def clustered_problem(spec: Spec, rng: random.Random) -> Inputs:
    """(a, b) with exactly coinciding eigenvalues, after checking that the dtype holds them."""
    n, cx, construction = spec.n, spec.complex, spec.variant
    levels, b = integer_levels(rng, spec), None
    if construction == "identity":
        a = mp.eye(n) * levels[-1] * 3 / 4
    elif construction == "diagonal":
        a = mp.diag(rng.sample(levels, n)) / 4
    elif construction.startswith("kron"):
        a = repeated_block(spec, rng)
    elif construction == "reflection":
        a, _ = integer_problem(rng, 0, n, cx, levels)
    elif construction == "multiple":
        b = well_conditioned_integers(rng, n, cx)
        a = 2 * b
    elif construction == "pencil":
        b = well_conditioned_integers(rng, n, cx)
        a = b * similar(rng, mp.diag(levels), cx)
    elif construction == "similar":
        a = similar(rng, mp.diag(levels), cx)
    elif construction.startswith("jordan"):
        d = jordan(spec, levels) * mp.mpf(5) / 8
        a = similar(rng, 8 * d, cx) if construction.endswith("similar") else d
    else:
        raise ValueError(construction)
    return require_exact(a, spec.dtype), None if b is None else require_exact(b, spec.dtype)


def cluster_numbers(w: list[Any]) -> list[int]:
    """For each eigenvalue, in order, the number of its cluster; real parts of others are well apart, or conjugates."""
    top = max(abs(x) for x in w)
    numbers = [0]
    for i in range(1, len(w)):
        gap = abs(w[i] - w[i - 1])
        partner = abs(w[i].real - w[i - 1].real) < top / 10**10 and abs(w[i].imag + w[i - 1].imag) < top / 10**10
        if top / 10**10 < gap and w[i].real - w[i - 1].real < top / 20 and not partner:
            raise Redraw("real parts too close to order by")
        numbers.append(numbers[-1] + (gap > top / 10**10))
    return numbers


def repeated(numbers: list[int]) -> list[bool]:
    """For each eigenvalue, whether another equals it."""
    sizes = {key: len(list(group)) for key, group in groupby(numbers)}
    return [sizes[key] > 1 for key in numbers]


def holds_an_axis(v: Matrix, numbers: list[int]) -> bool:
    """Whether the span of a cluster holds a coordinate axis, or nearly.

    A solver may then return eigenvectors of disjoint support, a special basis in which losses happen to be stationary.
    """
    spans = [[j for j, other in enumerate(numbers) if other == number] for number in sorted(set(numbers))]
    return any(mp.norm([v[i, j] for j in span]) > 0.97 for span in spans if len(span) > 1 for i in range(v.rows))


def check_gaps(spec: Spec, inputs: Inputs, w: list[Any]) -> None:
    """Checks that there are clusters, and that they are separated by more than the documented width."""
    numbers = cluster_numbers(w)
    if not any(repeated(numbers)):
        raise Redraw("no cluster")
    if spec.spectrum == "defective":
        return
    v = mended_basis(inputs)
    a, b = inputs
    dual = mp.inverse(v).H if b is None else mp.inverse(b).H * mp.inverse(v).H
    weight = [mp.norm(dual[:, i]) * mp.norm(v[:, i]) for i in range(spec.n)]
    size = [mp.mnorm(a, "f") + (abs(x) * mp.mnorm(b, "f") if b is not None else 0) for x in w]
    tol = 10 * mp.sqrt(spec.n) * EPS[is_single(spec.dtype)] * max(x * y for x, y in zip(weight, size, strict=True))
    if spec.loss in ("moduli", "fixed_gauge", "projector", "density") and holds_an_axis(v, numbers):
        raise Redraw("eigenvectors of disjoint support")
    for i in range(spec.n):
        for j in range(i):
            if numbers[i] != numbers[j] and abs(w[i] - w[j]) < 8 * tol:
                raise Redraw("a gap near the tolerance")


def promise(spec: Spec, parts: Parts) -> Parts:
    """The documented verdict on this loss where eigenvalues coincide."""
    symmetric = spec.loss.endswith((".equal", ".outside")) or spec.loss in ("sum_squares", "resolvent")
    if symmetric and spec.spectrum == "degenerate":
        return parts
    parts.verdict, parts.differentiable = "nan", False
    parts.has_value = spec.loss == "weighted_sum"
    return parts
