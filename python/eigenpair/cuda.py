"""Kernels on CUDA devices: a cuSOLVER found when it is needed, called by the native core.

The core leaves to XLA what XLA does well on a device: forming Hermitian parts, NaN for what failed, order and gauge. So
these functions stand in for XLA's own `eigh` and `eig` inside of the paths that `hermitian` and `general` have for
platforms without kernels.
"""

from .runtime.cuda import has_kernels, libraries, library_paths, report

__all__ = ["has_kernels", "libraries", "library_paths", "report"]
