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

from . import _arguments, _partial, cuda, engines, native
from ._linear_pair import LinearPair, batched, by_jit
from .degeneracy import (
    Policy,
    as_policy,
    broaden,
    check,
    generic_rotation,
    inverse_gaps,
    largest_column,
    mask,
    noise,
    norm,
    parts,
    raw,
    second_order_factor,
    verdict,
    without,
)

__all__ = ["EighResult", "eigh", "eigvalsh"]

_TRIANGLES = {"hermitian": 0, "lower": 1, "upper": 2}  # as the C ABI numbers them


class EighResult(NamedTuple):
    """Eigenvalues, real and ascending, shape `(…, k)`; eigenvectors in the columns of `(…, n, k)`."""

    eigenvalues: Array
    eigenvectors: Array


jax.export.register_namedtuple_serialization(EighResult, serialized_name="eigenpair.EighResult")


def eigh(
    a: Any,
    b: Any = None,
    *,
    type: int = 1,
    lower: bool | None = None,
    eigvals_only: bool = False,
    subset_by_index: tuple[int, int] | None = None,
    degeneracy: Policy | None = None,
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
        on it, off-diagonal entries doubled.
    - `eigvals_only`: return the eigenvalues alone.
    - `subset_by_index`: `(first, last)`, both included, counted from 0.
    - `degeneracy`: what a derivative does where eigenvalues coincide, see `eigenpair.degeneracy`; `check()` unless
        set for the block.

    **Returns:** `EighResult(eigenvalues, eigenvectors)`, which unpacks like a tuple. A matrix that cannot be solved
    (NaN or Inf among the entries read, `b` not positive definite, no convergence) gives NaN for itself alone.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.

    Derivatives: Giles 2008, §3.1; Magnus 1985; `docs/derivations.md`.
    """
    problem = _Problem.of(a, b, type, lower, subset_by_index, degeneracy)
    if _arguments.flag("eigvals_only", eigvals_only):
        return problem.values()
    return EighResult(*problem.solve(vectors=True))


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

    @staticmethod
    def of(a: Any, b: Any, type: Any, lower: Any, subset_by_index: Any, degeneracy: Any) -> _Problem:
        a = _arguments.matrices("a", a)
        static = {
            "type": _arguments.problem_type(type, b is not None),
            "triangle": _arguments.triangle(lower),
            "policy": as_policy(degeneracy),
        }
        operands: tuple[Array, ...] = (a,)
        if b is not None:
            operands = _arguments.promoted(a, _arguments.matrices("b", b))
        return _Problem(operands, static, _arguments.subset(subset_by_index, a.shape[-1]))

    def values(self) -> Array:
        return self.solve(vectors=False)[0]

    def solve(self, *, vectors: bool) -> list[Array]:
        a, subset, static = self.operands[0], self.subset, self.static
        if (
            subset is not None
            and engines.current() is None
            and _partial.worthwhile(a.shape[-1], subset, static["type"], static["policy"])
        ):
            chosen = {name: static[name] for name in ("triangle", "policy")}
            return _partial.solve(a, subset=subset, vectors=vectors, **chosen)
        results = solve(self.operands, vectors=vectors, **static)[: 1 + vectors]
        return list(results) if subset is None else [x[..., subset[0] : subset[1] + 1] for x in results]


# ---- forward ------------------------------------------------------------------------------------------------------

# Parameters: type, triangle, policy, vectors. Results: (w), or (w, v) for types 0 and 1, or (w, v, u) for types 2 and
# 3, whose derivatives need the dual basis U = V⁻ᴴ.
_solve_p = Primitive("eigenpair_hermitian")
_solve_p.multiple_results = True
_solve_jit = jax.jit(_solve_p.bind, static_argnames=("type", "triangle", "policy", "vectors"))
_solve_p.def_impl(by_jit(_solve_jit))


def solve(operands: Sequence[Array], *, type: int, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    """The results of the primitive, by the engine where the block has one."""
    engine = engines.current()
    if engine is None:
        return _solve_jit(*operands, type=type, triangle=triangle, policy=policy, vectors=vectors)
    engines.judge(engine, operands)
    return _solve_by_engine(operands[0], engine, triangle, policy, vectors)


def _result_count(type: int, vectors: bool) -> int:
    return (3 if type >= 2 else 2) if vectors else 1


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *b: Array, type: int, triangle: str, policy: Policy, vectors: bool) -> list[Array]:
    for x in b:
        a = a + x
    return [jnp.sum(jnp.real(a), axis=-1)] + [a] * (_result_count(type, vectors) - 1)


def _lower_native(ctx: Any, *operands: Any, type: int, triangle: str, policy: Policy, vectors: bool) -> Any:
    params = {"type": type, "triangle": triangle, "vectors": vectors}
    if vectors and isinstance(policy, check) and policy.generic_basis:

        def turned(*xs: Array) -> Sequence[Array]:
            return _in_generic_basis(_solve_p.bind(*xs, policy=check(), **params), xs, type, triangle, policy)

        return mlir.lower_fun(turned, multiple_results=True)(ctx, *operands)
    rule = native.lowering("eigenpair_hermitian", type=np.int32(type), triangle=np.int32(_TRIANGLES[triangle]))
    return rule(ctx, *operands)


def _in_generic_basis(
    results: Sequence[Array], operands: Sequence[Array], type: int, triangle: str, policy: Policy
) -> Sequence[Array]:
    """The same solution in the basis that the policy asks for."""
    if not isinstance(policy, check) or not policy.generic_basis or len(results) == 1:
        return results
    w, v, *u = results
    a, *b = (hermitian_part(x, triangle) for x in operands)
    scale = _scale(type, a, b[0] if b else None, w, *_bases(type, v, u[0] if u else None))
    turn = generic_rotation(policy, w, scale, v.dtype)
    return [w, *(_matmul(x, turn) for x in (v, *u))]


def _solve_by_xla(
    *operands: Array, type: int, triangle: str, policy: Policy, vectors: bool, kernels: Any = None
) -> Sequence[Array]:
    """The same results on XLA's own `eigh`, for platforms without a kernel; or on those of `kernels`, a module like
    `eigenpair.cuda`."""
    parts = [hermitian_part(x, triangle) for x in operands]
    finite, (a, *b) = finite_or_identity(*parts)
    eigh_ = _eigh_by_xla if kernels is None else kernels.eigh
    if type == 0:
        results, solved = eigh_(a, vectors)
    elif kernels is not None and kernels.takes_pair(a):
        results, solved = kernels.eigh_pair(a, *b, type, vectors)
    else:
        factor = lax.linalg.cholesky(b[0], symmetrize_input=False)
        solve = _triangular_solver(factor)
        if type == 1:
            a = hermitian_part(solve(_adjoint(solve(a))), "hermitian")
        else:
            a = hermitian_part(_matmul(_adjoint(factor), _matmul(a, factor)), "hermitian")
        # Cholesky has failed where B is not positive definite.
        reduced, (a,) = finite_or_identity(a)
        finite = finite & reduced
        results, solved = eigh_(a, vectors)
        if vectors:
            w, y = results
            primal, dual = solve(y, adjoint=True), _matmul(factor, y)
            results = [w, dual, primal] if type == 3 else [w, primal, dual]
    results = results[: _result_count(type, vectors)]
    good = finite[..., 0] & solved[..., None] & jnp.all(jnp.isfinite(results[0]), axis=-1, keepdims=True)
    results = [jnp.where(good if r.ndim < a.ndim else good[..., None], r, jnp.nan) for r in results]
    return _in_generic_basis(results, operands, type, triangle, policy)


def finite_or_identity(*xs: Array) -> tuple[Array, list[Array]]:
    """Where all of the matrices are finite, shape `(…, 1, 1)`, and what a solver may see of them: some answer NaN with
    finite numbers, or never."""
    finite = jnp.array(True)
    for x in xs:
        finite = finite & jnp.all(jnp.isfinite(x), axis=(-1, -2), keepdims=True)
    return finite, [jnp.where(finite, x, jnp.eye(x.shape[-1], dtype=x.dtype)) for x in xs]


def _eigh_by_xla(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    v, w = lax.linalg.eigh(a, symmetrize_input=False)
    return [w, v][: 1 + vectors], jnp.array(True)


def _triangular_solver(factor: Array) -> Any:
    def solve(x: Array, *, adjoint: bool = False) -> Array:
        return lax.linalg.triangular_solve(
            factor, x, left_side=True, lower=True, transpose_a=adjoint, conjugate_a=adjoint
        )

    return solve


def _lower_cuda(ctx: Any, *operands: Any, **params: Any) -> Any:
    kernels = cuda if cuda.has_kernels() else None
    rule = mlir.lower_fun(functools.partial(_solve_by_xla, kernels=kernels), multiple_results=True)
    return rule(ctx, *operands, **params)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
mlir.register_lowering(_solve_p, _lower_cuda, platform="cuda")
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")


batching.primitive_batchers[_solve_p] = batched(_solve_p)

# ---- derivatives --------------------------------------------------------------------------------------------------


def _adjoint(x: Array) -> Array:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def _matmul(x: Array, y: Array) -> Array:
    # Accelerators round the factors of a product by default; eigenvectors deserve better.
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def hermitian_part(x: Array, triangle: str = "hermitian") -> Array:
    """The Hermitian matrix that `triangle` of `x` stands for. Linear, so it also carries tangents."""
    if triangle == "hermitian":
        return x / 2 + _adjoint(x) / 2
    strict = jnp.tril(x, -1) if triangle == "lower" else jnp.triu(x, 1)
    diagonal = jnp.eye(x.shape[-1], dtype=bool)
    return jnp.where(diagonal, jnp.real(x).astype(x.dtype), strict + _adjoint(strict))


def _hermitian_part_transpose(x: Array, triangle: str) -> Array:
    """Of a Hermitian matrix: the gradient with respect to what `hermitian_part` reads."""
    if triangle == "hermitian":
        return x / 2 + _adjoint(x) / 2
    strict = (
        jnp.tril(x, -1) + _adjoint(jnp.triu(x, 1))
        if triangle == "lower"
        else jnp.triu(x, 1) + _adjoint(jnp.tril(x, -1))
    )
    return jnp.where(jnp.eye(x.shape[-1], dtype=bool), jnp.real(x).astype(x.dtype), strict)


def _bases(type: int, v: Array, u: Array | None) -> tuple[Array, Array]:
    """`X` and `Y`, through which `dA` and `dB` act."""
    if type == 2:
        return u, v  # type: ignore[return-value]
    return v, (u if type == 3 else v)  # type: ignore[return-value]


def _scale(type: int, a: Array, b: Array | None, w: Array, x: Array, y: Array) -> Array:
    """Size of the source of rounding in the eigenvalues, shape `(…, 1)`."""
    if type == 0:
        return jnp.max(jnp.abs(w), axis=-1, keepdims=True, initial=0)
    axes = (-2, -1)
    bound = norm(a, axes)[..., 0] * norm(x, -2)[..., 0, :] ** 2
    bound += jnp.abs(w) * norm(b, axes)[..., 0] * norm(y, -2)[..., 0, :] ** 2  # type: ignore[arg-type]
    return jnp.max(bound, axis=-1, keepdims=True, initial=0)


def pushforward(
    da: Array | None, db: Array | None, w: Array, v: Array, u: Array | None, f: Array, type: int
) -> tuple[Array, Array]:
    """`dλ` and `K` (`dV = V K`, `dU = −U Kᴴ`) for Hermitian `dA`, `dB`."""
    x, y = _bases(type, v, u)
    moved = jnp.zeros((), v.dtype)
    n_ = None
    if da is not None:
        moved = _matmul(_adjoint(x), _matmul(da, x))
    if db is not None:
        n_ = _matmul(_adjoint(y), _matmul(db, y))
        mean = (w[..., :, None] + w[..., None, :]) / 2
        moved = moved + (n_ * -mean if type == 1 else n_ * mean)
    dw = jnp.real(jnp.diagonal(moved, axis1=-2, axis2=-1))
    k = f * moved
    if n_ is not None:
        k = k + (n_ / 2 if type == 3 else n_ / -2)
    return dw, k


def pullback(
    w_bar: Any, k_bar: Any, rotation: Any, w: Array, v: Array, u: Array | None, type: int
) -> tuple[Callable[[], Array], Callable[[], Array]]:
    """Functions that return `Ā` and `B̄`, given `λ̄`, `K̄ = VᴴV̄ − ŪᴴU` and `F ∘ (K̄ − K̄ᴴ)/2` (`None`: zero)."""
    x, y = _bases(type, v, u)
    n = w.shape[-1]
    m_bar = rotation
    if w_bar is not None and m_bar is not None:
        m_bar = m_bar + jnp.eye(n, dtype=v.dtype) * w_bar[..., None, :]

    def a_bar() -> Array:
        if m_bar is None:
            return _matmul(x * w_bar[..., None, :], _adjoint(x))
        return _matmul(x, _matmul(m_bar, _adjoint(x)))

    def b_bar() -> Array:
        sign = -1 if type == 1 else 1
        if m_bar is None:
            return _matmul(y * (sign * w * w_bar)[..., None, :], _adjoint(y))
        mean = (w[..., :, None] + w[..., None, :]) / 2
        inner = sign * mean * m_bar + (1 if type == 3 else -1) * (k_bar + _adjoint(k_bar)) / 4
        return _matmul(y, _matmul(inner, _adjoint(y)))

    return a_bar, b_bar


def _tangent(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    type: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    w, v, u, scale = _unpack(residuals, type)
    da, db = (None if x is None else hermitian_part(x, triangle) for x in linear)
    dw, k = pushforward(da, db, w, v, u, inverse_gaps(policy, w, scale), type)
    results = (lambda: dw, lambda: _matmul(v, k), lambda: -_matmul(u, _adjoint(k)))
    return [result() for result, wanted in zip(results, outputs, strict=True) if wanted]


def _cotangent(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    type: int,
    triangle: str,
    policy: Policy,
) -> list[Array]:
    w, v, u, scale = _unpack(residuals, type)
    w_bar, v_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    k_bar: Any = None
    kappa: Any = 0
    rotation = None
    if v_bar is not None:
        k_bar, kappa = _matmul(_adjoint(v), v_bar), largest_column(v) * largest_column(v_bar)
    if u_bar is not None:
        k, size = _matmul(_adjoint(u_bar), u), largest_column(u) * largest_column(u_bar)
        k_bar, kappa = (-k if k_bar is None else k_bar - k), kappa + size
    answer = None
    if k_bar is not None:
        gap = w[..., None, :] - w[..., :, None]
        nothing = noise(policy, gap, *parts(k_bar), w_bar, kappa, scale[..., None])
        rotation = inverse_gaps(policy, w, scale) * without(nothing, (k_bar - _adjoint(k_bar)) / 2)
        answer = verdict(policy, w, w_bar, k_bar, kappa, scale)
    results = []
    for wanted, bar in zip(inputs, pullback(w_bar, k_bar, rotation, w, v, u, type), strict=True):
        if wanted:
            gradient = jnp.conj(_hermitian_part_transpose(bar(), triangle))  # back to JAX's convention
            results.append(gradient if answer is None else gradient * answer)
    return results


def _unpack(residuals: Sequence[Any], type: int) -> tuple[Any, Any, Any, Any]:
    """`w`, `v`, `u` (or `None`) and `scale`; of the standard problem `w` has the scale in itself."""
    w, v, *rest = residuals
    scale = _scale(0, w, None, w, v, v) if type == 0 else rest[-1]
    return w, v, (rest[0] if type >= 2 else None), lax.stop_gradient(scale)


def _second_order(
    residuals: Sequence[Any], *, outputs: tuple[bool, ...], type: int, triangle: str, policy: Policy
) -> Array:
    w, _, _, scale = _unpack(residuals, type)
    return second_order_factor(policy, w, scale, any(outputs[1:]))


# Beyond this XLA's products of matrices win. Measured: docs/performance.md.
_RULE_LIMIT = 64
_POLICIES = {check: 0, mask: 1, broaden: 2, raw: 3}  # as the C ABI numbers them


def _on_cpu(
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    reverse: bool,
    type: int,
    triangle: str,
    policy: Policy,
) -> Any:
    """The core's rule, where it has one: small matrices, and nobody to explain anything to."""
    n = residuals[1].shape[-1]
    if not 0 < n <= _RULE_LIMIT or not native.has_small_kernels() or (isinstance(policy, check) and policy.explain):
        return None

    def kernel(linear: Sequence[Array], residuals: Sequence[Array]) -> Sequence[Array]:
        # All share the batch of the linear arrays, but residuals may have it in parts only, as under jacrev.
        first = next(i for i, flag in enumerate(outputs if reverse else inputs) if flag)
        batch = linear[0].shape[: -1 if reverse and first == 0 else -2]
        w, v = residuals[:2]
        sizes = [(n,), (n, n)] + [(n, n)] * (type >= 2) + [(1,)] * (type > 0)
        kept = [jnp.broadcast_to(x, (*batch, *size)) for x, size in zip(residuals, sizes, strict=True)]
        results = [(*batch, n, n)] * 2 if reverse else [(*batch, n), (*batch, n, n), (*batch, n, n)]
        dtypes = [v.dtype] * 2 if reverse else [w.dtype, v.dtype, v.dtype]
        wanted = inputs if reverse else outputs
        return _rule_p.bind(
            *kept,
            *linear,
            results=tuple(
                (shape, np.dtype(dtype)) for shape, dtype, flag in zip(results, dtypes, wanted, strict=True) if flag
            ),
            attributes=(
                ("type", np.int32(type)),
                ("triangle", np.int32(_TRIANGLES[triangle])),
                ("policy", np.int32(_POLICIES[policy.__class__])),
                ("parameter", np.float64(next(iter(vars(policy).values()), 0))),
                ("reverse", np.int32(reverse)),
                ("residuals", np.uint32(3 + 4 * (type >= 2) + 8 * (type > 0))),
                ("given", _bits(outputs if reverse else inputs)),
                ("wanted", _bits(wanted)),
            ),
        )

    return kernel


def _bits(flags: Sequence[bool]) -> np.uint32:
    return np.uint32(sum(1 << i for i, flag in enumerate(flags) if flag))


# The core's rule as an operation of its own: it exists in lowered programs only.
_rule_p = Primitive("eigenpair_hermitian_rule")
_rule_p.multiple_results = True
_rule_p.def_abstract_eval(lambda *_, results, attributes: [jax.core.ShapedArray(*result) for result in results])
mlir.register_lowering(
    _rule_p,
    lambda ctx, *operands, results, attributes: native.lowering("eigenpair_hermitian_rule", **dict(attributes))(
        ctx, *operands
    ),
)

_pair = LinearPair("eigenpair_hermitian", _tangent, _cotangent, _second_order, _on_cpu)


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
) -> tuple[list[Any], list[Any]]:
    """The forward rule, where `solve(*primals)` returns vectors too."""
    w, v, *u = solve(*primals)
    residuals = [w, v, *u]
    if type > 0:
        a, b = (hermitian_part(lax.stop_gradient(x), triangle) for x in primals)
        residuals.append(lax.stop_gradient(_scale(type, a, b, w, *_bases(type, v, u[0] if u else None))))
    moved = [None if isinstance(t, ad.Zero) else t for t in tangents]
    moved += [None] * (2 - len(moved))
    outputs = (True, vectors, vectors and type >= 2)
    static = {"type": type, "triangle": triangle, "policy": policy}
    return ([w, v, *u] if vectors else [w]), pair(moved, residuals, outputs=outputs, **static)


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[list[Any], list[Any]]:
    return _jvp(functools.partial(_solve_p.bind, **{**params, "vectors": True}), _pair, primals, tangents, **params)


ad.primitive_jvps[_solve_p] = _solve_jvp

# ---- by an engine -------------------------------------------------------------------------------------------------

# Without the core's rule, which would gather the matrix.
_spread_pair = LinearPair("eigenpair_hermitian_spread", _tangent, _cotangent, _second_order)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _solve_by_engine(a: Array, engine: engines.Engine, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    # Placed out here, so that the gradient is placed as well.
    return _by_engine(engines.place(engine, a), engine, triangle, policy, vectors)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _by_engine(a: Array, engine: engines.Engine, triangle: str, policy: Policy, vectors: bool) -> Sequence[Array]:
    results = engines.solve(engine, hermitian_part(a, triangle), vectors)
    return list(_in_generic_basis(results, (a,), 0, triangle, policy))


@_by_engine.defjvp
def _by_engine_jvp(
    engine: engines.Engine, triangle: str, policy: Policy, vectors: bool, primals: Any, tangents: Any
) -> tuple[list[Any], list[Any]]:
    solve = lambda a: _by_engine(a, engine, triangle, policy, True)  # noqa: E731
    return _jvp(solve, _spread_pair, primals, tangents, type=0, triangle=triangle, policy=policy, vectors=vectors)
