"""Engines for a matrix that is too large for one device: they solve `A v = λ v` for a matrix spread over several.

An engine replaces only the solver. The derivatives and degeneracy policies are those of `eigenpair.hermitian`, and all
matrices stay spread over the devices. See `docs/scaling.md`.
"""

from __future__ import annotations

import dataclasses
import importlib
import operator
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["Engine", "engine", "jaxmg"]


@dataclasses.dataclass(frozen=True)
class Engine:
    """Base class. Your own engine defines `solve`, and `judge` if it has more conditions than those below.

    **Arguments:**

    - `mesh`: the devices, as `jax.make_mesh` returns them, with axes of type `Auto`.
    - `spec`: how rows and columns are spread over the mesh, one axis of it or `None` for each:
        `PartitionSpec("x", "y")`, `PartitionSpec("x", None)`.
    """

    mesh: Mesh
    spec: PartitionSpec

    def __post_init__(self) -> None:
        if not isinstance(self.mesh, Mesh):
            raise TypeError(f"mesh must be a jax.sharding.Mesh, got {self.mesh!r}")
        if not isinstance(self.spec, PartitionSpec):
            raise TypeError(f"spec must be a jax.sharding.PartitionSpec, got {self.spec!r}")
        spec = PartitionSpec(*self.spec, *(None,) * (2 - len(self.spec)))
        object.__setattr__(self, "spec", spec)
        known = all(axis is None or axis in self.mesh.axis_names for axis in spec)
        if len(spec) != 2 or not known or spec[0] == spec[1]:
            raise ValueError(
                f"spec must name different axes of the mesh, {self.mesh.axis_names}, for rows and for columns, or None "
                f"for one of them; got {self.spec}"
            )
        if any(kind != AxisType.Auto for kind in self.mesh.axis_types):
            # A matrix and its transpose would be of different types.
            raise ValueError(
                "the axes of mesh must be of type Auto: "
                "jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """The numbers of devices over which rows and columns are spread."""
        rows, columns = (1 if axis is None else self.mesh.shape[axis] for axis in self.spec)
        return rows, columns

    def judge(self, n: int, dtype: Any) -> None:
        """Raises `ValueError` if a matrix of that size cannot be solved, before anything is compiled."""
        rows, columns = self.grid
        if n == 0 or n % rows or n % columns:
            raise ValueError(
                f"{self._name} spreads rows over {rows} devices and columns over {columns}, so the size of a must be a "
                f"multiple of both, got {n}"
            )

    def solve(self, a: Array, *, vectors: bool) -> tuple[Array, Array | None]:
        """The decomposition, written so that `jax.jit` can trace it.

        **Arguments:** `a`: `(n, n)`, Hermitian to the last bit, finite, and spread according to `spec`.

        **Returns:** Eigenvalues, real and ascending, `(n,)`, the same on all devices; eigenvectors, `(n, n)`,
        orthonormal columns, spread like `a`, or `None` if `vectors` is false. NaN if the solver did not converge.
        """
        raise NotImplementedError

    @property
    def _name(self) -> str:
        return type(self).__name__


@dataclasses.dataclass(frozen=True)
class jaxmg(Engine):
    """NVIDIA's cuSOLVERMp, through the package [jaxmg](https://pypi.org/project/jaxmg/): several GPUs, on one or more
    machines. Installed by `pip install "eigenpair[jaxmg-cuda12]"`, or `13`.

    jaxmg runs one process per GPU: call `jax.distributed.initialize()` first. Any of the four precisions.

    **Arguments:**

    - `mesh`: two axes or one, all devices in row-major or in column-major order.
    - `spec`: as for `Engine`, naming every axis of the mesh.
    - `tile`: the edge length of cuSOLVERMp's blocks, at most `n` divided by the number of devices along
        either axis. If a tile does not divide a device's part of the matrix, the matrix is copied with padding.

    **Raises:** `ImportError` without jaxmg; `TypeError` or `ValueError` naming the argument.
    """

    tile: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.tile, bool) or not hasattr(self.tile, "__index__"):
            raise TypeError(f"tile must be an integer, got {self.tile!r}")
        object.__setattr__(self, "tile", operator.index(self.tile))
        if self.tile < 1:
            raise ValueError(f"tile must be positive, got {self.tile}")
        rows, columns = self.grid
        if rows * columns != self.mesh.size:
            raise ValueError(
                f"spec must use every axis of mesh, {self.mesh.axis_names}, got {self.spec}; "
                "make a mesh of the axes that the matrix is spread over"
            )
        _package()

    def judge(self, n: int, dtype: Any) -> None:
        """As for `Engine`. In addition, every device must have a tile."""
        super().judge(n, dtype)
        if -(-n // self.tile) < max(self.grid):
            raise ValueError(
                f"with tile={self.tile}, a matrix of size {n} has fewer tiles along its edge than the {max(self.grid)} "
                f"devices there; make the tile at most {n // max(self.grid)}"
            )

    def solve(self, a: Array, *, vectors: bool) -> tuple[Array, Array | None]:
        """By `jaxmg.syevd_shardmap_ctx`."""
        _, w, *v, status = _package().syevd_shardmap_ctx(
            a, self.tile, self.mesh, self.spec, return_eigenvectors=vectors, pad=True
        )
        # Each process returns a vector that begins with its status.
        rows, columns = self.grid
        failed = jnp.any(status.reshape(rows * columns, -1)[:, 0] != 0)
        w = jnp.where(failed, jnp.nan, w)
        return w, (jnp.where(failed, jnp.nan, v[0]) if vectors else None)


def _package() -> Any:
    try:
        return importlib.import_module("jaxmg")
    except ImportError as error:
        raise ImportError(
            f"the engine jaxmg needs the package jaxmg ({error}): pip install 'eigenpair[jaxmg-cuda12]', or -cuda13"
        ) from error


_current = jax.make_user_context(default_value=None)


def engine(value: Engine) -> AbstractContextManager[None]:
    """An engine for a block of code: `with eigenpair.engines.engine(jaxmg(mesh, spec)): ...`

    Inside the block, `eigh`, `eigvalsh` and the spectral functions call the engine, with one matrix `(n, n)` without
    `b` each. A matrix with another sharding is brought to that of the engine. Functions that were jitted outside of the
    block are traced again.

    **Raises:** `TypeError` if `value` is not an engine. Inside the block, before anything is compiled, `ValueError` for
    what the engine cannot do: `b`, a batch (also by `vmap`), `eig`, a size that is not divisible by the mesh.
    """
    if not isinstance(value, Engine):
        raise TypeError(f"an engine must be an instance of eigenpair.engines.Engine, such as jaxmg(...), got {value!r}")
    return _current(value)


def current() -> Engine | None:
    """The engine of the block."""
    return _current.value


def refuse(function: str) -> None:
    """Raises inside a block with an engine: no engine has `function`, and without an engine the matrix would be
    gathered on one device."""
    if current() is not None:
        raise ValueError(f"{function} cannot be solved by an engine; call it outside of the block")


def require_solvable(value: Engine, operands: Sequence[Array]) -> None:
    """Raises `ValueError` unless the engine can solve this problem."""
    if len(operands) > 1:
        raise ValueError(f"{value._name} solves A v = λ v; leave out b, or call outside of the block with the engine")
    (a,) = operands
    if a.ndim != 2:
        raise ValueError(f"{value._name} solves one matrix (n, n); got a batch, of shape {a.shape}")
    value.judge(a.shape[-1], a.dtype)


def placed(a: Array) -> Array:
    """`a`, and its cotangent, with the sharding of the block's engine, if there is one."""
    value = current()
    if value is None:
        return a
    require_solvable(value, (a,))
    return place(value, a)


def solve(value: Engine, a: Array, vectors: bool) -> list[Array]:
    """`[w]` or `[w, v]` of a Hermitian `a`, NaN where there is no solution."""

    @custom_vmap
    def solved(a: Array) -> list[Array]:
        # The engine never gets NaN or Inf: if one process stopped, the others would wait for it.
        finite = jnp.all(jnp.isfinite(a))
        w, v = value.solve(place(value, jnp.where(finite, a, 1)), vectors=vectors)
        results = [w] if v is None else [w, place(value, v)]
        return [jnp.where(finite, x, jnp.nan) for x in results]

    @solved.def_vmap
    def no_batch(size: int, batched: Any, a: Array) -> Any:
        raise ValueError(f"{value._name} solves one matrix (n, n); got a batch of {size}, from vmap")

    return solved(a)


def place(value: Engine, x: Array) -> Array:
    """The matrix with the sharding of the engine."""
    return jax.lax.with_sharding_constraint(x, NamedSharding(value.mesh, value.spec))
