"""LOBPCG: a block of vectors improved by preconditioned residuals and the last directions, on the device.

A. Knyazev, *Toward the optimal preconditioned eigensolver* (2001), with the basis of U. Hetmaniuk and R. Lehoucq
(2006): the Ritz vectors `X`, the last directions `P` and the new ones `W` are kept orthonormal, so the projected
matrix stays well conditioned. The block has more vectors than requested. After the requested ones have converged, the
others start again from random vectors, until the next eigenvalue has converged. As in `krylov`, the search ends with
the first such pass that changes nothing.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from . import selection
from .basis import orthonormalized, random_rows
from .krylov_state import OF_GAP, PASSES, Found
from .operators import Operator, combine, inner, lengths, products, safe_lengths, scaled

Map = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static parameters of a compiled program."""

    k: int
    which: str
    tol: float
    steps: int

    @property
    def block(self) -> int:
        """The number of vectors that are iterated."""
        return self.k + max(2, self.k // 4)


def plan(n: int, k: int, which: str, tol: float, steps: int) -> Plan | None:
    """Sizes, or `None` if the basis would fill the whole space."""
    result = Plan(k, which, tol, steps)
    return result if 4 * result.block < n else None


class State(NamedTuple):
    """The state between two steps. Vectors are rows."""

    x: Array
    ax: Array
    p: Array
    ap: Array
    theta: Array
    residuals: Array
    scale: Array
    edges: Array
    previous: Array
    searching: Array
    passes: Array
    step: Array
    done: Array
    complete: Array


class _Problem(NamedTuple):
    a: Map
    b: Map | None
    m: Map

    def times_b(self, x: Array) -> Array:
        return x if self.b is None else self.b(x)


def _problem(forms: Any, parameters: Any, dtype: Any) -> _Problem:
    a, b, m = (None if f is None else products(Operator(f, p), dtype) for f, p in zip(forms, parameters, strict=True))
    return _Problem(a, b, (lambda x: x) if m is None else m)  # type: ignore[arg-type]


def _alive(problem: _Problem, x: Array) -> Array:
    """Which rows of a basis are not zero."""
    length = lengths(x)
    if problem.b is None:
        return length > 0.5
    return length > float(jnp.finfo(x.dtype).eps) ** 0.4 * jnp.max(length)


def _rayleigh_ritz(x: Array, ax: Array, alive: Array, which: str) -> tuple[Array, Array]:
    """Ritz values in the order of `which`, and coefficients in rows. Zero rows come last."""
    h = inner(ax, x)
    h = (h + jnp.conj(h).T) / 2
    largest = jnp.sqrt(jnp.sum(jnp.abs(h) ** 2))
    h = jnp.where(alive[:, None] & alive[None, :], h, 0) + jnp.diag(
        jnp.where(alive, 0, jnp.where(largest > 0, 2 * largest, 1))
    ).astype(h.dtype)
    finite = jnp.all(jnp.isfinite(h))
    theta, u = jnp.linalg.eigh(jnp.where(finite, h, jnp.eye(h.shape[0], dtype=h.dtype)))
    order = jnp.argsort(selection.sort_keys(which, theta, theta <= jnp.where(largest > 0, 1.5 * largest, 0.5)))
    return jnp.where(finite, theta, jnp.nan)[order], jnp.conj(u).T[order]


def begin(plan: Plan, problem: _Problem, start: Array) -> State:
    """From `start`, `(k, n)`."""
    real = jnp.finfo(start.dtype).dtype
    extra = random_rows(5, jnp.zeros((plan.block - plan.k, start.shape[1]), start.dtype) + 0 * start[:1])
    x = jnp.concatenate([start, extra])
    x = orthonormalized(x, jnp.zeros_like(x[:1]), problem.b, 6)
    ax = problem.a(x)
    theta, c = _rayleigh_ritz(x, ax, _alive(problem, x), plan.which)
    infinite = jnp.full(plan.k, jnp.inf, real)
    return State(
        combine(c, x), combine(c, ax), jnp.zeros_like(x), jnp.zeros_like(x), theta, infinite, jnp.zeros(2, real),
        jnp.array([-jnp.inf, jnp.inf], real), infinite, jnp.array(True), jnp.array(0), jnp.array(0), jnp.array(False),
        jnp.array(False),
    )  # fmt: skip


def step(plan: Plan, problem: _Problem, state: State) -> State:
    """One step, and if the requested ones have converged, the beginning of another pass."""
    k, m = plan.k, plan.block
    x, ax, p, ap, theta = state[:5]
    bx = problem.times_b(x)
    r = ax - scaled(theta, bx)
    residuals, length = safe_lengths(r), lengths(x)
    sizes = jnp.stack([jnp.max(lengths(ax) / length), jnp.max(lengths(bx) / length)])
    scale = jnp.maximum(state.scale, sizes)
    allowed = plan.tol * (scale[0] + jnp.abs(theta) * (0 if problem.b is None else scale[1])) * length
    broken = ~jnp.all(jnp.isfinite(residuals))

    wanted = jnp.all(residuals[:k] <= allowed[:k])
    gap = jnp.abs(theta[k] - theta[k - 1])
    # In the metric of B a residual moves an eigenvalue by ‖r‖‖v‖ at most where ‖v‖² is at most 1/‖B⁻¹‖.
    guarded = residuals[k] <= jnp.maximum(allowed[k], OF_GAP * gap / length[k])
    still = jnp.all(jnp.abs(jnp.sort(theta[:k]) - jnp.sort(state.previous)) <= 16 * jnp.max(allowed[:k] / length[:k]))
    first = state.passes == 0
    ended = wanted & (guarded | first)
    complete = ended & ~first & still
    edge = theta[k]
    low = plan.which == "SA"
    infinity = jnp.full_like(edge, jnp.inf)
    edges = jnp.stack([-infinity, edge]) if low else jnp.stack([edge, infinity])

    # The vectors beyond start again at random, and the last directions with them.
    fresh = ended & ~complete
    beyond = (jnp.arange(m) >= k)[:, None]
    directions = jnp.where(fresh & beyond, random_rows(11 + state.passes, x), problem.m(r))
    p, ap = (jnp.where(fresh, 0, y) for y in (p, ap))
    kept = jnp.where(fresh & beyond, 0, x), jnp.where(fresh & beyond, 0, ax)
    basis = jnp.concatenate([kept[0], p])
    w = orthonormalized(directions, basis, problem.b, 17 + 31 * state.step)
    aw = problem.a(w)
    basis, a_basis = jnp.concatenate([basis, w]), jnp.concatenate([kept[1], ap, aw])
    alive = _alive(problem, basis)
    values, c = _rayleigh_ritz(basis, a_basis, alive, plan.which)
    chosen = c[:m]
    # Directions: the part of the new vectors outside the old ones, orthonormal to the new ones in coefficients.
    part = chosen.at[:, :m].set(0)
    none = jnp.diag(jnp.where(alive, 0, 1)).astype(part.dtype)
    part = orthonormalized(part, jnp.concatenate([chosen, none]), None, 3)
    lost = lengths(chosen[:, m:]) < 1e-14
    passes = state.passes + ended.astype(state.passes.dtype)
    part = jnp.where(jnp.all(lost), 0, part)
    new = State(
        combine(chosen, basis), combine(chosen, a_basis), combine(part, basis), combine(part, a_basis), values[:m],
        residuals[:k], scale, edges, jnp.where(ended, theta[:k], state.previous), state.searching,
        passes, state.step + 1, complete | broken | (state.passes >= PASSES), complete,
    )  # fmt: skip
    stop = complete | broken
    kept_state = new._replace(x=x, ax=ax, p=state.p, ap=state.ap, theta=theta)
    return jax.tree.map(lambda y, z: jnp.where(stop, y, z), kept_state, new)


def conclude(plan: Plan, problem: _Problem, state: State) -> Found:
    """The result, with the actual residuals."""
    order = jnp.argsort(state.theta[: plan.k])
    x, theta = state.x[: plan.k][order], state.theta[: plan.k][order]
    r = problem.a(x) - scaled(theta, problem.times_b(x))
    return Found(theta, x, safe_lengths(r), lengths(x), state.edges, state.scale, state.step, state.complete)


@functools.partial(jax.jit, static_argnames=("plan", "forms"))
def _begin(plan: Plan, forms: Any, parameters: Any, start: Array) -> State:
    return begin(plan, _problem(forms, parameters, start.dtype), start)


@functools.partial(jax.jit, static_argnames=("plan", "forms"))
def _step(plan: Plan, forms: Any, parameters: Any, state: State) -> State:
    return step(plan, _problem(forms, parameters, state.x.dtype), state)


@functools.partial(jax.jit, static_argnames=("plan", "forms"))
def _conclude(plan: Plan, forms: Any, parameters: Any, state: State) -> Found:
    return conclude(plan, _problem(forms, parameters, state.x.dtype), state)


def solve(
    plan: Plan, forms: Any, parameters: Any, start: Array, watch: Callable[..., None] | None, traced: bool
) -> Found:
    """Runs steps until done: from Python if the values are concrete, otherwise as a loop on the device."""
    state = _begin(plan, forms, parameters, start)
    if not traced:
        while not bool(state.done) and int(state.step) < plan.steps:
            state = _step(plan, forms, parameters, state)
            if watch is not None:
                watch(int(state.step), np.asarray(state.theta[: plan.k]), np.asarray(state.residuals))
        return _conclude(plan, forms, parameters, state)

    def more(state: State) -> Array:
        return ~state.done & (state.step < plan.steps)

    def body(state: State) -> State:
        state = step(plan, _problem(forms, parameters, start.dtype), state)
        if watch is not None:
            jax.debug.callback(watch, state.step, state.theta[: plan.k], state.residuals)
        return state

    return _conclude(plan, forms, parameters, lax.while_loop(more, body, state))
