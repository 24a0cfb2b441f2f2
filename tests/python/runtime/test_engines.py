"""One matrix spread over devices: an engine solves, the derivatives are eigenpair's, and nothing gathers the matrix.

A stand-in replaces `jaxmg`: the same entry point with the same conditions, computed by LAPACK. Where jaxmg itself is
installed, our call goes through its own checks and lowering too, up to the point where GPUs are needed.
"""

import dataclasses
import os
import pathlib
import re
import textwrap

import eigenpair
import jax
import numpy as np
import pytest
from eigenpair import engines
from jax.sharding import AxisType, PartitionSpec
from processes import EIGHT_DEVICES, run

STAND_IN = """
    import re, sys, types
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    jax.config.update("jax_enable_x64", True)

    calls = []
    STATUS = 36  # words from each process, the first of them the status

    def syevd_shardmap_ctx(a, T_A, mesh=None, matrix_specs=None, *, in_specs=None, return_eigenvectors=True, pad=True):
        assert a.ndim == 2 and a.shape[0] == a.shape[1] and a.dtype.name in PRECISIONS
        assert type(T_A) is int and T_A > 0 and type(return_eigenvectors) is bool
        assert isinstance(mesh, jax.sharding.Mesh) and isinstance(matrix_specs, P) and len(matrix_specs) == 2
        rows, columns = (1 if axis is None else mesh.shape[axis] for axis in matrix_specs)
        assert rows * columns == mesh.size and a.shape[0] % rows == 0 and a.shape[1] % columns == 0
        assert -(-a.shape[0] // T_A) >= max(rows, columns)
        calls.append((a.shape, a.dtype.name, T_A, return_eigenvectors))

        def local(block):
            assert block.shape == (a.shape[0] // rows, a.shape[1] // columns)
            whole, start = block, []
            for axis, name in enumerate(matrix_specs):
                start.append(jnp.int32(0) if name is None else jax.lax.axis_index(name) * block.shape[axis])
                if name is not None:
                    whole = jax.lax.all_gather(whole, name, axis=axis, tiled=True)
            # The lower triangle is read, as by cuSOLVERMp.
            v, w = jax.lax.linalg.eigh(jnp.tril(whole), symmetrize_input=False)
            status = jnp.zeros(STATUS, jnp.int32).at[0].set(jnp.where(whole[0, 0] == 13, 7, 0)).at[13].set(len(w))
            vectors = [jax.lax.dynamic_slice(v, start, block.shape)] if return_eigenvectors else []
            return block, w, *vectors, status

        axes = tuple(axis for axis in matrix_specs if axis is not None)
        out_specs = (matrix_specs, P(None), *([matrix_specs] if return_eigenvectors else []), P(axes))
        return jax.shard_map(local, mesh=mesh, in_specs=matrix_specs, out_specs=out_specs, check_vma=False)(a)

    PRECISIONS = ("float32", "float64", "complex64", "complex128")
    sys.modules["jaxmg"] = types.SimpleNamespace(syevd_shardmap_ctx=syevd_shardmap_ctx)

    import eigenpair
    from eigenpair import engines
    from eigenpair.degeneracy import check, mask

    def make(spec, **options):
        axes = [axis for axis in spec if axis is not None]
        shape = {1: (8,), 2: (4, 2)}[len(axes)]
        mesh = jax.make_mesh(shape, axes, axis_types=(jax.sharding.AxisType.Auto,) * len(axes))
        return engines.jaxmg(mesh, spec, **options), NamedSharding(mesh, spec)

    n = 24
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(n, n))
    a = rng.normal(size=(n, n))
"""


def test_values_and_gradients_are_those_of_one_device():
    run(
        STAND_IN
        + """
    def check_all(a, spec, tile, rtol):
        engine, spread = make(spec, tile=tile)
        weights_here = weights.astype(a.real.dtype)
        def losses(x, **options):
            w, v = eigenpair.eigh(x, **options)
            first = eigenpair.eigvalsh(x, subset_by_index=(0, 2), **options)
            return jnp.sum(w[:4] ** 2) + jnp.sum(jnp.real(v[:, :4] @ v[:, :4].conj().T) * weights_here) + first[1]
        def spectral(x):
            p = eigenpair.spectral_map(jnp.tanh, x, hermitian_part=True)
            p += eigenpair.spectral_projector(x, 4, hermitian_part=True)
            return jnp.sum(jnp.real(p) * weights_here) + eigenpair.spectral_sum(jnp.sin, x, hermitian_part=True)
        functions = {
            "forward": lambda x: (eigenpair.eigvalsh(x), jnp.abs(eigenpair.eigh(x)[1])),
            "Hermitian part": jax.value_and_grad(losses),
            "lower": jax.grad(lambda x: losses(x, lower=True)),
        }
        if a.dtype == "float64":
            functions |= {
                "upper, masked": jax.grad(lambda x: losses(x, lower=False, degeneracy=mask(1e-9))),
                "tangents": lambda x: jax.jvp(losses, (x,), (x.T,)),
                "curvature": lambda x: jax.jvp(jax.grad(losses), (x,), (x.T,))[1],
                "spectral": jax.grad(spectral),
            }
        x = jax.device_put(a, spread)
        for name, f in functions.items():
            expected = jax.jit(f)(a)
            with engines.engine(engine):
                found = jax.jit(f)(x)
            for y, z in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(y, z, rtol=rtol, atol=rtol * 10, err_msg=f"{name} {spec} {a.dtype}")
                if y.ndim == 2:
                    assert y.sharding.is_equivalent_to(spread, 2), (name, y.sharding)
        # Traced once for each way to ask: vectors are computed where they are needed.
        assert {call[:3] for call in calls} == {(a.shape, a.dtype.name, tile)}, calls
        assert {call[3] for call in calls} == {True, False}, calls
        calls.clear()
        with engines.engine(engine):
            jax.clear_caches()
            eigenpair.eigvalsh(x)
        assert [call[3] for call in calls] == [False], calls
        calls.clear()

    check_all(a, P("x", "y"), 3, 1e-9)
    check_all((a + 1j * weights).astype("complex64"), P("x", None), 2, 2e-3)
    """,
        **EIGHT_DEVICES,
    )


def test_policies_and_failures():
    run(
        STAND_IN
        + """
    engine, spread = make(P("x", "y"), tile=4)
    q, _ = np.linalg.qr(a)
    degenerate = q @ np.diag([1.0] * 3 + list(range(2, n - 1))) @ q.T
    x = jax.device_put(degenerate, spread)
    def projector(x):
        v = eigenpair.eigh(x)[1][:, :3]
        return jnp.sum((v @ v.T) * weights)
    def basis(x):
        return jnp.sum(eigenpair.eigh(x)[1][:, 0] ** 4)
    expected = jax.grad(projector)(degenerate)
    with engines.engine(engine):
        np.testing.assert_allclose(jax.grad(projector)(x), expected, atol=1e-9)
        assert np.isnan(jax.grad(basis)(x)).all(), "a loss that depends on the basis of a cluster has no gradient"
        with eigenpair.degeneracy.policy(mask(1e-6)):
            assert np.isfinite(jax.grad(basis)(x)).all()
        w, v = eigenpair.eigh(x, degeneracy=check(generic_basis=True))
        np.testing.assert_allclose(degenerate @ v, v * w, atol=1e-9)
        np.testing.assert_allclose(v.T @ v, np.eye(n), atol=1e-9)
        # What the engine refuses at run time, and what is not finite, is NaN; entries that are not read do no harm.
        for bad in (np.where(np.eye(n) * np.arange(n) == 5, np.nan, degenerate), np.where(np.eye(n) == 1, 13.0, a)):
            for y in (*eigenpair.eigh(jax.device_put(bad, spread)), jax.grad(projector)(jax.device_put(bad, spread))):
                assert np.isnan(y).all()
        one = np.tril(a) + np.triu(np.full((n, n), np.inf), 1)
        np.testing.assert_allclose(eigenpair.eigvalsh(one, lower=True), np.linalg.eigvalsh(np.tril(a)), atol=1e-10)
    """,
        **EIGHT_DEVICES,
    )


def test_nothing_gathers_the_matrix():
    """In the programs around an engine, no device ever holds a whole matrix."""
    run(
        STAND_IN
        + """
    class Opaque(engines.Engine):
        def solve(self, a, *, vectors):
            return jnp.arange(float(len(a))), (a if vectors else None)

    spread = make(P("x", "y"))[1]
    engine = Opaque(spread.mesh, spread.spec)
    x = jax.device_put(a, spread)
    weighted = jax.device_put(weights, spread)
    def of_vectors(x, weighted):
        w, v = eigenpair.eigh(x)
        return jnp.sum(w**2) + jnp.sum(v**4 * weighted)
    functions = {
        "forward": lambda x, _: tuple(eigenpair.eigh(x)),
        "values": jax.grad(lambda x, _: jnp.sum(eigenpair.eigvalsh(x) ** 3)),
        "vectors": jax.grad(of_vectors, (0, 1)),
        "tangents": lambda x, y: jax.jvp(eigenpair.eigh, (x,), (y,))[1],
        "map": lambda x, _: eigenpair.spectral_map(jnp.tanh, x),
    }
    for name, f in functions.items():
        with engines.engine(engine):
            text = jax.jit(f).lower(x, weighted).compile().as_text()
        assert f"f64[{n // 4},{n // 2}]" in text, name
        assert f"[{n},{n}]" not in text, name
    """,
        **EIGHT_DEVICES,
    )


@dataclasses.dataclass(frozen=True)
class Local(engines.Engine):
    def solve(self, a, *, vectors):
        v, w = jax.lax.linalg.eigh(a)
        return w, (v if vectors else None)


def mesh(*names, kind=AxisType.Auto):
    return jax.make_mesh((1,) * len(names), names, axis_types=(kind,) * len(names))


def test_errors_come_before_compilation(monkeypatch):
    spec = PartitionSpec("x", None)
    refused = pytest.raises(ValueError, match=r"engine|one matrix|leave out b")
    with engines.engine(Local(mesh("x"), spec)):
        np.testing.assert_allclose(eigenpair.eigvalsh(np.diag([2.0, 1.0])), [1, 2])
        for call in (
            lambda: eigenpair.eigh(np.eye(2), np.eye(2)),
            lambda: eigenpair.eigvalsh(np.zeros((3, 2, 2))),
            lambda: jax.vmap(eigenpair.eigvalsh)(np.zeros((3, 2, 2))),
            lambda: jax.vmap(jax.grad(lambda x: eigenpair.eigh(x)[1][0, 0]))(np.zeros((3, 2, 2))),
            lambda: eigenpair.spectral_map(jax.numpy.exp, np.zeros((3, 2, 2))),
            lambda: eigenpair.eig(np.eye(2)),
            lambda: eigenpair.condition_numbers(np.eye(2)),
        ):
            with refused:
                jax.eval_shape(call)
        with pytest.raises(ValueError, match="multiple"):
            eigenpair.eigh(np.zeros((0, 0)))
    eigenpair.eig(np.eye(2))
    # A Jacobian is a batch of derivatives, not of problems.
    with engines.engine(Local(mesh("x"), spec)):
        found = jax.jacrev(eigenpair.eigvalsh)(np.diag([1.0, 2.0]))
    np.testing.assert_allclose(found, jax.jacrev(eigenpair.eigvalsh)(np.diag([1.0, 2.0])))
    with pytest.raises(TypeError, match="engine"):
        engines.engine("jaxmg")
    with pytest.raises(NotImplementedError), engines.engine(engines.Engine(mesh("x"), spec)):
        eigenpair.eigh(np.eye(2))
    for bad in (("x", "x"), ("z",), ("x", None, None), (("x", "y"), None)):
        with pytest.raises(ValueError, match="spec must"):
            Local(mesh("x", "y"), PartitionSpec(*bad))
    with pytest.raises(ValueError, match="Auto"):
        Local(mesh("x", kind=AxisType.Explicit), spec)
    with pytest.raises(TypeError, match="mesh"):
        Local("x", spec)
    with pytest.raises(TypeError, match="spec"):
        Local(mesh("x"), "x")
    monkeypatch.setitem(__import__("sys").modules, "jaxmg", None)
    with pytest.raises(ImportError, match="pip install"):
        engines.jaxmg(mesh("x"), spec)


def test_the_page_about_it_runs():
    page = pathlib.Path(__file__).resolve().parents[3] / "docs" / "scaling.md"
    batch, one, mine = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert "tile=256" in one
    smaller = "a = rng.normal(size=(24, 24))\n" + one.replace("tile=256", "tile=3")
    checked = "assert gradient.sharding == v.sharding == NamedSharding(mesh, P('x', 'y'))\n"
    run("\n".join([textwrap.dedent(STAND_IN), batch, smaller, checked, mine]), **EIGHT_DEVICES)


def test_what_jaxmg_cannot_do():
    run(
        STAND_IN
        + """
    def refused(kind, word, f):
        try:
            f()
        except kind as error:
            assert word in str(error), error
        else:
            raise AssertionError(f"no error about {word}")
    engine, spread = make(P("x", "y"), tile=3)
    with engines.engine(engine):
        refused(ValueError, "multiple", lambda: eigenpair.eigvalsh(np.eye(26)))
        refused(ValueError, "tile", lambda: eigenpair.eigvalsh(np.eye(8)))
        refused(TypeError, "float16", lambda: eigenpair.eigvalsh(np.eye(24, dtype=np.float16)))
    assert not calls
    refused(ValueError, "every axis", lambda: engines.jaxmg(spread.mesh, P("x", None)))
    refused(ValueError, "positive", lambda: engines.jaxmg(spread.mesh, P("x", "y"), tile=0))
    refused(TypeError, "tile", lambda: engines.jaxmg(spread.mesh, P("x", "y"), tile=2.5))
    """,
        **EIGHT_DEVICES,
    )


def test_the_entry_point_is_as_we_call_it():
    """The real package on the CPU: its checks accept our call, which is lowered to its eigensolver."""
    jaxmg = pytest.importorskip("jaxmg", reason="jaxmg is not installed")
    run(
        """
    import re, warnings
    warnings.simplefilter("ignore")
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    jax.config.update("jax_enable_x64", True)
    import eigenpair
    from eigenpair import engines

    def loss(x):
        w, v = eigenpair.eigh(x)
        return jnp.sum(w**3) + jnp.sum(jnp.abs(v) ** 4)

    for spec in (P("x", "y"), P("x", None), P(None, "y")):
        axes = [axis for axis in spec if axis]
        kinds = (jax.sharding.AxisType.Auto,) * len(axes)
        mesh = jax.make_mesh((4, 2) if len(axes) == 2 else (8,), axes, axis_types=kinds)
        for dtype, tile in ((float, 2), (complex, 3)):
            x = jax.device_put(np.eye(24, dtype=dtype), NamedSharding(mesh, spec))
            with engines.engine(engines.jaxmg(mesh, spec, tile=tile)):
                for f, target in ((eigenpair.eigvalsh, "syevd_values"), (jax.grad(loss), "syevd")):
                    text = jax.jit(f).trace(x).lower(lowering_platforms=("cuda",)).as_text()
                    assert set(re.findall(r"custom_call @(cusolver\\w+|eigen\\w+)", text)) == {f"cusolvermp_{target}"}
    """,
        PYTHONPATH=os.pathsep.join([str(pathlib.Path(jaxmg.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
        **EIGHT_DEVICES,
    )
