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
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import _arguments, cuda, engines, native
from ._linear_pair import LinearPair, batched, by_jit
from ._matrices import adjoint, finite_or_identity, matmul
from .degeneracy import (
    ROUNDING_OF_COTANGENT,
    Policy,
    as_policy,
    broaden,
    check,
    explain,
    largest_column,
    mask,
    nan_where,
    noise,
    norm,
    second_order_width,
    width,
    without,
)

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


def eig(
    a: Any,
    b: Any = None,
    *,
    left: bool = False,
    right: bool = True,
    degeneracy: Policy | None = None,
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

    **Returns:** `(w, v)`, `(w, vl)` or `(w, vl, v)`, named; `w` alone when neither is asked for. All are complex.

    *Order.* By real part, then imaginary part; so the member of a conjugate pair with negative imaginary part comes
    first. Infinite eigenvalues (singular `b`) follow as `inf + 0j`, undetermined ones (a singular pencil) as NaN.

    *Gauge.* Unit 2-norm, largest component real and positive; of components equal to within `√ε`, the first.

    A matrix that cannot be solved (NaN or Inf in it, no convergence) gives NaN for itself alone.

    *Derivatives* exist where the eigenvalues are distinct. Their size follows the condition numbers
    (`condition_numbers`); a matrix too close to a defective one for its derivative to have a correct digit has NaN.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled.
    """
    operands, policy = _problem(a, b, degeneracy)
    left, right = _arguments.flag("left", left), _arguments.flag("right", right)
    w, *vectors = _solve_jit(*operands, policy=policy, right=right, left=left, dual=False)
    if left and right:
        return EigBothResult(w, vectors[1], vectors[0])
    if right:
        return EigResult(w, vectors[0])
    return EigLeftResult(w, vectors[0]) if left else w


def eigvals(a: Any, b: Any = None, *, degeneracy: Policy | None = None) -> Array:
    """Eigenvalues alone: complex, `(…, n)`. Arguments, order and errors as for `eig`.

    The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, the same for a matrix that happens to be symmetric as for its
    neighbours. Where eigenvalues coincide it exists for losses that are symmetric in them, and is NaN for others.
    """
    operands, policy = _problem(a, b, degeneracy)
    (w,) = _solve_jit(*operands, policy=policy, right=False, left=False, dual=False)
    return w


def condition_numbers(a: Any, b: Any = None) -> Array:
    """How strongly each eigenvalue answers to a perturbation of `a`: `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair), real,
    shape `(…, n)`.

    1 for normal matrices; NaN where the matrix is defective to working precision. In the order of `eigvals`.
    """
    operands, policy = _problem(a, b, check())
    _, v, u = _solve_jit(*operands, policy=policy, right=True, left=False, dual=True)
    return lax.stop_gradient(norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :])


def _problem(a: Any, b: Any, degeneracy: Any) -> tuple[tuple[Array, ...], Policy]:
    engines.refuse("a general problem")
    a = _arguments.matrices("a", a)
    operands: tuple[Array, ...] = (a,)
    if b is not None:
        operands = _arguments.promoted(a, _arguments.matrices("b", b))
    return operands, as_policy(degeneracy)


# ---- forward ------------------------------------------------------------------------------------------------------

# Results: w, then those of v (right), vl (left), u (dual) that are asked for.
_solve_p = Primitive("eigenpair_general")
_solve_p.multiple_results = True
_solve_jit = jax.jit(_solve_p.bind, static_argnames=("policy", "right", "left", "dual"))
_solve_p.def_impl(by_jit(_solve_jit))


@_solve_p.def_abstract_eval
@native.abstract
def _solve_abstract(a: Array, *b: Array, policy: Policy, right: bool, left: bool, dual: bool) -> list[Array]:
    for x in b:
        a = a + x
    a = a.astype(jnp.promote_types(a.dtype, jnp.complex64))
    return [jnp.sum(a, axis=-1)] + [a] * (right + left + dual)


def _lower_native(ctx: Any, *operands: Any, policy: Policy, right: bool, left: bool, dual: bool) -> Any:
    return native.lowering("eigenpair_general", right=right, left=left, dual=dual)(ctx, *operands)


def _solve_by_xla(
    *operands: Array, policy: Policy, right: bool, left: bool, dual: bool, kernels: Any = None
) -> Sequence[Array]:
    """The same results on XLA's own `eig`, for platforms without a kernel; or on that of `kernels`, a module like
    `eigenpair.cuda`. Knows no infinite eigenvalues: they are NaN."""
    finite, (a, *b) = finite_or_identity(*operands)
    dtype = jnp.promote_types(a.dtype, jnp.complex64)
    # With B singular, the quotient is not finite.
    regular, (standard,) = finite_or_identity(jnp.linalg.solve(b[0], a) if b else a)
    finite = finite & regular
    vectors = right or left or dual
    standard, size = _to_size_one(standard)
    (w, *vs), solved = (_eig_by_xla if kernels is None else kernels.eig)(standard, vectors)
    w = w * size
    order = jnp.lexsort((jnp.imag(w), jnp.real(w)), axis=-1)
    w = jnp.take_along_axis(w, order, axis=-1)
    vs = [_normalize(jnp.take_along_axis(v, order[..., None, :], axis=-1)) for v in vs]
    results = [w] + vs * right
    if left or dual:
        (v,) = vs
        u = adjoint(jnp.linalg.inv(matmul(b[0].astype(dtype), v) if b else v))
        limit = 1 / (10 * math.sqrt(max(a.shape[-1], 1)) * jnp.finfo(dtype).eps)
        u = jnp.where(largest_column(u) < limit, u, jnp.nan) if a.shape[-1] else u
        results += [_normalize(u)] * left + [u] * dual
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
    return a * jnp.ldexp(one, -exponent)[..., None, None], jnp.ldexp(one, exponent)[..., None]


def _eig_by_xla(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    results = lax.linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=vectors)
    return list(results), jnp.array(True)


def _lower_cuda(ctx: Any, *operands: Any, **params: Any) -> Any:
    kernels = cuda if cuda.has_kernels("Xgeev") else None
    rule = mlir.lower_fun(functools.partial(_solve_by_xla, kernels=kernels), multiple_results=True)
    return rule(ctx, *operands, **params)


mlir.register_lowering(_solve_p, native.lowering_by_xla(_solve_by_xla))
mlir.register_lowering(_solve_p, _lower_cuda, platform="cuda")
if native.has_cpu_kernels():
    mlir.register_lowering(_solve_p, _lower_native, platform="cpu")
batching.primitive_batchers[_solve_p] = batched(_solve_p)


def _pivot(v: Array) -> Array:
    """Index of the component that the gauge made real, shape `(…, 1, n)`: the first of the largest that are real."""
    size = jnp.where(jnp.imag(v) == 0, jnp.abs(v), 0)
    enough = 1 - 2 * math.sqrt(jnp.finfo(v.dtype).eps)
    return jnp.argmax(size >= enough * jnp.max(jnp.abs(v), axis=-2, keepdims=True), axis=-2, keepdims=True)


def _normalize(u: Array) -> Array:
    """Columns in the gauge of `eig`. Differentiable."""
    if u.shape[-1] == 0:
        return u
    fixed = lax.stop_gradient(u)
    size = jnp.abs(fixed)
    enough = 1 - math.sqrt(jnp.finfo(u.dtype).eps)
    k = jnp.argmax(size >= enough * jnp.max(size, axis=-2, keepdims=True), axis=-2, keepdims=True)
    z = jnp.take_along_axis(u, k, axis=-2)
    scale = lax.stop_gradient(jnp.max(size, axis=-2, keepdims=True))
    length = scale * jnp.sqrt(jnp.sum(jnp.real(u / scale) ** 2 + jnp.imag(u / scale) ** 2, axis=-2, keepdims=True))
    return u * (jnp.conj(z) / jnp.abs(z)) / length


# ---- derivatives --------------------------------------------------------------------------------------------------


def _homogeneous(w: Array) -> tuple[Array, Array]:
    """`(α, β)` with `λ = α/β`: `(λ, 1)`, and `(1, 0)` where infinite."""
    infinite = jnp.isinf(w)
    return jnp.where(infinite, 1, w), jnp.where(infinite, 0, 1).astype(w.dtype)


def _gaps(w: Array) -> Array:
    """`αⱼβᵢ − βⱼαᵢ`, which is `λⱼ − λᵢ` for finite eigenvalues."""
    alpha, beta = _homogeneous(w)
    return alpha[..., None, :] * beta[..., :, None] - beta[..., None, :] * alpha[..., :, None]


def _close(w: Array, tol: Array) -> Array:
    infinite = jnp.isinf(w)
    apart = jnp.abs(_gaps(w)) > jnp.maximum(tol[..., :, None], tol[..., None, :])
    return ~(apart | (infinite[..., :, None] != infinite[..., None, :]))


def clusters(policy: check, w: Array, reach: Array) -> Array:
    """Which pairs share a cluster: those closer than `c·√n·ε` times the larger `reach`, and whatever such pairs
    connect."""
    together = _close(w, width(policy, w) * reach) | jnp.eye(w.shape[-1], dtype=bool)

    def more(state: tuple[Array, Array]) -> tuple[Array, Array]:
        now, _ = state
        counts = now.astype(jnp.float32)
        reached = jnp.matmul(counts, counts) > 0
        return reached, jnp.any(reached != now)

    return lax.while_loop(lambda state: state[1], more, (together, jnp.any(together)))[0]


def inverse_gaps(policy: Policy, w: Array, reach: Array) -> Array:
    """`F`: `1/(λⱼ − λᵢ)` as the policy has it, 0 on the diagonal."""
    gap = _gaps(w)
    size = jnp.abs(gap)
    dropped = jnp.eye(w.shape[-1], dtype=bool)
    if isinstance(policy, broaden):
        dropped = dropped | (size == 0)
        safe = jnp.where(dropped, 1, gap)
        return jnp.where(dropped, 0, 1 / (safe + policy.eps / jnp.conj(safe)))
    if isinstance(policy, check):
        dropped = dropped | clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach))
    elif isinstance(policy, mask):
        dropped = dropped | (size <= policy.tol)
    return jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, gap))


def verdict(
    policy: Policy, w: Array, w_bar: Array | None, k_bar: Array | None, kappa: Any, reach: Array, condition: Array
) -> Array | None:
    """1 where a gradient exists as far as can be seen, else NaN; shape `(…, 1, 1)`. `None`: nothing to judge."""
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return None
    pair = clusters(policy, lax.stop_gradient(w), lax.stop_gradient(reach)) & ~jnp.eye(w.shape[-1], dtype=bool)
    small = ROUNDING_OF_COTANGENT * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps
    wrong = jnp.zeros_like(pair)
    if k_bar is not None:
        wrong |= ~(jnp.abs(lax.stop_gradient(k_bar)) <= small * lax.stop_gradient(kappa))
        # A cluster of parallel vectors is a defective eigenvalue, and no coupling is small enough there.
        worst = jnp.maximum(condition[..., :, None], condition[..., None, :])
        wrong |= ~(10 * policy.c * math.sqrt(w.shape[-1]) * jnp.finfo(w.dtype).eps * worst**2 < 1)
    if w_bar is not None:
        w_bar = lax.stop_gradient(w_bar)
        split = jnp.abs(w_bar[..., :, None] - w_bar[..., None, :])
        wrong |= ~(split <= small * jnp.max(jnp.abs(w_bar), axis=-1, initial=0)[..., None, None])
    wrong &= pair
    if policy.explain:
        rotates = jnp.zeros_like(pair) if k_bar is None else ~(jnp.abs(k_bar) <= small * kappa)
        explain("eig", policy, w, wrong, rotates)
    return nan_where(wrong, reach.dtype)


def _gauge(v: Array) -> tuple[Array, Array]:
    """`e_k` as a mask, `(…, n, n)`, and the real components `v_kj`, `(…, 1, n)`."""
    k = _pivot(lax.stop_gradient(v))
    rows = jnp.arange(v.shape[-2])[:, None]
    return rows == k, jnp.real(jnp.take_along_axis(v, k, axis=-2))


def _tangent(
    linear: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    policy: Policy,
) -> list[Array]:
    da, db = linear
    w, v, u, reach, _ = residuals
    alpha, beta = _homogeneous(w)
    moved = jnp.zeros_like(v)
    dw = jnp.zeros_like(w)
    pencil = None
    if da is not None:
        m = matmul(adjoint(u), matmul(da, v))
        moved, dw = moved + m * beta[..., None, :], dw + jnp.diagonal(m, axis1=-2, axis2=-1)
    if db is not None:
        pencil = matmul(adjoint(u), matmul(db, v))
        moved, dw = moved - pencil * alpha[..., None, :], dw - w * jnp.diagonal(pencil, axis1=-2, axis2=-1)
    dw = jnp.where(jnp.isinf(w), jnp.nan, dw)
    k = inverse_gaps(policy, w, reach) * moved
    k = k + jnp.eye(w.shape[-1], dtype=v.dtype) * _phase(v, k)[..., None, :]
    results = [dw] if outputs[0] else []
    if outputs[1]:
        results.append(matmul(v, k))
    if outputs[2] or outputs[3]:
        du = -matmul(u, adjoint(k if pencil is None else k + pencil))
        if outputs[2]:
            results.append(jax.jvp(_normalize, (jnp.broadcast_to(u, du.shape),), (du,))[1])
        if outputs[3]:
            results.append(du)
    return results


def _phase(v: Array, k: Array) -> Array:
    """`c` of the gauge: unit norm, and component `v_kj` stays real."""
    chosen, real = _gauge(v)
    turned = matmul(v, k)
    along = jnp.sum(jnp.real(jnp.conj(v) * turned), axis=-2)
    out = jnp.sum(jnp.where(chosen, jnp.imag(turned), 0), axis=-2) / real[..., 0, :]
    return lax.complex(-along, -out)


def _cotangent(
    cotangents: Sequence[Any],
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    policy: Policy,
) -> list[Array]:
    w, v, u, reach, condition = residuals
    w_bar, v_bar, left_bar, u_bar = (None if x is None else jnp.conj(x) for x in cotangents)  # from JAX's convention
    if left_bar is not None:
        # Residuals may lack batch axes that cotangents have, as under jacrev.
        (pulled,) = jax.vjp(_normalize, jnp.broadcast_to(u, left_bar.shape))[1](jnp.conj(left_bar))
        u_bar = jnp.conj(pulled) if u_bar is None else u_bar + jnp.conj(pulled)
    alpha, beta = _homogeneous(w)
    k_bar: Any = None
    h_bar: Any = None
    kappa: Any = 0
    if v_bar is not None:
        k_bar, kappa = matmul(adjoint(v), v_bar), largest_column(v) * largest_column(v_bar)
    if u_bar is not None:
        h_bar = -matmul(adjoint(u_bar), u)
        kappa = kappa + largest_column(u) * largest_column(u_bar)
        k_bar = h_bar if k_bar is None else k_bar + h_bar
    m_bar = jnp.zeros_like(v)
    n_bar = jnp.zeros_like(v) if h_bar is None else h_bar
    if k_bar is not None:
        k_bar = k_bar + matmul(adjoint(v), _phase_transpose(v, jnp.diagonal(k_bar, axis1=-2, axis2=-1)))
        f = inverse_gaps(policy, w, reach)
        size = jnp.abs(k_bar)
        coupling = jnp.maximum(size, jnp.swapaxes(size, -1, -2))
        scale = jnp.max(reach, axis=-1)[..., None, None]
        nothing = noise(policy, jnp.abs(_gaps(w)), coupling, coupling, w_bar, kappa, scale)
        if nothing is not None:
            # Where vectors are nearly parallel, little coupling does not mean little effect.
            nothing &= jnp.maximum(condition[..., :, None], condition[..., None, :]) < 1e3
        e = jnp.conj(f) * without(nothing, k_bar)
        m_bar = m_bar + e * jnp.conj(beta)[..., None, :]
        n_bar = n_bar - e * jnp.conj(alpha)[..., None, :]
    answer = verdict(policy, w, w_bar, k_bar, kappa, reach, condition)
    if w_bar is not None:
        infinite = jnp.isinf(w)
        w_bar = jnp.where(infinite & (w_bar != 0), jnp.nan, w_bar)
        eye = jnp.eye(w.shape[-1], dtype=v.dtype)
        m_bar = m_bar + eye * w_bar[..., None, :]
        n_bar = n_bar - eye * (w_bar * jnp.where(infinite, 0, jnp.conj(w)))[..., None, :]
    results = []
    for wanted, bar in zip(inputs, (m_bar, n_bar), strict=True):
        if wanted:
            gradient = jnp.conj(matmul(u, matmul(bar, adjoint(v))))  # back to JAX's convention
            results.append(gradient if answer is None else gradient * answer)
    return results


def _phase_transpose(v: Array, c_bar: Array) -> Array:
    """The transpose of `_phase` as a function of `V K`."""
    chosen, real = _gauge(v)
    out = jnp.where(chosen, (jnp.imag(c_bar) / real[..., 0, :])[..., None, :], 0)
    return -v * jnp.real(c_bar)[..., None, :] - 1j * out


def _second_order(residuals: Sequence[Any], *, outputs: tuple[bool, ...], policy: Policy) -> Array:
    w, _, _, reach, _ = residuals
    factor = jnp.where(jnp.any(jnp.isinf(w), axis=-1), jnp.nan, 1).astype(reach.dtype)
    if not isinstance(policy, check) or w.shape[-1] == 0:
        return factor
    w, reach = lax.stop_gradient(w), lax.stop_gradient(reach)
    close = _close(w, second_order_width(policy, w, any(outputs[1:])) * reach)
    close &= ~jnp.eye(w.shape[-1], dtype=bool)
    return jnp.where(jnp.any(close, axis=(-1, -2)), jnp.nan, factor)


_pair = LinearPair("eigenpair_general", _tangent, _cotangent, _second_order)


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[list[Any], list[Any]]:
    policy, right, left, dual = (params[key] for key in ("policy", "right", "left", "dual"))
    if primals[0].shape[-1] == 0:
        empty = _solve_p.bind(*primals, **params)
        return list(empty), [jnp.zeros_like(r) for r in empty]
    w, v, *rest = _solve_p.bind(*primals, policy=policy, right=True, left=left, dual=True)
    u = rest[-1]
    a, *b = (lax.stop_gradient(x) for x in primals)
    size = norm(a, (-2, -1))[..., 0]
    if b:
        size = size + jnp.where(jnp.isinf(w), 0, jnp.abs(w)) * norm(b[0], (-2, -1))[..., 0]
    lengths = norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :]
    reach = lax.stop_gradient(size * lengths)
    condition = lax.stop_gradient(lengths * norm(b[0], (-2, -1))[..., 0] if b else lengths)
    moved = [None if isinstance(t, ad.Zero) else t.astype(v.dtype) for t in tangents]
    moved += [None] * (2 - len(moved))
    outputs = (True, right, left, dual)
    results = [r for r, wanted in zip((w, v, rest[0], u), outputs, strict=True) if wanted]
    return results, _pair(moved, (w, v, u, reach, condition), outputs=outputs, policy=policy)


ad.primitive_jvps[_solve_p] = _solve_jvp
