"""The two shared libraries of the wheel, called through ctypes: the core, and its handlers for XLA.

Importing this module raises `ImportError` where they are not installed, or cannot be loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import jax

from .folders import find_library

# void* (*)(void* context, const char* routine)
_Lookup = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


class _Handler(ctypes.Structure):
    _fields_ = (("target", ctypes.c_char_p), ("platform", ctypes.c_char_p), ("address", ctypes.c_void_p))


def _load(name: str) -> ctypes.CDLL:
    path = find_library(name)
    if path is None:
        raise ImportError(f"the library {name} was not built")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(str(error)) from error


_core = _load("eigenpair")
_xla = _load("eigenpair_xla")


def _declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


_p, _s, _i = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
_abi_version = _declare(_core, "eigenpair_abi_version", _i)
_version = _declare(_core, "eigenpair_version", _s)
_last_error = _declare(_core, "eigenpair_last_error", _s)
_has_small_kernels = _declare(_core, "eigenpair_has_small_kernels", _i)
_lapack_create = _declare(_core, "eigenpair_lapack_create", _i, _i, _Lookup, _p, ctypes.POINTER(_p))
_lapack_set_threading = _declare(_core, "eigenpair_lapack_set_threading", _i, _p, _p, _p)
_lapack_has = _declare(_core, "eigenpair_lapack_has", _i, _p, _s)
_cuda_description = _declare(_core, "eigenpair_cuda_description", _s, _p)
_cuda_has = _declare(_core, "eigenpair_cuda_has", _i, _p, _s)
_handlers = _declare(_xla, "eigenpair_xla_handlers", ctypes.POINTER(_Handler))
_ffi_version = _declare(_xla, "eigenpair_xla_ffi_version", None, ctypes.POINTER(_i), ctypes.POINTER(_i))
_expected_abi_version = _declare(_xla, "eigenpair_xla_abi_version", _i)
_lend = _declare(_xla, "eigenpair_xla_lend", None, _p)
_lapack = _declare(_xla, "eigenpair_xla_lapack", _p)
_name_cuda = _declare(_xla, "eigenpair_xla_name_cuda", None, _s, _s, _s)
_open_cuda = _declare(_xla, "eigenpair_xla_open_cuda", _i, ctypes.POINTER(_p))

# Our own prototypes, because those of `ctypes.pythonapi` are shared by the whole process.
_capsule_name = ctypes.PYFUNCTYPE(_s, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(_p, ctypes.py_object, _s)(("PyCapsule_GetPointer", ctypes.pythonapi))


def _check(status: int) -> None:
    if status != 0:
        raise RuntimeError(_last_error().decode(errors="replace"))


def lend_lapack(routines: Mapping[str, Any], integer_bits: int, get_threads: int = 0, set_threads: int = 0) -> None:
    """Gives the handlers a LAPACK: capsules by the names of its routines, and addresses of its thread functions."""

    @_Lookup
    def lookup(_context: int | None, routine: bytes) -> int | None:
        capsule = routines.get(routine.decode())
        if type(capsule).__name__ != "PyCapsule":
            return None
        address: int | None = _capsule_pointer(capsule, _capsule_name(capsule))
        return address

    handle = _p()
    _check(_lapack_create(integer_bits, lookup, None, ctypes.byref(handle)))
    if get_threads and set_threads:
        _check(_lapack_set_threading(handle, get_threads, set_threads))
    _lend(handle)


def lapack_has(name: str) -> bool:
    """Whether the LAPACK in use has this routine."""
    return bool(_lapack_has(_lapack(), name.encode()))


def abi_version() -> int:
    """Version of the core's C ABI."""
    return int(_abi_version())


def expected_abi_version() -> int:
    """The version that the handlers were compiled with."""
    return int(_expected_abi_version())


def ffi_api_version() -> tuple[int, int]:
    """Version of XLA's FFI that the handlers were compiled with."""
    major, minor = _i(), _i()
    _ffi_version(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def version() -> str:
    """Version of the core."""
    return str(_version().decode())


def has_small_kernels() -> bool:
    """Whether the core has kernels for small matrices."""
    return bool(_has_small_kernels())


def registrations(platform: str = "cpu") -> dict[str, Any]:
    """The handlers of a platform, `"cpu"` or `"CUDA"`, as JAX registers them: capsules by target."""
    found, handlers, k = {}, _handlers(), 0
    while handlers[k].target:
        if handlers[k].platform.decode() == platform:
            pointer = ctypes.cast(handlers[k].address, ctypes.CFUNCTYPE(None))
            found[handlers[k].target.decode()] = jax.ffi.pycapsule(pointer)
        k += 1
    return found


def name_cuda_libraries(cudart: str, cublas: str, cusolver: str) -> None:
    """Where to look for CUDA's libraries; empty names leave it to the loader."""
    _name_cuda(*(str(path).encode() for path in (cudart, cublas, cusolver)))


def _cuda() -> Any:
    handle = _p()
    _check(_open_cuda(ctypes.byref(handle)))
    return handle


def open_cuda() -> str:
    """Which CUDA libraries are in use; opens them if they are not. `RuntimeError` says why there are none."""
    return str(_cuda_description(_cuda()).decode())


def cuda_has(routine: str) -> bool:
    """Whether the cuSOLVER in use has this routine."""
    return bool(_cuda_has(_cuda(), routine.encode()))
