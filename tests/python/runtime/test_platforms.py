"""Platforms without a kernel: programs that are lowered for them have no operation of ours. The programs are read, not
run."""

import re

import eigenpair
import jax
import jax.numpy as jnp
import pytest
from eigenpair.runtime import cuda, native

# Large enough for the kernel for subsets.
MATRIX = jax.ShapeDtypeStruct((2, 64, 64), jnp.float64)


def of_vectors(a, b):
    w, v = eigenpair.eigh(a, b, type=2, lower=True)
    return jnp.sum(w**2) + jnp.sum(v[..., 0] ** 4)


def spectral(a, b):
    moved = eigenpair.spectral_map(jnp.tanh, a, hermitian_part=True) + eigenpair.spectral_projector(
        a, 1, hermitian_part=True
    )
    return jnp.sum(moved * b) + jnp.sum(eigenpair.spectral_sum(jnp.sin, a, hermitian_part=True))


def general(a, b):
    w, v = eigenpair.eig(a, b)
    return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(v[..., 0]) ** 4)


def functions(a, b):
    value = eigenpair.matrix_function(jnp.exp, a) + eigenpair.sqrtm(a)
    return jnp.sum(jnp.real(value) * b)


def of_a_part(a, b):
    w, _ = eigenpair.eigh(a, subset_by_index=(0, 2))
    _, v = eigenpair.eigh(a, b, subset_by_index=(0, 2))
    return jnp.sum(w**2) + jnp.sum(v[..., 0] ** 4)


HERMITIAN = {
    "values": lambda a, b: (eigenpair.eigvalsh(a), eigenpair.eigvalsh(a, b, type=3)),
    "gradient": jax.grad(of_vectors, (0, 1)),
    "tangents": lambda a, b: jax.jvp(eigenpair.eigh, (a,), (b,)),
    "curvature": lambda a, b: jax.jvp(jax.grad(of_vectors), (a, b), (b, a))[1],
    "spectral": jax.grad(spectral),
    "part": jax.grad(of_a_part),
}
GENERAL = {
    "values": lambda a, b: (eigenpair.eigvals(a, b), eigenpair.condition_numbers(a)),
    "gradient": jax.grad(general, (0, 1)),
    "functions": jax.grad(functions),
}


def custom_calls(f, *platforms, matrix=MATRIX):
    text = jax.jit(f).trace(matrix, matrix).lower(lowering_platforms=platforms).as_text()
    return set(re.findall(r"custom_call @(\w+)", text))


def ours(names):
    return {name for name in names if name.startswith("eigenpair")}


@pytest.fixture(autouse=True)
def no_cusolver(monkeypatch):
    # With one, CUDA is a platform with kernels: tests/python/runtime/test_cuda.py.
    monkeypatch.setattr(cuda, "has_kernels", lambda *_: False)


@pytest.mark.parametrize("name", HERMITIAN)
@pytest.mark.parametrize("platform", ["tpu", "cuda", "rocm"])
def test_hermitian(platform, name):
    called = custom_calls(HERMITIAN[name], platform)
    assert called
    assert not ours(called)


@pytest.mark.parametrize("name", HERMITIAN)
@pytest.mark.parametrize("platform", ["tpu", "cuda", "rocm", "METAL"])
def test_small_hermitian_problems_are_element_wise(platform, name):
    """Metal has no decompositions at all."""
    small = jax.ShapeDtypeStruct((2, 8, 8), jnp.float64)
    assert not custom_calls(HERMITIAN[name], platform, matrix=small)


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_general(platform, name):
    called = custom_calls(GENERAL[name], platform)
    assert called
    assert not ours(called)


@pytest.mark.parametrize(("functions", "platform"), [(GENERAL, "tpu"), (GENERAL, "METAL"), (HERMITIAN, "METAL")])
def test_where_jax_has_none_the_error_says_what_to_do(functions, platform):
    for f in functions.values():
        with pytest.raises(NotImplementedError, match=r"on the CPU: jax\.device_put"):
            custom_calls(f, platform)


@pytest.mark.skipif(not native.has_cpu_kernels(), reason=f"no kernels: {native.why_no_kernels()}")
def test_each_platform_of_several_has_its_own():
    for f in (*HERMITIAN.values(), *GENERAL.values()):
        assert ours(custom_calls(f, "cpu"))
    assert ours(custom_calls(HERMITIAN["gradient"], "cpu", "tpu")), "chosen where it is lowered, not where it is traced"
