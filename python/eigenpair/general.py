"""General eigenproblems, every entry free, with their derivatives. The rules are derived in `docs/derivations.md`.

Nothing here asks whether a matrix happens to be symmetric: neither values nor gradients change across exact symmetry.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import _arguments, cuda, engines, native
from ._general_rules import conditioning, normalize, pair
from ._linear_pair import batched, by_jit
from ._matrices import adjoint, finite_or_identity, matmul
from ._refusals import tallied
from ._remedies import GENERAL, GENERAL_VALUES, with_remedies
from ._rounding import largest_column, norm
from .degeneracy import Policy, check, policy_of_call

__all__ = ["EigBothResult", "EigLeftResult", "EigResult", "condition_numbers", "eig", "eigvals"]


class EigResult(NamedTuple):
    """Eigenvalues, complex, shape `(…, n)`; right eigenvectors in the columns of `(…, n, n)`."""

    eigenvalues: Array
    eigenvectors: Array


class EigLeftResult(NamedTuple):
    """Eigenvalues, complex, shape `(…, n)`; left eigenvectors in the columns of `(…, n, n)`."""

    eigenvalues: Array
    left_eigenvectors: Array


class EigBothResult(NamedTuple):
    """Eigenvalues, complex, shape `(…, n)`; left and right eigenvectors in the columns of `(…, n, n)`."""

    eigenvalues: Array
    left_eigenvectors: Array
    eigenvectors: Array


for _result in (EigResult, EigLeftResult, EigBothResult):
    jax.export.register_namedtuple_serialization(_result, serialized_name=f"eigenpair.{_result.__name__}")


@with_remedies(GENERAL)
def eig(
    a: Any,
    b: Any = None,
    *,
    left: bool = False,
    right: bool = True,
    degeneracy: Policy | None = None,
    tally: Any = None,
) -> EigResult | EigLeftResult | EigBothResult | Array:
    """Eigenvalues and eigenvectors of a square matrix, or of a pair: `A v = λ v`, `A v = λ B v`. `scipy.linalg.eig`,
    differentiable.

    Every entry of `a` and `b` is a variable.

    **Arguments:**

    - `a`, `b`: `(…, n, n)`, real or complex, single or double precision; batch axes broadcast; integers become floats.
    - `left`: also return left vectors, `yᴴA = λ yᴴ` or `yᴴA = λ yᴴB`.
    - `right`: return right vectors.
    - `degeneracy`: what a derivative does where eigenvalues coincide, see `eigenpair.degeneracy`; `check()` unless
        set for the block.
    - `tally`: as for `eigenpair.eigh`.

    **Returns:** `(w, v)`, `(w, vl)` or `(w, vl, v)`, named; `w` alone when neither is asked for. All are complex, also
    of a real matrix with real eigenvalues. `jax.grad` wants a real loss: take `.real` or `jnp.abs` of the result.

    *Order.* By real part, then imaginary part, where LAPACK, SciPy and `jnp.linalg` have none. So the member of a
    conjugate pair with negative imaginary part comes first; with them it is the one with positive imaginary part.
    Infinite eigenvalues (singular `b`) follow as `inf + 0j`, undetermined ones (a singular pencil) as NaN.

    *Gauge.* Unit 2-norm, largest component real and positive; of components equal to within `√ε`, the first.

    A matrix that cannot be solved (NaN or Inf in it, no convergence) gives NaN for itself alone.

    *Derivatives* exist where the eigenvalues are distinct. Their size follows the condition numbers
    (`condition_numbers`); a matrix too close to a defective one for its derivative to have a correct digit has NaN.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.
    """
    operands, policy = _problem(a, b, degeneracy)
    left, right = _arguments.flag("left", left), _arguments.flag("right", right)
    w, *vectors = _solve(operands, tally, policy=policy, right=right, left=left, dual=False)
    if left and right:
        return EigBothResult(w, vectors[1], vectors[0])
    if right:
        return EigResult(w, vectors[0])
    return EigLeftResult(w, vectors[0]) if left else w


@with_remedies(GENERAL_VALUES)
def eigvals(a: Any, b: Any = None, *, degeneracy: Policy | None = None, tally: Any = None) -> Array:
    """Eigenvalues alone: complex, `(…, n)`. Arguments, order and errors as for `eig`.

    The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, the same for a matrix that happens to be symmetric as for its
    neighbours. Where eigenvalues coincide it exists for losses that are symmetric in them, and is NaN for others.
    """
    operands, policy = _problem(a, b, degeneracy)
    (w,) = _solve(operands, tally, policy=policy, right=False, left=False, dual=False)
    return w


@with_remedies(GENERAL_VALUES)
def condition_numbers(a: Any, b: Any = None) -> Array:
    """How strongly each eigenvalue answers to a perturbation of `a`: `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair), real,
    shape `(…, n)`.

    1 for normal matrices; NaN where the matrix is defective to working precision. In the order of `eigvals`.
    """
    operands, policy = _problem(a, b, check())
    _, v, u = _solve_jit(*operands, policy=policy, right=True, left=False, dual=True)
    return lax.stop_gradient(norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :])


def solve_with_dual(a: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues, right vectors and their dual basis `U = V⁻ᴴ` (NaN where there is none) of one checked matrix."""
    w, v, u = _solve_jit(a, policy=check(), right=True, left=False, dual=True)
    return w, v, u


def _problem(a: Any, b: Any, degeneracy: Any) -> tuple[tuple[Array, ...], Policy]:
    engines.refuse("a general problem")
    a = _arguments.matrices("a", a)
    operands: tuple[Array, ...] = (a,)
    if b is not None:
        operands = _arguments.promoted(a, _arguments.matrices("b", b))
    return operands, policy_of_call(degeneracy)


# ---- forward ------------------------------------------------------------------------------------------------------

# Results: w, then those of v (right), vl (left), u (dual) that are asked for.
_solve_p = Primitive("eigenpair_general")
_solve_p.multiple_results = True
_solve_jit = by_jit(_solve_p, "policy", "right", "left", "dual")


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *b: Array, policy: Policy, right: bool, left: bool, dual: bool) -> list[Array]:
    for x in b:
        a = a + x
    a = a.astype(np.promote_types(a.dtype, np.complex64))
    return [jnp.sum(a, axis=-1)] + [a] * (right + left + dual)


def _lower_native(ctx: Any, *operands: Any, policy: Policy, right: bool, left: bool, dual: bool) -> Any:
    return native.lowering("eigenpair_general", right=right, left=left, dual=dual)(ctx, *operands)


def _solve_by_xla(
    *operands: Array, policy: Policy, right: bool, left: bool, dual: bool, kernels: Any = None
) -> Sequence[Array]:
    """The same results on XLA's own `eig`, for platforms without a kernel; or on that of `kernels`, a module like
    `eigenpair.cuda`. Knows no infinite eigenvalues: they are NaN."""
    finite, (a, *b) = finite_or_identity(*operands)
    dtype = np.promote_types(a.dtype, np.complex64)
    # With B singular, the quotient is not finite.
    regular, (standard,) = finite_or_identity(jnp.linalg.solve(b[0], a) if b else a)
    finite = finite & regular
    vectors = right or left or dual
    standard, size = _to_size_one(standard)
    (w, *vs), solved = (_eig_by_xla if kernels is None else kernels.eig)(standard, vectors)
    w = w * size.astype(dtype)
    order = jnp.lexsort((jnp.imag(w), jnp.real(w)), axis=-1)
    w = jnp.take_along_axis(w, order, axis=-1)
    vs = [normalize(jnp.take_along_axis(v, order[..., None, :], axis=-1)) for v in vs]
    results = [w] + vs * right
    if left or dual:
        (v,) = vs
        u = adjoint(jnp.linalg.inv(matmul(b[0].astype(dtype), v) if b else v))
        limit = 1 / (10 * math.sqrt(max(a.shape[-1], 1)) * jnp.finfo(dtype).eps)
        u = jnp.where(largest_column(u) < limit, u, jnp.nan) if a.shape[-1] else u
        results += [normalize(u)] * left + [u] * dual
    good = finite[..., 0] & solved[..., None] & jnp.all(jnp.isfinite(w), axis=-1, keepdims=True)
    return [jnp.where(good if r.ndim < a.ndim else good[..., None], r, jnp.nan) for r in results]


def _to_size_one(a: Array) -> tuple[Array, Array]:
    """Very large or small matrices over a power of two, and that power, shape `(…, 1)`. Solvers should see to it
    themselves, but some forget to scale back."""
    largest = jnp.max(jnp.abs(a), axis=(-1, -2), initial=0)
    limits = jnp.finfo(a.dtype)
    # In the middle of the range both factors are normal numbers.
    exponent = jnp.clip(jnp.frexp(largest)[1], limits.minexp + 2, limits.maxexp - 2)
    exponent = jnp.where((largest > 0) & (jnp.abs(exponent) >= 30), exponent, 0)
    one = jnp.ones_like(largest)
    return a * jnp.ldexp(one, -exponent).astype(a.dtype)[..., None, None], jnp.ldexp(one, exponent)[..., None]


def _eig_by_xla(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    results = lax.linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=vectors)
    return list(results), jnp.full(a.shape[:-2], True)


def _lower_cuda(ctx: Any, *operands: Any, **params: Any) -> Any:
    kernels = cuda if cuda.has_kernels("Xgeev") else None
    rule = mlir.lower_fun(functools.partial(_solve_by_xla, kernels=kernels), multiple_results=True)
    return rule(ctx, *operands, **params)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
mlir.register_lowering(_solve_p, _lower_cuda, platform="cuda")
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")
batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], tally: Any = None, **params: Any
) -> tuple[list[Any], list[Any]]:
    policy, right, left, dual = (params[key] for key in ("policy", "right", "left", "dual"))
    if primals[0].shape[-1] == 0:
        empty = _solve_p.bind(*primals, **params)
        return list(empty), [jnp.zeros_like(r) for r in empty]
    w, v, *rest = _solve_p.bind(*primals, policy=policy, right=True, left=left, dual=True)
    u = rest[-1]
    a, *b = primals
    reach, condition = conditioning(a, b[0] if b else None, w, v, u)
    moved = [None if t is None or isinstance(t, ad.Zero) else t.astype(v.dtype) for t in tangents]
    moved += [None] * (2 - len(moved)) + ([] if tally is None else [tally])
    outputs = (True, right, left, dual)
    results = [r for r, wanted in zip((w, v, rest[0], u), outputs, strict=True) if wanted]
    return results, pair(moved, (w, v, u, reach, condition), outputs=outputs, policy=policy)


ad.primitive_jvps[_solve_p] = _solve_jvp


def _solve(operands: Sequence[Array], tally: Any, **params: Any) -> Sequence[Array]:
    if tally is None:
        return _solve_jit(*operands, **params)
    tally = _arguments.tally(tally, operands[0])
    solve, jvp = functools.partial(_solve_jit, **params), functools.partial(_solve_jvp, **params)
    return tallied(solve, jvp, tally, operands)
