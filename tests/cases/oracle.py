"""High-precision reference: values by mpmath's eigensolvers, derivatives by central differences of those values.

No differentiation rule is used. A case names a function, the function is evaluated with 100 to 130 digits, and
gradients and Hessian-vector products are differences of such evaluations over every real and imaginary part of every
input entry. Truncation and rounding errors both stay below 1e-40 relative.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from typing import Any

import mpmath as mp
from oracle_losses import (
    EIGENVALUE_LOSSES,
    Loss,
    Matrix,
    evaluate_loss,
    largest,
    outer_columns,
    scalar_function,
    to_mp,
    trace_inner,
)

FIRST_DIGITS, SECOND_DIGITS = 100, 130
STEP_BITS = 116  # a power of two (about 1e-35), so that entry ± step is exact and equal reads share one evaluation
FUNCTIONS = ("matrix_function", "sqrtm", "logm", "signm")
TRIDIAGONAL = ("eigh_tridiagonal", "eigvalsh_tridiagonal")
FLOOR, MARGIN = 3, 2  # some rounding errors in any case; a factor, since few random directions miss the worst one
Inputs = tuple[Matrix, Matrix | None]


def read_hermitian(m: Matrix | None, triangle: str | None) -> Matrix | None:
    """The Hermitian matrix a Hermitian function reads out of `m`: its Hermitian part, or one triangle of it."""
    if m is None:
        return None
    h = m.copy()
    for i in range(m.rows):
        h[i, i] = mp.re(m[i, i])
        for j in range(i):
            low = {None: (m[i, j] + mp.conj(m[j, i])) / 2, "lower": m[i, j], "upper": mp.conj(m[j, i])}[triangle]
            h[i, j], h[j, i] = low, mp.conj(low)
    return h


def standard_eigh(h: Matrix, vectors: bool) -> tuple[list[Any], Matrix | None]:
    """Ascending eigenvalues and orthonormal eigenvectors of a Hermitian matrix."""
    is_complex = any(isinstance(x, mp.mpc) for x in h)
    solver = mp.eighe if is_complex else mp.eigsy
    if not vectors:
        return sorted(solver(h, eigvals_only=True)), None
    w, v = solver(h)
    order = sorted(range(len(w)), key=lambda i: w[i])
    return [w[i] for i in order], take_columns(v, order)


def take_columns(v: Matrix, order: list[int]) -> Matrix:
    """The columns of `v` in the given order."""
    return mp.matrix([[v[i, j] for j in order] for i in range(v.rows)])


def solve_hermitian(kind: int, a: Matrix, b: Matrix | None, vectors: bool) -> tuple[list[Any], Matrix | None]:
    """Problem type 0 to 3 as LAPACK numbers them, through B = L Lᴴ."""
    if kind == 0:
        return standard_eigh(a, vectors)
    low = mp.cholesky(b)
    inv = mp.inverse(low)
    reduced = inv * a * inv.H if kind == 1 else low.H * a * low
    w, y = standard_eigh((reduced + reduced.H) / 2, vectors)
    if not vectors:
        return w, None
    return w, (low * y if kind == 3 else inv.H * y)


def solve_general(a: Matrix, b: Matrix | None, vectors: bool) -> tuple[list[Any], Matrix | None]:
    """Eigenvalues sorted by (Re, Im) and right eigenvectors of unit 2-norm; conjugate pairs and equals tie in Re."""
    m = a if b is None else mp.inverse(b) * a
    if m.rows == 1:
        return [mp.mpc(m[0])], mp.eye(1)
    tie = largest(m) * mp.mpf(10) ** -15
    w, v = (mp.eig(m, left=False, right=False), None) if not vectors else mp.eig(m)

    def compare(i: int, j: int) -> int:
        x, y = mp.mpc(w[i]), mp.mpc(w[j])
        d = y.imag - x.imag if abs(x.real - y.real) <= tie else y.real - x.real
        return -1 if d > 0 else int(d < 0)

    order = sorted(range(len(w)), key=functools.cmp_to_key(compare))
    values = [mp.mpc(w[i]) for i in order]
    if v is None:
        return values, None
    v = take_columns(v, order)
    for j in range(v.cols):
        size = mp.norm(v[:, j])
        for i in range(v.rows):
            v[i, j] /= size
    return values, v


def tridiagonal(d: Matrix, e: Matrix) -> Matrix:
    """The symmetric matrix with the row `d` on its diagonal and the row `e` beside it."""
    m = mp.zeros(d.cols)
    for i in range(d.cols):
        m[i, i] = d[0, i]
        if i:
            m[i, i - 1] = m[i - 1, i] = e[0, i - 1]
    return m


def matrix_function(case: dict[str, Any], a: Matrix) -> Matrix:
    """A function of a general matrix, by algorithms without eigenvalues: exponentials, square roots, inverses."""
    name = case["f"]["name"] if case["function"] == "matrix_function" else case["function"].removesuffix("m")
    one = mp.eye(a.rows)
    if name == "exp":
        return mp.expm(a)
    if name == "tanh":
        twice = mp.expm(2 * a)
        return (twice - one) * mp.inverse(twice + one)
    if name == "sqrt":
        return mp.sqrtm(a)
    if name == "sign":
        return a * mp.inverse(mp.sqrtm(a * a))
    return mp.logm(a)


class Reference:
    """The documented function of one case, from input matrices to a real number."""

    def __init__(self, case: dict[str, Any]) -> None:
        """Keep what defines the function; inputs are given at each evaluation."""
        self.function: str = case["function"]
        self.kind: int = case["type"]
        self.triangle: str | None = case["triangle"]
        self.loss: Loss = case["loss"]
        self.case = case
        self.general = self.function in ("eig", "eigvals")
        self.functional = self.function in FUNCTIONS
        self.spectral = self.function.startswith("spectral_") or self.functional
        self.tridiagonal = self.function in TRIDIAGONAL
        self.cache: dict[Any, Any] = {}

    def read(self, inputs: Inputs) -> Inputs:
        """The part of the inputs that the function reads: everything (general), or one Hermitian matrix each."""
        if self.general or self.functional or self.tridiagonal:
            return inputs
        return read_hermitian(inputs[0], self.triangle), read_hermitian(inputs[1], self.triangle)

    def solve(self, inputs: Inputs, vectors: bool = True) -> tuple[list[Any], Matrix | None]:
        """Eigenvalues and eigenvectors in the documented order."""
        a, b = self.read(inputs)
        if self.functional:
            return [], None
        if self.tridiagonal:
            return standard_eigh(tridiagonal(a, b), vectors)  # type: ignore
        return solve_general(a, b, vectors) if self.general else solve_hermitian(self.kind, a, b, vectors)

    def __call__(self, inputs: Inputs) -> Any:
        """The value; inputs of which the function reads the same share one evaluation."""
        key = (mp.mp.prec, *(None if m is None else tuple(m) for m in self.read(inputs)))
        if key not in self.cache:
            self.cache[key] = self.evaluate(inputs)
        return self.cache[key]

    def evaluate(self, inputs: Inputs) -> Any:
        """The value at `inputs`, computed from scratch."""
        if self.spectral:
            return self.evaluate_spectral(inputs)
        w, v = self.solve(inputs, vectors=self.loss["name"] not in EIGENVALUE_LOSSES)
        return evaluate_loss(self.loss, w, v)

    def evaluate_spectral(self, inputs: Inputs) -> Any:
        """The loss of a spectral function, through V f(Λ) Vᴴ, or of a function of a general matrix."""
        if self.functional:
            return trace_inner(to_mp(self.loss["C"]), matrix_function(self.case, inputs[0]))
        w, v = self.solve(inputs, vectors=self.function != "spectral_sum")
        if self.function == "spectral_projector":
            weights = [mp.mpf(1)] * self.case["k"]
        else:
            f = scalar_function(self.case["f"])
            weights = [f(x) for x in w]
        if self.function == "spectral_sum":
            return mp.fsum(weights)
        return trace_inner(to_mp(self.loss["C"]), outer_columns(v, weights))


def shift(inputs: Inputs, which: int, i: int, j: int, step: Any) -> Inputs:
    """`inputs` with `step` added to entry (i, j) of matrix `which`."""
    moved = inputs[which].copy()
    moved[i, j] += step
    return (moved, inputs[1]) if which == 0 else (inputs[0], moved)


def along(inputs: Inputs, direction: Inputs, t: Any) -> Inputs:
    """`inputs` moved by `t` along `direction`."""
    return tuple(None if m is None else m + t * d for m, d in zip(inputs, direction, strict=True))  # type: ignore


def coordinates(inputs: Inputs, is_complex: bool) -> Iterator[tuple[int, int, int, Any]]:
    """Every real coordinate of the inputs: (matrix, row, column, 1 or i)."""
    for which, m in enumerate(inputs):
        for i in range(m.rows if m is not None else 0):
            for j in range(m.cols):
                yield which, i, j, mp.mpf(1)
                if is_complex:
                    yield which, i, j, mp.mpc(0, 1)


def step_for(m: Matrix) -> Any:
    """A power of two about 1e-35 of the largest entry; of 1 for the zero matrix."""
    size = largest(m)
    return mp.ldexp(1, (mp.frexp(size)[1] if size else 0) - STEP_BITS)


def difference_gradient(f: Callable[[Inputs], Any], inputs: Inputs, is_complex: bool) -> Inputs:
    """∂f/∂Re + i ∂f/∂Im for every entry, by central differences of `f`."""
    grads = [None if m is None else mp.matrix(m.rows, m.cols) for m in inputs]
    for which, i, j, unit in coordinates(inputs, is_complex):
        h = step_for(inputs[which])
        plus, minus = (f(shift(inputs, which, i, j, s * h * unit)) for s in (1, -1))
        grads[which][i, j] += unit * (plus - minus) / (2 * h)
    return tuple(grads)  # type: ignore


def gradient(ref: Reference, inputs: Inputs, is_complex: bool) -> Inputs:
    """The gradient of the case's function at `inputs`."""
    with mp.workdps(FIRST_DIGITS):
        return difference_gradient(ref, inputs, is_complex)


def hvp(ref: Reference, inputs: Inputs, direction: Inputs, is_complex: bool) -> Inputs:
    """The derivative of the gradient along `direction`, by differences of differences."""
    with mp.workdps(SECOND_DIGITS):
        reach = max(
            largest(d) / largest(m) if largest(m) else largest(d)
            for m, d in zip(inputs, direction, strict=True)
            if m is not None
        )
        t = mp.ldexp(1, -STEP_BITS - mp.frexp(reach)[1])

        def slope(x: Inputs) -> Any:
            return (ref(along(x, direction, t)) - ref(along(x, direction, -t))) / (2 * t)

        return difference_gradient(slope, inputs, is_complex)


def perturbations(inputs: Inputs, is_complex: bool, seed: str, count: int, digits: int = 20) -> Iterator[Inputs]:
    """Random changes of every entry, of size 10**-digits relative to the largest entry of the same matrix."""
    for k in range(count):
        rng = random.Random(f"{seed}/perturbation/{k}")

        def draw(m: Matrix, rng: random.Random = rng) -> Matrix:
            scale = (largest(m) or 1) * mp.mpf(10) ** -digits
            r = mp.matrix(m.rows, m.cols)
            for i in range(m.rows):
                for j in range(m.cols):
                    r[i, j] = (
                        mp.mpf(rng.uniform(-1, 1)) if not is_complex else mp.mpc(rng.uniform(-1, 1), rng.uniform(-1, 1))
                    )
            return m + scale * r

        yield tuple(None if m is None else draw(m) for m in inputs)  # type: ignore


def relative_change(base: Inputs, moved: Inputs) -> Any:
    """The larger of the two matrices' changes, each relative to its own largest entry."""
    ratios = [largest(m - g) / largest(g) for g, m in zip(base, moved, strict=True) if g is not None and largest(g)]
    return max(ratios, default=mp.mpf(0))


def amplification(
    f: Callable[[Inputs], Inputs],
    base: Inputs,
    inputs: Inputs,
    is_complex: bool,
    seed: str,
    count: int,
    digits: int = 20,
) -> Any:
    """How much `f`, with value `base` there, amplifies relative changes of the input: the worst seen, with a margin."""
    with mp.workdps(FIRST_DIGITS):
        changes = [relative_change(base, f(x)) for x in perturbations(inputs, is_complex, seed, count, digits)]
        return FLOOR + MARGIN * max(changes) * mp.mpf(10) ** digits
