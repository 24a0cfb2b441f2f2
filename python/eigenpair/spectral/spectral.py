"""Functions of a Hermitian matrix, with derivatives at any degeneracy. See `docs/derivations.md`, "Spectral
functions"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import apart_from_next
from ..degeneracy.explanations import CUT, Subject, explain_asymmetry, explain_neighbours, explain_values
from ..degeneracy.policies import check, explains, policy_of_call
from ..hermitian.diagonal_metric import DiagonalMetric
from ..runtime import arguments, engines, matrices
from ..runtime.matrices import far_from_hermitian, of_rank
from ..runtime.remedies import SPECTRAL, instead_of, with_remedies
from . import divided_differences, pair
from .forms import Jet, closed, opened

__all__ = ["spectral_map", "spectral_projector", "spectral_sum"]


@with_remedies(SPECTRAL)
def spectral_map(
    f: Callable[[Array], Array], a: Any, b: Any = None, *, type: int = 1, hermitian_part: bool = False
) -> Array:
    """`V f(Λ) Vᴴ` of a Hermitian matrix or of a definite pair, exact at any degeneracy. For a matrix it is `f(A)`. For
    a pair it is `Σ f(λᵢ) vᵢ vᵢᴴ`, the density matrix of orbitals `vᵢ` with occupations `f(λᵢ)`. A differentiable
    `scipy.linalg.funm`.

    **Arguments:**

    - `f`: a scalar function of a real number, differentiable on the spectrum and between its points, written with
        `jax.numpy`. The values that it closes over are differentiated too. Complex values are allowed, as those of
        `lambda x: jnp.exp(-1j * x * t)`.
    - `a`: `(…, n, n)`, Hermitian. Small deviations, such as rounding errors or the steps of finite differences, are
        ignored. A matrix that is far from Hermitian (its skew-Hermitian part is more than a hundredth of it) gives NaN,
        because it is probably a mistake.
    - `b`: `(…, n, n)`, Hermitian positive definite; its batch axes broadcast against those of `a`. Or `(n,)`, the
        diagonal of `B`, real and positive.
    - `type`: the problem and the normalization of `V`, as for `eigh`: `VᴴBV = I` in types 1 and 2, `VᴴB⁻¹V = I` in
        type 3.
    - `hermitian_part`: take the Hermitian part of any matrix, without this check.

    **Returns:** `(…, n, n)`, Hermitian when `f` is real; NaN for a `b` that is not positive definite.

    First and second derivatives, in any mode, are those of the Daleckii–Kreĭn theorem (Higham, *Functions of
    Matrices*, thm 3.11), with divided differences that stay accurate at gaps of any size. A third derivative raises
    `NotImplementedError`.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.
    """
    f, operands, type, metric = _arguments_of(f, a, b, type)
    problem, factor = _problem("spectral_map", operands, type, hermitian_part)
    w, values = problem.w, _values("spectral_map", f, problem.w)
    jet = _times_factor(_jet(jnp.zeros_like(values), f, w), factor)
    return _outside(metric, problem.outside(opened(jet, problem.matrix, w, problem.v)))


@with_remedies(SPECTRAL)
def spectral_sum(
    f: Callable[[Array], Array], a: Any, b: Any = None, *, type: int = 1, hermitian_part: bool = False
) -> Array:
    """`Σ f(λᵢ)` of a Hermitian matrix or of a definite pair, three times differentiable at any degeneracy. For a
    matrix it is `tr f(A)`, with the gradient `f'(A)`.

    Arguments and errors as for `spectral_map`; shape `(…,)`.
    """
    f, operands, type, _ = _arguments_of(f, a, b, type)
    problem, factor = _problem("spectral_sum", operands, type, hermitian_part)
    w, values = problem.w, _values("spectral_sum", f, problem.w)
    return closed(
        _times_factor(_jet(values, divided_differences.derivative(f), w), factor), problem.matrix, w, problem.v
    )


@with_remedies(SPECTRAL)
def spectral_projector(a: Any, k: int, b: Any = None, *, type: int = 1, hermitian_part: bool = False) -> Array:
    """`V_k V_kᴴ` with the eigenvectors of the `k` lowest eigenvalues of a Hermitian matrix or of a definite pair: the
    orthogonal projector on them, or the density matrix `P` of `k` orbitals (then `P B` is a projector).

    Its first and second derivatives depend only on the gap between eigenvalues `k` and `k + 1`, not on degeneracy on
    either side. If this gap is no larger than rounding errors (as in `eigenpair.degeneracy.check`), there is no such
    projector, and value and derivatives are NaN.

    **Arguments:** `k`: an integer, `0 ≤ k ≤ n`; the others as for `spectral_map`.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.
    """
    if getattr(k, "ndim", 0) > 1:
        raise TypeError("k must be an integer, got a matrix; the order is a, k, b")
    operands, type, metric = _matrices_of(a, b, type)
    n = operands[0].shape[-1]
    k = arguments.integer("k", k)
    if not 0 <= k <= n:
        raise ValueError(f"k must satisfy 0 ≤ k ≤ {n}, got {k}")
    problem, factor = _problem("spectral_projector", operands, type, hermitian_part)
    w = problem.w
    factor = factor[..., None] * _gap_or_nan(w, k, problem.scale)
    values = of_rank(jnp.arange(n) < k, w.ndim).astype(w.dtype) * factor
    one, between = jnp.broadcast_to(factor, w.shape), jnp.zeros_like(w)[..., 1:]
    jet = Jet(jnp.zeros_like(w), values, one, between, one, between, between)
    return _outside(metric, problem.outside(opened(jet, problem.matrix, w, problem.v, step=k)))


def _matrices_of(a: Any, b: Any, type: Any) -> tuple[tuple[Array, ...], int, DiagonalMetric | None]:
    """The matrices and the type of the problem; for a diagonal `b`, those of the equivalent standard problem."""
    a = arguments.matrices("a", a)
    type = arguments.problem_type(type, b is not None)
    if b is None:
        return (a,), type, None
    b = arguments.matrices_or_diagonal("b", b)
    if b.ndim > 1:
        return arguments.promoted(a, b), type, None
    metric = DiagonalMetric.of(a, b, type)
    return (metric.standard(a),), 0, metric


def _outside(metric: DiagonalMetric | None, x: Array) -> Array:
    return x if metric is None else metric.outside(x)


def _problem(function: str, operands: tuple[Array, ...], type: int, hermitian_part: Any) -> tuple[pair.Problem, Array]:
    """The problem, and a factor: 1, or NaN where it has no solution."""
    parts, factors = zip(*(_part_and_factor(function, x, hermitian_part) for x in operands), strict=True)
    if type == 0:
        return pair.standard(parts[0]), factors[0]
    problem = pair.pair(parts[0], parts[1], type)
    solved = jnp.all(jnp.isfinite(problem.w), axis=-1)
    return problem, jnp.where(solved, factors[0] * factors[1], jnp.nan)


def _arguments_of(
    f: Any, a: Any, b: Any, type: Any
) -> tuple[Callable[[Array], Array], tuple[Array, ...], int, DiagonalMetric | None]:
    """`f` elementwise, after a check that it maps a number to a number, and the matrices as arrays."""
    if callable(a) and not callable(f):
        raise TypeError("a and f are swapped; the order is f, a")
    operands, type, metric = _matrices_of(a, b, type)
    a = operands[0]
    if not callable(f):
        raise TypeError(f"f must be a function of a number, such as jnp.exp, got {f!r}")
    precision = jnp.finfo(a.dtype).dtype

    # We do not pass f itself, because JAX keeps weak references to functions, and some callables, such as NumPy's, do
    # not allow them. jaxlib 0.10 crashes when it gets such a callable for the second time.
    def one(x: Array) -> Array:
        return f(x)

    try:
        result = jax.eval_shape(one, jax.ShapeDtypeStruct((), precision))
    except jax.errors.JAXTypeError as error:
        raise TypeError(
            f"f must be written with jax.numpy, so that JAX can trace it, and {f!r} is not; {instead_of(f)}"
        ) from error
    except TypeError as error:
        raise TypeError(f"f must take one number and be written with jax.numpy; {f!r} raised: {error}") from error
    if getattr(result, "shape", None) != ():
        shown = f"an array of shape {result.shape}" if hasattr(result, "shape") else f"{result}"
        raise TypeError(
            f"f must map a number to a number, because it is called with one at a time; it returned {shown}"
        )
    if result.dtype not in arguments.PRECISIONS:
        raise TypeError(
            f"f must return a floating-point or complex number, it returned one of {result.dtype}; cast it: "
            "lambda x: f(x).astype(x.dtype)"
        )
    return _elementwise(one), operands, type, metric


def _part_and_factor(function: str, a: Array, hermitian_part: Any) -> tuple[Array, Array]:
    """The Hermitian part of `a`, and 1, or NaN where `a` is far from Hermitian; shape `(…,)`."""
    a = engines.placed(a)
    factor = jnp.ones(a.shape[:-2], jnp.finfo(a.dtype).dtype)
    if not arguments.flag("hermitian_part", hermitian_part):
        far = far_from_hermitian(a, engines.placed)
        factor = jnp.where(far, jnp.nan, factor)
        policy = policy_of_call(None)
        if explains(policy):
            explain_asymmetry(function, policy, lax.stop_gradient(a), far)
    return matrices.hermitian_part(a), factor


def _times_factor(jet: Jet, factor: Array) -> Jet:
    """The jet times `factor`, which is 1 or NaN for each matrix."""
    return Jet(*(x * factor.reshape(factor.shape + (1,) * (x.ndim - factor.ndim)).astype(x.dtype) for x in jet))


def _elementwise(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    # One axis after the other: a reshape to a single one would gather a batch that is spread over devices.
    def g(x: Array) -> Array:
        mapped = f
        for _ in range(x.ndim):
            mapped = jax.vmap(mapped)
        return mapped(x)

    return g


def _values(function: str, f: Callable[[Array], Array], w: Array) -> Array:
    """`f` at the eigenvalues, with a warning where it is not finite."""
    values, policy = f(w), policy_of_call(None)
    if explains(policy):
        explain_values(function, policy, lax.stop_gradient(w), lax.stop_gradient(values))
    return values


def _jet(antiderivative: Array, f: Callable[[Array], Array], w: Array) -> Jet:
    derivative = divided_differences.derivative(f)
    half_second = divided_differences.derivative(derivative)(w) / 2
    first, left, right = divided_differences.of_neighbours(f, w)
    return Jet(antiderivative, f(w), derivative(w), first, half_second, left, right)


def _gap_or_nan(w: Array, k: int, scale: Array) -> Array:
    """1, or NaN where the gap above the `k`-th eigenvalue is no larger than rounding errors; shape `(…, 1)`."""
    n = w.shape[-1]
    if k in (0, n):
        return jnp.ones((*w.shape[:-1], 1), w.dtype)
    apart = apart_from_next(check(), w, scale)[..., k - 1]
    policy = policy_of_call(None)
    if explains(policy):
        of_pairs = jnp.ones((*w.shape[:-1], n - 1), bool).at[..., k - 1].set(apart)
        explain_neighbours(Subject("spectral_projector"), policy, w, of_pairs, CUT)
    return jnp.where(apart, 1, jnp.nan).astype(w.dtype)[..., None]
