"""Batches inside one computation on few threads do not deadlock. XLA's pool has as many threads as the process has
processors, and work that waits there for work queued behind it waits for ever."""

import os

import pytest
from processes import run

# Seconds: a minute for each with EIGENPAIR_LONG=1; otherwise enough for a deadlock that occurs in most runs.
SECONDS = 60 if os.environ.get("EIGENPAIR_LONG") == "1" else 1.5

PREPARE = """
    import sys, time
    import jax, jax.numpy as jnp, numpy as np
    import eigenpair

    rng = np.random.default_rng(0)
    def batch(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)
    def positive(*shape):
        x = batch(*shape)
        return x @ x.swapaxes(-1, -2) + jnp.eye(shape[-1])

    def repeat(f, *arguments):
        jax.block_until_ready(f(*arguments))
        begun, runs = time.monotonic(), 0
        while runs < 10 or time.monotonic() - begun < float(sys.argv[1]):
            jax.block_until_ready(f(*arguments))
            runs += 1
        print(runs)
"""

EIGHT_CALLS = """
    @jax.jit
    def f(x):
        return [eigenpair.eigh(x + k) for k in range(8)]
    repeat(f, batch(10_000, 4, 4))
"""

EIGHT_GENERALIZED = """
    @jax.jit
    def f(x, y):
        return [eigenpair.eigh(x + k, y, type=1 + k % 3) for k in range(8)]
    repeat(f, batch(500, 20, 20), positive(500, 20, 20))
"""

GRADIENTS = """
    def loss(x, y):
        w, v = eigenpair.eigh(x, y)
        return jnp.sum(w) + jnp.sum(v[..., 0] ** 4)
    repeat(jax.jit(jax.grad(loss, (0, 1))), batch(10_000, 4, 4), positive(10_000, 4, 4))
"""

MANY_STREAMS = """
    # Computations in flight at once, from several threads of the caller.
    from concurrent.futures import ThreadPoolExecutor
    def loss(x):
        return jnp.sum(eigenpair.eigh(x)[1][..., 0] ** 4)
    f = jax.jit(lambda x: [jax.grad(loss)(x + k) for k in range(4)])
    x = batch(2_000, 12, 12)
    def all_at_once(x):
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda k: jax.block_until_ready(f(x + k)), range(4)))
    repeat(all_at_once, x)
"""

PROGRAMS = [EIGHT_CALLS, EIGHT_GENERALIZED, GRADIENTS, MANY_STREAMS]


@pytest.mark.parametrize("cpus", [1, 2])
def test_finishes(cpus):
    if cpus > len(os.sched_getaffinity(0)):
        pytest.skip("not enough processors")
    # A generous limit, for busy machines; a deadlock exceeds every limit.
    printed = run("".join([PREPARE, *PROGRAMS]), timeout=120 + 40 * SECONDS, arguments=[SECONDS], cpus=cpus)
    runs = [int(line) for line in printed.split()]
    assert len(runs) == len(PROGRAMS)
    assert min(runs) >= 10
