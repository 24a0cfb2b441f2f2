"""Libraries that bring their own BLAS, threads or runtime, loaded into one process with the core, in the order given.

    python neighbours.py eigenpair torch mkl julia …

After each step all libraries loaded so far compute, and eigenpair's results must not change. Run by test_neighbours.py.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import numpy as np

N = 40  # LAPACK's, not the small kernels'
RNG = np.random.default_rng(0)
A = (lambda a: a + a.T)(RNG.standard_normal((N, N)))
BATCH = (lambda a: a + a.swapaxes(-1, -2))(RNG.standard_normal((50, 12, 12)))
EXPECTED = np.linalg.eigvalsh(A)


def use_eigenpair() -> None:
    """Values and gradients, of one matrix and of a batch on several threads."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import eigenpair
    import jax.numpy as jnp

    assert eigenpair.native.has_cpu_kernels(), eigenpair.native.why_no_kernels()
    w, v = eigenpair.eigh(A)
    np.testing.assert_allclose(w, EXPECTED, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(A @ np.asarray(v), np.asarray(v * w), atol=1e-12)
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(eigenpair.eigvalsh(a) ** 2)))(A)
    np.testing.assert_allclose(gradient, 2 * A, atol=1e-11)
    np.testing.assert_allclose(eigenpair.eigvalsh(BATCH), np.linalg.eigvalsh(BATCH), atol=1e-12)
    np.testing.assert_allclose(jnp.sum(eigenpair.eigvals(A)), np.trace(A), atol=1e-11)


def use_torch() -> None:
    """torch, whose wheels contain MKL and OpenMP."""
    import torch

    w = torch.linalg.eigvalsh(torch.tensor(A))
    np.testing.assert_allclose(w.numpy(), EXPECTED, rtol=1e-12, atol=1e-12)


def use_mkl() -> None:
    """MKL as loaded by a NumPy that is linked to it: all of its symbols are globally visible."""
    library = ctypes.CDLL(os.environ["EIGENPAIR_TEST_MKL"], mode=ctypes.RTLD_GLOBAL)
    a, w, work, info = A.copy(), np.empty(N), np.empty(100 * N), ctypes.c_int()
    n, size = ctypes.c_int(N), ctypes.c_int(work.size)
    pointer = ctypes.POINTER(ctypes.c_double)
    arguments: list[Any] = [ctypes.byref(n), a.ctypes.data_as(pointer), ctypes.byref(n), w.ctypes.data_as(pointer)]
    library.dsyev_(b"N", b"L", *arguments, work.ctypes.data_as(pointer), ctypes.byref(size), ctypes.byref(info), 1, 1)
    assert info.value == 0
    np.testing.assert_allclose(w, EXPECTED, rtol=1e-12, atol=1e-12)


def use_julia() -> None:
    """Julia, with EigenPair.jl on the same library and Julia's own LAPACK."""
    from juliacall import Main as jl

    jl.seval("using EigenPair")
    w = jl.seval("a -> eigvalsh(Matrix{Float64}(a))")(A)
    np.testing.assert_allclose(np.asarray(w), EXPECTED, rtol=1e-12, atol=1e-12)


def use_numpy() -> None:
    """NumPy and SciPy."""
    import scipy.linalg

    np.testing.assert_allclose(scipy.linalg.eigvalsh(A), EXPECTED, rtol=1e-12, atol=1e-12)


if __name__ == "__main__":
    uses = [globals()[f"use_{name}"] for name in sys.argv[1:]]
    for count in range(1, len(uses) + 1):
        for use in uses[:count]:
            use()
    print("fine")
