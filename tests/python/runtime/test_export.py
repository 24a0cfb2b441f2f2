"""jax.export: a computation saved by one process runs in another one, which only needs `import eigenpair`."""

import numpy as np
import pytest
from problems import problem
from processes import run

SAVE = """
    import sys
    import jax, jax.export, jax.numpy as jnp
    import eigenpair
    from pathlib import Path
    jax.config.update("jax_enable_x64", True)

    def loss(a, b):
        w, v = eigenpair.eigh(a, b, type=2, lower=True)
        return jnp.sum(jnp.sin(w)) + jnp.sum(v[..., 0] ** 4)

    a = jax.ShapeDtypeStruct((2, 3, 3), float)
    checks = eigenpair.native.export_checks()
    for name, f in {"forward": eigenpair.eigh, "gradient": jax.value_and_grad(loss, (0, 1))}.items():
        saved = jax.export.export(jax.jit(f), disabled_checks=checks)(a, a).serialize()
        Path(sys.argv[1], name).write_bytes(saved)
"""

RUN = """
    import sys
    import numpy as np
    import jax, jax.export
    from pathlib import Path
    jax.config.update("jax_enable_x64", True)
    import eigenpair
    given = np.load(Path(sys.argv[1], "input.npz"))
    results = {}
    for name in ("forward", "gradient"):
        f = jax.export.deserialize(Path(sys.argv[1], name).read_bytes())
        for i, x in enumerate(jax.tree.leaves(f.call(given["a"], given["b"]))):
            results[f"{name}{i}"] = np.asarray(x)
    np.savez(Path(sys.argv[1], "output.npz"), **results)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("flatbuffers", reason="jax.export serializes with flatbuffers")
    folder = tmp_path_factory.mktemp("exported")
    (a, b), _ = problem(2, batch=(2,), lower=True)
    np.savez(folder / "input.npz", a=a, b=b)
    run(SAVE, arguments=[folder])
    return folder


def test_runs_in_a_fresh_process(folder):
    import eigenpair
    import jax
    import jax.numpy as jnp

    run(RUN, arguments=[folder])
    given, found = np.load(folder / "input.npz"), np.load(folder / "output.npz")

    def loss(a, b):
        w, v = eigenpair.eigh(a, b, type=2, lower=True)
        return jnp.sum(jnp.sin(w)) + jnp.sum(v[..., 0] ** 4)

    a, b = given["a"], given["b"]
    value, gradients = jax.value_and_grad(loss, (0, 1))(a, b)
    np.testing.assert_allclose(found["gradient0"], value, rtol=1e-12)
    np.testing.assert_allclose(found["gradient1"], gradients[0], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found["gradient2"], gradients[1], rtol=1e-10, atol=1e-11)
    w, v = eigenpair.eigh(a, b)
    np.testing.assert_array_equal(found["forward0"], w)
    np.testing.assert_array_equal(found["forward1"], v)


def test_without_the_import_there_is_an_error_and_no_crash(folder):
    run(
        """
    import sys
    import numpy as np
    import jax, jax.export
    from pathlib import Path
    jax.config.update("jax_enable_x64", True)
    given = np.load(Path(sys.argv[1], "input.npz"))
    for name in ("forward", "gradient"):
        try:
            jax.export.deserialize(Path(sys.argv[1], name).read_bytes()).call(given["a"], given["b"])
        except Exception as error:
            assert "eigenpair" in str(error), error
        else:
            raise AssertionError(f"{name} ran without its kernel")
    """,
        arguments=[folder],
    )
