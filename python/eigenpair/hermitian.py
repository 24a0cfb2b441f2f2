"""Hermitian eigenproblems, standard and generalized, with their derivatives. The rules are derived in
`docs/derivations.md`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import _arguments, _partial, cuda, degeneracy, engines, native
from ._explanations import explain_asymmetry, explain_unsolved
from ._hermitian_core import pair
from ._hermitian_rules import bases, cotangent, scale_of, second_order, tangent
from ._hermitian_xla import in_generic_basis, result_count, solve_by_xla
from ._linear_pair import LinearPair, batched, by_jit
from ._matrices import TRIANGLES, far_from_hermitian, fusing, hermitian_part
from ._refusals import tallied
from ._remedies import HERMITIAN, VALUES, with_remedies
from .degeneracy import Policy, check, explains, policy_of_call

__all__ = ["EighResult", "eigh", "eigvalsh"]


class EighResult(NamedTuple):
    """Eigenvalues, real and ascending, shape `(…, k)`; eigenvectors in the columns of `(…, n, k)`."""

    eigenvalues: Array
    eigenvectors: Array


jax.export.register_namedtuple_serialization(EighResult, serialized_name="eigenpair.EighResult")


# A call with nothing but an array is compiled as a whole: of a small matrix, arguments would be half of the time.


def _compiled(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    compiled = jax.jit(function)
    return lambda a: function(a) if degeneracy.any_block_explains else compiled(a)


@_compiled
def _plain_eigh(a: Array) -> EighResult:
    return EighResult(*_Problem.of(a, None, 1, None, None, None).solve(vectors=True))


@_compiled
def _plain_eigvalsh(a: Array) -> Array:
    return _Problem.of(a, None, 1, None, None, None).values()


@with_remedies(HERMITIAN, plain=_plain_eigh)
def eigh(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    eigvals_only: bool = False,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
    tally: Any = None,
) -> EighResult | Array:
    """Eigenvalues and eigenvectors of a Hermitian matrix or of a definite pair. `scipy.linalg.eigh`, differentiable.

    | `type` | problem | normalization |
    |---|---|---|
    | without `b` | `A v = λ v` | `VᴴV = I` |
    | 1 | `A v = λ B v` | `VᴴBV = I` |
    | 2 | `A B v = λ v` | `VᴴBV = I` |
    | 3 | `B A v = λ v` | `VᴴB⁻¹V = I` |

    **Arguments:**

    - `a`: `(…, n, n)`, Hermitian. Real or complex, single or double precision; integers become floats.
    - `b`: `(…, n, n)`, Hermitian positive definite; its batch axes broadcast against those of `a`.
    - `lower`: which entries are variables, of `a` and of `b`. `None`: this is a function of the Hermitian part `(a +
        aᴴ)/2`, and the gradient is Hermitian. `True` or `False`: only that triangle is read, and the gradient lives
        on it, off-diagonal entries doubled. SciPy's default is `True`, which matters for a matrix that is not
        Hermitian: of `jnp.tril(a)`, the Hermitian part has halved off-diagonal entries.
    - `eigvals_only`: return the eigenvalues alone.
    - `subset_by_index`: `(first, last)`, both included, counted from 0.
    - `degeneracy`: what a derivative does where eigenvalues coincide, see `eigenpair.degeneracy`; `check()` unless
        set for the block.
    - `tally`: an array of zeros, of a shape that broadcasts to the batch. No value depends on it; its *gradient* is the
        number of matrices of which `check` refused the gradient. See `eigenpair.degeneracy.check`.

    **Returns:** `EighResult(eigenvalues, eigenvectors)`, which unpacks like a tuple, `w, v = eigh(a)`, as in SciPy and
    `jnp.linalg`; `jax.lax.linalg.eigh` has `v, w`. A matrix that cannot be solved (NaN or Inf among the entries read,
    `b` not positive definite, no convergence) gives NaN for itself alone.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.

    Derivatives: Giles 2008, §3.1; Magnus 1985; `docs/derivations.md`.
    """
    problem = _Problem.of(a, b, type, lower, subset_by_index, degeneracy, tally)
    if _arguments.flag("eigvals_only", eigvals_only):
        return problem.values()
    return EighResult(*problem.solve(vectors=True))


@with_remedies(VALUES, plain=_plain_eigvalsh)
def eigvalsh(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
) -> Array:
    """Eigenvalues alone, real and ascending, shape `(…, k)`. Arguments and errors as for `eigh`.

    The gradient `V Diag(λ̄) Vᴴ` holds at repeated eigenvalues too when the loss is symmetric in them; otherwise it is
    a Clarke subgradient. `degeneracy` matters to second derivatives only.
    """
    return _Problem.of(a, b, type, lower, subset_by_index, degeneracy).values()


class _Problem(NamedTuple):
    """Arguments that have passed."""

    operands: tuple[Array, ...]
    static: dict[str, Any]
    subset: tuple[int, int] | None
    tally: Array | None

    @staticmethod
    def of(a: Any, b: Any, type: Any, lower: Any, subset_by_index: Any, degeneracy: Any, tally: Any = None) -> _Problem:
        a = _arguments.matrices("a", a)
        static = {
            "type": _arguments.problem_type(type, b is not None),
            "triangle": _arguments.triangle(lower),
            "policy": policy_of_call(degeneracy),
        }
        operands: tuple[Array, ...] = (a,)
        if b is not None:
            operands = _arguments.promoted(a, _arguments.matrices("b", b))
        if tally is not None:
            engines.refuse("a tally")
            tally = _arguments.tally(tally, operands[0])
        return _Problem(operands, static, _arguments.subset(subset_by_index, a.shape[-1]), tally)

    def values(self) -> Array:
        return self.solve(vectors=False)[0]

    def solve(self, *, vectors: bool) -> list[Array]:
        subset, static = self.subset, self.static
        if (
            subset is not None
            and engines.current() is None
            and _partial.worthwhile(self.operands[0].shape[-1], subset, static["type"], static["policy"])
        ):
            chosen = {name: static[name] for name in ("triangle", "policy")}
            results = _partial.solve(self.operands, subset=subset, vectors=vectors, tally=self.tally, **chosen)
        else:
            results = list(solve(self.operands, vectors=vectors, tally=self.tally, **static)[: 1 + vectors])
            if subset is not None:
                results = [x[..., subset[0] : subset[1] + 1] for x in results]
        if explains(static["policy"]):
            self._explain(results[0])
        return results

    def _explain(self, w: Array) -> None:
        """What there is to say about the arguments."""
        a, *b = (lax.stop_gradient(x) for x in self.operands)
        policy = self.static["policy"]
        if self.static["triangle"] == "hermitian":
            explain_asymmetry("eigh", policy, a, far_from_hermitian(a))
        if b:
            explain_unsolved(policy, a, b[0], lax.stop_gradient(w))


# ---- forward ------------------------------------------------------------------------------------------------------

# Parameters: type, triangle, policy, vectors. Results: (w), or (w, v) for types 0 and 1, or (w, v, u) for types 2 and
# 3, whose derivatives need the dual basis U = V⁻ᴴ.
_solve_p = Primitive("eigenpair_hermitian")
_solve_p.multiple_results = True
_solve_jit = by_jit(_solve_p, "type", "triangle", "policy", "vectors")


def solve(
    operands: Sequence[Array], *, type: int, triangle: str, policy: Policy, vectors: bool, tally: Any = None
) -> Sequence[Array]:
    """The results of the primitive, by the engine where the block has one."""
    engine = engines.current()
    if tally is not None:
        params: Any = {"type": type, "triangle": triangle, "policy": policy, "vectors": vectors}
        solved = functools.partial(_solve_jit, **params)
        return tallied(solved, functools.partial(_solve_jvp, **params), tally, operands)
    if engine is None:
        return _solve_jit(*operands, type=type, triangle=triangle, policy=policy, vectors=vectors)
    engines.judge(engine, operands)
    return _solve_by_engine(operands[0], engine, triangle, policy, vectors)


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *b: Array, type: int, triangle: str, policy: Policy, vectors: bool) -> list[Array]:
    for x in b:
        a = a + x
    return [jnp.sum(jnp.real(a), axis=-1)] + [a] * (result_count(type, vectors) - 1)


def _lower_native(ctx: Any, *operands: Any, type: int, triangle: str, policy: Policy, vectors: bool) -> Any:
    params = {"type": type, "triangle": triangle, "vectors": vectors}
    if vectors and isinstance(policy, check) and policy.generic_basis:

        def turned(*xs: Array) -> Sequence[Array]:
            return in_generic_basis(_solve_p.bind(*xs, policy=check(), **params), xs, type, triangle, policy)

        return mlir.lower_fun(turned, multiple_results=True)(ctx, *operands)
    rule = native.lowering("eigenpair_hermitian", type=np.int32(type), triangle=np.int32(TRIANGLES[triangle]))
    return rule(ctx, *operands)


def _lower_cuda(ctx: Any, *operands: Any, **params: Any) -> Any:
    kernels = cuda if cuda.has_kernels() else None
    solve = fusing(functools.partial(solve_by_xla, kernels=kernels, on_gpu=True))
    return native.lowering_by_xla(solve)(ctx, *operands, **params)


mlir.register_lowering(_solve_p, native.lowering_by_xla(fusing(solve_by_xla)))
mlir.register_lowering(
    _solve_p, native.lowering_by_xla(fusing(functools.partial(solve_by_xla, on_gpu=True))), platform="rocm"
)
mlir.register_lowering(_solve_p, _lower_cuda, platform="cuda")
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")


batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _jvp(
    solve: Callable[..., Sequence[Array]],
    pair: LinearPair,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    type: int,
    triangle: str,
    policy: Policy,
    vectors: bool,
    tally: Any = None,
) -> tuple[list[Any], list[Any]]:
    """The forward rule, where `solve(*primals)` returns vectors too; `tally`: the tangent of one."""
    w, v, *u = solve(*primals)
    residuals = [w, v, *u]
    if type > 0:
        a, b = (hermitian_part(lax.stop_gradient(x), triangle) for x in primals)
        residuals.append(lax.stop_gradient(scale_of(type, a, b, w, *bases(type, v, u[0] if u else None))))
    moved = [None if isinstance(t, ad.Zero) else t for t in tangents]
    moved += [None] * (2 - len(moved)) + ([] if tally is None else [tally])
    outputs = (True, vectors, vectors and type >= 2)
    static = {"type": type, "triangle": triangle, "policy": policy}
    return ([w, v, *u] if vectors else [w]), pair(moved, residuals, outputs=outputs, **static)


def _solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], tally: Any = None, **params: Any
) -> tuple[list[Any], list[Any]]:
    solve = functools.partial(_solve_p.bind, **{**params, "vectors": True})
    return _jvp(solve, pair, primals, tangents, tally=tally, **params)


ad.primitive_jvps[_solve_p] = _solve_jvp

# ---- by an engine -------------------------------------------------------------------------------------------------

# Without the core's rule, which would gather the matrix.
_spread_pair = LinearPair("eigenpair_hermitian_spread", tangent, cotangent, second_order)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _solve_by_engine(a: Array, engine: engines.Engine, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    # Placed out here, so that the gradient is placed as well.
    return _by_engine(engines.place(engine, a), engine, triangle, policy, vectors)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _by_engine(a: Array, engine: engines.Engine, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    results = engines.solve(engine, hermitian_part(a, triangle), vectors)
    return list(in_generic_basis(results, (a,), 0, triangle, policy))


@_by_engine.defjvp
def _by_engine_jvp(
    engine: engines.Engine, triangle: str, policy: Policy, vectors: bool, primals: Any, tangents: Any
) -> tuple[list[Any], list[Any]]:
    solve = lambda a: _by_engine(a, engine, triangle, policy, True)  # noqa: E731
    return _jvp(solve, _spread_pair, primals, tangents, type=0, triangle=triangle, policy=policy, vectors=vectors)
