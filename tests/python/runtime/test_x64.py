"""Single precision, JAX's default: importing eigenpair does not enable x64."""

from processes import run


def test_x64_off():
    run("""
    import warnings
    import jax, jax.numpy as jnp, numpy as np
    before = dict(jax.config.values)
    import eigenpair
    assert dict(jax.config.values) == before, "importing must not touch the configuration"

    a = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    w, v = eigenpair.eigh(a)
    assert (w.dtype, v.dtype) == (jnp.float32, jnp.float32)
    assert jax.grad(lambda x: eigenpair.eigvalsh(x)[0])(a).dtype == jnp.float32
    assert jax.hessian(lambda x: eigenpair.eigvalsh(x)[0])(a).dtype == jnp.float32
    assert eigenpair.eigvalsh(np.array([[2, 1], [1, 3]])).dtype == jnp.float32
    assert eigenpair.eigh(a.astype(jnp.complex64))[1].dtype == jnp.complex64
    assert eigenpair.eigh(a.astype(jnp.complex64))[0].dtype == jnp.float32
    w, _ = eigenpair.eigh(a, np.eye(2), type=3)
    assert w.dtype == jnp.float32
    np.testing.assert_allclose(w, np.linalg.eigvalsh([[2.0, 1.0], [1.0, 3.0]]), rtol=1e-6)

    # Double precision input is single precision here, as everywhere in JAX.
    assert eigenpair.eigvalsh(np.eye(2)).dtype == jnp.float32
    jax.jit(jax.grad(lambda x, y: jnp.sum(eigenpair.eigh(x, y)[1]), (0, 1)))(a, jnp.eye(2))

    # Exactly degenerate, in single precision.
    g = jax.grad(lambda x: jnp.sum(eigenpair.eigh(x)[0] ** 2))(jnp.diag(jnp.array([1.0, 1, 2])))
    np.testing.assert_allclose(g, np.diag([2.0, 2, 4]), rtol=1e-6)

    # Both in one process: the precision follows the input.
    with jax.enable_x64(True):
        assert eigenpair.eigvalsh(jnp.eye(2, dtype=float)).dtype == jnp.float64
        assert eigenpair.eigvalsh(a).dtype == jnp.float32
        assert jax.grad(lambda x: eigenpair.eigvalsh(x)[0])(np.array([[2.0, 1], [1, 3]])).dtype == jnp.float64
    """)


def test_single_precision_stays_single_with_x64_on():
    run("""
    import re, jax, jax.numpy as jnp, numpy as np, eigenpair
    jax.config.update("jax_enable_x64", True)
    a = np.array([[2.0, 1.0], [1.0, 3.0]], np.float32)
    f = jax.value_and_grad(lambda x, y: jnp.sum(eigenpair.eigh(x, y)[1] ** 3), (0, 1))
    value, gradients = f(a, np.eye(2, dtype=np.float32))
    assert value.dtype == jnp.float32
    assert {g.dtype for g in gradients} == {np.dtype(np.float32)}
    assert eigenpair.eigvalsh([[2, 1], [1, 3]]).dtype == jnp.float64
    text = jax.jit(f).lower(a, a).as_text()
    assert not re.search(r"[x<]f64>", text), "single precision must not be computed in double"
    """)
