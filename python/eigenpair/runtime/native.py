"""The native kernels. Importing this module finds them, gives them SciPy's LAPACK, and registers them with XLA.

Without them XLA's own `eigh` and `eig` are used: without a compiled extension, with `EIGENPAIR_KERNELS=off` in the
environment, or if the extension was built for a newer JAX (then a warning says so).
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import jax
from jax.interpreters import mlir
from jax.interpreters.mlir import ir

from .folders import find_library

# JAX runs handlers that were built with its own version of XLA's FFI or with an older one, from this version on.
_OLDEST_FFI = (0, 1)


def _framework_ffi() -> tuple[int, int]:
    """The installed JAX's version of XLA's FFI, from its headers; the oldest version if there are no headers."""
    header = pathlib.Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h")
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _OLDEST_FFI
    found = dict(re.findall(r"^#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", text, re.MULTILINE))
    return (int(found["MAJOR"]), int(found["MINOR"])) if len(found) == 2 else _OLDEST_FFI


def _find_mismatch(built: tuple[int, int], installed: tuple[int, int]) -> str:
    """Why an extension built with one version of XLA's FFI cannot serve a JAX with another; empty if it can.

    Call this before anything is registered: JAX checks registrations at its first computation, and if it refuses one,
    the process cannot compute anything.
    """
    if _OLDEST_FFI <= built <= installed:
        return ""
    return (
        f"the native core was built for XLA FFI {built[0]}.{built[1]}, and JAX {jax.__version__} has "
        f"{installed[0]}.{installed[1]}; upgrade JAX, or rebuild for it: "
        "pip install --force-reinstall --no-cache-dir --no-deps eigenpair"
    )


try:
    from . import libraries as _native
except ImportError as error:  # the wheel without libraries, or a build without a C++ compiler
    _native = None  # type: ignore[assignment]
    _why_not = (
        f"the native core is not there ({error}); with a C++17 compiler, "
        "`pip install --no-binary eigenpair eigenpair` builds it"
    )
else:
    _why_not = "EIGENPAIR_KERNELS=off" if os.environ.get("EIGENPAIR_KERNELS", "").lower() == "off" else ""
    if not _why_not:
        _why_not = _find_mismatch(_native.ffi_api_version(), _framework_ffi())
        if _why_not:
            warnings.warn(f"eigenpair computes with XLA's own, slower decompositions: {_why_not}", stacklevel=2)

extension: Any = _native

TARGETS = (
    "eigenpair_hermitian",
    "eigenpair_general",
    "eigenpair_hermitian_rule",
    "eigenpair_subset",
    "eigenpair_complement",
    "eigenpair_banded",
    "eigenpair_banded_complement",
    "eigenpair_spectral_form",
)
CUDA_TARGETS = ("eigenpair_cuda_hermitian", "eigenpair_cuda_general")


def library_path() -> pathlib.Path | None:
    """The shared library with the C ABI, the one that EigenPair.jl loads too; `None` where it was not built."""
    return find_library("eigenpair")


def has_cpu_kernels() -> bool:
    """Whether computations on CPU run in the native core."""
    return not _why_not


def has_small_kernels() -> bool:
    """Whether the core has kernels for small matrices: solvers and first derivatives."""
    return has_cpu_kernels() and bool(_native.has_small_kernels())


def why_no_kernels() -> str:
    """Why `has_cpu_kernels()` is false; empty when it is true."""
    return _why_not


def export_checks() -> list[Any]:
    """The argument that makes `jax.export` accept the kernels:
    `jax.export.export(..., disabled_checks=eigenpair.native.export_checks())`.

    The process that runs the exported computation only needs `import eigenpair`.
    """
    import jax.export

    return [jax.export.DisabledSafetyCheck.custom_call(target) for target in (*TARGETS, *CUDA_TARGETS)]


def lowering(
    target: str,
    *,
    batch: int | None = None,
    column_major: bool = False,
    in_place: dict[int, int] | None = None,
    **attributes: Any,
) -> Any:
    """The rule that lowers a primitive on batches of matrices to an FFI call. Each device solves its shard of the
    batch.

    - `batch`: the number of batch axes, if it is not the rank of the eigenvalues less one.
    - `column_major`: the layout of the matrices for the kernel; XLA arranges it.
    - `in_place`: which operands may become which results; XLA copies an operand that is needed later.
    """
    given = batch

    def rule(ctx: Any, *operands: Any) -> Any:
        avals = [*ctx.avals_in, *ctx.avals_out]
        batch = min(len(aval.shape) for aval in avals) - 1 if given is None else given
        # An array of size 1 on an axis belongs to all shards. The older partitioner (GSPMD) does not know this.
        alike = len({tuple(aval.shape[:batch]) for aval in avals}) == 1
        notes: dict[str, Any] = {"num_batch_dims": ir.StringAttr.get(str(batch if alike else 0))}
        if getattr(ctx.module_context.lowering_parameters, "for_export", False):
            # JAX refuses to export foreign custom calls and prints their attributes, so this attribute says what to do.
            notes["to_export"] = ir.StringAttr.get("pass disabled_checks=eigenpair.native.export_checks()")
        extra: dict[str, Any] = {"mhlo.frontend_attributes": ir.DictAttr.get(notes)}
        static = all(isinstance(size, int) for aval in avals for size in aval.shape)
        if static and getattr(jax.config, "jax_use_shardy_partitioner", True):
            extra["sdy.sharding_rule"] = ir.Attribute.parse(_sharding_rule(ctx.avals_in, ctx.avals_out, batch))
        options: dict[str, Any] = {"extra_attributes": extra}
        if column_major:
            options["operand_layouts"] = [_column_major(aval, batch) for aval in ctx.avals_in]
            options["result_layouts"] = [_column_major(aval, batch) for aval in ctx.avals_out]
        if in_place:
            options["operand_output_aliases"] = in_place
        return jax.ffi.ffi_lowering(target, **options)(ctx, *operands, **attributes)

    return rule


def _column_major(aval: Any, batch: int) -> tuple[int, ...]:
    """The axes from the fastest to the slowest."""
    axes = range(len(aval.shape))
    return (*axes[batch:], *reversed(axes[:batch]))


def lowering_by_xla(solve: Callable[..., Any]) -> Any:
    """The rule that lowers a primitive to `solve`, which is written with XLA's own decompositions. On platforms without
    them, an error says what to do."""
    lower = mlir.lower_fun(solve, multiple_results=True)

    def rule(ctx: Any, *operands: Any, **params: Any) -> Any:
        try:
            return lower(ctx, *operands, **params)
        except NotImplementedError as error:
            raise NotImplementedError(
                f"JAX has no such decomposition on this platform ({error}). Compute it on the CPU: "
                'jax.device_put(a, jax.devices("cpu")[0])'
            ) from error

    return rule


def _sharding_rule(avals_in: Any, avals_out: Any, batch: int) -> str:
    """All operands and results share the batch axes, except axes of size 1. Every other axis is separate and is not
    sharded."""
    names = (f"{chr(ord('i') + k)}" if k < 18 else f"z_{k - 17}" for k in itertools.count())
    common = [next(names) for _ in range(batch)]
    whole = [max(aval.shape[axis] for aval in (*avals_in, *avals_out)) for axis in range(batch)]
    sizes = dict(zip(common, whole, strict=True))

    def tensor(aval: Any) -> str:
        axes = []
        for axis, size in enumerate(aval.shape):
            shared = axis < batch and size == whole[axis]
            axes.append(common[axis] if shared else next(names))
            sizes[axes[-1]] = size
        return "[" + ", ".join(axes) + "]"

    sides = ["(" + ", ".join(tensor(aval) for aval in avals) + ")" for avals in (avals_in, avals_out)]
    listed = ", ".join(f"{name}={size}" for name, size in sizes.items())
    return f"#sdy.op_sharding_rule<{sides[0]}->{sides[1]} {{{listed}}}, custom>"


def abstract(model: Callable[..., Any]) -> Callable[..., list[Any]]:
    """An abstract evaluation rule, made from a function whose results have the same types with everything that JAX
    tracks."""

    def rule(*avals: Any, **params: Any) -> list[Any]:
        return list(jax.make_jaxpr(functools.partial(model, **params))(*avals).out_avals)

    return rule


@functools.cache
def lapack() -> dict[str, Any]:
    """The LAPACK in use: `filepath`, `internal_api`, `version`, `num_threads`, `integer_bits`."""
    controller = _scipy_blas()
    info = dict(controller.info()) if controller is not None else {}
    return {**info, "integer_bits": 32}


@functools.cache
def _scipy_blas() -> Any:
    """threadpoolctl's controller of the BLAS that SciPy is linked to, if there is one."""
    import threadpoolctl

    libraries = [c for c in threadpoolctl.ThreadpoolController().lib_controllers if c.user_api == "blas"]
    bundled = [c for c in libraries if "scipy" in pathlib.Path(c.filepath).parent.name]
    return next(iter(bundled or libraries), None)


def _thread_functions() -> tuple[int, int]:
    """Addresses of the BLAS's own get_num_threads and set_num_threads; zeros where they are not known."""
    controller = _scipy_blas()
    if controller is None:
        return 0, 0
    if controller.internal_api == "openblas":
        names = [
            (f"{p}openblas_get_num_threads{s}", f"{p}openblas_set_num_threads{s}")
            for p in ("scipy_", "")
            for s in ("", "64_", "_64", "64")
        ]
    elif controller.internal_api == "mkl":
        names = [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")]
    else:
        return 0, 0
    for get, put in names:
        if hasattr(controller.dynlib, get) and hasattr(controller.dynlib, put):
            get_address, put_address = (
                ctypes.cast(getattr(controller.dynlib, name), ctypes.c_void_p).value for name in (get, put)
            )
            return get_address or 0, put_address or 0
    return 0, 0


def _start() -> None:
    """Gives the core SciPy's LAPACK, and XLA the handlers."""
    # LAPACK is passed by address, not linked, so users keep their BLAS and the process does not load a second one.
    from scipy.linalg import cython_blas, cython_lapack

    found, expected = _native.abi_version(), _native.expected_abi_version()
    if found != expected:
        raise ImportError(
            f"libeigenpair has ABI version {found}, this eigenpair needs {expected}: two installations are mixed. "
            "Reinstall with `pip install --force-reinstall eigenpair`."
        )
    _native.lend_lapack({**cython_blas.__pyx_capi__, **cython_lapack.__pyx_capi__}, 32, *_thread_functions())
    for name, handler in _native.registrations().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
        # Each device solves its shard of a batch.
        jax.ffi.register_ffi_target_as_batch_partitionable(name)
    # Costs nothing where there is no GPU: libraries are opened by the first computation that needs them.
    for name, handler in _native.registrations("CUDA").items():
        jax.ffi.register_ffi_target(name, handler, platform="CUDA")
        jax.ffi.register_ffi_target_as_batch_partitionable(name)


if has_cpu_kernels():
    _start()
