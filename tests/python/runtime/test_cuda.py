"""CUDA without a GPU: the programs that computations are lowered to, and the code around the kernels, with SciPy in
place of cuSOLVER.

With a GPU, `EIGENPAIR_PLATFORM=cuda` runs the conformance suite on it.
"""

import os
import re
import shutil
import subprocess

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import eig, eigh, eigvals, eigvalsh
from eigenpair.runtime import cuda, native
from problems import needs_kernels
from processes import run

ONE = np.diag([1.0, 2, 3])
MANY = np.stack([ONE] * 5)

HERMITIAN = {
    "eigh": (eigh, (ONE,)),
    "values": (eigvalsh, (ONE,)),
    "complex64": (eigh, (ONE.astype("complex64"),)),
    "batch": (eigh, (MANY,)),
    "vmap": (jax.vmap(eigh), (MANY,)),
    "pair": (eigh, (ONE, ONE)),
    "pairs": (lambda a, b: eigh(a, b, type=3), (MANY, ONE)),
    "subset": (lambda a: eigh(a, subset_by_index=(0, 1)), (ONE,)),
    "grad": (jax.grad(lambda a: jnp.sum(eigh(a)[1] ** 4)), (ONE,)),
    "jvp": (lambda a: jax.jvp(eigvalsh, (a,), (a,)), (ONE,)),
    "hessian": (jax.hessian(lambda a: jnp.sum(eigvalsh(a) ** 3)), (ONE,)),
    "generic basis": (lambda a: eigh(a, degeneracy=eigenpair.degeneracy.check(generic_basis=True)), (ONE,)),
    "spectral": (lambda a: eigenpair.spectral_map(jnp.exp, a), (ONE,)),
}
GENERAL = {
    "eig": (eig, (ONE,)),
    "values": (eigvals, (MANY,)),
    "left": (lambda a: eig(a, left=True), (ONE,)),
    "pair": (eig, (ONE, ONE)),
    "complex": (eig, (ONE.astype("complex128"),)),
    "grad": (jax.grad(lambda a: jnp.sum(jnp.real(eigvals(a)) ** 2)), (ONE,)),
}


@pytest.fixture(autouse=True)
def _small_matrices_go_to_cusolver(monkeypatch):
    monkeypatch.setattr(cuda, "ELEMENTWISE", 0)


def lowered(f, arguments, platforms=("cuda",)):
    return jax.jit(f).trace(*arguments).lower(lowering_platforms=platforms).as_text()


def targets(text):
    return set(re.findall(r"custom_call @(\w*eig\w*|\w*syevd\w*)", text))


@needs_kernels
@pytest.mark.parametrize("name", HERMITIAN)
def test_hermitian_is_lowered_to_cusolver(name):
    assert targets(lowered(*HERMITIAN[name])) == {"eigenpair_cuda_hermitian"}


@needs_kernels
@pytest.mark.parametrize("name", HERMITIAN)
def test_small_ones_are_solved_element_by_element(name, monkeypatch):
    monkeypatch.setattr(cuda, "ELEMENTWISE", 4)
    jax.clear_caches()
    assert "custom_call" not in lowered(*HERMITIAN[name])


@needs_kernels
@pytest.mark.parametrize("name", GENERAL)
def test_general_is_lowered_to_cusolver(name):
    assert targets(lowered(*GENERAL[name])) == {"eigenpair_cuda_general"}


@needs_kernels
def test_each_platform_has_its_own():
    text = lowered(eigh, (MANY,), platforms=("cpu", "cuda"))
    assert targets(text) == {"eigenpair_hermitian", "eigenpair_cuda_hermitian"}


@needs_kernels
def test_matrices_are_column_major_and_the_batch_stays_where_it_is():
    (call,) = (line for line in lowered(eigh, (MANY,)).splitlines() if "@eigenpair_cuda_hermitian" in line)
    assert "operand_layouts = [dense<[1, 2, 0]>" in call
    assert 'num_batch_dims = "1"' in call
    assert "sdy.op_sharding_rule<([i, j, k])->([i, l], [i, m, n], [i])" in call
    assert "output_operand_alias" in call


@needs_kernels
def test_pairs_are_reduced_unless_sygvd_is_asked_for(monkeypatch):
    assert "cusolver_potrf" in lowered(*HERMITIAN["pair"])
    jax.clear_caches()
    monkeypatch.setattr(cuda, "PAIR_BATCH", 2)
    assert "cusolver_potrf" not in lowered(*HERMITIAN["pair"])
    assert "cusolver_potrf" in lowered(*HERMITIAN["pairs"])
    large = jax.ShapeDtypeStruct((cuda.PAIR_ORDER + 1,) * 2, jnp.float32)
    assert "cusolver_potrf" in lowered(eigh, (large, large))


@needs_kernels
def test_exported_computations_are_accepted():
    exported = jax.export.export(jax.jit(eigh), platforms=["cuda"], disabled_checks=native.export_checks())(MANY)
    assert "eigenpair_cuda_hermitian" in exported.mlir_module()


def test_without_kernels_it_is_xla_s_own():
    text = run(
        """
    import jax, numpy as np, eigenpair
    from eigenpair.runtime import cuda
    assert not cuda.has_kernels()
    for f in (eigenpair.eigh, eigenpair.eig):
        print(jax.jit(f).trace(np.eye(9, dtype="float32")).lower(lowering_platforms=("cuda",)).as_text())
    """,
        EIGENPAIR_KERNELS="off",
    )
    assert "eigenpair_cuda" not in text
    assert "cusolver_syevd" in text


@needs_kernels
def test_says_which_cusolver_or_why_none():
    said = cuda.report()
    found = re.match(r"cuSOLVER \d+\.\d+\.\d+, CUDA \d+\.\d+", said)
    assert found or said == "none: no cuSOLVER was found", said


# Folders like those of NVIDIA's wheels, with files of the right names.
FOLDERS = {
    12: ("cuda_runtime/lib/libcudart.so.12", "cublas/lib/libcublas.so.12", "cusolver/lib/libcusolver.so.11"),
    13: ("cu13/lib/libcudart.so.13", "cu13/lib/libcublas.so.13", "cu13/lib/libcusolver.so.12"),
}


@pytest.mark.parametrize(("installed", "plugin", "expected"), [((12,), 12, 12), ((12, 13), 12, 12), ((12, 13), 13, 13)])
def test_wheels_are_found(tmp_path, monkeypatch, installed, plugin, expected):
    for major in installed:
        for name in FOLDERS[major]:
            path = tmp_path / "nvidia" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / f"jax_cuda{plugin}_plugin").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert cuda.library_paths() == tuple(str(tmp_path / "nvidia" / name) for name in FOLDERS[expected])


@needs_kernels
def test_a_library_that_is_too_old_is_named(tmp_path):
    """As `python -m eigenpair` reports it; the C tests have the rest."""
    source = tmp_path / "old.c"
    source.write_text("int cusolverGetVersion(int* version) { *version = 10200; return 0; }\n")
    library = tmp_path / "libcusolver.so"
    compile_shared(source, library)
    run(
        """
    import sys
    from eigenpair.runtime import cuda, native
    native._native.name_cuda_libraries("", "", sys.argv[1])
    said = cuda.report()
    assert "cuSOLVER 10.2.0" in said and "11.1.2" in said and sys.argv[1] in said, said
    """,
        arguments=[library],
    )


def compile_shared(source, library):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)


STANDIN = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    jax.config.update("jax_enable_x64", True)
    if sys.argv[2] == "cuda":
        sys.path.insert(0, sys.argv[3])
        import cuda_standin
    import eigenpair
    results = {}
    rng = np.random.default_rng(0)
    def put(name, *values):
        results.update({f"{name} {i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(values))})
    def loss(w, v):
        projector = v[..., :2] @ jnp.conj(jnp.swapaxes(v[..., :2], -1, -2))
        return jnp.sum(w * jnp.arange(4)) + jnp.sum(jnp.abs(projector) ** 2 * jnp.arange(4))
    for dtype in ("float64", "complex128"):  # vectors of real general matrices come packed
        x = rng.normal(size=(3, 4, 4)) + 1j * rng.normal(size=(3, 4, 4))
        a = (x if dtype == "complex128" else x.real) * 3
        b = a @ a.conj().swapaxes(-1, -2) / 9 + 2 * np.eye(4)
        for type in (0, 1, 2, 3) if dtype == "complex128" else ():
            for pick in (0, slice(None)):
                matrices = (a[pick], b[pick]) if type else (a[pick],)
                options = {"type": type} if type else {}
                f = lambda *m: loss(*eigenpair.eigh(*m, **options))
                put(f"{dtype} {type} {pick}", jax.value_and_grad(f, tuple(range(len(matrices))))(*matrices))
                put(f"{dtype} {type} {pick} values", eigenpair.eigvalsh(*matrices, **options))
        for left, right in ((False, True), (True, False), (True, True)):
            put(f"{dtype} eig {left}{right}", eigenpair.eig(a, left=left, right=right))
        put(f"{dtype} eig pair", eigenpair.eig(a, b), eigenpair.eigvals(a[0], b[0]))
        f = lambda m: jnp.sum(jnp.abs(eigenpair.eig(m)[1]) ** 4)
        if dtype == "float64":
            put(f"{dtype} eig grad", jax.value_and_grad(f)(a[0]))
        put(f"{dtype} tiny", eigenpair.eigvals(a * 2.0**-900), eigenpair.eigvals(a * 2.0**900))
    bad = np.stack([np.eye(3), np.full((3, 3), np.nan), np.diag([1.0, 2, 3]), -np.eye(3)])
    put("isolated", eigenpair.eigvalsh(bad), eigenpair.eigh(bad)[1][1], eigenpair.eigvals(bad))
    put("definite", eigenpair.eigvalsh(np.eye(3), bad), eigenpair.eigvalsh(np.eye(3), bad[3]))
    put("empty", eigenpair.eigh(np.zeros((2, 0, 0))), eigenpair.eigh(np.zeros((0, 3, 3))))
    put("generic", eigenpair.eigvalsh(bad, degeneracy=eigenpair.degeneracy.check(generic_basis=True)))
    if sys.argv[2] == "cuda":
        called = {(target, int(options.get("type", -1))) for target, options in cuda_standin.calls}
        assert called == {("eigenpair_cuda_hermitian", t) for t in range(4)} | {("eigenpair_cuda_general", -1)}, called
    np.savez(sys.argv[1], **results)
"""


@needs_kernels
def test_the_path_around_the_kernels(tmp_path):
    """Values, vectors and gradients are those of the CPU's kernels."""
    here = __file__.rpartition("/")[0]
    flags = os.environ.get("XLA_FLAGS", "")
    for name in ("cpu", "cuda"):
        run(STANDIN, arguments=[tmp_path / f"{name}.npz", name, here], timeout=300, XLA_FLAGS=flags)
    cpu, found = np.load(tmp_path / "cpu.npz"), np.load(tmp_path / "cuda.npz")
    assert set(cpu) == set(found)
    for name in cpu:
        np.testing.assert_allclose(found[name], cpu[name], rtol=1e-10, atol=1e-10, err_msg=name)
