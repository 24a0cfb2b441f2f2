"""Several processes (jax.distributed on loopback, CPU collectives): values and gradients are those of one process."""

import importlib
import importlib.util
import socket

import jax
import numpy as np
import pytest
from processes import quick, run_together

# Seconds after which processes that wait for each other without success are ended.
SECONDS = 120

PROGRAM = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    folder, (port, rank, count) = sys.argv[1], map(int, sys.argv[2:])
    jax.config.update("jax_enable_x64", True)
    if count > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", count, rank, initialization_timeout=60)
    import eigenpair

    assert jax.process_count() == count and len(jax.devices()) == 4, jax.devices()
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 3, 3)) + np.diag([0.0, 5, 9])
    b = a @ a.swapaxes(-1, -2) + 2 * np.eye(3)

    def place(x, spec):
        return jax.make_array_from_callback(x.shape, NamedSharding(mesh, spec), lambda index: x[index])

    def hermitian(x, y):
        w, v = eigenpair.eigh(x, y)
        return jnp.sum(w[:, :2] ** 2) + jnp.sum(v[:, :, 0] ** 4)

    def general(x, y):
        w, v = eigenpair.eig(x, y)
        return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(v[:, :, 0]) ** 4)

    def spectral(x, y):
        return jnp.sum(eigenpair.spectral_map(jnp.tanh, x, hermitian_part=True) * y)

    inputs = {"both": (place(a, P("batch")), place(b, P("batch"))), "shared": (place(a, P("batch")), place(b[0], P()))}
    results = {}
    for name, (x, y) in inputs.items():
        for loss in (hermitian, general, spectral):
            f = jax.jit(jax.value_and_grad(loss, (0, 1)))
            compiled = f.lower(x, y).compile()
            assert "all-gather" not in compiled.as_text(), (name, loss)
            value, gradients = compiled(x, y)
            results[f"{name} {loss.__name__}"] = value
            # What this process holds, by place.
            for g, m in zip(gradients, "ab", strict=True):
                for shard in g.addressable_shards:
                    start = shard.index[0].start or 0
                    results[f"{name} {loss.__name__} {m} {start}"] = np.asarray(shard.data)

    # A large operator whose vectors are spread over all devices of all processes.
    mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    d, c, v0 = rng.uniform(0, 1, 128), rng.normal(size=128), rng.normal(size=(128, 2))

    def large(d, c, v0):
        def product(x):
            return d * x + c * jnp.vdot(c, x) / 128  # a sum over all devices
        w, v = eigenpair.eigsh(product, 2, v0=v0)
        return jnp.sum(w) + jnp.sum(v[:, 0] ** 4) + jnp.sum(d * v[:, 1] ** 2)

    given = place(d, P("x")), place(c, P("x")), place(v0, P("x", None))
    compiled = jax.jit(jax.value_and_grad(large, (0, 1))).lower(*given).compile()
    assert "all-gather" not in compiled.as_text(), "large"
    value, gradients = compiled(*given)
    results["large"] = value
    for g, name in zip(gradients, "dc", strict=True):
        for shard in g.addressable_shards:
            results[f"large {name} {shard.index[0].start or 0}"] = np.asarray(shard.data)
    np.savez(f"{folder}/{count}-{rank}.npz", **results)
    if count > 1:
        jax.distributed.shutdown()
"""


def has_gloo():
    extension = next((name for name in ("jaxlib._jax", "jaxlib.xla_extension") if importlib.util.find_spec(name)), None)
    known = "jax_cpu_collectives_implementation" in jax.config.values
    return known and extension is not None and hasattr(importlib.import_module(extension), "make_gloo_tcp_collectives")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(folder, count):
    flags = quick(f"--xla_force_host_platform_device_count={4 // count}")
    port = free_port()
    run_together(PROGRAM, [(folder, port, rank, count) for rank in range(count)], timeout=SECONDS, **flags)
    results = [dict(np.load(folder / f"{count}-{rank}.npz")) for rank in range(count)]
    for name in set(results[0]).intersection(*results[1:]):
        # Results that every process has, such as the value of the loss, are equal in all of them.
        for other in results[1:]:
            np.testing.assert_array_equal(other[name], results[0][name], err_msg=name)
    return {name: x for result in results for name, x in result.items()}


@pytest.mark.skipif(not has_gloo(), reason="this jaxlib has no collectives between processes on CPU (gloo)")
def test_two_processes_give_what_one_gives(tmp_path):
    one, two = start(tmp_path, 1), start(tmp_path, 2)
    assert set(one) == set(two)
    for gradient in ("both hermitian a", "large d"):
        assert len([name for name in one if gradient in name]) == 4, "each device has its part"
    for name in one:
        allowed = 1e-8 if "large" in name else 1e-10  # of the iterative solver
        np.testing.assert_allclose(two[name], one[name], rtol=allowed, atol=allowed, err_msg=name)
