"""The selection of eigenvalues of a projected problem: their order, and their neighbours."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

WHICH = ("SA", "LA", "LM", "BE")


def sort_keys(which: str, theta: Array, alive: Array) -> Array:
    """A sort key for each Ritz value, lowest for those that `which` puts first. `theta` is ascending except for dead
    entries, which come last."""
    if which == "SA":
        key = theta
    elif which == "LA":
        key = -theta
    elif which == "LM":
        key = -jnp.abs(theta)
    else:
        # From both ends in turns, beginning at the high one.
        rank = jnp.cumsum(alive) - 1
        count = jnp.sum(alive)
        key = jnp.minimum(2 * rank + 1, 2 * (count - 1 - rank)).astype(theta.dtype)
    return jnp.where(alive, key, jnp.inf)


def edges(which: str, theta: Array, free: Array) -> tuple[Array, Array]:
    """Indices of the lowest and highest eigenvalue that is `free`: not requested, and not dead."""
    return jnp.argmin(jnp.where(free, theta, jnp.inf)), jnp.argmax(jnp.where(free, theta, -jnp.inf))


def sides(which: str) -> tuple[bool, bool]:
    """Whether the lowest, and whether the highest, of the other eigenvalues can be next to a requested one."""
    return which != "LA", which != "SA"
