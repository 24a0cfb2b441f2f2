"""Arguments are judged here, before anything is compiled: an error names the argument and says what to do instead."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._matrices import of_rank

_PRECISIONS = frozenset(map(np.dtype, ("float32", "float64", "complex64", "complex128")))


def matrices(name: str, value: Any) -> Array:
    """A square matrix or a batch of them, in one of the four precisions."""
    result = array(name, value)
    if result.ndim < 2:
        raise ValueError(f"{name} must be a square matrix or a batch of them (…, n, n), got shape {result.shape}")
    if result.shape[-1] != result.shape[-2]:
        raise ValueError(f"{name} must be square in its last two axes, got shape {result.shape}")
    return result


def array(name: str, value: Any) -> Array:
    """An array in one of the four precisions; integers become floats."""
    if isinstance(value, Array) and value.dtype in _PRECISIONS:
        return value  # soon, for small matrices: this is most of an eager call
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be an array, got {value!r}")
    try:
        result = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__}: {error}") from None
    if result.dtype in _PRECISIONS:
        return result
    if jnp.issubdtype(result.dtype, jnp.integer) or result.dtype == bool:
        return result.astype(jax.dtypes.canonicalize_dtype(float))
    raise TypeError(f"{name} has dtype {result.dtype}, which has no eigensolver; cast it to float32 or float64 first")


def promoted(a: Array, b: Array) -> tuple[Array, Array]:
    """Both matrices in one precision and one batch shape."""
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"b must have the size of a: got {b.shape} for a of {a.shape}")
    dtype = jnp.promote_types(a.dtype, b.dtype)
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"the batch axes of b do not broadcast against those of a: {b.shape} and {a.shape}") from None
    n = a.shape[-1]
    a, b = a.astype(dtype), b.astype(dtype)
    if a.shape != b.shape:
        # By addition, which also brings both to one sharding; a broadcast does not.
        a, b = (of_rank(x, len(batch) + 2) for x in (a, b))
        a, b = (x if x.shape == (*batch, n, n) else x + jnp.zeros_like(y) for x, y in ((a, b), (b, a)))
    return a, b


def problem_type(value: Any, has_b: bool) -> int:
    """0 without `b`, else 1, 2 or 3."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value not in (1, 2, 3):
        raise ValueError(f"type must be 1 (A v = λ B v), 2 (A B v = λ v) or 3 (B A v = λ v), got {value!r}")
    if not has_b and value != 1:
        raise ValueError(f"type={value} is a problem in a and b; give b, or leave type out")
    return int(value) if has_b else 0


def triangle(lower: Any) -> str:
    """`"hermitian"`, `"lower"` or `"upper"`."""
    if lower is None:
        return "hermitian"
    if isinstance(lower, (bool, np.bool_)):
        return "lower" if lower else "upper"
    raise TypeError(f"lower must be True, False, or None for the Hermitian part, got {lower!r}")


def flag(name: str, value: Any) -> bool:
    """A plain boolean: a traced one cannot choose what is compiled."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def subset(value: Any, n: int) -> tuple[int, int] | None:
    """`(first, last)`, both included, as SciPy counts."""
    if value is None:
        return None
    try:
        first, last = (operator.index(index) for index in value)
    except (TypeError, ValueError):
        raise TypeError(f"subset_by_index must be two integers (first, last), got {value!r}") from None
    if not 0 <= first <= last < n:
        raise ValueError(f"subset_by_index must satisfy 0 ≤ first ≤ last < {n}, got {value!r}")
    return first, last
