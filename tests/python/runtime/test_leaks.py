"""Ten thousand calls leave nothing behind: memory, threads and open files do not grow, whether calls succeed or
fail."""

import os

import pytest
from processes import run

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")

MEASURE = """
    import gc, signal, time
    import jax, jax.numpy as jnp, numpy as np
    jax.config.update("jax_enable_x64", True)
    import eigenpair

    def megabytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def handles():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    def flat(step, calls, rounds=5):
        "Memory after each of so many rounds, the first of which warms up. `step` gets the number of the call."
        used = []
        for _ in range(rounds):
            for k in range(calls // rounds):
                step(k)
            jax.block_until_ready(compute(a, b))
            gc.collect()
            used.append(megabytes())
            held = handles() if len(used) == 1 else held
        # A leak of a single matrix in each call would be several times as much.
        assert used[-1] - used[0] < LIMIT, used
        assert all(now <= then for now, then in zip(handles(), held)), (held, handles())

    LIMIT = 3.0
    rng = np.random.default_rng(0)
    a = jnp.asarray(rng.normal(size=(3, 12, 12)))
    b = a @ a.swapaxes(-1, -2) + jnp.eye(12)
    bad = a.at[1, 2, 1].set(jnp.nan)

    def loss(x, y):
        w, v = eigenpair.eigh(x, y)
        return jnp.sum(w) + jnp.sum(v[..., 0] ** 4)

    compute = jax.jit(lambda x, y: (eigenpair.eigh(x), jax.grad(loss, (0, 1))(x, y)))
    general = jax.jit(lambda x: (eigenpair.eig(x), jax.grad(lambda x: jnp.sum(jnp.abs(eigenpair.eigvals(x)) ** 2))(x)))
"""


def test_calls_that_succeed_and_fail():
    run(
        MEASURE
        + """
    large = jnp.asarray(rng.normal(size=(64, 64)))
    part = jax.jit(jax.grad(lambda x: jnp.sum(eigenpair.eigh(x, subset_by_index=(0, 2))[1][:, 0] ** 4)))
    inputs = [(a, b), (bad, b), (a, -b), (a, bad)]
    def step(k):
        results = compute(*inputs[k % 4])
        if k % 8 == 0:
            general((a, bad)[k // 8 % 2])
        if k % 50 == 0:
            part((large, large.at[3, 2].set(jnp.nan))[k // 50 % 2])
        if k % 3:
            # In flight when it is let go, and at the end of the round waited for.
            del results
        else:
            jax.block_until_ready(results)
    flat(step, 10_000)
    w, v = compute(bad, b)[0]
    assert np.isnan(w[1]).all() and np.isfinite(w[::2]).all()
    """
    )


def test_calls_that_are_interrupted():
    run(
        MEASURE
        + """
    class Interrupt(BaseException):
        pass

    def interrupt(*_):
        raise Interrupt

    signal.signal(signal.SIGALRM, interrupt)
    many = jnp.asarray(rng.normal(size=(100, 20, 20)))
    solve = jax.jit(eigenpair.eigh)
    jax.block_until_ready(solve(many))
    interrupted = 0
    def step(k):
        global interrupted
        try:
            try:
                # While it is put on its way, computes, or is waited for.
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + k % 80))
                jax.block_until_ready(solve(many))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupt:
            interrupted += 1
    flat(step, 1_500)
    assert interrupted > 100, interrupted
    """
    )


def test_jobs_that_the_core_refuses():
    """Without a LAPACK, each call ends in an error after its job was made."""
    run(
        MEASURE
        + """
    from eigenpair.runtime import native
    if not native.has_cpu_kernels():
        raise SystemExit
    large = jnp.eye(200)
    refused = 0
    native._native.lend_lapack({}, 32)
    def step(k):
        global refused
        try:
            jax.block_until_ready(solve(large))
        except Exception as error:
            assert "no routine" in str(error), error
            refused += 1
    solve = jax.jit(eigenpair.eigh)
    a, b = a[:, :2, :2], b[:, :2, :2]
    compute = jax.jit(lambda x, y: x + y)
    flat(step, 2_000)
    assert refused == 2_000
    """
    )
