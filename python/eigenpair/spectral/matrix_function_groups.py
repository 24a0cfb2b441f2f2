"""The data from which a function of a general matrix is computed: eigenvectors if these are well conditioned, otherwise
the Schur form and groups of eigenvalues, with a Taylor series of the function for each group. See
`docs/derivations.md`, "Functions of general matrices".

For derivatives, all of this is constant except the coefficients of the series, which depend on the values that `f`
closes over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import check
from ..general.primitive import solve_with_dual
from ..runtime.matrices import adjoint, diagonal_matrix, finite_or_identity, identity, matmul, norm
from ..runtime.primitives import by_jit
from . import triangular
from .matrix_function_forms import Reduced
from .named_functions import RESOLVED, not_grouped, triangle_and_branch_factor

Function = Callable[[Array], Array]

# Eigenvalues closer than one of these, in units of the spread of the spectrum, form a group. All are tried, and the
# best one is used.
_GAPS = (1e-4, 1e-3, 1e-2, 0.1, math.inf)
# Radii of the circles on which `f` is evaluated, in the same units: dense where singularities usually are.
_CIRCLES = np.concatenate([4 * 0.5 ** (np.arange(12) / 2), 0.06 * 0.5 ** np.arange(10), 4e-5 * 0.25 ** np.arange(6)])
_POINTS = 256  # of every circle; half as many coefficients are used
_UNIT = 4  # the circle of radius 1


class Problem(NamedTuple):
    """A matrix and the data from which its functions are computed. `uncertain` is the error of every eigenvalue,
    `(…, n)`; `finite` is 1, or NaN where the matrix is not finite, `(…,)`."""

    matrix: Reduced
    uncertain: Array
    finite: Array


def prepared(a: Array, f: Function, method: str) -> Problem:
    """The Schur form of `a`, with its eigenvalues in groups, and the data that a function needs."""
    constant = lax.stop_gradient(a)
    finite, (constant,) = finite_or_identity(constant)
    dtype = np.promote_types(a.dtype, np.complex64)
    n, eps = a.shape[-1], float(jnp.finfo(dtype).eps)
    w, v, u = (lax.stop_gradient(x) for x in solve_with_dual(constant))
    condition = norm(u, -2)[..., 0, :] * norm(v, -2)[..., 0, :]
    size = norm(constant, (-2, -1))[..., 0]
    rounding = cluster_width(check(), n, dtype)
    uncertain = rounding * size * condition
    # With the Schur form, a named function needs no series, so its eigenvectors must be better to be preferred.
    good = eps ** (-0.2 if method == "taylor" else -0.1)
    whole = norm(u, (-2, -1)) * norm(v, (-2, -1)) <= n * good
    rest = matmul(v * w[..., None, :], adjoint(u)) - constant.astype(dtype)
    exact = norm(rest, (-2, -1)) <= math.sqrt(eps) * size[..., None]
    finite = finite[..., 0, 0]
    hard = ~(whole & exact)[..., 0, 0] & finite
    a = a.astype(dtype)
    one = jnp.broadcast_to(identity(n, a.ndim, dtype), a.shape)

    def reduce() -> tuple[Array, ...]:
        q, t = _schur(constant.astype(dtype))
        if method != "taylor":
            t, trust = triangle_and_branch_factor(t, method, jnp.isrealobj(constant))
            return q, t, *not_grouped(t), trust
        return q, t, *_grouped(t, f)

    def nothing() -> tuple[Array, ...]:
        return one, one, *not_grouped(one), jnp.ones((*hard.shape, 3), dtype)

    parts = _if(_anywhere(hard), reduce, nothing)
    q, t, same, center, radius, trust = (lax.stop_gradient(x) for x in parts)
    # Unused values must be finite, because derivatives multiply them by 0.
    split = hard[..., None]
    w, uncertain = jnp.where(split, center, w), jnp.where(split, 0, uncertain)
    v, u = (jnp.where(split[..., None], one, x) for x in (v, u))
    center, radius = jnp.where(split, center, w), jnp.where(split, radius, 1)
    matrix = Reduced(a, w, v, u, q, t, same, center, radius, trust, hard)
    return Problem(matrix, uncertain, jnp.where(finite, 1, jnp.nan).astype(radius.dtype))


def _schur(a: Array) -> tuple[Array, Array]:
    def on_cpu(a: Array) -> tuple[Array, Array]:
        t, q = lax.linalg.schur(a)
        return q, jnp.triu(t)

    def nowhere(a: Array) -> tuple[Array, Array]:
        return jnp.full_like(a, jnp.nan), jnp.full_like(a, jnp.nan)

    return lax.platform_dependent(a, cpu=on_cpu, default=nowhere)


# ---- groups and their circles -------------------------------------------------------------------------------------


def _on_circle(radius: Array) -> Array:
    """The points of the unit circle at which `f` is evaluated, in one more axis than `radius` has."""
    points = np.exp(2j * np.pi * np.arange(_POINTS) / _POINTS)
    return jnp.expand_dims(jnp.asarray(points, np.promote_types(radius.dtype, np.complex64)), tuple(range(radius.ndim)))


def _series(values: Array) -> Array:
    """Coefficients of `f(c + r x)` in `x`, from its values on the circle, in the last axis."""
    return jnp.fft.fft(values, norm="forward")


def coefficients(f: Function, matrix: Reduced, method: str) -> Array:
    """The Taylor coefficients for every eigenvalue, `(…, n, K)`, in units of the radius of its group."""
    w = matrix.w
    if method != "taylor":
        return jnp.zeros((*w.shape, 1), w.dtype)

    def read() -> Array:
        z = matrix.center[..., None] + matrix.radius.astype(w.dtype)[..., None] * _on_circle(matrix.radius)
        return _series(f(z))[..., : _POINTS // 2]

    found = _if(_anywhere(matrix.hard), read, lambda: jnp.zeros((*w.shape, _POINTS // 2), w.dtype))
    return jnp.where(matrix.hard[..., None, None], found, 0)


class _Grouping(NamedTuple):
    """Groups of eigenvalues. Fields have one entry for each eigenvalue, `(…, n)`, unless stated otherwise."""

    same: Array  # as a mask, `(…, n, n)`
    center: Array
    reach: Array  # the farthest member from the center
    members: Array
    condition: Array  # of the group's projector
    inside: Array  # the norm of what is above the diagonal
    gap: Array  # to the nearest eigenvalue of another group
    radii: Array  # of the circles, in a last axis


class _Reading(NamedTuple):
    """The data of `f` around the groups."""

    same: Array
    center: Array
    radius: Array
    series: Array  # coefficients, `(…, n, K)`
    errors: Array  # bounds of the errors of the value and of two derivatives, `(…, 3)`
    sizes: Array  # of the same: how large the numbers are that these errors are made in


def _grouped(t: Array, f: Function) -> tuple[Array, Array, Array, Array]:
    """Groups as a mask, centers, radii, and factors `(…, 3)` of the value and two derivatives: 1, or NaN where they
    cannot be computed."""

    def tried(width: Array) -> _Reading:
        groups = _grouping(t, width)
        z = groups.center[..., None, None] + groups.radii.astype(t.dtype)[..., None] * _on_circle(groups.radii)
        return _read(groups, lax.stop_gradient(f(z)))

    widths = jnp.asarray(_GAPS, t.real.dtype)
    if isinstance(t, jax.core.Tracer):
        return _best(t, lax.map(tried, widths))  # one after the other, and compiled once
    return _best(t, _Reading(*(jnp.stack(x) for x in zip(*map(tried, widths), strict=True))))


@jax.jit
def _grouping(t: Array, width: Array) -> _Grouping:
    n, eps = t.shape[-1], float(jnp.finfo(t.dtype).eps)
    w = triangular.diagonal(t)
    mean = jnp.broadcast_to(jnp.mean(w, axis=-1, keepdims=True), w.shape)
    size = norm(t, (-2, -1))[..., 0]
    spread = jnp.maximum(norm(t - diagonal_matrix(mean, t.dtype), (-2, -1))[..., 0], eps * size)
    spread = jnp.where(spread > 0, spread, 1)
    same = _linked(jnp.abs(w[..., :, None] - w[..., None, :]) <= width * spread[..., None])
    among = same.astype(w.real.dtype)
    members = jnp.sum(among, axis=-1)
    # By differences, so that the center of equal eigenvalues is exactly that value. All members take the center
    # computed by the first.
    differences = jnp.where(same, w[..., None, :] - w[..., :, None], 0)
    center = w + jnp.sum(differences, axis=-1) / members.astype(w.dtype)
    center = jnp.take_along_axis(center, jnp.argmax(same, axis=-1), axis=-1)
    reach = jnp.max(jnp.where(same, jnp.abs(w[..., None, :] - center[..., :, None]), 0), axis=-1)
    y, d = triangular.block_diagonal(t, same)
    inverse = triangular.solve(y, jnp.broadcast_to(identity(n, t.ndim, t.dtype), t.shape), unit=True)

    def of_group(x: Array) -> Array:
        return jnp.max(jnp.where(same, x[..., None, :], 0), axis=-1)

    sums = [jnp.sum(jnp.abs(jnp.triu(d, 1)), axis=axis) for axis in (-1, -2)]
    inside = jnp.sqrt(of_group(sums[0]) * of_group(sums[1]))
    condition = of_group(norm(y, -2)[..., 0, :]) * of_group(norm(inverse, -1)[..., 0])
    gap = jnp.min(jnp.where(same, jnp.inf, jnp.abs(w[..., None, :] - w[..., :, None])), axis=-1)
    circles = jnp.expand_dims(jnp.asarray(_CIRCLES, spread.dtype), tuple(range(w.ndim)))
    radii = jnp.broadcast_to(spread[..., None] * circles, (*w.shape, _CIRCLES.size))
    return _Grouping(same, center, reach + 4 * eps * size, members, condition, inside, gap, radii)


@jax.jit
def _read(groups: _Grouping, values: Array) -> _Reading:
    eps, count = float(jnp.finfo(values.dtype).eps), values.shape[-1]
    radii, spread = groups.radii, groups.radii[..., _UNIT, None]
    series = _series(values)
    rest = jnp.max(jnp.abs(series[..., count // 2 :]), axis=-1)
    noise = rest + eps * jnp.max(jnp.abs(values), axis=-1)
    growth = jnp.maximum(1, groups.inside[..., None] / radii) ** (groups.members[..., None] - 1)
    error = groups.condition[..., None] * noise * growth
    error = jnp.where((radii >= 1.6 * groups.reach[..., None]) & (error < jnp.inf), error, jnp.inf)
    # Of equally good circles the wider one, because derivatives divide by the radius.
    chosen = jnp.argmin(error * jnp.maximum(1, spread / radii), axis=-1)[..., None]
    radius, error, growth, noise = (
        jnp.take_along_axis(x, chosen, axis=-1)[..., 0] for x in (radii, error, growth, noise)
    )
    series = jnp.take_along_axis(series, chosen[..., None], axis=-2)[..., 0, : count // 2]
    # Every direction is multiplied from both sides by a projector and by what is above the diagonal.
    near = 1 / radius + 1 / groups.gap
    errors = [error, *((groups.condition * growth) ** (k + 1) * noise * near**k for k in (1, 2))]
    bounds = jnp.stack([jnp.max(e, axis=-1) for e in errors], axis=-1)
    bounds = jnp.where(jnp.isnan(bounds), jnp.inf, bounds)
    return _Reading(groups.same, groups.center, radius, series, bounds, _sizes(groups, radius, series))


def _sizes(groups: _Grouping, radius: Array, series: Array) -> Array:
    """The largest terms of the value and of two derivatives."""
    dtype = radius.dtype
    j = jnp.expand_dims(jnp.arange(series.shape[-1], dtype=dtype), tuple(range(radius.ndim)))
    ratio, members = (groups.inside / radius)[..., None], groups.members[..., None]
    terms = jnp.abs(series)
    found = []
    for k in range(3):
        counted = (j >= k) & (j < (k + 1) * members)
        found.append(
            jnp.max(jnp.where(counted, terms * ratio ** jnp.maximum(j - k, 0), 0) / radius[..., None] ** k, (-1, -2))
        )
        terms = terms * jnp.maximum(j - k, 0)
    return jnp.stack(found, axis=-1)


@jax.jit
def _best(t: Array, tried: _Reading) -> tuple[Array, Array, Array, Array]:
    """The best of the readings, which are stacked in a first axis."""
    best = jnp.argmin(tried.errors[..., 1], axis=0)

    def of_best(x: Array) -> Array:
        return jnp.take_along_axis(x, best.reshape(1, *best.shape, *[1] * (x.ndim - best.ndim - 1)), axis=0)[0]

    same, center, radius, _, errors, sizes = (of_best(x) for x in tried)
    # The size of a function that varies by as much as the spectrum does, if `f` itself is no larger.
    size = norm(t, (-2, -1))[..., 0]
    sizes = jnp.maximum(sizes, sizes[..., :1] / jnp.concatenate([jnp.ones_like(size), size, size**2], axis=-1))
    return same, center, radius, jnp.where(errors <= RESOLVED * sizes, 1, jnp.nan).astype(t.dtype)


def _linked(near: Array) -> Array:
    """Which eigenvalues are connected by a chain of near ones."""

    def more(state: tuple[Array, Array]) -> tuple[Array, Array]:
        now, _ = state
        counts = now.astype(jnp.float32)
        reached = jnp.matmul(counts, counts) > 0
        return reached, jnp.any(reached != now)

    return lax.while_loop(lambda state: state[1], more, (near, jnp.any(near)))[0]


# ---- branches that no matrix of a batch needs ---------------------------------------------------------------------

# Whether any entry is true, over the whole batch, under `vmap` too: what no matrix of it needs is then not computed.
_anywhere_p = Primitive("eigenpair_anywhere")
_anywhere = by_jit(_anywhere_p)


def _if(needed: Array, some: Callable[[], Any], none: Callable[[], Any]) -> Any:
    """`lax.cond`, without compiling both branches if the condition is concrete."""
    if isinstance(needed, jax.core.Tracer):
        return lax.cond(needed, some, none)
    return some() if needed else none()


def _any(x: Array) -> Array:
    return jnp.any(x)


_anywhere_p.def_abstract_eval(lambda x: jax.core.ShapedArray((), np.dtype(bool)))
mlir.register_lowering(_anywhere_p, mlir.lower_fun(_any, multiple_results=False))
batching.primitive_batchers[_anywhere_p] = lambda xs, axes: (_anywhere_p.bind(*xs), None)
