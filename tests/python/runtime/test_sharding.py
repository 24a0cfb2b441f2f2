"""Batches spread over devices: each device solves its own part, and nothing is gathered, in the solve or in the
gradient."""

from processes import EIGHT_DEVICES, run

# These tests look at how programs are partitioned, not at their speed.

PREPARE = """
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    jax.config.update("jax_enable_x64", True)
    import eigenpair

    assert len(jax.devices()) == 8
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = NamedSharding(mesh, P("batch"))
    rng = np.random.default_rng(0)
    a = rng.normal(size=(16, 3, 3))
    b = a @ a.swapaxes(-1, -2) + 2 * np.eye(3)
    a = a + np.diag([0.0, 5, 9])
    sharded = [jax.device_put(x, spread) for x in (a, b)]

    def losses(x, y):
        w, v = eigenpair.eigh(x, y)
        return jnp.sum(w[:, :2] ** 2, -1) + jnp.sum(v[:, :, 0] ** 4, -1)

    def gradients(x, y):
        return jax.grad(lambda *m: jnp.sum(losses(*m)), (0, 1))(x, y)

    def tangents(x, y):
        return jax.jvp(lambda *m: tuple(eigenpair.eigh(*m)), (x, y), (y, x))[1]

    def of_types_2_and_3(x, y):
        w, v = eigenpair.eigh(x, y, type=2, lower=True)
        return jnp.sum(v[:, :, 0] ** 4) + jnp.sum(w * eigenpair.eigvalsh(x, y, type=3, lower=False))

    def general(x, y):
        w, left, right = eigenpair.eig(x, y, left=True)
        return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(right[..., 0] * left[..., 1]) ** 4)

    def spectral(x, y):
        moved = eigenpair.spectral_map(jnp.tanh, x, hermitian_part=True)
        moved += eigenpair.spectral_projector(x, 1, hermitian_part=True)
        return jnp.sum(moved * y) + jnp.sum(eigenpair.spectral_sum(jnp.sin, x, hermitian_part=True))

    functions = {
        "forward": lambda x, y: tuple(eigenpair.eigh(x, y)),
        "standard": lambda x, y: (eigenpair.eigvalsh(x), eigenpair.eigh(y)[0]),
        "gradients": gradients,
        "tangents": tangents,
        "curvature": lambda x, y: jax.jvp(gradients, (x, y), (y, x))[1],
        "types 2 and 3": jax.grad(of_types_2_and_3, (0, 1)),
        "general": lambda x, y: (*eigenpair.eig(x, y), eigenpair.eigvals(x), eigenpair.condition_numbers(y)),
        "general gradients": jax.grad(general, (0, 1)),
        "spectral": lambda x, y: (
            eigenpair.spectral_map(jnp.tanh, x, hermitian_part=True),
            eigenpair.spectral_sum(jnp.sin, x, hermitian_part=True),
        ),
        "spectral gradients": jax.grad(spectral, (0, 1)),
    }
    def same(found, expected):
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)
"""


def test_jit_of_a_sharded_batch():
    run(
        PREPARE
        + """
    for name, f in functions.items():
        compiled = jax.jit(f).lower(*sharded).compile()
        text = compiled.as_text()
        for gathering in ("all-gather", "all-to-all", "collective-permute"):
            assert gathering not in text, f"{name}: {gathering}"
        if name == "general gradients":
            assert "all-reduce" not in text, "devices wait for each other"
        found = compiled(*sharded)
        for leaf in jax.tree.leaves(found):
            assert leaf.sharding.is_equivalent_to(spread, leaf.ndim), (name, leaf.sharding)
            assert {s.data.shape[0] for s in leaf.addressable_shards} == {2}
        same(found, jax.jit(f)(a, b))
    # The sum over a loss needs one number from each device, and no matrix.
    total = jax.jit(lambda *m: jnp.sum(losses(*m))).lower(*sharded).compile()
    assert "all-gather" not in total.as_text()
    same(total(*sharded), jnp.sum(losses(a, b)))
    # One of the two that all share: its gradient is a sum over devices.
    for name in ("gradients", "types 2 and 3", "general gradients"):
        for x, y in ((a, b[0]), (a[0], b)):
            placed = [jax.device_put(m, spread if m.ndim == 3 else NamedSharding(mesh, P())) for m in (x, y)]
            compiled = jax.jit(functions[name]).lower(*placed).compile()
            assert "all-gather" not in compiled.as_text(), name
            found = compiled(*placed)
            for leaf, m in zip(found, placed, strict=True):
                assert leaf.sharding.is_equivalent_to(m.sharding, m.ndim), (name, leaf.sharding)
            same(found, jax.jit(functions[name])(x, y))
    """,
        **EIGHT_DEVICES,
    )


def test_explicit_sharding():
    """With explicit sharding, which is part of the type: results have the right sharding, and so have cotangents."""
    run(
        PREPARE
        + """
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        spread = NamedSharding(mesh, P("batch"))
        x, y = (jax.device_put(m, spread) for m in (a, b))
        for name, f in functions.items():
            for leaf in jax.tree.leaves(jax.eval_shape(f, x, y)):
                assert leaf.sharding.spec[0] == "batch", (name, leaf.sharding)
            compiled = jax.jit(f).lower(x, y).compile()
            assert "all-gather" not in compiled.as_text(), name
            same(compiled(x, y), jax.jit(f)(a, b))
        # Beyond the sizes that the core differentiates by itself.
        large = jax.device_put(np.tile(np.diag(np.arange(70.0)) + 1e-2, (8, 1, 1)), spread)
        loss = jax.grad(lambda x: (eigenpair.eigh(x).eigenvectors[..., 0] ** 2 * np.arange(70)).sum())
        found = jax.jit(loss)(large)
        assert found.sharding.spec[0] == "batch"
        same(found, jax.jit(loss)(np.asarray(large)))
        # A `b` that all share.
        w, v = jax.jit(eigenpair.eigh)(x, b[0])
        assert w.sharding.spec[0] == "batch"
        same(jax.jit(gradients)(x, jax.device_put(b[0], NamedSharding(mesh, P()))), gradients(a, b[0]))
    """,
        **EIGHT_DEVICES,
    )


def test_shard_map():
    run(
        PREPARE
        + """
    for name, f in functions.items():
        mapped = jax.jit(jax.shard_map(f, mesh=mesh, in_specs=P("batch"), out_specs=P("batch")))
        same(mapped(*sharded), jax.jit(f)(a, b))
    # Differentiated from outside.
    inside = jax.shard_map(losses, mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
    same(jax.jit(jax.grad(lambda *m: jnp.sum(inside(*m)), (0, 1)))(*sharded), gradients(a, b))
    # Differentiated inside, with a `b` that all share: its gradient is a sum over devices.
    def total(x, y):
        return jax.lax.psum(jnp.sum(losses(x, y)), "batch")
    summed = jax.shard_map(total, mesh=mesh, in_specs=(P("batch"), P()), out_specs=P())
    same(jax.grad(summed, (0, 1))(sharded[0], b[0]), gradients(a, b[0]))
    """,
        **EIGHT_DEVICES,
    )


def test_batch_axes_of_a_mesh_in_two_dimensions():
    run(
        PREPARE
        + """
    mesh = jax.make_mesh((2, 4), ("x", "y"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    spread = NamedSharding(mesh, P("y", "x"))
    x, y = (jax.device_put(m.reshape(4, 4, 3, 3), spread) for m in (a, b))
    for name in ("forward", "general gradients", "spectral", "spectral gradients"):
        compiled = jax.jit(functions[name]).lower(x, y).compile()
        assert "all-gather" not in compiled.as_text(), name
        found = compiled(x, y)
        for leaf in jax.tree.leaves(found):
            assert leaf.sharding.is_equivalent_to(spread, leaf.ndim), (name, leaf.sharding)
        same([leaf.reshape(16, *leaf.shape[2:]) for leaf in jax.tree.leaves(found)], jax.jit(functions[name])(a, b))
    # The matrix axes themselves may be spread in the input; the answer is right all the same.
    torn = jax.device_put(a, NamedSharding(mesh, P(None, None, None)))
    same(jax.jit(eigenpair.eigvalsh)(torn), eigenpair.eigvalsh(a))
    split = jax.device_put(b[:, :2, :2], NamedSharding(mesh, P("y", "x", None)))
    same(jax.jit(eigenpair.eigvalsh)(split), eigenpair.eigvalsh(b[:, :2, :2]))
    """,
        **EIGHT_DEVICES,
    )


def test_subsets():
    """For matrices so large that only the subset is computed."""
    run(
        PREPARE
        + """
    a, d = rng.normal(size=(2, 8, 64, 64))
    sharded = [jax.device_put(x, spread) for x in (a, d)]
    def loss(x):
        w, v = eigenpair.eigh(x, subset_by_index=(1, 3))
        return jnp.sum(w**2) + jnp.sum(v[..., 0] ** 4)
    functions = {
        "values": lambda x, d: eigenpair.eigvalsh(x, subset_by_index=(61, 63)),
        "gradient": lambda x, d: jax.grad(loss)(x),
        "tangents": lambda x, d: jax.jvp(lambda x: tuple(eigenpair.eigh(x, subset_by_index=(0, 2))), (x,), (d,))[1],
    }
    for name, f in functions.items():
        compiled = jax.jit(f).lower(*sharded).compile()
        for gathering in ("all-gather", "all-to-all", "collective-permute"):
            assert gathering not in compiled.as_text(), f"{name}: {gathering}"
        found = compiled(*sharded)
        for leaf in jax.tree.leaves(found):
            assert leaf.sharding.is_equivalent_to(spread, leaf.ndim), (name, leaf.sharding)
        same(found, jax.jit(f)(a, d))
        mapped = jax.shard_map(f, mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
        same(jax.jit(mapped)(*sharded), found)
    """,
        **EIGHT_DEVICES,
    )
