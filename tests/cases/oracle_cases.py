"""From a specification (the axes of one case) and its inputs to the finished JSON object."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import mpmath as mp
from oracle import (
    FIRST_DIGITS,
    Inputs,
    Reference,
    amplification,
    gradient,
    hvp,
)
from oracle_inputs import Redraw, is_complex, is_single, random_matrix
from oracle_losses import Matrix, gauge_margin, largest, loss_magnitude, to_mp
from oracle_noise import noise_ratio, rounding_noise

PERTURBATIONS = 3  # behind each condition number


@dataclass(frozen=True)
class Spec:
    """One case's axes. `loss` is a README name, with a variant after a dot (`projector.cut`)."""

    function: str
    dtype: str
    spectrum: str
    loss: str
    n: int
    kind: int = 0
    triangle: str | None = None
    order: int = 1
    variant: str = ""
    skew: bool = False
    f: str = ""

    @property
    def id(self) -> str:
        """The case's name, made of all axes."""
        read = self.triangle or ("skew" if self.skew else "full")
        parts = [self.function, self.dtype, f"type{self.kind}", read, self.spectrum, self.variant, self.f]
        parts += [self.loss, f"n{self.n}", f"order{self.order}"]
        return "_".join(p for p in parts if p)

    @property
    def complex(self) -> bool:
        """Whether the inputs are complex."""
        return is_complex(self.dtype)

    @property
    def scale(self) -> Any:
        """The factor a `scale-…` spectrum multiplies A by."""
        return mp.mpf(self.spectrum.removeprefix("scale-")) if self.spectrum.startswith("scale-") else mp.mpf(1)

    @property
    def degenerate(self) -> bool:
        """Whether eigenvalues coincide, exactly or up to the rounding of the input."""
        return self.spectrum.startswith("degenerate")

    @property
    def defective(self) -> bool:
        """Whether the matrix is defective: it has fewer eigenvectors than eigenvalues."""
        return self.spectrum == "defective"


@dataclass
class Parts:
    """The parts of a case: its inputs, its loss, and what the documentation promises for them."""

    inputs: Inputs
    loss: dict[str, Any]
    verdict: str = "number"
    differentiable: bool = True
    has_value: bool = True
    clarke: bool = False
    extra: dict[str, Any] | None = None
    least_value: Any = None  # a smaller value has cancelled; None: an eighth of the loss's largest term


def plain(x: Any) -> float:
    """The nearest float64; zero has no sign."""
    return float(x) + 0.0


def clean(grads: Inputs) -> Inputs:
    """The matrices with 0 in place of entries below 1e-30 of the largest, which are zeros up to the error of
    differences."""

    def snap(m: Matrix) -> Matrix:
        floor = largest(m) / mp.mpf(10) ** 30
        part = lambda x: x if abs(x) > floor else mp.mpf(0)  # noqa: E731
        return m.apply(lambda x: mp.mpc(part(x.real), part(x.imag)) if isinstance(x, mp.mpc) else part(x))

    return tuple(None if m is None else snap(m) for m in grads)  # type: ignore


def to_json(m: Matrix | None, complex_: bool) -> dict[str, Any] | None:
    """A matrix as README.md writes it."""
    if m is None:
        return None
    rows = [[m[i, j] for j in range(m.cols)] for i in range(m.rows)]
    re = [[plain(mp.re(x)) for x in row] for row in rows]
    return {"re": re, "im": [[plain(mp.im(x)) for x in row] for row in rows] if complex_ else None}


def two_digits(x: Any) -> float:
    """A condition number, at least 1, to two digits: it only scales tolerances."""
    return max(1.0, float(f"{float(x):.1e}"))


def loss_matrix(rng: random.Random, spec: Spec, real: bool = False) -> dict[str, Any]:
    """A random weight matrix of the loss, entries k/64."""
    complex_ = spec.complex and not real
    return to_json(random_matrix(rng, spec.n, complex_), complex_)


def short_float(x: Any) -> float:
    """A float near `x` with 8 bits, exact in every dtype."""
    mantissa, exponent = mp.frexp(x)
    return float(mp.ldexp(mp.nint(mantissa * 256), exponent - 8))


def draw_direction(rng: random.Random, inputs: Inputs, complex_: bool) -> Inputs:
    """A random direction of the size of the inputs, entries of few bits."""

    def draw(m: Matrix | None) -> Matrix | None:
        if m is None:
            return None
        size = largest(m)
        drawn = random_matrix(rng, max(m.rows, m.cols), complex_)
        return mp.ldexp(1, mp.frexp(size)[1] if size else 0) * drawn[: m.rows, : m.cols]

    return tuple(draw(m) for m in inputs)  # type: ignore


def check_draw(parts: Parts, ref: Reference, value: Any, w: list[Any], v: Matrix) -> None:
    """Refuse draws whose value cancels or whose gauge is about to jump."""
    if not parts.has_value:
        return
    least = loss_magnitude(parts.loss, w, v) / 8 if parts.least_value is None else parts.least_value
    if abs(value) < least:
        raise Redraw("cancelled value")
    if parts.loss["name"] == "fixed_gauge" and gauge_margin(v, to_mp(parts.loss["C"])) > 0.9:
        raise Redraw("two components nearly tie for the largest")


def column(values: list[Any]) -> Matrix:
    """The numbers as a one-column matrix."""
    return mp.matrix([[x] for x in values])


def first_order(
    case: dict[str, Any], spec: Spec, parts: Parts, ref: Reference, direction: Inputs | None
) -> tuple[Any, ...]:
    """Fill value, eigenvalues, gradient and condition; return the noise of `rounding_noise`."""
    inputs, complex_ = parts.inputs, spec.complex

    def observe(x: Inputs) -> tuple[Matrix | None, ...]:
        grads = gradient(ref, x, complex_) if parts.differentiable else (None, None)
        value = column([ref(x)]) if parts.has_value else None
        if ref.functional:
            return (*grads, value)
        return (*grads, value, column(ref.solve(x, vectors=False)[0]))

    base = observe(inputs)
    case["value"] = plain(base[2][0]) if parts.has_value else None
    w = [] if ref.functional else list(base[3])
    if ref.general and (spec.degenerate or spec.defective):
        w = list(clean((base[3], None))[0])  # a defective eigenvalue has a third of the digits
    case["eigenvalues"] = (
        {"re": [plain(x.real) for x in w], "im": [plain(x.imag) for x in w]} if ref.general else [plain(x) for x in w]
    )
    if ref.functional:
        case["eigenvalues"] = None
    if parts.differentiable:
        exact = clean(base[:2])
        case["gradient"] = {"a": to_json(exact[0], complex_), "b": to_json(exact[1], complex_)}
    # Linear for small changes; if it is a root of them, it is measured at their actual size.
    digits = (7 if is_single(spec.dtype) else 16) if spec.defective and not ref.functional else 20
    condition = amplification(observe, base, inputs, complex_, spec.id, PERTURBATIONS, digits)
    noise = (mp.mpf(0),) * 4
    if not ref.spectral and parts.differentiable:
        noise = rounding_noise(spec.degenerate, ref, inputs, direction)
        condition = max(condition, noise_ratio(noise[:2], base[:2]))
    case["condition"] = two_digits(condition)
    return noise


def second_order(case: dict[str, Any], spec: Spec, parts: Parts, ref: Reference, direction: Inputs, noise: Any) -> None:
    """Fill direction, hvp and hvp_condition."""
    complex_ = spec.complex
    exact = clean(hvp(ref, parts.inputs, direction, complex_))
    case["direction"] = {"a": to_json(direction[0], complex_), "b": to_json(direction[1], complex_)}
    case["hvp"] = {"a": to_json(exact[0], complex_), "b": to_json(exact[1], complex_)}

    def observe(x: Inputs) -> Inputs:
        return hvp(ref, x, direction, complex_)

    condition = amplification(observe, exact, parts.inputs, complex_, spec.id, PERTURBATIONS - 1)
    case["hvp_condition"] = two_digits(max(condition, noise_ratio(noise[2:], exact)))


def assemble(spec: Spec, parts: Parts, rng: random.Random) -> dict[str, Any]:
    """The whole case, every number rounded once."""
    case: dict[str, Any] = {"id": spec.id, "function": spec.function, "dtype": spec.dtype, "type": spec.kind}
    case |= {"triangle": spec.triangle, "spectrum": spec.spectrum}
    case |= {"a": to_json(parts.inputs[0], spec.complex), "b": to_json(parts.inputs[1], spec.complex)}
    case |= {"loss": parts.loss, **(parts.extra or {})}
    case |= {"value": None, "eigenvalues": None, "gradient": None, "verdict": parts.verdict}
    if parts.clarke:
        case["clarke"] = True
    case |= {"condition": 1.0, "direction": None, "hvp": None, "hvp_condition": None}
    ref = Reference(case)
    with mp.workdps(FIRST_DIGITS):
        w, v = ref.solve(parts.inputs)
        check_draw(parts, ref, ref(parts.inputs) if parts.has_value else None, w, v)
    direction = draw_direction(rng, parts.inputs, spec.complex) if spec.order == 2 else None
    with mp.workdps(FIRST_DIGITS):
        noise = first_order(case, spec, parts, ref, direction)
    if direction is not None:
        with mp.workdps(FIRST_DIGITS):
            second_order(case, spec, parts, ref, direction, noise)
    return case


def scale_unit(spec: Spec, inputs: Inputs, which: int) -> Any:
    """A power of two a quarter of the matrix's size, for numbers that must not change what is read."""
    size = largest(inputs[which]) if inputs[which] is not None else mp.mpf(1)
    return mp.ldexp(1, (mp.frexp(size)[1] if size else 0) - 2)
