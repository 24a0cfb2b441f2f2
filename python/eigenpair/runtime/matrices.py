"""Operations on batches of matrices that all problems use."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

TRIANGLES = {"hermitian": 0, "lower": 1, "upper": 2}  # as the C ABI numbers them


def of_rank(x: Array, ndim: int) -> Array:
    """`x` with leading axes of size 1, `ndim` axes in all. JAX does not broadcast arrays of different rank under
    `jax_numpy_rank_promotion="raise"`."""
    return jnp.expand_dims(x, tuple(range(ndim - x.ndim)))


def identity(n: int, ndim: int, dtype: Any = bool) -> Array:
    """The identity matrix, or the mask of the diagonal, with `ndim` axes."""
    return of_rank(jnp.eye(n, dtype=dtype), ndim)


def diagonal_matrix(x: Array, dtype: Any) -> Array:
    """`Diag(x)`, shape `(…, n, n)`."""
    return identity(x.shape[-1], x.ndim + 1, dtype) * x.astype(dtype)[..., None, :]


def adjoint(x: Array) -> Array:
    """`xᴴ`."""
    return jnp.conj(jnp.swapaxes(x, -1, -2))


# On accelerators, products of matrices up to this order are computed as sums of element-wise products, which XLA fuses
# with other operations. Many small products by a library take longer.
_fused_up_to: contextvars.ContextVar[int] = contextvars.ContextVar("fused_up_to", default=0)


def fusing(f: Callable[..., Any], up_to: int = 8) -> Callable[..., Any]:
    """`f`, in which products of matrices up to this order are written so that XLA can fuse them."""

    @functools.wraps(f)
    def fused(*args: Any, **kwargs: Any) -> Any:
        token = _fused_up_to.set(up_to)
        try:
            return f(*args, **kwargs)
        finally:
            _fused_up_to.reset(token)

    return fused


def matmul(x: Array, y: Array) -> Array:
    """`x @ y` in full precision on every platform."""
    if 0 < max(*x.shape[-2:], *y.shape[-2:]) <= _fused_up_to.get():
        return jnp.sum(x[..., :, :, None] * y[..., None, :, :], axis=-2)
    # By default, accelerators round the factors of a product to fewer digits.
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def norm(x: Array, axis: int | tuple[int, ...]) -> Array:
    """2-norm over `axis` (kept), safe from overflow and underflow of the squares."""
    x = jnp.abs(x)
    size = jnp.max(x, axis=axis, keepdims=True, initial=0)
    safe = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    return safe * jnp.sqrt(jnp.sum((x / safe) ** 2, axis=axis, keepdims=True))


def largest_column(x: Array) -> Array:
    """Largest column norm of each matrix, shape `(…, 1, 1)`."""
    return jnp.max(norm(x, -2), axis=-1, keepdims=True, initial=0)


def hermitian_part(x: Array, triangle: str = "hermitian") -> Array:
    """The Hermitian matrix that `triangle` of `x` represents. This map is linear, so it also maps tangents."""
    if triangle == "hermitian":
        return x / 2 + adjoint(x) / 2
    strict = jnp.tril(x, -1) if triangle == "lower" else jnp.triu(x, 1)
    return jnp.where(identity(x.shape[-1], x.ndim), jnp.real(x).astype(x.dtype), strict + adjoint(strict))


def far_from_hermitian(x: Array, place: Callable[[Array], Array] = lambda x: x) -> Array:
    """Whether the skew-Hermitian part is more than a hundredth of the matrix, shape `(…,)`: too large to be a rounding
    error or a step of finite differences."""
    x = lax.stop_gradient(x)
    skew = place(x / 2 - adjoint(x) / 2)  # where the matrix is, if that is spread over devices
    size = jnp.max(jnp.abs(x), axis=(-1, -2), keepdims=True, initial=0)
    size = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    squares = [jnp.sum((jnp.abs(y) / size) ** 2, axis=(-1, -2)) for y in (skew, x)]
    return squares[0] > 1e-4 * squares[1]


def finite_or_identity(*xs: Array) -> tuple[Array, list[Array]]:
    """Where all of the matrices are finite, shape `(…, 1, 1)`, and the matrices, with the identity in place of those
    that are not: some solvers turn NaN into finite numbers, or do not return."""
    finite = jnp.array(True)
    for x in xs:
        finite = finite & jnp.all(jnp.isfinite(x), axis=(-1, -2), keepdims=True)
    return finite, [jnp.where(finite, x, identity(x.shape[-1], x.ndim, x.dtype)) for x in xs]


def all_finite(x: Array, triangle: str | None = None) -> Array:
    """Which of the matrices are finite in all entries, or in those that `triangle` reads; shape `(…, 1, 1)`."""
    finite = jnp.isfinite(x)
    if triangle in ("lower", "upper"):
        # On the diagonal only the real part is read.
        finite = jnp.where(identity(x.shape[-1], x.ndim), jnp.isfinite(jnp.real(x)), finite)
        unread = jnp.triu(jnp.ones_like(finite), 1)
        finite = finite | (unread if triangle == "lower" else jnp.swapaxes(unread, -1, -2))
    return jnp.all(finite, axis=(-1, -2), keepdims=True)


def finite_part(x: Array) -> Array:
    """Zeros in place of NaN and Inf, for matrices whose results will be discarded: some solvers turn NaN into finite
    numbers, or do not return. Entry by entry, so that XLA fuses it."""
    return jnp.where(jnp.isfinite(x), x, 0)


def nan_columns(columns: Array | None, x: Array) -> Array:
    """`x` with NaN in the marked columns, `(…, 1, n)`."""
    return x if columns is None else jnp.where(columns, jnp.nan, x)
