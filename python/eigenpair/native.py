"""The native kernels. Importing this module finds them, gives them SciPy's LAPACK, and registers them with XLA.

Without them XLA's own `eigh` and `eig` are used: without a compiled extension, with `EIGENPAIR_KERNELS=off` in the
environment, or if the extension was built for a newer JAX (then a warning says so).
"""

from .runtime.native import export_checks, has_cpu_kernels, has_small_kernels, lapack, library_path, why_no_kernels

__all__ = ["export_checks", "has_cpu_kernels", "has_small_kernels", "lapack", "library_path", "why_no_kernels"]
