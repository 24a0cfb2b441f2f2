"""Kernels on CUDA devices: the native core finds cuSOLVER when it is first needed, and calls it.

On a device, XLA forms Hermitian parts, order and gauge, and NaN for matrices that failed. So these functions only
replace XLA's own `eigh` and `eig`, in the code that `hermitian` and `general` have for platforms without kernels.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import mlir

from . import native

# As the C ABI numbers them.
DRIVERS = {"auto": 0, "evd": 1, "batched": 4, "jacobi": 5}

# The settings below are for measurements. Programs that are compiled already keep theirs.

# The largest order that XLA solves by element-wise operations.
ELEMENTWISE = 4

# The driver of standard problems.
DRIVER = "auto"

# The triangle that cuSOLVER reads. Its routines have failed with the lower one: XsyevBatched on complex64, Xsyevd on
# complex128.
LOWER = False

# Up to this many pairs of up to this order go to sygvd; all others are reduced to a standard problem. sygvd solves one
# pair after the other and counts its workspace in 32 bits, and for one pair it took 5 % longer than the reduction
# (n = 512 and 2048, H100). So it is used for measurements only.
PAIR_BATCH = 0
PAIR_ORDER = 16384

# Folders below `nvidia`, and names, by CUDA's major version: runtime, cuBLAS, cuSOLVER.
_WHEELS = {
    13: (("cu13", "libcudart.so.13"), ("cu13", "libcublas.so.13"), ("cu13", "libcusolver.so.12")),
    12: (("cuda_runtime", "libcudart.so.12"), ("cublas", "libcublas.so.12"), ("cusolver", "libcusolver.so.11")),
}


# ---- libraries ----------------------------------------------------------------------------------------------------


def library_paths() -> tuple[str, str, str]:
    """CUDA's runtime, cuBLAS and cuSOLVER in JAX's CUDA wheels; empty names where there are none."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    # If two are installed, use the one for which JAX's plugin was built.
    for major in sorted(_WHEELS, key=lambda major: importlib.util.find_spec(f"jax_cuda{major}_plugin") is None):
        for folder in folders:
            paths = [Path(folder, package, "lib", name) for package, name in _WHEELS[major]]
            if all(path.is_file() for path in paths):
                return str(paths[0]), str(paths[1]), str(paths[2])
    return "", "", ""


def libraries() -> str:
    """Which cuSOLVER is used: one line with versions and path. Raises `RuntimeError` that says why there is none."""
    if not native.has_cpu_kernels():
        raise RuntimeError(native.why_no_kernels())
    return str(native.extension.open_cuda())


def report() -> str:
    """What `python -m eigenpair` prints about CUDA."""
    try:
        found = libraries()
    except RuntimeError as error:
        if _has_device():
            return f"XLA's own eigh and eig: {error}"
        # Without a GPU, the names that the loader tried do not matter.
        return f"none: {str(error).partition(': libcu')[0]}"
    return found + (
        "" if native.extension.cuda_has("Xgeev") else "; eig is XLA's own, because it needs cuSOLVER 11.7.1"
    )


def has_kernels(routine: str = "Xsyevd") -> bool:
    """Whether computations for CUDA are lowered to the native core.

    They are if cuSOLVER has the routine. If no cuSOLVER can be opened, they are if this process has no CUDA device,
    because the lowered program then runs elsewhere.
    """
    if not native.has_cpu_kernels():
        return False
    try:
        libraries()
    except RuntimeError:
        return not _has_device()
    return bool(native.extension.cuda_has(routine))


def _has_device() -> bool:
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False


if native.has_cpu_kernels():
    # Registered on import, not when a computation is lowered: an exported computation was lowered in another process.
    native.extension.name_cuda_libraries(*library_paths())


# ---- kernels ------------------------------------------------------------------------------------------------------

# A call of the core. `results` has the kind of each result, `attributes` are the handler's.
_call_p = Primitive("eigenpair_cuda_call")
_call_p.multiple_results = True


@_call_p.def_abstract_eval
@native.abstract
def _call_abstract(a: Array, *b: Array, target: str, results: tuple[str, ...], attributes: Any) -> list[Array]:
    for x in b:
        a = a + x
    row = jnp.sum(a, axis=-1)
    kinds = {
        "matrix": a,
        "real": jnp.real(row),
        "complex": row.astype(np.promote_types(a.dtype, np.complex64)),
        "info": jnp.real(jnp.sum(row, axis=-1)).astype(jnp.int32),
    }
    return [kinds[kind] for kind in results]


def _lower_call(ctx: Any, *operands: Any, target: str, results: tuple[str, ...], attributes: Any) -> Any:
    # Eigenvectors overwrite a Hermitian matrix, as in LAPACK.
    in_place = {0: 1} if target == "eigenpair_cuda_hermitian" and "matrix" in results else None
    batch = len(ctx.avals_in[0].shape) - 2
    rule = native.lowering(target, batch=batch, column_major=True, in_place=in_place, **dict(attributes))
    return rule(ctx, *operands)


mlir.register_lowering(_call_p, _lower_call, platform="cuda")


def _hermitian(operands: tuple[Array, ...], type: int, vectors: bool, dual: bool) -> tuple[list[Array], Array]:
    *results, info = _call_p.bind(
        *operands,
        target="eigenpair_cuda_hermitian",
        results=("real", *("matrix",) * (vectors + dual), "info"),
        attributes=(
            ("type", np.int32(type)),
            ("driver", np.int32(DRIVERS[DRIVER])),
            ("lower", LOWER),
            ("vectors", vectors),
            ("dual", dual),
        ),
    )
    return results, info == 0


def eigh(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    """`[w]` or `[w, v]` of Hermitian matrices, whose entries are all read, and which of the matrices were solved."""
    return _hermitian((a,), 0, vectors, False)


def takes_pair(a: Array) -> bool:
    """Whether pairs of this shape are solved by `eigh_pair`."""
    *batch, n = a.shape[:-1]
    if not all(isinstance(size, int) for size in (*batch, n)):
        return False
    return math.prod(batch) <= PAIR_BATCH and n <= PAIR_ORDER


def eigh_pair(a: Array, b: Array, type: int, vectors: bool) -> tuple[list[Array], Array]:
    """`[w]`, `[w, v]` or, for types 2 and 3, `[w, v, u]` of Hermitian pairs, and which of them were solved."""
    return _hermitian((a, b), type, vectors, vectors and type >= 2)


def eig(a: Array, vectors: bool) -> tuple[list[Array], Array]:
    """`[w]` or `[w, v]` of square matrices in cuSOLVER's order and gauge, complex, and which of them were solved."""
    w, *v, info = _call_p.bind(
        a,
        target="eigenpair_cuda_general",
        results=("complex", *("matrix",) * vectors, "info"),
        attributes=(("vectors", vectors),),
    )
    return [w, *(_unpacked(w, x) for x in v)], info == 0


def _unpacked(w: Array, v: Array) -> Array:
    """Vectors of a real matrix. Those of a conjugate pair are stored as a column of real parts and one of imaginary
    parts."""
    if jnp.iscomplexobj(v):
        return v
    first = jnp.imag(w)[..., None, :] > 0
    second = jnp.imag(w)[..., None, :] < 0
    real = jnp.where(second, jnp.roll(v, 1, axis=-1), v)
    imaginary = jnp.where(first, jnp.roll(v, -1, axis=-1), jnp.where(second, -v, 0))
    return lax.complex(real, imaginary)
