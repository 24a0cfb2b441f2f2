"""Open forms of small matrices on a CPU, computed by the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import mlir

from ..runtime import engines, native

# The core has kernels up to this size.
LIMIT = 64


def opened(
    jet: Any, directions: Sequence[Array], w: Array, v: Array, batch: tuple[int, ...], step: int | None
) -> Array | None:
    """The open form of a batch, or `None` if XLA must compute it: for larger matrices, for complex functions of real
    ones, and with an engine, whose matrices are spread over devices."""
    n, order = w.shape[-1], len(directions)
    if not native.has_small_kernels() or not 0 < n <= LIMIT or engines.current() is not None:
        return None
    known = _known(jet, order, step)
    if any(x.dtype != w.dtype for x in known) or any(x.dtype != v.dtype for x in directions):
        return None
    if w.dtype != jnp.finfo(v.dtype).dtype:
        return None
    # Some axes of the batch may belong only to the directions, as in a Hessian. Arrays of the matrices have size 1
    # there, and are not repeated in memory.
    of_matrices = [(w, 1), (v, 2), *((x, 1) for x in known)]
    common = np.broadcast_shapes(*(x.shape[: x.ndim - own] for x, own in of_matrices))
    common, split, matrices_first = _pattern(common, batch)
    held = [jnp.broadcast_to(x, (*common, *x.shape[x.ndim - own :])) for x, own in of_matrices]
    moved = [_repeated_if_needed(x, batch, split) for x in directions]
    attributes = {
        "order": np.int32(order),
        "step": np.int32(-1 if step is None else step),
        "split": np.int32(split),
        "matrices_first": np.int32(matrices_first),
    }
    return _form_p.bind(*held, *moved, batch=batch, attributes=tuple(attributes.items()))[0]


def _pattern(common: tuple[int, ...], batch: tuple[int, ...]) -> tuple[tuple[int, ...], int, bool]:
    """The batch shape of the matrices as the core takes it, the axis at which it is split, and whether the matrices
    have the axes before it rather than those after it."""
    first = next((axis for axis, size in enumerate(common) if size != 1), len(common))
    if common[first:] == batch[first:]:
        return common, first, False
    last = next((axis for axis in range(len(common), 0, -1) if common[axis - 1] != 1), 0)
    if common[:last] == batch[:last]:
        return common, last, True
    return batch, 0, False


def _repeated_if_needed(x: Array, batch: tuple[int, ...], split: int) -> Array:
    """A direction with axes that the core understands: on each side of the split all, or all of size 1."""
    sizes = x.shape[:-2]
    sides = ((sizes[:split], batch[:split]), (sizes[split:], batch[split:]))
    if all(side in (whole, (1,) * len(side)) for side, whole in sides):
        return x
    return jnp.broadcast_to(x, (*batch, *x.shape[-2:]))


def _known(jet: Any, order: int, step: int | None) -> Sequence[Array]:
    """What the core reads of the jet."""
    if order == 0:
        return (jet.values,)
    if step is not None:
        return (jet.derivative,)
    return (jet.derivative, jet.first) if order == 1 else (jet.half_second, jet.left, jet.right)


# A call of the core as a separate operation, which exists only in lowered programs.
_form_p = Primitive("eigenpair_spectral_form_by_core")
_form_p.multiple_results = True


@_form_p.def_abstract_eval
@native.abstract
def _form_abstract(w: Array, v: Array, *others: Array, batch: tuple[int, ...], attributes: Any) -> list[Array]:
    total = v
    for x in others:
        if x.ndim == v.ndim and x.shape[-2:] == v.shape[-2:] and x.dtype == v.dtype:
            total = total + x
    return [jnp.broadcast_to(total, (*batch, *v.shape[-2:]))]


def _lower(ctx: Any, *operands: Any, batch: tuple[int, ...], attributes: Any) -> Any:
    return native.lowering("eigenpair_spectral_form", batch=len(batch), **dict(attributes))(ctx, *operands)


mlir.register_lowering(_form_p, _lower)
