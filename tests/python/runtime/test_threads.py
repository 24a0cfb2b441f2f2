"""LAPACK's own threads are not used for matrices that gain nothing from them, and a user's limits are kept."""

import sys

import pytest
from processes import run

# Every change of the number of LAPACK's threads, and the number that it is left with.
WATCH = """
    import ctypes
    import jax, jax.numpy as jnp, numpy as np
    import threadpoolctl
    from scipy.linalg import cython_blas, cython_lapack
    import eigenpair
    from eigenpair.runtime import native

    jax.config.update("jax_enable_x64", True)
    get_address, set_address = native._thread_functions()
    if not (get_address and set_address):
        print("unknown BLAS")
        raise SystemExit
    get = ctypes.CFUNCTYPE(ctypes.c_int32)(get_address)
    put = ctypes.CFUNCTYPE(None, ctypes.c_int32)(set_address)
    changes = []

    @ctypes.CFUNCTYPE(None, ctypes.c_int32)
    def watched(threads):
        changes.append(threads)
        put(threads)

    watched_address = ctypes.cast(watched, ctypes.c_void_p).value
    routines = {**cython_blas.__pyx_capi__, **cython_lapack.__pyx_capi__}
    native.extension.lend_lapack(routines, 32, get_address, watched_address)

    rng = np.random.default_rng(0)

    def changed(function, *arguments):
        jax.block_until_ready(function(*arguments))
        changes.clear()
        jax.block_until_ready(function(*arguments))
        return list(changes)

    def matrix(*shape):
        return jnp.asarray(rng.normal(size=shape))

    def loss(a):
        w, v = eigenpair.eig(a)
        return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(v) ** 4)

    both = jax.jit(jax.value_and_grad(loss))
"""


def watch(code):
    output = run(WATCH + code)
    if output.strip() == "unknown BLAS":
        pytest.skip("a BLAS whose threads are not known")
    return output


def test_one_thread_for_small_matrices_and_all_for_large_ones():
    watch("""
    put(3)
    found = changed(both, matrix(100, 100))
    assert found == [1, 3], found
    found = changed(both, matrix(8, 8))
    assert found == [], found
    # The iteration has one; the products of the gradient have all.
    found = changed(both, matrix(400, 400))
    assert found == [1, 3], found
    symmetric = matrix(300, 300)
    found = changed(jax.jit(eigenpair.eigh), symmetric)
    assert found == [], found
    found = changed(jax.jit(eigenpair.eigh), symmetric[:40, :40], jnp.eye(40))
    assert found == [1, 3], found
    found = changed(jax.jit(jax.vmap(jax.grad(loss))), matrix(16, 30, 30))
    assert found == [1, 3], found
    assert get() == 3
    """)


def test_a_limit_is_kept():
    watch("""
    put(3)
    a = matrix(100, 100)
    jax.block_until_ready(both(a))
    for limit in (1, 2):
        with threadpoolctl.threadpool_limits(limit, user_api="blas"):
            found = changed(both, a)
            assert found == ([] if limit == 1 else [1, 2]), found
            assert get() == limit
    assert get() == 3
    """)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux says of each thread")
def test_threads_that_gain_nothing_are_not_woken():
    """OpenBLAS's threads wait busily for tens of milliseconds once woken, so the time that each ran tells."""
    run(
        """
    import os, time
    import numpy as np
    from scipy.linalg import blas

    def times():
        ran = {}
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat") as file:
                ran[thread] = int(file.read().split()[0])
        return ran

    def settled():
        # Until two looks in a row agree about LAPACK's threads.
        before = times()
        for _ in range(200):
            time.sleep(0.05)
            now = times()
            if all(now[t] == before.get(t) for t in lapack):
                return now
            before = now
        raise SystemExit("LAPACK's threads do not come to rest")

    # Who works on a large product is LAPACK's, but for the caller. No other library is here yet.
    lapack = []
    before = times()
    blas.dgemm(1.0, np.ones((500, 500)), np.ones((500, 500)))
    lapack = [t for t, ran in times().items() if t != str(os.getpid()) and ran > before.get(t, 0)]
    if not lapack:
        print("no threads")
        raise SystemExit

    import jax, jax.numpy as jnp
    import eigenpair
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)

    def both(function):
        def loss(a):
            w, v = function(a)
            return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(v) ** 4)
        return jax.jit(jax.value_and_grad(loss))

    def woken(function, a):
        jax.block_until_ready(function(a))
        before = settled()
        jax.block_until_ready(function(a))
        after = settled()
        return [t for t in lapack if after[t] != before[t]]

    a = jnp.asarray(rng.normal(size=(100, 100)))
    b = a @ a.T + 100 * jnp.eye(100)
    for name, function, x in (
        ("eig", eigenpair.eig, a),
        ("eig, complex", eigenpair.eig, a + 1j * a.T),
        ("eig of a pair", lambda x: eigenpair.eig(x, b), a),
        ("eigh", eigenpair.eigh, a + a.T),
        ("eigh of a pair", lambda x: eigenpair.eigh(x, b[:60, :60]), (a + a.T)[:60, :60]),
        ("eigh, a few", lambda x: eigenpair.eigh(x, subset_by_index=(0, 2)), a + a.T),
        ("eig, a batch", eigenpair.eig, a.reshape(100, 10, 10)),
    ):
        assert woken(both(function), x) == [], name
    """,
        OPENBLAS_NUM_THREADS="2",
    )
