"""The Krylov method on a Chebyshev polynomial of the operator, for the lowest or highest eigenvalues of long vectors.

Where a product costs less than the orthogonalization of its result, most of the time goes into orthogonalization and
restarts. `krylov` then works on `q(A)`: a Chebyshev polynomial that stays within ±1 on the interval of unwanted
eigenvalues, and is monotone beyond its end, so that the eigenvalues wanted of `A` are those wanted of `q(A)`, in the
same order. This end is a Ritz value that `k` eigenvalues at least lie beyond. As Ritz values improve, the interval
grows and so does the degree.

Y. Zhou, Y. Saad, M. Tiago and J. Chelikowsky, *Self-consistent-field calculations using Chebyshev-filtered subspace
iteration* (2006); H. Fang and Y. Saad, *A filtered Lanczos procedure for extreme and interior eigenvalue problems*
(2012).
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

from . import krylov
from .basis import orthonormalized, random_rows
from .krylov_state import Found, Map, Plan
from .krylov_state import State as KrylovState
from .operators import Operator, combine, inner, lengths, products, safe_lengths, scaled

# Shorter vectors are orthogonalized fast, and compile faster without a filter.
FILTERED_FROM = 2000
# The lowest eigenvalue becomes about −cosh(4) = −27: enough to tell it from ±1, and no digits are lost.
GROWTH = 4.0
LARGEST_DEGREE = 151
MOST_POLISHING = 20


def is_used(plan: Plan, n: int, b: Any) -> bool:
    """Whether a problem is solved with a filter."""
    return b is None and plan.which in ("SA", "LA") and n >= FILTERED_FROM


class Filter(NamedTuple):
    """`q`, by the end of the interval next to the wanted eigenvalues, the other end, and the degree, odd. Degree 1
    stands for `A` itself."""

    near: Array
    far: Array
    degree: Array

    def argument(self, x: Array) -> Array:
        """What `x` is mapped to: 1 at the near end, −1 at the far one."""
        return 1 + 2 * (x - self.near) / (self.near - self.far)

    def eigenvalue(self, mu: Array, sign: float) -> Array:
        """The eigenvalue of `A` for one of `q(A)`; the end of the interval for those inside."""
        y = jnp.cosh(jnp.arccosh(jnp.maximum(-sign * mu, 1)) / self.degree.astype(mu.dtype))
        return jnp.where(self.degree > 1, self.near + (y - 1) * (self.near - self.far) / 2, mu)

    def product(self, a: Map, x: Array, sign: float) -> Array:
        """`q(A) x`, where `sign` is 1 if the lowest are wanted and −1 if the highest are."""
        c, e = (self.near + self.far) / 2, (self.near - self.far) / 2

        def argument(x: Array, ax: Array) -> Array:
            return ((ax - c.astype(x.dtype) * x) / e.astype(x.dtype)).astype(x.dtype)

        def step(_: Any, pair: tuple[Array, Array]) -> tuple[Array, Array]:
            before, now = pair
            return now, 2 * argument(now, a(now)) - before

        ax = a(x)
        _, high = lax.fori_loop(1, self.degree, step, (x, argument(x, ax)))
        return jnp.where(self.degree > 1, -sign * high, ax)


class State(NamedTuple):
    """Between two cycles."""

    inner: KrylovState  # of q(A)
    filter: Filter
    size: Array  # of A
    values: Array  # (k,), Rayleigh quotients
    residuals: Array  # (k,)
    cycle: Array


def _sign(plan: Plan) -> float:
    return 1.0 if plan.which == "SA" else -1.0


def _strict(plan: Plan, dtype: Any) -> Plan:
    """The plan for `q(A)`, whose residuals are about those of `A`, on the scale of each."""
    return dataclasses.replace(plan, tol=max(plan.tol / 2, 8 * float(jnp.finfo(dtype).eps)))


def _problem(plan: Plan, a: Map, q: Filter) -> Any:
    return krylov.Problem(lambda x: q.product(a, x, _sign(plan)), None, lambda x: x)


def begin(plan: Plan, a: Map, start: Array, given: int) -> State:
    """The first cycles work on `A`."""
    real = jnp.finfo(start.dtype).dtype
    none = Filter(jnp.ones((), real), jnp.zeros((), real), jnp.array(1))
    infinite = jnp.full(plan.k, jnp.inf, real)
    state = krylov.begin(_strict(plan, real), _problem(plan, a, none), start, given)
    return State(state, none, jnp.zeros((), real), infinite, infinite, jnp.array(0))


def cycle(plan: Plan, a: Map, state: State) -> State:
    """One cycle, and a better filter where one is possible."""
    sign, k = _sign(plan), plan.k
    strict = _strict(plan, state.size.dtype)
    now = krylov.cycle(strict, _problem(plan, a, state.filter), state.inner)
    x = now.basis[: plan.kept]
    ax = a(x)
    length = lengths(x)
    safe = jnp.where(length > 0, length, 1)
    values = jnp.real(jnp.sum(ax * jnp.conj(x), axis=-1)) / safe**2
    residuals = safe_lengths(ax - scaled(values, x)) / safe
    size = jnp.maximum(state.size, jnp.max(lengths(ax) / safe))
    size = jnp.where(state.filter.degree > 1, size, jnp.maximum(size, now.scale[0]))

    # By interlacing, at least `k` eigenvalues lie beyond the worst Ritz value of more than `k` vectors.
    alive = length > 0
    near = jnp.max(jnp.where(alive, sign * values, -jnp.inf))
    lowest = jnp.min(jnp.where(alive, sign * values, jnp.inf))
    far = jnp.maximum(1.05 * size, near + 0.01 * size)
    y = 1 + 2 * (near - lowest) / (far - near)
    degree = jnp.minimum(GROWTH / jnp.arccosh(jnp.maximum(y, 1 + 1e-7)), LARGEST_DEGREE)
    degree = 2 * (degree / 2).astype(state.filter.degree.dtype) + 1
    growing = degree.astype(size.dtype) > 1.4 * state.filter.degree.astype(size.dtype)
    better = growing & (jnp.sum(alive) > k) & (now.passes == 0) & ~now.done
    q = Filter(sign * near, sign * far, degree)

    def renewed(_: Any) -> tuple[KrylovState, Filter]:
        # One block again: a Krylov space has to hold the residuals of all its vectors.
        block = combine(random_rows(23 + state.cycle, jnp.zeros((plan.block, plan.kept), x.dtype)), x)
        return krylov.begin(strict, _problem(plan, a, q), block, 0), q

    inner, q = lax.cond(better, renewed, lambda _: (now, state.filter), None)
    return State(inner, q, size, values[:k], residuals[:k], state.cycle + 1)


def conclude(plan: Plan, a: Map, state: State) -> Found:
    """The eigenpairs of `A` from those of `q(A)`."""
    sign = _sign(plan)
    allowed = plan.tol * state.size

    def ritz(x: Array) -> tuple[Array, Array, Array]:
        ax = a(x)
        h = inner(ax, x)
        theta, u = jnp.linalg.eigh(jnp.where(jnp.all(jnp.isfinite(h)), (h + jnp.conj(h).T) / 2, jnp.nan))
        c = jnp.conj(u).T
        x = combine(c, x)
        return x, theta, safe_lengths(combine(c, ax) - scaled(theta, x))

    def polished(carry: Any) -> Any:
        x, *_, count = carry
        y = orthonormalized(state.filter.product(a, x, sign), jnp.zeros_like(x[:1]), None, 9)
        return *ritz(y), count + 1

    def more(carry: Any) -> Array:
        _, _, residuals, count = carry
        return jnp.any(residuals > allowed / 2) & state.inner.complete & (count < MOST_POLISHING)

    x, theta, residuals, _ = lax.while_loop(more, polished, (*ritz(state.inner.basis[: plan.k]), jnp.array(0)))
    # After a new filter there are no vectors yet; then these are the residuals of the last cycle.
    length = lengths(x)
    residuals = jnp.where(length > 0, residuals, state.residuals)
    length = jnp.where(length > 0, length, 1)
    below, above = (state.filter.eigenvalue(mu, sign) for mu in state.inner.edges)
    infinity = jnp.full_like(above, jnp.inf)
    return Found(
        values=theta,
        vectors=x,
        residuals=residuals,
        lengths=length,
        edges=jnp.stack([-infinity, above]) if sign > 0 else jnp.stack([below, infinity]),
        scale=jnp.stack([state.size, jnp.ones_like(state.size)]),
        iterations=state.cycle,
        complete=state.inner.complete,
    )


def _product(form: Any, parameters: Any, dtype: Any) -> Map:
    return products(Operator(form, parameters), dtype)


@functools.partial(jax.jit, static_argnames=("plan", "form", "given"))
def _begin(plan: Plan, form: Any, parameters: Any, start: Array, given: int) -> State:
    return begin(plan, _product(form, parameters, start.dtype), start, given)


@functools.partial(jax.jit, static_argnames=("plan", "form"), donate_argnames=("state",))
def _cycle(plan: Plan, form: Any, parameters: Any, state: State) -> State:
    return cycle(plan, _product(form, parameters, state.inner.basis.dtype), state)


@functools.partial(jax.jit, static_argnames=("plan", "form"))
def _conclude(plan: Plan, form: Any, parameters: Any, state: State) -> Found:
    return conclude(plan, _product(form, parameters, state.inner.basis.dtype), state)


def solve(plan: Plan, a: Operator, start: Array, given: int, watch: Callable[..., None] | None, traced: bool) -> Found:
    """As `krylov.solve`."""
    state = _begin(plan, *a, start, given)
    if not traced:
        while not bool(state.inner.done) and int(state.cycle) < plan.cycles:
            state = _cycle(plan, *a, state)
            if watch is not None:
                watch(int(state.cycle), np.asarray(state.values), np.asarray(state.residuals))
        return _conclude(plan, *a, state)

    def more(state: State) -> Array:
        return ~state.inner.done & (state.cycle < plan.cycles)

    def body(state: State) -> State:
        state = cycle(plan, _product(*a, start.dtype), state)
        if watch is not None:
            jax.debug.callback(watch, state.cycle, state.values, state.residuals)
        return state

    return _conclude(plan, *a, lax.while_loop(more, body, state))
