"""Settings of all tests: double precision, quick compilation, and one thread for LAPACK."""

import os
import subprocess
import sys

import pytest

# The suite compiles a few thousand small computations and runs most of them once. `EIGENPAIR_LONG=1` has them optimised
# as users do, and so have, always, the tests that start processes of their own.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def _make_compiler_quick() -> None:
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()}
    # XLA aborts the process over a flag that it does not know, so the question goes to another process.
    probe = [sys.executable, "-c", "import jax; jax.devices()"]
    if subprocess.run(probe, env={**os.environ, **flags}, capture_output=True, check=False).returncode == 0:
        os.environ.update(flags)


# `EIGENPAIR_PLATFORM=cuda` runs the tests of this process on the GPU, and ends them where there is none.
PLATFORM = os.environ.get("EIGENPAIR_PLATFORM", "")

# GPUs have a compiler of their own, to which these flags are no help.
if os.environ.get("EIGENPAIR_LONG") != "1" and not PLATFORM:
    _make_compiler_quick()

if PLATFORM:
    os.environ["JAX_PLATFORMS"] = f"{PLATFORM},cpu"

import jax  # noqa: E402 - reads XLA_FLAGS and JAX_PLATFORMS

jax.config.update("jax_enable_x64", True)

# Settings that code bases switch on, and JAX's own tests do: nothing here may rely on implicit promotion.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

if os.environ.get("EIGENPAIR_LONG") != "1":
    import scipy.linalg  # noqa: F401 - its LAPACK has to be there to be spoken to
    import threadpoolctl

    # Matrices are small, and Julia's tests run beside these: a second thread does nothing but wait, and burns a core.
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
