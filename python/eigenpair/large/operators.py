"""Operators, and their products with blocks of vectors.

The vectors of a block are rows, `(m, n)`: each vector is contiguous, and `jax.vmap` of a function of one vector moves
no axes. An operator has two parts: its parameters, which are arrays that JAX differentiates, and its form, which is
hashable and defines the product.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..runtime.arguments import array
from .programs import SameFunction

Parameters = tuple[Any, ...]

_PRECISIONS = ("float32", "float64", "complex64", "complex128")


def inner(x: Array, y: Array) -> Array:
    """`⟨xᵢ, yⱼ⟩ = Σ xᵢ conj(yⱼ)` of rows: the coefficient of `yⱼ` in `xᵢ` if the `y` are orthonormal."""
    if y.shape[0] < x.shape[0]:
        return jnp.conj(inner(y, x)).T
    if jax.default_backend() != "cpu" or x.shape[0] > 2:
        return combine(x, jnp.conj(y).T)
    # XLA's matrix product on CPU copies the long matrix first, and is six times as slow as sums. (Of more than two rows
    # at once, XLA does not vectorize the sums.)
    return jnp.sum(x[:, None, :] * jnp.conj(y)[None], axis=-1)


def combine(c: Array, x: Array) -> Array:
    """Rows `Σⱼ cᵢⱼ xⱼ`."""
    return jnp.matmul(c, x, precision=lax.Precision.HIGHEST)


def lengths(x: Array) -> Array:
    """2-norms of rows, shape `(m,)`."""
    return jnp.sqrt(jnp.sum(jnp.real(x * jnp.conj(x)), axis=-1))


def scaled(factors: Array, x: Array) -> Array:
    """Rows, each multiplied by a real number."""
    return factors.astype(x.dtype)[:, None] * x


def safe_lengths(x: Array) -> Array:
    """The same, safe from overflow and underflow of the squares."""
    size = jnp.max(jnp.abs(x), axis=-1, initial=0)
    safe = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    return safe * lengths(scaled(1 / safe, x))


@dataclasses.dataclass(frozen=True)
class Form:
    """How to multiply: the part of an operator that is not an array."""

    n: int
    dtype: str

    @property
    def explicit(self) -> bool:
        """Whether the entries of the matrix are known."""
        return False

    def apply(self, parameters: Parameters, x: Array) -> Array:
        """The product with each row of `x`."""
        raise NotImplementedError

    def hermitian(self, parameters: Parameters, x: Array) -> Array:
        """The product with the Hermitian part, whose derivative Hermitian problems use."""
        return self.apply(parameters, x)

    def adjoint(self, parameters: Parameters, x: Array) -> Array:
        """The product with the conjugate transpose."""
        zero = jnp.zeros((self.n,), self.dtype)

        def one(v: Array) -> Array:
            return self.apply(parameters, v[None])[0]

        # Not `jax.linear_transpose`: that of JAX 0.7 does not transpose a scan over its arguments.
        (transposed,) = jax.vmap(jax.vjp(one, zero)[1])(jnp.conj(x))
        return jnp.conj(transposed)


@dataclasses.dataclass(frozen=True)
class Dense(Form):
    """A matrix `(n, n)`."""

    @property
    def explicit(self) -> bool:
        """True."""
        return True

    def apply(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.apply`."""
        (a,) = parameters
        return combine(x, a.T)

    def hermitian(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.hermitian`."""
        return (self.apply(parameters, x) + self.adjoint(parameters, x)) / 2

    def adjoint(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.adjoint`."""
        (a,) = parameters
        return combine(x, jnp.conj(a))


@dataclasses.dataclass(frozen=True)
class Sparse(Form):
    """Entries `(nse,)` at `(nse, 2)` indices; entries at one place add up."""

    @property
    def explicit(self) -> bool:
        """True."""
        return True

    def _product(self, data: Array, to: Array, of: Array, x: Array) -> Array:
        def one(v: Array) -> Array:
            return jnp.zeros(self.n, v.dtype).at[to].add(data * v[of], mode="drop")

        # One row after the other, because together they need nse times as many numbers as there are rows. Before
        # JAX 0.10, `lax.custom_linear_solve` cannot transpose a loop.
        together = x.shape[0] == 1 or jax.__version_info__ < (0, 10)
        return jax.vmap(one)(x) if together else lax.map(one, x)

    def apply(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.apply`."""
        data, indices = parameters
        return self._product(data, indices[:, 0], indices[:, 1], x)

    def adjoint(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.adjoint`."""
        data, indices = parameters
        return self._product(jnp.conj(data), indices[:, 1], indices[:, 0], x)

    def hermitian(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.hermitian`."""
        return (self.apply(parameters, x) + self.adjoint(parameters, x)) / 2


@dataclasses.dataclass(frozen=True)
class Traced(Form):
    """A function of one vector, as traced by JAX. Two of them are equal if they compute the same, so a function that is
    defined again in every step of an optimization is compiled only once."""

    key: Any
    function: Callable[..., Any] = dataclasses.field(compare=False)

    def apply(self, parameters: Parameters, x: Array) -> Array:
        """As `Form.apply`."""
        return jax.vmap(lambda v: self.function(*parameters, v)[0])(x)


class Operator(NamedTuple):
    """An operator: its form and its parameters."""

    form: Form
    parameters: Parameters


def split(name: str, value: Any, n: int | None, dtype: Any) -> Operator:
    """`value` as an operator: a matrix, dense or sparse, a lineax operator, or a function.

    **Raises:** `TypeError` or `ValueError` naming the argument.
    """
    if isinstance(value, Operator):
        return value
    if type(value).__name__ in ("BCOO", "BCSR") and hasattr(value, "n_batch"):
        return _sparse(name, value)
    if type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocoo"):
        coo = value.tocoo()
        if coo.shape[0] != coo.shape[1]:
            raise ValueError(f"{name} must be square, got shape {coo.shape}")
        data = array(name, coo.data if coo.data.dtype.name in _PRECISIONS else coo.data.astype(np.float64))
        indices = jnp.asarray(np.stack([coo.row, coo.col], axis=1))
        return Operator(Sparse(coo.shape[0], str(data.dtype)), (data, indices))
    if callable(getattr(value, "mv", None)) and callable(getattr(value, "in_structure", None)):
        return _lineax(name, value)
    if callable(value) and not isinstance(value, (jax.Array, np.ndarray)):
        if n is None or dtype is None:
            raise TypeError(
                f"{name} is a function: say for vectors of which size and type, eigsh(f, k, n=…, dtype=…), or give v0"
            )
        return traced(name, value, n, _precision("dtype", dtype))
    a = array(name, value)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"{name} must be one square matrix (n, n), got shape {a.shape}; use jax.vmap for a batch")
    return Operator(Dense(a.shape[0], str(a.dtype)), (a,))


def traced(name: str, function: Callable[[Array], Any], n: int, dtype: str) -> Operator:
    """A function of a vector `(n,)`. The values that it closes over become its parameters, also traced ones."""
    example = jax.ShapeDtypeStruct((n,), jnp.dtype(dtype))
    closed, shape = jax.make_jaxpr(function, return_shape=True)(example)
    if getattr(shape, "shape", None) != (n,):
        raise ValueError(f"{name} must return a vector of shape ({n},) for one of shape ({n},), it returned {shape}")
    if shape.dtype != example.dtype:
        raise TypeError(
            f"{name} returns {shape.dtype} for a vector of dtype {example.dtype}; "
            f"cast its parameters, or say dtype={shape.dtype}"
        )
    constants = tuple(closed.consts)
    jaxpr = closed.jaxpr

    def evaluate(*operands: Any) -> Any:
        return jax.core.eval_jaxpr(jaxpr, operands[: len(constants)], operands[-1])

    return Operator(Traced(n, dtype, SameFunction.of(jaxpr), evaluate), constants)


def _sparse(name: str, value: Any) -> Operator:
    if type(value).__name__ == "BCSR":
        value = value.to_bcoo()
    if value.n_batch or value.n_dense:
        raise ValueError(f"{name} must be one sparse matrix without batch or dense axes; use jax.vmap for a batch")
    if len(value.shape) != 2 or value.shape[0] != value.shape[1]:
        raise ValueError(f"{name} must be square, got shape {value.shape}")
    data = array(name, value.data)
    return Operator(Sparse(value.shape[0], str(data.dtype)), (data, value.indices))


def _lineax(name: str, value: Any) -> Operator:
    structure = value.in_structure()
    leaves = jax.tree.leaves(structure)
    if len(leaves) != 1 or jax.tree.leaves(value.out_structure())[0].shape != leaves[0].shape:
        raise ValueError(f"{name} must map one array to one of the same shape, it maps {structure}")
    (leaf,) = leaves
    tree = jax.tree.structure(structure)

    def function(v: Array) -> Array:
        (result,) = jax.tree.leaves(value.mv(jax.tree.unflatten(tree, [v.reshape(leaf.shape)])))
        return result.reshape(-1)

    n = int(np.prod(leaf.shape, dtype=np.int64))
    return traced(name, function, n, _precision(name, leaf.dtype))


def _precision(name: str, dtype: Any) -> str:
    try:
        found = jax.dtypes.canonicalize_dtype(np.dtype(dtype)).name
    except TypeError:
        raise TypeError(f"{name} must be one of {', '.join(_PRECISIONS)}, got {dtype!r}") from None
    if found not in _PRECISIONS:
        raise TypeError(f"{name} must be one of {', '.join(_PRECISIONS)}, got {dtype!r}")
    return found


def products(operator: Operator, dtype: Any, kind: str = "apply") -> Callable[[Array], Array]:
    """`x ↦` products with its rows, in `dtype`, which may be complex where the operator is real."""
    form, parameters = operator
    method = getattr(form, kind)
    if jnp.dtype(form.dtype) == jnp.dtype(dtype):
        return lambda x: method(parameters, x)
    real = jnp.finfo(dtype).dtype
    if jnp.issubdtype(form.dtype, jnp.complexfloating):
        return lambda x: method(parameters, x.astype(form.dtype)).astype(dtype)
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        return lambda x: method(parameters, x.astype(form.dtype)).astype(dtype)

    def both(x: Array) -> Array:
        count = x.shape[0]
        parts = jnp.concatenate([jnp.real(x), jnp.imag(x)]).astype(form.dtype)
        y = method(parameters, parts).astype(real)
        return lax.complex(y[:count], y[count:])

    return both


def require_adjoint(name: str, operator: Operator) -> None:
    """Raises `TypeError` if JAX cannot transpose a function."""
    form, parameters = operator
    try:
        jax.eval_shape(form.adjoint, parameters, jax.ShapeDtypeStruct((1, form.n), jnp.dtype(form.dtype)))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TypeError(
            f"left vectors, and so derivatives, need products with the adjoint of {name}, and JAX cannot transpose it "
            f"({reason}). Write it without while_loop and callbacks, or give it jax.custom_transpose"
        ) from error


def common_dtype(operators: Sequence[Operator | None]) -> Any:
    """The precision that holds all of them."""
    found = [jnp.dtype(o.form.dtype) for o in operators if o is not None]
    result = found[0]
    for other in found[1:]:
        result = jnp.dtype(np.promote_types(result, other))
    return result
