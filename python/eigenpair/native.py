"""The native kernels: found, lent a LAPACK, and registered with XLA when this module is imported.

Without them everything runs on XLA's own `eigh` and `eig`. There are none without a compiled extension, with
`EIGENPAIR_KERNELS=off` in the environment, or where the extension was built for a newer JAX (then a warning says so).
"""

from .runtime.native import export_checks, has_cpu_kernels, has_small_kernels, lapack, library_path, why_no_kernels

__all__ = ["export_checks", "has_cpu_kernels", "has_small_kernels", "lapack", "library_path", "why_no_kernels"]
