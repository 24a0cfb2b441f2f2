"""`subset_by_value`: the eigenvalues in an interval. Their number is known only after they have been computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime import arguments
from ..runtime.matrices import of_rank

# Maps a subset, or `None` for all, to `[w]` or `[w, v]`.
Solve = Callable[[tuple[int, int] | None], Sequence[Array]]
# The interval, and the number of results, or `None` if they must be counted.
ByValue = tuple[tuple[Any, Any], int | None]


def checked(subset_by_index: Any, subset_by_value: Any, subset_size: Any) -> ByValue | None:
    """The interval and the number of results; `None` without an interval."""
    if subset_by_value is None:
        if subset_size is not None:
            raise ValueError("subset_size is the number of results of subset_by_value=(low, high); give that too")
        return None
    if subset_by_index is not None:
        raise ValueError("give subset_by_index or subset_by_value, not both")
    size = None if subset_size is None else arguments.integer("subset_size", subset_size)
    if size is not None and size < 0:
        raise ValueError(f"subset_size must not be negative, got {size}")
    try:
        low, high = subset_by_value
    except (TypeError, ValueError):
        raise TypeError(f"subset_by_value must be two numbers (low, high), got {subset_by_value!r}") from None
    ends = [_end(x, subset_by_value, size is not None) for x in (low, high)]
    if not any(isinstance(x, jax.core.Tracer) for x in ends) and not ends[0] < ends[1]:
        raise ValueError(f"subset_by_value must satisfy low < high, got {subset_by_value!r}")
    return (ends[0], ends[1]), size


def _end(x: Any, given: Any, may_be_traced: bool) -> Any:
    if isinstance(x, jax.core.Tracer):
        x = lax.stop_gradient(x)
    if isinstance(x, jax.core.Tracer):
        if may_be_traced and x.ndim == 0:
            return x
        raise TypeError(f"subset_by_value must be two Python numbers, got {given!r}, which is traced{_TRACED}")
    if (
        isinstance(x, bool)
        or np.ndim(x) != 0
        or not np.issubdtype(np.asarray(x).dtype, np.number)
        or np.iscomplexobj(x)
    ):
        raise TypeError(f"subset_by_value must be two real numbers (low, high), got {given!r}")
    return float(x)


_TRACED = (
    ": the number of eigenvalues in it determines the shape of the result. Pass subset_size=k, and the results are "
    "those in the interval, filled up with NaN if there are fewer than k, or all NaN if there are more. Or call it "
    "outside of jax.jit and jax.vmap"
)


def solve_in(by_value: ByValue, operands: Sequence[Array], values: Callable[..., Array], solve: Solve) -> list[Array]:
    """`[w]` or `[w, v]` of the eigenvalues in `low < λ ≤ high`. `values(*operands)` are all eigenvalues."""
    interval, size = by_value
    if size is None:
        still = [lax.stop_gradient(x) for x in operands]
        if any(isinstance(x, jax.core.Tracer) for x in still):
            raise TypeError(f"subset_by_value needs a concrete matrix, and this one is traced{_TRACED}")
        first, count = _counted(np.asarray(values(*still)), *interval)
        if first is not None:
            results = solve((first, first + count - 1) if count else None)
            return [x if count else x[..., :0] for x in results]
        size = count
    return _padded(solve(None), *interval, size)


def _counted(w: np.ndarray, low: float, high: float) -> tuple[int | None, int]:
    """The index of the first eigenvalue in the interval, or `None` if it differs between the matrices, and the number
    of eigenvalues in the interval."""
    if np.isnan(w).any():
        raise ValueError(
            "subset_by_value cannot count eigenvalues that are NaN: a matrix contains NaN or Inf, or b is not "
            "positive definite. With subset_size=k its results are NaN"
        )
    first = np.sum(w <= low, axis=-1)
    count = np.sum(w <= high, axis=-1) - first
    if count.size == 0:
        return 0, 0
    if np.min(count) != np.max(count):
        raise ValueError(
            f"matrices of the batch have between {np.min(count)} and {np.max(count)} eigenvalues in the interval "
            f"{(low, high)}; pass subset_size={np.max(count)}, which fills up the others with NaN"
        )
    same = np.min(first) == np.max(first)
    return (int(np.min(first)) if same else None), int(np.min(count))


def _padded(results: Sequence[Array], low: Any, high: Any, size: int) -> list[Array]:
    """The `size` lowest eigenpairs in the interval, filled up with NaN; only NaN if there are more than `size`."""
    w = results[0]
    n = w.shape[-1]
    still = lax.stop_gradient(w)
    low, high = (jnp.asarray(x, w.dtype) for x in (low, high))
    inside = (still > low) & (still <= high)
    first = jnp.sum(still <= low, axis=-1, keepdims=True)
    fits = jnp.sum(inside, axis=-1, keepdims=True) <= size
    index = first + of_rank(jnp.arange(size), w.ndim)
    kept = jnp.minimum(index, max(n - 1, 0))
    if n == 0:
        return [jnp.full((*x.shape[:-1], size), jnp.nan, x.dtype) for x in results]
    wanted = (index < n) & jnp.take_along_axis(inside, kept, axis=-1) & fits
    chosen = [jnp.where(wanted, jnp.take_along_axis(w, kept, axis=-1), jnp.nan)]
    for v in results[1:]:
        columns = jnp.take_along_axis(v, jnp.broadcast_to(kept[..., None, :], (*v.shape[:-1], size)), axis=-1)
        chosen.append(jnp.where(wanted[..., None, :], columns, jnp.nan))
    return chosen
