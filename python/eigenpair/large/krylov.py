"""A thick-restart block Krylov method with full orthogonalization, on the device.

One step multiplies a block of `p` vectors by the operator and orthogonalizes the result against the whole basis. A
cycle takes `steps` steps and keeps the first `r` Ritz vectors in the order of `which`. After the `k` requested ones
have converged, another *pass* begins: a random block, orthogonal to the vectors found, is iterated until the next
eigenvalue has converged. A missed copy of a repeated eigenvalue converges as well, and takes its place. The search ends
with the first pass that changes nothing.

K. Wu and H. Simon, *Thick-restart Lanczos method for large symmetric eigenvalue problems* (2000), in blocks, with the
projected matrix computed rather than inferred.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from . import selection
from .basis import orthonormalized, random_rows
from .krylov_state import OF_GAP, PASSES, Found, Map, Plan, State
from .linear_systems import conjugate_gradients
from .operators import Operator, combine, inner, lengths, products, safe_lengths, scaled


class Problem(NamedTuple):
    """`A` and `B` as functions of rows, and `B⁻¹`."""

    a: Map
    b: Map | None
    solve: Map

    @staticmethod
    def of(a: Operator, b: Operator | None, dtype: Any) -> Problem:
        """Of operators, in precision `dtype`."""
        times_a = products(a, dtype)
        if b is None:
            return Problem(times_a, None, lambda x: x)
        times_b = products(b, dtype)
        eps = float(jnp.finfo(dtype).eps)

        def solve(x: Array) -> Array:
            y, solved = conjugate_gradients(times_b, x, 4 * eps, 2000)
            # Rounding may prevent the last digits. A residual that is much larger means that B is indefinite.
            close = lengths(x - times_b(y)) <= 1e4 * eps * (lengths(x) + lengths(y))
            return jnp.where((solved | close)[:, None], y, jnp.nan)

        return Problem(times_a, times_b, solve)

    def times_b(self, x: Array) -> Array:
        """`B x`."""
        return x if self.b is None else self.b(x)


def _rows(basis: Array, start: Any, count: int) -> Array:
    return lax.dynamic_slice_in_dim(basis, start, count)


def begin(plan: Plan, problem: Problem, start: Array, given: int) -> State:
    """A basis that holds only the first block: `start`, `(block, n)` or, if more are `given`, `(k, n)`."""
    seed = 1
    n = start.shape[-1]
    real = jnp.finfo(start.dtype).dtype
    basis = jnp.zeros((plan.capacity + plan.block, n), start.dtype) + 0 * start[:1]
    state = State(
        basis=basis,
        theta=jnp.zeros(plan.kept, real),
        alive=jnp.zeros(plan.kept, bool),
        scale=jnp.zeros(2, real),
        residuals=jnp.full(plan.k, jnp.inf, real),
        edges=jnp.array([-jnp.inf, jnp.inf], real),
        previous=jnp.full(plan.k, jnp.inf, real),
        searching=jnp.array(True),
        passes=jnp.array(0),
        cycle=jnp.array(0),
        done=jnp.array(False),
        complete=jnp.array(False),
    )
    if given <= plan.block:
        first = orthonormalized(start, basis[:1], problem.b, seed)
        return state._replace(basis=basis.at[plan.kept : plan.kept + plan.block].set(first))
    x = orthonormalized(start, basis[:1], problem.b, seed)
    h = inner(problem.a(x), x)
    theta, u = jnp.linalg.eigh((h + jnp.conj(h).T) / 2)
    return _new_pass(plan, problem, state, combine(jnp.conj(u).T, x), theta)


def _new_pass(plan: Plan, problem: Problem, state: State, x: Array, theta: Array) -> State:
    """Checks the residuals of `x` and begins a pass: from these residuals if they are too large, otherwise from random
    vectors."""
    ax, bx = problem.a(x), problem.times_b(x)
    r = ax - scaled(theta, bx)
    residuals, length = safe_lengths(r), lengths(x)
    scale = jnp.stack([jnp.max(lengths(ax) / length), jnp.max(lengths(bx) / length)])
    scale = jnp.maximum(state.scale, scale)
    allowed = plan.tol * (scale[0] + jnp.abs(theta) * (0 if problem.b is None else scale[1])) * length
    poor = ~(residuals <= allowed)
    seed = 100 + state.passes
    spread = random_rows(seed, jnp.zeros((plan.block, plan.k), theta.dtype))
    weights = jnp.where(poor & (residuals > 0), 1 / jnp.where(residuals > 0, residuals, 1), 0)
    directions = combine((spread * weights[None, :]).astype(x.dtype), r)
    random = random_rows(seed, state.basis[: plan.block])
    block = jnp.where(jnp.any(poor), directions, random)
    first = orthonormalized(block, x, problem.b, seed + 1)
    # A pass has changed nothing if no wanted Ritz value has moved by more than a multiple of its tolerance.
    still = jnp.all(jnp.abs(jnp.sort(theta) - jnp.sort(state.previous)) <= 16 * jnp.max(allowed / length))
    broken = ~jnp.all(jnp.isfinite(residuals))
    basis = state.basis.at[: plan.k].set(x).at[plan.k : plan.kept].set(0)
    basis = basis.at[plan.kept : plan.kept + plan.block].set(first).at[plan.kept + plan.block :].set(0)
    complete = (state.passes > 0) & state.searching & still & ~jnp.any(poor)
    return state._replace(
        basis=basis,
        theta=jnp.concatenate([theta, jnp.zeros(plan.kept - plan.k, theta.dtype)]),
        alive=jnp.arange(plan.kept) < plan.k,
        scale=scale,
        residuals=residuals,
        previous=theta,
        searching=~jnp.any(poor),
        passes=state.passes + 1,
        done=complete | broken | (state.passes >= PASSES),
        complete=complete,
    )


def cycle(plan: Plan, problem: Problem, state: State) -> State:
    """One cycle: steps, then a restart."""
    m, p, r = plan.capacity, plan.block, plan.kept
    seed = 1000 + 100 * state.cycle

    def step(s: Array, carry: Any) -> Any:
        basis, h, scale, _ = carry
        at = r + s * p
        x = _rows(basis, at, p)
        ax = problem.a(x)
        w = problem.solve(ax)
        bw = problem.times_b(w)
        c = inner(bw, basis)
        h = lax.dynamic_update_slice_in_dim(h, c, at, axis=0)
        w = w - combine(c, basis)
        bw = problem.times_b(w)
        gram = inner(bw, w)
        basis = lax.dynamic_update_slice_in_dim(basis, orthonormalized(w, basis, problem.b, seed + s), at + p, axis=0)
        length = lengths(x)
        size = jnp.stack([lengths(ax) / length, lengths(problem.times_b(x)) / length])
        # Blocks hold a zero row where a basis fills the space.
        return basis, h, jnp.maximum(scale, jnp.max(jnp.where(length > 0, size, 0), axis=-1)), gram

    h = jnp.zeros((m + p, m + p), state.basis.dtype)
    gram = jnp.zeros((p, p), state.basis.dtype)
    basis, h, scale, gram = lax.fori_loop(0, plan.steps, step, (state.basis, h, state.scale, gram))

    # The projected matrix: each block met what was there before it, of what was kept only the diagonal is not zero.
    h = h[:m, :m] + jnp.diag(_padded(state.theta, m)).astype(h.dtype)
    below = jnp.tril(h, -1)
    h = below + jnp.conj(below).T + jnp.diag(jnp.real(jnp.diagonal(h))).astype(h.dtype)
    alive = jnp.concatenate([state.alive, lengths(basis[r:m]) > 0])
    finite = jnp.all(jnp.isfinite(h))
    largest = jnp.sqrt(jnp.sum(jnp.abs(h) ** 2))
    beyond = jnp.where(largest > 0, 2 * largest, 1)
    h = jnp.where(alive[:, None] & alive[None, :], h, 0) + jnp.diag(jnp.where(alive, 0, beyond)).astype(h.dtype)
    theta, u = jnp.linalg.eigh(jnp.where(finite, h, jnp.eye(m, dtype=h.dtype)))
    s = jnp.conj(u).T
    real = theta <= jnp.where(largest > 0, 1.5 * largest, 0.5)  # the others stand for rows that are not there
    order = jnp.argsort(selection.sort_keys(plan.which, theta, real))
    last = s[:, m - p :]
    estimate = jnp.sqrt(jnp.maximum(jnp.real(jnp.sum(combine(last, gram) * jnp.conj(last), axis=-1)), 0))
    if problem.b is None:
        scale = scale.at[0].max(jnp.max(jnp.where(real, jnp.abs(theta), 0)))
        allowed = jnp.broadcast_to(plan.tol * scale[0] / 2, theta.shape)
    else:
        allowed = plan.tol / 2 * (scale[0] / scale[1] + jnp.abs(theta))
    wanted = order[: plan.k]
    free = real & ~jnp.any(jnp.arange(m)[:, None] == wanted[None, :], axis=1)
    guarded, edges = _guards(plan, theta, estimate, allowed, order, free)
    converged = jnp.all(estimate[wanted] <= allowed[wanted])
    converged &= guarded | (state.passes == 0) | ~state.searching

    chosen = order[:r]
    new = combine(s[chosen], basis[:m])
    tail = basis[m:]
    basis = basis.at[:r].set(new).at[r : r + p].set(tail).at[r + p :].set(0)
    state = state._replace(
        basis=basis,
        theta=theta[chosen],
        alive=real[chosen],
        scale=scale,
        residuals=jnp.where(finite, estimate[wanted], jnp.nan),
        edges=edges,
        cycle=state.cycle + 1,
        done=state.done | ~finite,
    )

    def finish(state: State) -> State:
        return _new_pass(plan, problem, state, state.basis[: plan.k], state.theta[: plan.k])

    return lax.cond(converged & finite, finish, lambda state: state, state)


def _guards(
    plan: Plan, theta: Array, estimate: Array, allowed: Array, order: Array, free: Array
) -> tuple[Array, Array]:
    """Whether the other eigenvalues are known well enough to exclude them from the requested ones, and the nearest of
    them: the highest, which may lie below requested ones, and the lowest, which may lie above."""
    wanted = theta[order[: plan.k]]

    def known(index: Array) -> Array:
        distance = jnp.min(jnp.abs(theta[index] - wanted))
        return estimate[index] <= jnp.maximum(allowed[index], OF_GAP * distance)

    low, high = selection.edges(plan.which, theta, free)
    if plan.which == "LM":
        # The next in modulus bounds all others, on both sides; what the other side shows itself may be a better bound.
        guard = order[plan.k]
        reach = jnp.abs(theta[guard])
        edges = [jnp.minimum(reach, theta[high] + estimate[high]), jnp.maximum(-reach, theta[low] - estimate[low])]
        edges = [jnp.where(theta[guard] > 0, reach, edges[0]), jnp.where(theta[guard] > 0, edges[1], -reach)]
        return known(guard) & jnp.any(free), jnp.stack(edges)
    use = selection.sides(plan.which)
    good = (known(low) | (not use[0])) & (known(high) | (not use[1])) & jnp.any(free)
    return good, jnp.stack([theta[high], theta[low]])


def _padded(x: Array, size: int) -> Array:
    return jnp.concatenate([x, jnp.zeros(size - x.shape[0], x.dtype)])


def conclude(plan: Plan, problem: Problem, state: State) -> Found:
    """The result: sorted, with residuals as they are."""
    x, theta = state.basis[: plan.k], state.theta[: plan.k]
    order = jnp.argsort(theta)
    x, theta = x[order], theta[order]
    ax, bx = problem.a(x), problem.times_b(x)
    low, high = state.edges
    use = selection.sides(plan.which)
    return Found(
        values=theta,
        vectors=x,
        residuals=safe_lengths(ax - scaled(theta, bx)),
        lengths=lengths(x),
        # Those left out lie between the wanted ones: the lowest of them is above some, the highest below others.
        edges=jnp.stack([low if use[1] else -jnp.inf * jnp.ones_like(low), high if use[0] else jnp.inf + 0 * high]),
        scale=state.scale,
        iterations=state.cycle,
        complete=state.complete,
    )


@functools.partial(jax.jit, static_argnames=("plan", "forms", "given"))
def _begin(plan: Plan, forms: Any, parameters: Any, start: Array, given: int) -> State:
    return begin(plan, _problem(forms, parameters, start.dtype), start, given)


@functools.partial(jax.jit, static_argnames=("plan", "forms"), donate_argnames=("state",))
def _cycle(plan: Plan, forms: Any, parameters: Any, state: State) -> State:
    return cycle(plan, _problem(forms, parameters, state.basis.dtype), state)


@functools.partial(jax.jit, static_argnames=("plan", "forms"))
def _conclude(plan: Plan, forms: Any, parameters: Any, state: State) -> Found:
    return conclude(plan, _problem(forms, parameters, state.basis.dtype), state)


def _problem(forms: Any, parameters: Any, dtype: Any) -> Problem:
    a, b = (None if f is None else Operator(f, p) for f, p in zip(forms, parameters, strict=True))
    return Problem.of(a, b, dtype)  # type: ignore[arg-type]


def solve(
    plan: Plan,
    a: Operator,
    b: Operator | None,
    start: Array,
    given: int,
    watch: Callable[..., None] | None,
    traced: bool,
) -> Found:
    """Runs cycles until done: from Python if the values are concrete, so that the solve can be monitored and
    interrupted; otherwise as a loop on the device."""
    forms = (a.form, None if b is None else b.form)
    parameters = (a.parameters, None if b is None else b.parameters)
    state = _begin(plan, forms, parameters, start, given)
    if not traced:
        while not bool(state.done) and int(state.cycle) < plan.cycles:
            state = _cycle(plan, forms, parameters, state)
            if watch is not None:
                watch(int(state.cycle), np.asarray(state.theta[: plan.k]), np.asarray(state.residuals))
        return _conclude(plan, forms, parameters, state)

    def more(state: State) -> Array:
        return ~state.done & (state.cycle < plan.cycles)

    def body(state: State) -> State:
        state = cycle(plan, _problem(forms, parameters, start.dtype), state)
        if watch is not None:
            jax.debug.callback(watch, state.cycle, state.theta[: plan.k], state.residuals)
        return state

    state = lax.while_loop(more, body, state)
    return _conclude(plan, forms, parameters, state)
