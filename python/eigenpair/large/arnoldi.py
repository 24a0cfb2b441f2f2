"""A block Krylov–Schur method for general operators, on the device: Arnoldi steps with thick restarts.

It works like `krylov`, in complex arithmetic: blocks, full orthogonalization, a projected matrix that is computed
rather than inferred, and a last pass that searches for missed copies from random vectors orthogonal to those found. A
restart keeps an orthonormal basis of the requested invariant subspace of the projected matrix.

G. W. Stewart, *A Krylov–Schur algorithm for large eigenproblems* (2001).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..general import api
from .basis import orthonormalized, random_rows
from .krylov_state import OF_GAP, PASSES, Map, Plan
from .linear_systems import shifted_systems
from .operators import Operator, combine, inner, lengths, products, safe_lengths


class Pencil(NamedTuple):
    """`A`, `B` and `B⁻¹` as functions of rows, or the adjoints of all three."""

    a: Map
    b: Map
    solve: Map
    pair: bool

    @staticmethod
    def of(a: Operator, b: Operator | None, dtype: Any, adjoint: bool) -> Pencil:
        """Of operators, in complex precision `dtype`."""
        kind = "adjoint" if adjoint else "apply"
        times_a = products(a, dtype, kind)
        if b is None:
            return Pencil(times_a, lambda x: x, lambda x: x, False)
        times_b = products(b, dtype, kind)
        eps = float(jnp.finfo(dtype).eps)

        def solve(x: Array) -> Array:
            y, _ = shifted_systems(times_b, jnp.zeros(x.shape[0], x.dtype), x, 4 * eps, 100)
            # A residual that is much larger than rounding means that B is singular, or nearly so.
            close = lengths(x - times_b(y)) <= 1e4 * eps * (lengths(x) + lengths(times_b(y)))
            return jnp.where(close[:, None], y, jnp.nan)

        return Pencil(times_a, times_b, solve, True)


def eig(a: Array, b: Array | None = None) -> tuple[Array, Array]:
    """Eigenvalues and right vectors of a small matrix or pair."""
    w, v = api.eig(a, b)  # type: ignore[misc]
    return w, v


class State(NamedTuple):
    """The state between two cycles. The product of row `i` of the basis is row `i` of `[matrix, coupling]` times the
    rows."""

    basis: Array  # (capacity + block, n)
    matrix: Array  # (kept, kept)
    coupling: Array  # (kept, block), with the block that follows what was kept
    alive: Array  # (kept,), which of the first rows are not zero
    scale: Array  # (2,), sizes of A and B
    residuals: Array  # (k,), estimates until a pass has ended
    edge: Array  # the distance, in what is wanted, to the next eigenvalue
    previous: Array  # (k,), the wanted eigenvalues when this pass began
    searching: Array  # whether this pass began at random
    passes: Array
    cycle: Array
    done: Array
    complete: Array  # done because a search found nothing new


class Side(NamedTuple):
    """An orthonormal basis of the requested right vectors, or left ones. Vectors are rows."""

    basis: Array  # (k, n)
    scale: Array
    edge: Array
    iterations: Array
    complete: Array


def sort_keys(which: str, w: Array) -> Array:
    """A sort key for each eigenvalue, lowest for those that `which` puts first. Of a conjugate pair, the eigenvalue
    with positive imaginary part comes first."""
    key = {"LM": -jnp.abs(w), "LR": -w.real, "SR": w.real, "LI": -w.imag, "SI": w.imag}[which]
    return key - float(jnp.finfo(w.dtype).eps) ** 0.6 * w.imag


def _ritz(which: str, adjoint: bool, matrix: Array, alive: Array) -> tuple[Array, Array, Array, Array]:
    """Ritz values, their vectors in rows, which of them belong to nonzero rows, and their sort keys."""
    largest = jnp.sqrt(jnp.sum(jnp.abs(matrix) ** 2))
    beyond = jnp.where(largest > 0, 2 * largest, 1)
    full = jnp.where(alive[:, None] & alive[None, :], matrix, 0)
    full = full + jnp.diag(jnp.where(alive, 0, beyond)).astype(matrix.dtype)
    full = jnp.where(jnp.isfinite(largest), full, jnp.eye(full.shape[0], dtype=full.dtype))
    theta, s = eig(full.T)
    real = jnp.abs(theta) <= jnp.where(largest > 0, 1.5 * largest, 0.5)
    return theta, s.T, real, jnp.where(real, sort_keys(which, jnp.conj(theta) if adjoint else theta), jnp.inf)


def _in_line(w: Array) -> Array:
    """Sorted along a direction in which different eigenvalues are hardly ever equal."""
    return w[jnp.argsort(jnp.real(w * np.exp(1j).astype(w.dtype)))]


def begin(plan: Plan, problem: Pencil, adjoint: bool, start: Array, given: int) -> State:
    """A basis that holds only the first block: `start`, `(block, n)` or, if more are `given`, `(k, n)`."""
    real = jnp.finfo(start.dtype).dtype
    basis = jnp.zeros((plan.capacity + plan.block, start.shape[-1]), start.dtype) + 0 * start[:1]
    state = State(
        basis=basis,
        matrix=jnp.zeros((plan.kept, plan.kept), start.dtype),
        coupling=jnp.zeros((plan.kept, plan.block), start.dtype),
        alive=jnp.zeros(plan.kept, bool),
        scale=jnp.zeros(2, real),
        residuals=jnp.full(plan.k, jnp.inf, real),
        edge=jnp.array(jnp.inf, real),
        previous=jnp.full(plan.k, jnp.inf, start.dtype),
        searching=jnp.array(True),
        passes=jnp.array(0),
        cycle=jnp.array(0),
        done=jnp.array(False),
        complete=jnp.array(False),
    )
    first = orthonormalized(start, basis[:1], None, 1)
    if given <= plan.block:
        return state._replace(basis=basis.at[plan.kept : plan.kept + plan.block].set(first))
    return _new_pass(plan, problem, adjoint, state, first)


def _new_pass(plan: Plan, problem: Pencil, adjoint: bool, state: State, x: Array) -> State:
    """Checks the residuals of the eigenvectors in the span of `x` and begins a pass: from these residuals if they are
    too large, otherwise from random vectors."""
    k, p, kept = plan.k, plan.block, plan.kept
    ax, bx = problem.a(x), problem.b(x)
    cx = problem.solve(ax)
    matrix = inner(cx, x)
    outside = cx - combine(matrix, x)
    theta, s, _, _ = _ritz(plan.which, adjoint, matrix, jnp.ones(k, bool))
    scale = jnp.maximum(state.scale, jnp.stack([jnp.max(lengths(ax)), jnp.max(lengths(bx))]))
    residuals = safe_lengths(combine(s, ax) - (theta[:, None] * combine(s, bx)))
    allowed = plan.tol * (scale[0] + jnp.abs(theta) * (scale[1] if problem.pair else 0))
    poor = jnp.any(~(residuals <= allowed))
    seed = 100 + state.passes
    spread = random_rows(seed, jnp.zeros((p, k), x.dtype))
    weights = jnp.where(residuals > allowed / 2, 1 / jnp.where(residuals > 0, residuals, 1), 0)
    directions = combine(spread * weights.astype(x.dtype)[None, :], combine(s, outside))
    block = jnp.where(poor, directions, random_rows(seed, state.basis[:p]))
    first = orthonormalized(block, x, None, seed + 1)
    largest = jnp.max(jnp.abs(theta))
    still = jnp.max(jnp.abs(_in_line(theta) - state.previous)) <= float(jnp.finfo(x.dtype).eps) ** 0.5 * largest
    broken = ~jnp.all(jnp.isfinite(residuals))
    basis = state.basis.at[:k].set(x).at[k:kept].set(0).at[kept : kept + p].set(first).at[kept + p :].set(0)
    complete = (state.passes > 0) & state.searching & still & ~poor
    return state._replace(
        basis=basis,
        matrix=jnp.zeros_like(state.matrix).at[:k, :k].set(matrix),
        coupling=jnp.zeros_like(state.coupling).at[:k].set(inner(cx, first)),
        alive=jnp.arange(kept) < k,
        scale=scale,
        residuals=residuals,
        previous=_in_line(theta),
        searching=~poor,
        passes=state.passes + 1,
        done=complete | broken | (state.passes >= PASSES),
        complete=complete,
    )


def cycle(plan: Plan, problem: Pencil, adjoint: bool, state: State) -> State:
    """One cycle: steps, then a restart."""
    m, p, r = plan.capacity, plan.block, plan.kept
    seed = 1000 + 100 * state.cycle

    def step(s: Array, carry: Any) -> Any:
        basis, c, scale = carry
        at = r + s * p
        x = lax.dynamic_slice_in_dim(basis, at, p)
        ax = problem.a(x)
        cx = problem.solve(ax)
        basis = lax.dynamic_update_slice_in_dim(basis, orthonormalized(cx, basis, None, seed + s), at + p, axis=0)
        c = lax.dynamic_update_slice_in_dim(c, inner(cx, basis), at, axis=0)
        size = jnp.stack([jnp.max(lengths(ax)), jnp.max(lengths(problem.b(x)))])
        return basis, c, jnp.maximum(scale, size)

    c = jnp.zeros((m + p, m + p), state.basis.dtype)
    c = c.at[:r, :r].set(state.matrix).at[:r, r : r + p].set(state.coupling)
    basis, c, scale = lax.fori_loop(0, plan.steps, step, (state.basis, c, state.scale))

    h, beta = c[:m, :m], c[m - p : m, m:]
    finite = jnp.all(jnp.isfinite(h))
    alive = jnp.concatenate([state.alive, lengths(basis[r:m]) > 0])
    theta, s, real, key = _ritz(plan.which, adjoint, h, alive)
    order = jnp.argsort(key)
    estimate = lengths(combine(s[:, m - p :], beta))
    if problem.pair:
        allowed = plan.tol / 2 * (scale[0] / scale[1] + jnp.abs(theta))
    else:
        scale = scale.at[0].max(jnp.max(jnp.where(real, jnp.abs(theta), 0)))
        allowed = jnp.broadcast_to(plan.tol / 2 * scale[0], theta.shape)
    wanted, guard = order[: plan.k], order[plan.k]
    edge = key[guard] - jnp.max(key[wanted])
    distance = jnp.min(jnp.abs(theta[wanted] - theta[guard]))
    guarded = real[guard] & (estimate[guard] <= jnp.maximum(allowed[guard], OF_GAP * jnp.minimum(distance, edge)))
    converged = jnp.all(estimate[wanted] <= allowed[wanted])
    converged &= guarded | (state.passes == 0) | ~state.searching

    chosen = order[:r]
    # QR of the Ritz vectors is nested: the first k rows span the wanted subspace.
    q = jnp.linalg.qr(jnp.where(finite, s[chosen].T, jnp.eye(m, r, dtype=s.dtype)))[0].T
    basis = basis.at[:r].set(combine(q, basis[:m])).at[r : r + p].set(basis[m:]).at[r + p :].set(0)
    state = state._replace(
        basis=basis,
        matrix=combine(combine(q, h), jnp.conj(q).T),
        coupling=combine(q[:, m - p :], beta),
        alive=real[chosen],
        scale=scale,
        residuals=jnp.where(finite, estimate[wanted], jnp.nan),
        edge=edge,
        cycle=state.cycle + 1,
        done=state.done | ~finite,
    )

    def finish(state: State) -> State:
        return _new_pass(plan, problem, adjoint, state, state.basis[: plan.k])

    return lax.cond(converged & finite, finish, lambda state: state, state)


def _pencil(forms: Any, parameters: Any, dtype: Any, adjoint: bool) -> Pencil:
    a, b = (None if f is None else Operator(f, p) for f, p in zip(forms, parameters, strict=True))
    return Pencil.of(a, b, dtype, adjoint)  # type: ignore[arg-type]


@functools.partial(jax.jit, static_argnames=("plan", "forms", "given", "adjoint"))
def _begin(plan: Plan, forms: Any, parameters: Any, start: Array, given: int, adjoint: bool) -> State:
    return begin(plan, _pencil(forms, parameters, start.dtype, adjoint), adjoint, start, given)


@functools.partial(jax.jit, static_argnames=("plan", "forms", "adjoint"), donate_argnames=("state",))
def _cycle(plan: Plan, forms: Any, parameters: Any, state: State, adjoint: bool) -> State:
    return cycle(plan, _pencil(forms, parameters, state.basis.dtype, adjoint), adjoint, state)


def solve(
    plan: Plan,
    forms: Any,
    parameters: Any,
    start: Array,
    given: int,
    adjoint: bool,
    watch: Callable[..., None] | None,
    traced: bool,
) -> Side:
    """Runs cycles until done: from Python if the values are concrete, otherwise as a loop on the device."""
    state = _begin(plan, forms, parameters, start, given, adjoint)

    def values(state: State) -> Array:
        return jnp.diagonal(state.matrix)[: plan.k]

    if not traced:
        while not bool(state.done) and int(state.cycle) < plan.cycles:
            state = _cycle(plan, forms, parameters, state, adjoint)
            if watch is not None:
                watch(int(state.cycle), np.asarray(values(state)), np.asarray(state.residuals))
    else:

        def more(state: State) -> Array:
            return ~state.done & (state.cycle < plan.cycles)

        def body(state: State) -> State:
            state = cycle(plan, _pencil(forms, parameters, start.dtype, adjoint), adjoint, state)
            if watch is not None:
                jax.debug.callback(watch, state.cycle, values(state), state.residuals)
            return state

        state = lax.while_loop(more, body, state)
    return Side(state.basis[: plan.k], state.scale, state.edge, state.cycle, state.complete)
