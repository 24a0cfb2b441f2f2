"""Kernels on CUDA devices: the native core finds cuSOLVER when it is first needed, and calls it.

On a device, XLA forms Hermitian parts, order and gauge, and NaN for matrices that failed. So these functions only
replace XLA's own `eigh` and `eig`, in the code that `hermitian` and `general` have for platforms without kernels.
"""

from .runtime.cuda import has_kernels, libraries, library_paths, report

__all__ = ["has_kernels", "libraries", "library_paths", "report"]
