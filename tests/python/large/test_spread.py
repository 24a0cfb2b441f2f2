"""Vectors that are spread over devices stay spread, in the solve and in the gradient."""

from processes import quick, run

PROGRAM = """
    import re
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    jax.config.update("jax_enable_x64", True)
    from eigenpair.large import eigsh

    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    n = 256
    spread, columns = NamedSharding(mesh, P("x")), NamedSharding(mesh, P("x", None))
    rng = np.random.default_rng(0)
    d, c, v0 = rng.uniform(0, 1, n), rng.normal(size=n), rng.normal(size=(n, 2))

    def loss(d, c, v0):
        def product(x):
            return (2 + d) * x - jnp.roll(x, 1) - jnp.roll(x, -1)
        w, v = eigsh(product, 2, v0=v0)
        return jnp.sum(w) + jnp.sum(v[:, 0] ** 4) + jnp.sum(c * v[:, 1] ** 2)

    given = jax.device_put(d, spread), jax.device_put(c, spread), jax.device_put(v0, columns)
    f = jax.jit(jax.value_and_grad(loss, (0, 1)))
    compiled = f.lower(*given).compile()
    assert not re.search(r"all-gather(-start)?\\(", compiled.as_text())
    value, gradients = compiled(*given)
    for g in gradients:
        assert g.sharding.is_equivalent_to(spread, 1), g.sharding
    expected, expected_gradients = f(d, c, v0)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    for g, e in zip(gradients, expected_gradients):
        np.testing.assert_allclose(g, e, atol=1e-8)
"""


def test_nothing_is_gathered():
    run(PROGRAM, timeout=300, **quick("--xla_force_host_platform_device_count=2"))
