"""Makes the helpers in this folder available to the tests in all of its subfolders."""

import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture
def defaults_of_jax():
    """Examples and documentation assume JAX's defaults, except for double precision."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_enable_x64", before)
