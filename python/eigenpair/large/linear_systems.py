"""Iterative solution of linear systems, one for each row, all together: conjugate gradients, MINRES and GMRES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .basis import orthonormalized
from .operators import combine, inner, lengths

Map = Callable[[Array], Array]


def _dot(x: Array, y: Array) -> Array:
    """`Re ⟨xᵢ, yᵢ⟩` of rows, shape `(m, 1)`."""
    return jnp.sum(jnp.real(x * jnp.conj(y)), axis=-1, keepdims=True)


def _over(x: Array, y: Array) -> Array:
    return jnp.where(y == 0, 0, x / jnp.where(y == 0, 1, y))


def conjugate_gradients(a: Map, b: Array, tol: Any, most: int) -> tuple[Array, Array]:
    """Solves `a x = b` for positive definite `a`. Returns `x` and whether each system was solved, shape `(m,)`.

    A system in which `a` turns out not to be positive counts as not solved.
    """
    size = lengths(b)[:, None]

    def residual_is_large(r: Array) -> Array:
        return jnp.sqrt(_dot(r, r)) > tol * size

    def more(state: Any) -> Array:
        _, r, _, positive, count = state
        return (count < most) & jnp.any(residual_is_large(r) & positive)

    def step(state: Any) -> Any:
        x, r, p, positive, count = state
        going = residual_is_large(r) & positive
        ap = a(p)
        curvature = _dot(p, ap)
        positive = positive & (~going | (curvature > 0))
        rho = _dot(r, r)
        alpha = jnp.where(going, _over(rho, curvature), 0).astype(b.dtype)
        x, r = x + alpha * p, r - alpha * ap
        beta = jnp.where(going, _over(_dot(r, r), rho), 0).astype(b.dtype)
        return x, r, jnp.where(going, r + beta * p, p), positive, count + 1

    start = (0 * b, b, b, size == size, 0)
    x, r, _, positive, _ = lax.while_loop(more, step, start)
    return x, (positive & ~residual_is_large(r))[:, 0]


def minres(
    a: Map,
    b: Any,
    tol: Any,
    most: int,
    preconditioner: Map | None = None,
    *,
    metric: Map | None = None,
    xp: Any = jnp,
) -> tuple[Any, Any]:
    """Solves `a x = b` for Hermitian `a`, which may be indefinite, or singular if `b` is in its range.

    **Arguments:** `tol`: `(m, 1)`, the relative residual to reach, measured in the preconditioner's norm.
    `preconditioner`: positive definite, close to the inverse of `a`. `metric`: positive definite, if `a` is Hermitian
    with respect to it. `xp`: `jax.numpy`, or `numpy` to iterate on the host.

    **Returns:** `x`, and the number of iterations.

    C. C. Paige and M. A. Saunders, *Solution of sparse indefinite systems of linear equations* (1975).
    """

    def dot(x: Any, y: Any) -> Any:
        x = x if metric is None else metric(x)
        return xp.sum(xp.real(x * xp.conj(y)), axis=-1, keepdims=True)

    def over(x: Any, y: Any) -> Any:
        return xp.where(y == 0, 0, x / xp.where(y == 0, 1, y))

    def times(c: Any, x: Any) -> Any:
        return c.astype(x.dtype) * x

    def precondition(x: Any) -> Any:
        return x if preconditioner is None else preconditioner(x)

    y = precondition(b)
    beta1 = xp.sqrt(xp.maximum(dot(b, y), 0))
    one, zero = xp.ones_like(beta1), xp.zeros_like(beta1)
    start: Any = {
        "x": 0 * b, "r1": 0 * b, "r2": b, "y": y, "w": 0 * b, "w2": 0 * b,
        "oldb": one, "beta": beta1, "dbar": zero, "epsln": zero, "phibar": beta1, "cs": -one, "sn": zero,
    }  # fmt: skip

    def going(s: Any) -> Any:
        return (s["phibar"] > tol * beta1) & (s["beta"] > 0)

    def more(state: Any) -> Any:
        s, count = state
        return (count < most) & xp.any(going(s))

    def step(state: Any) -> Any:
        s, count = state
        v = times(over(1, s["beta"]), s["y"])
        y = a(v)
        y = y - times(over(s["beta"], s["oldb"]), s["r1"])
        alpha = dot(v, y)
        y = y - times(over(alpha, s["beta"]), s["r2"])
        r1, r2 = s["r2"], y
        y = precondition(r2)
        beta = xp.sqrt(xp.maximum(dot(r2, y), 0))
        delta = s["cs"] * s["dbar"] + s["sn"] * alpha
        gbar = s["sn"] * s["dbar"] - s["cs"] * alpha
        gamma = xp.sqrt(gbar**2 + beta**2)
        cs, sn = over(gbar, gamma), over(beta, gamma)
        w = times(over(1, gamma), v - times(s["epsln"], s["w2"]) - times(delta, s["w"]))
        new = {
            "x": s["x"] + times(cs * s["phibar"], w), "r1": r1, "r2": r2, "y": y, "w": w, "w2": s["w"],
            "oldb": s["beta"], "beta": beta, "dbar": -s["cs"] * beta, "epsln": s["sn"] * beta,
            "phibar": sn * s["phibar"], "cs": cs, "sn": sn,
        }  # fmt: skip
        live = going(s)
        return {name: xp.where(live, new[name], s[name]) for name in s}, count + 1

    state: Any = (start, 0)
    if xp is jnp:
        solved, count = lax.while_loop(more, step, state)
        return solved["x"], count
    while more(state):
        state = step(state)
    return state[0]["x"], state[1]


def shifted_systems(a: Map, shifts: Array, b: Array, tol: Any, cycles: int) -> tuple[Array, Array]:
    """Solves `(a − shiftᵢ) xᵢ = bᵢ` for general `a`, by GMRES with restarts. Rows of `b` are right-hand sides.

    A shift does not change a Krylov space. So all systems share one block Krylov space, and each has its residual
    minimized in it. Ends at relative residuals `tol`, after so many `cycles`, or when a cycle no longer helps; whoever
    calls has to look at the residuals.

    **Returns:** `x`, and how many cycles it took.
    """
    m = b.shape[0]
    steps = max(8, -(-40 // m))
    size = lengths(b)

    def solved(r: Array) -> Array:
        return lengths(r) <= tol * size

    def residual(x: Array) -> Array:
        return b - (a(x) - shifts[:, None] * x)

    def more(state: Any) -> Array:
        _, _, going, count = state
        return jnp.any(going) & (count < cycles)

    def cycle(state: Any) -> Any:
        x, r, _, count = state
        basis = jnp.zeros(((steps + 1) * m, b.shape[1]), b.dtype) + 0 * b[:1]
        basis = basis.at[:m].set(orthonormalized(r, basis[:1], None, 40))

        def step(s: Array, carry: Any) -> Any:
            basis, c = carry
            y = a(lax.dynamic_slice_in_dim(basis, s * m, m))
            following = orthonormalized(y, basis, None, 41 + s)
            basis = lax.dynamic_update_slice_in_dim(basis, following, (s + 1) * m, axis=0)
            return basis, lax.dynamic_update_slice_in_dim(c, inner(y, basis), s * m, axis=0)

        c = jnp.zeros((steps * m, (steps + 1) * m), b.dtype)
        basis, c = lax.fori_loop(0, steps, step, (basis, c))
        eye = jnp.eye(c.shape[0], c.shape[1], dtype=c.dtype)
        finite = jnp.all(jnp.isfinite(c))
        c = jnp.where(finite, c, eye)

        def smallest_residual(shift: Array, right: Array) -> Array:
            return jnp.linalg.lstsq((c - shift * eye).T, right)[0]

        z = jax.vmap(smallest_residual)(shifts, inner(r, basis))
        x = x + jnp.where(finite, combine(z, basis[: steps * m]), jnp.nan)
        new = residual(x)
        helped = lengths(new) < 0.999 * lengths(r)
        x = jnp.where(helped[:, None] | ~finite, x, state[0])
        return x, jnp.where(helped[:, None], new, r), helped & ~solved(new), count + 1

    start = (0 * b, b, (size > 0) & jnp.isfinite(size), jnp.array(0))
    x, _, _, count = lax.while_loop(more, cycle, start)
    return x, count
