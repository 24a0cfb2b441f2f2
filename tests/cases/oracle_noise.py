"""The effect of rounding errors on a gradient that is computed from rounded eigenvectors, beyond the function's own
conditioning.

A loss of eigenvectors has rounded cotangents. Their rounding errors are not gauge-invariant, so they are divided by
every gap among the columns used, even if the exact derivative is well conditioned. Perturbing the input does not show
this. The estimates here only widen tolerances; no reference number depends on them.
"""

from __future__ import annotations

from typing import Any

import mpmath as mp
from oracle import Inputs, Reference, perturbations, solve_general
from oracle_losses import EIGENVALUE_LOSSES, Loss, Matrix, largest, number, to_mp


def cotangent_sizes(loss: Loss, w: list[Any], v: Matrix) -> tuple[Any, Any]:
    """Sizes of ∂loss/∂v and ∂loss/∂w, from the loss formula: the size of the numbers that a program rounds there."""
    name = loss["name"]
    if name in EIGENVALUE_LOSSES:
        if name == "weighted_sum":
            return mp.mpf(0), max(abs(number(c)) for c in loss["c"])
        if name == "sum_squares":
            return mp.mpf(0), 2 * max(abs(x) for x in w)
        return mp.mpf(0), max(1 / abs(number(loss["z"]) - x) ** 2 for x in w)
    c = mp.mnorm(to_mp(loss["C"]), "f")
    v_size = max(mp.norm(v[:, j]) for j in range(v.cols))
    factor = 1 if name == "fixed_gauge" else 2 * v_size
    return c * factor, c * v_size**2 / mp.mpf(loss["s"]) if name == "density" else mp.mpf(0)


def outer_sizes(ref: Reference, inputs: Inputs, v: Matrix) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Column norms (left, right) of the outer products that make the gradient in a, and the same in b."""

    def norms(m: Matrix) -> list[Any]:
        return [mp.norm(m[:, j]) for j in range(m.cols)]

    dual = mp.inverse(v).H
    if ref.general:
        left = norms(dual if inputs[1] is None else mp.inverse(inputs[1]).H * dual)
        return left, norms(v), left, norms(v)
    x, y = norms(dual if ref.kind == 2 else v), norms(dual if ref.kind == 3 else v)
    return x, x, y, y


def mended_basis(inputs: Inputs) -> Matrix:
    """Eigenvectors of a degenerate general problem, orthonormal inside clusters.

    Those of the problem itself may be nearly parallel there, so a neighbour with distinct eigenvalues is solved.
    """
    w, v = solve_general(*next(perturbations(inputs, True, "basis", 1)), True)
    top = max(abs(x) for x in w)
    for j in range(len(w)):
        for _ in range(2):
            for i in range(j):
                if abs(w[i] - w[j]) <= top / 10**4:
                    v[:, j] = v[:, j] - v[:, i] * (v[:, i].H * v[:, j])[0]
        v[:, j] = v[:, j] / mp.norm(v[:, j])
    return v


def value_noise(ref: Reference, inputs: Inputs, w: list[Any], sizes: list[Any], floor: Any) -> Any:
    """For eigenvalues alone: the errors of spectral projectors of these norms, if they are not orthogonal.

    Eigenvectors of one Schur form share its backward error; beyond that, each is off by eps ‖A‖ over its gap, where
    that is more than `floor`.
    """
    if not ref.general:
        return max(sizes)
    a, b = inputs
    norm = mp.mnorm(a if b is None else mp.inverse(b) * a, "f")
    n = range(len(w))

    def off(i: int) -> Any:
        gaps = (abs(w[i] - w[j]) for j in n if j != i)
        return max((norm / gap for gap in gaps if gap > floor), default=0)

    return max(sizes[i] * (1 + off(i)) for i in n)


def rounding_noise(degenerate: bool, ref: Reference, inputs: Inputs, direction: Inputs | None) -> tuple[Any, ...]:
    """Errors in units of eps: of the gradient in a and in b, of the Hessian-vector product in a and in b.

    At a degenerate spectrum, gaps inside clusters are left out: nothing is divided by them.
    """
    w, v = ref.solve(inputs)
    n, top = len(w), max(abs(t) for t in w)
    floor = top / 10**4 if degenerate else -1
    if degenerate and ref.general:
        v = mended_basis(inputs)
    v_bar, w_bar = cotangent_sizes(ref.loss, w, v)
    if ref.general:  # a solve with V takes the place of a product with Vᴴ
        v_bar *= mp.mnorm(v, "f") * mp.mnorm(mp.inverse(v), "f") / n
    left_a, right_a, left_b, right_b = outer_sizes(ref, inputs, v)
    first_a = first_b = spin = mp.mpf(0)
    for i in range(n):
        for j in range(i):
            gap = abs(w[i] - w[j])
            if gap <= floor:
                continue
            pair_a = max(left_a[i] * right_a[j], left_a[j] * right_a[i])
            pair_b = top * max(left_b[i] * right_b[j], left_b[j] * right_b[i])
            if j < ref.loss.get("k", n):
                turn = v_bar * max(mp.norm(v[:, i]), mp.norm(v[:, j])) / gap
                first_a, first_b = max(first_a, turn * pair_a), max(first_b, turn * pair_b)
            for pair, d in zip((pair_a, pair_b), direction or (), strict=False):
                spin = max(spin, pair * mp.mnorm(d, "f") / gap if d is not None else 0)
    flat_a = w_bar * value_noise(ref, inputs, w, [x * y for x, y in zip(left_a, right_a, strict=True)], floor)
    flat_b = w_bar * value_noise(ref, inputs, w, [x * y for x, y in zip(left_b, right_b, strict=True)], floor) * top
    if ref.general:
        first_a, first_b = first_a + flat_a, first_b + flat_b
    return first_a, first_b, spin * (first_a + flat_a), spin * (first_b + flat_b)


def noise_ratio(noise: tuple[Any, Any], grads: Inputs) -> Any:
    """Noise in a and in b relative to the largest entry there; products of norms are about four times too wide."""
    pairs = [(e, largest(g)) for e, g in zip(noise, grads, strict=True) if g is not None]
    return max((e / g / 4 for e, g in pairs if g), default=mp.mpf(0))
