"""Settings of all tests: double precision, quick compilation, and one thread for LAPACK."""

import os
import subprocess
import sys

import pytest

# The suite compiles a few thousand small computations and runs most of them once, so they are compiled without
# optimization. With `EIGENPAIR_LONG=1`, and in tests that start their own processes, XLA optimizes as for users.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def _make_compiler_quick() -> None:
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()}
    # XLA aborts the process if it does not know a flag, so another process tests the flag.
    probe = [sys.executable, "-c", "import jax; jax.devices()"]
    if subprocess.run(probe, env={**os.environ, **flags}, capture_output=True, check=False).returncode == 0:
        os.environ.update(flags)


# `EIGENPAIR_PLATFORM=cuda` runs the tests of this process on the GPU, and ends them where there is none.
PLATFORM = os.environ.get("EIGENPAIR_PLATFORM", "")

# GPUs have their own compiler, which these flags do not make faster.
if os.environ.get("EIGENPAIR_LONG") != "1" and not PLATFORM:
    _make_compiler_quick()

if PLATFORM:
    os.environ["JAX_PLATFORMS"] = f"{PLATFORM},cpu"

import jax  # noqa: E402 - reads XLA_FLAGS and JAX_PLATFORMS

jax.config.update("jax_enable_x64", True)

# Strict settings that some users and JAX's own tests use: our code must not rely on implicit promotion.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

if os.environ.get("EIGENPAIR_LONG") != "1":
    import scipy.linalg  # noqa: F401 - its LAPACK has to be there to be spoken to
    import threadpoolctl

    # Matrices are small, and Julia's tests run at the same time: a second thread would only wait in a busy loop.
    threadpoolctl.threadpool_limits(1, user_api="blas")

if PLATFORM:
    # Losses are products of matrices; by default a GPU rounds their factors to 10 bits.
    jax.config.update("jax_default_matmul_precision", "highest")


if os.environ.get("EIGENPAIR_ELEMENTWISE") == "off":
    # The cases are small, and would not see cuSOLVER.
    from eigenpair.runtime import cuda

    cuda.ELEMENTWISE = 0


def pytest_sessionstart():
    if PLATFORM:
        try:
            jax.devices(PLATFORM)
        except RuntimeError as error:
            pytest.exit(f"EIGENPAIR_PLATFORM={PLATFORM}, but JAX has no such device: {error}", returncode=1)
