"""Parts of every JAX primitive of this package: results, eager evaluation, and batching."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive

Arrays = Sequence[Any]


def with_results(name: str) -> Primitive:
    """A primitive that returns a list of results."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    return primitive


def by_jit(primitive: Primitive, *static: str) -> Callable[..., Any]:
    """Defines the eager evaluation of a primitive: its jitted `bind`, which is returned. `static`: its parameters."""
    compiled = jax.jit(primitive.bind, static_argnames=static)
    # A second function with its own entry in JAX's cache, because the first one may be waiting for this one.
    once_more = jax.jit(functools.partial(primitive.bind), static_argnames=static)

    def impl(*operands: Any, **params: Any) -> Any:
        config: Any = jax.config
        if not (config.jax_disable_jit or config.jax_debug_nans or config.jax_debug_infs):
            return compiled(*operands, **params)
        # Under these settings JAX runs jitted functions without compiling: `bind` would call this function forever.
        with jax.disable_jit(False), jax.debug_nans(False), jax.debug_infs(False):
            results = once_more(*operands, **params)
        _refuse_special(primitive.name, jax.tree.leaves(results))
        return results

    primitive.def_impl(impl)
    return compiled


def _refuse_special(name: str, results: Arrays) -> None:
    """Raises JAX's error if `jax_debug_nans` or `jax_debug_infs` is set and finds something."""
    for part in (np.asarray(shard.data) for result in results for shard in result.addressable_shards):
        for setting, kind, found in (("jax_debug_nans", "nan", np.isnan), ("jax_debug_infs", "inf", np.isinf)):
            if getattr(jax.config, setting) and found(part).any():
                raise FloatingPointError(f"invalid value ({kind}) encountered in {name}")


def batched(primitive: Primitive, full: Callable[[dict[str, Any]], int] | None = None) -> Callable[..., Any]:
    """The batching rule of a primitive whose operands and results all have leading batch axes.

    The first `full(params)` operands (all, when not given) must have the whole batch shape; the others may have axes
    of size 1.
    """

    def batch(operands: Arrays, axes: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        size = next(x.shape[d] for x, d in zip(operands, axes, strict=True) if d is not None)
        count = len(operands) if full is None else full(params)
        moved = []
        for index, (x, d) in enumerate(zip(operands, axes, strict=True)):
            if d is not None:
                moved.append(jnp.moveaxis(x, d, 0))
            else:
                moved.append(jnp.broadcast_to(x, (size, *x.shape)) if index < count else x[None])
        results = primitive.bind(*moved, **params)
        return (list(results), [0] * len(results)) if primitive.multiple_results else (results, 0)

    return batch
