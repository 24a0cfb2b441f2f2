"""The compiled core: registered, of the right version, and everything works without it."""

import ctypes

import jax
import numpy as np
from eigenpair.runtime import native
from problems import needs_kernels
from processes import quick, run


@needs_kernels
def test_kernels_are_used():
    from eigenpair import eigh

    text = jax.jit(eigh).lower(np.eye(3)).as_text()
    assert "eigenpair_hermitian" in text
    assert native.why_no_kernels() == ""
    assert set(native._native.registrations()) == set(native.TARGETS)


@needs_kernels
def test_lapack_is_lent():
    assert native._native.lapack_has("dsygvd")
    assert not native._native.lapack_has("dsygvd_nonsense")
    assert native.lapack()["integer_bits"] == 32


@needs_kernels
def test_library_has_the_abi():
    library = ctypes.CDLL(str(native.library_path()))
    assert library.eigenpair_abi_version() == native._native.expected_abi_version()


@needs_kernels
def test_other_abi_version_is_refused_with_the_remedy():
    run("""
    import sys, types
    sys.path_hooks  # the real extension is imported first, then asked for another version
    import importlib, importlib.util
    folder = importlib.util.find_spec("eigenpair").submodule_search_locations[0]
    package = types.ModuleType("eigenpair")
    package.__path__ = [folder]
    sys.modules["eigenpair"] = package
    real = importlib.import_module("eigenpair.runtime.libraries")

    class Other:
        def __getattr__(self, name):
            return getattr(real, name)
        def abi_version(self):
            return real.abi_version() + 1

    runtime = sys.modules["eigenpair.runtime"]
    sys.modules["eigenpair.runtime.libraries"] = runtime.libraries = Other()
    try:
        importlib.import_module("eigenpair.runtime.native")
    except ImportError as error:
        assert "ABI version" in str(error) and "pip install" in str(error), error
    else:
        raise AssertionError("another ABI version was accepted")
    """)


ANSWERS = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    jax.config.update("jax_enable_x64", True)
    import eigenpair
    assert eigenpair.native.has_cpu_kernels() == (sys.argv[2] == "on")
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3))
    b = a @ a.conj().swapaxes(-1, -2) + 2 * np.eye(3)
    a[1, 0, 0] += 5
    results = {}
    for type in (0, 1, 2, 3):
        for lower in (None, True, False):
            matrices, options = ((a, b), {"type": type}) if type else ((a,), {})
            options["lower"] = lower
            def loss(*m):
                w, v = eigenpair.eigh(*m, **options)
                return jnp.sum(w * jnp.arange(3)) + jnp.sum(jnp.abs(v[..., :2]) ** 2 * jnp.arange(2)), (w, jnp.abs(v))
            def compute(*m):
                direction = tuple(1j * x + x.swapaxes(-1, -2) for x in m)
                _, tangent = jax.jvp(lambda *m: eigenpair.eigvalsh(*m, **options), m, direction)
                return jax.value_and_grad(loss, tuple(range(len(m))), has_aux=True)(*m), tangent
            leaves = jax.tree.leaves(jax.jit(compute)(*matrices))
            results.update({f"{type} {lower} {i}": np.asarray(x) for i, x in enumerate(leaves)})
    def general(x, y):
        w, left, right = eigenpair.eig(x, y, left=True)
        return jnp.sum(jnp.abs(w - 1j) ** 3) + jnp.sum(jnp.abs(left[..., 0] * right[..., 1]) ** 2)
    def spectral(x, y):
        moved = eigenpair.spectral_map(jnp.tanh, x, hermitian_part=True)
        moved += eigenpair.spectral_projector(x, 1, hermitian_part=True)
        return jnp.sum(jnp.real(moved * y)) + jnp.sum(eigenpair.spectral_sum(jnp.sin, x, hermitian_part=True))
    for f in (general, spectral):
        compute = jax.value_and_grad(f, (0, 1))
        computed = jax.jit(lambda a, b: jax.jvp(compute, (a, b), (b, a)))(a, b), jax.jit(compute)(a.real, b.real)
        results.update({f"{f.__name__} {i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(computed))})
    results["eigvals"] = np.concatenate([eigenpair.eigvals(a, b), *eigenpair.eig(a)[1], eigenpair.eigvals(a.real)])
    results["condition"] = np.asarray(eigenpair.condition_numbers(a, b))
    bad = np.stack([np.eye(3), np.full((3, 3), np.nan), np.diag([1.0, 2, 3]), -np.eye(3)])
    bad[1, 0, 0] = 1
    results["isolated"] = np.asarray(eigenpair.eigvalsh(bad))
    results["isolated general"] = np.asarray(eigenpair.eigvals(bad))
    results["definite"] = np.asarray(eigenpair.eigvalsh(np.eye(3), bad))
    results["empty"] = np.asarray(eigenpair.eigvalsh(np.zeros((2, 0, 0))))
    results["none"] = np.asarray(eigenpair.eigh(np.zeros((0, 3, 3)), np.zeros((3, 3)))[1])
    degenerate = np.diag([1.0, 1, 2])
    results["cluster"] = np.asarray(jax.grad(lambda x: jnp.sum(eigenpair.eigh(x)[0] ** 2))(degenerate))
    np.savez(sys.argv[1], **results)
"""


@needs_kernels
def test_the_same_without_kernels(tmp_path):
    """XLA's own eigh and eig, as on platforms without a kernel, give the same values and gradients."""
    run(ANSWERS, arguments=[tmp_path / "on.npz", "on"], **quick())
    run(ANSWERS, arguments=[tmp_path / "off.npz", "off"], EIGENPAIR_KERNELS="off", **quick())
    on, off = np.load(tmp_path / "on.npz"), np.load(tmp_path / "off.npz")
    assert set(on) == set(off)
    for name in on:
        np.testing.assert_allclose(off[name], on[name], rtol=1e-11, atol=1e-11, err_msg=name)


def test_says_why_there_are_no_kernels():
    run(
        """
    import eigenpair
    assert not eigenpair.native.has_cpu_kernels()
    assert "EIGENPAIR_KERNELS" in eigenpair.native.why_no_kernels()
    """,
        EIGENPAIR_KERNELS="off",
    )


def test_an_older_jax_than_the_build_is_not_broken(tmp_path):
    """The core is not used, a warning names the remedy, and JAX goes on working."""
    header = tmp_path / "xla" / "ffi" / "api" / "c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define XLA_FFI_API_MAJOR 0\n#define XLA_FFI_API_MINOR 0\n")
    run(
        """
    import sys, warnings
    import jax, jax.numpy as jnp
    jax.ffi.include_dir = lambda: sys.argv[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import eigenpair
    (message,) = [str(w.message) for w in caught]
    assert "upgrade JAX" in message and "pip install" in message, message
    assert jnp.ones(3).sum() == 3
    assert not eigenpair.native.has_cpu_kernels()
    w, v = eigenpair.eigh(jnp.diag(jnp.array([2.0, 1.0])))
    assert w.tolist() == [1, 2]
    from eigenpair.runtime import installed
    kernels = next(line for line in installed.report().splitlines() if line.startswith("kernels"))
    assert "off" in kernels and "XLA FFI" in kernels, kernels
    """,
        arguments=[tmp_path],
    )


@needs_kernels
def test_the_build_uses_the_oldest_headers():
    """Built with newer ones, it would not run with the older versions of JAX that pyproject.toml promises."""
    assert native.extension.ffi_api_version() == (0, 1)
    assert native._find_mismatch((0, 1), (0, 5)) == ""
    assert "upgrade JAX" in native._find_mismatch((0, 5), (0, 4))
    assert native._framework_ffi() >= (0, 1)
