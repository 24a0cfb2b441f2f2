"""Checks of arguments, before anything is compiled. An error names the argument and says what to do instead."""

from __future__ import annotations

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .matrices import of_rank

PRECISIONS = frozenset(map(np.dtype, ("float32", "float64", "complex64", "complex128")))
_EXTENDED = {np.dtype(np.longdouble): "float64", np.dtype(np.clongdouble): "complex128"}


def matrices(name: str, value: Any) -> Array:
    """A square matrix or a batch of them, in one of the four precisions."""
    result = array(name, value)
    if result.ndim < 2:
        diagonal = f"; if {name} is the diagonal of a matrix, give jnp.diag({name})" if result.ndim == 1 else ""
        raise ValueError(
            f"{name} must be a square matrix or a batch of them (…, n, n), got shape {result.shape}{diagonal}"
        )
    if result.shape[-1] != result.shape[-2]:
        raise ValueError(f"{name} must be square in its last two axes, got shape {result.shape}")
    return result


def matrices_or_diagonal(name: str, value: Any) -> Array:
    """As `matrices`, or an array with exactly one axis: a real diagonal. An array with two axes is always one matrix,
    as for `numpy.linalg.solve`, because a batch of `n` diagonals would look like a matrix."""
    result = array(name, value)
    if result.ndim == 1:
        if jnp.iscomplexobj(result):
            raise TypeError(f"{name}, a diagonal, must be real, got {result.dtype}; give {name}.real")
        return result
    if result.ndim > 1 and result.shape[-1] != result.shape[-2]:
        raise ValueError(
            f"{name} must be square in its last two axes, or a diagonal with one axis; got shape {result.shape}. For a "
            f"batch of diagonals: jax.vmap(lambda a, {name}: eigh(a, {name}))(a, {name})"
        )
    return matrices(name, result)


def array(name: str, value: Any) -> Array:
    """An array in one of the four precisions; integers become floats."""
    if isinstance(value, Array) and value.dtype in PRECISIONS:
        return value  # fast path: for small matrices, the checks below are most of an eager call
    try:
        result = None if isinstance(value, (str, bytes)) or value is None else jnp.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {_description_of(name, value, str(error))}") from None
    if result is None:
        raise TypeError(f"{name} must be an array, got {_description_of(name, value)}")
    if result.dtype in PRECISIONS:
        return result
    if jnp.issubdtype(result.dtype, jnp.integer) or result.dtype == bool:
        return result.astype(jax.dtypes.canonicalize_dtype(float))
    raise TypeError(
        f"{name} has dtype {result.dtype}, which has no eigensolver; cast it first: {name}.astype(jnp.float32)"
    )


def _description_of(name: str, value: Any, error: str = "") -> str:
    """What `value`, which is not an array, is, and what to pass instead."""
    kind = type(value).__name__
    if isinstance(value, (str, bytes)):
        return f"{value!r}; choose the triangle by name: lower=True or lower=False"
    if value is None:
        return "None"
    if isinstance(value, tuple) and hasattr(value, "eigenvectors"):
        return f"{kind}, a whole result; give its eigenvectors: {name}.eigenvectors"
    if callable(value) and not hasattr(value, "dtype"):
        return "a function; the order is f, a" if name == "a" else f"a function, {value!r}"
    if hasattr(value, "todense"):
        method = "toarray" if hasattr(value, "toarray") else "todense"
        return f"{kind}, which is sparse; give a dense matrix, {name}.{method}(), or call eigsh or eigs"
    if getattr(value, "requires_grad", False):
        return (
            f"{kind} that requires grad; give {name}.detach().numpy(), because PyTorch cannot differentiate through JAX"
        )
    dtype = getattr(value, "dtype", None)
    if dtype is not None and getattr(dtype, "kind", "") == "O":
        return f"an array of objects; give an array of numbers: np.asarray({name}, dtype=float), or jnp.stack of arrays"
    if dtype in _EXTENDED:
        return f"dtype {dtype}, which JAX does not have; cast it first: {name}.astype({_EXTENDED[dtype]!r})"
    return f"{kind}: {error}"


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


def tally(value: Any, matrices: Array) -> Array:
    """An array of zeros for a count, converted to the batch shape and the precision of the matrices."""
    result = array("tally", value)
    if jnp.issubdtype(result.dtype, jnp.complexfloating):
        raise TypeError(f"tally must be real, got {result.dtype}")
    batch = matrices.shape[:-2]
    try:
        fits = np.broadcast_shapes(result.shape, batch) == batch
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"the shape of tally must broadcast to the batch {batch}, got {result.shape}; jnp.zeros(()) counts all"
        )
    return jnp.broadcast_to(result, batch).astype(jnp.finfo(matrices.dtype).dtype)


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
    raise TypeError(f"lower must be True, False, or None for the Hermitian part, got {_no_boolean('lower', lower)}")


def flag(name: str, value: Any) -> bool:
    """A plain boolean."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {_no_boolean(name, value)}")


def _no_boolean(name: str, value: Any) -> str:
    if isinstance(value, jax.core.Tracer):
        return (
            "a traced value, which cannot choose what is compiled; make it static, "
            f"jax.jit(f, static_argnames={name!r}), or compute both and choose by jnp.where"
        )
    if name == "lower" and isinstance(value, str) and value[:1].upper() in ("L", "U"):
        return f"{value!r}; write lower={value[0].upper() == 'L'}"
    if isinstance(value, (int, float, np.number, np.ndarray, Array)) and np.ndim(value) == 0:
        return f"{value!r}; write {name}={bool(value)}"
    return repr(value)


def integer(name: str, value: Any) -> int:
    """A Python integer."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"{name} must be a Python integer, got a traced value; make it static: static_argnames={name!r}"
        )
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a Python integer, got {value!r}")
    return int(value)


def subset(value: Any, n: int) -> tuple[int, int] | None:
    """`(first, last)`, both included, as SciPy counts."""
    if value is None:
        return None
    try:
        first, last = (operator.index(index) for index in value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"subset_by_index must be two integers (first, last), got {_no_subset(value, n)}") from None
    if not 0 <= first <= last < n:
        hint = ""
        if first < 0 or last < 0:
            hint = f"; count from the lowest: the two highest of {n} are ({max(n - 2, 0)}, {n - 1})"
        elif first > last:
            hint = f"; both are included, ({last}, {first}) in order"
        elif n:
            hint = f"; the last index is {n - 1}, because it is included"
        raise ValueError(f"subset_by_index must satisfy 0 ≤ first ≤ last < {n}, got {value!r}{hint}")
    return first, last


def _no_subset(value: Any, n: int) -> str:
    entries = value if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    if any(isinstance(x, jax.core.Tracer) for x in entries):
        return f"{value!r}; traced values cannot determine the number of results: make them static"
    if any(isinstance(x, float) and math.isinf(x) for x in entries):
        return f"{value!r}; the last index of all is {n - 1}"
    return repr(value)
