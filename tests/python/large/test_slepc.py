"""SLEPc on one MPI rank and on two: eigenpairs, and gradients on the pattern of the matrix, against `eigh`."""

import shutil
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import sys
    import slepc4py
    slepc4py.init([])
    from petsc4py import PETSc
    import numpy as np, scipy.sparse as sp
    import jax, jax.numpy as jnp
    jax.config.update("jax_enable_x64", True)
    import eigenpair
    from eigenpair.large import slepc

    def distributed(m):
        m = m.tocsr()
        a = PETSc.Mat().createAIJ(m.shape, comm=PETSc.COMM_WORLD)
        a.setUp()
        low, high = a.getOwnershipRange()
        part = m[low:high]
        a.setValuesCSR(part.indptr.astype(PETSc.IntType), part.indices.astype(PETSc.IntType), part.data)
        a.assemble()
        return a, slice(low, high)

    def whole(a, m):
        # The gradient as a dense matrix, summed over the ranks' rows by a product with the identity.
        pointers, columns, values = a.getValuesCSR()
        low, high = a.getOwnershipRange()
        part = np.zeros(m.shape)
        part[low:high] = sp.csr_array((values, columns, pointers), shape=(high - low, m.shape[1])).toarray()
        v = PETSc.Vec().createMPI((m.shape[0] ** 2, m.shape[0] ** 2 * PETSc.COMM_WORLD.size), comm=PETSc.COMM_WORLD)
        v.array = part.ravel()
        scatter, everything = PETSc.Scatter.toAll(v)
        scatter.scatter(v, everything)
        return everything.array.reshape(PETSc.COMM_WORLD.size, *m.shape).sum(axis=0)

    rng = np.random.default_rng(0)
    n, k = 60, 3
    m = sp.diags([rng.uniform(2, 3, n), -rng.uniform(0.5, 1, n - 1), -rng.uniform(0.1, 0.2, n - 9)], [0, 1, 9])
    m = (m + m.T).tocsr()
    metric = sp.diags([rng.uniform(2, 3, n), np.full(n - 1, 0.2), np.full(n - 1, 0.2)], [0, 1, -1]).tocsr()
    c = rng.normal(size=n)

    def loss(w, v):
        return jnp.sum(w**2) + jnp.sum((c @ v) ** 2 * jnp.arange(1.0, k + 1))

    for pair, options in ((False, {}), (False, {"sigma": 3.3}), (True, {"which": "LA"})):
        a, mine = distributed(m)
        b = distributed(metric)[0] if pair else None
        found = slepc.eigsh(a, k, b=b, **options)
        w, v = found
        assert np.all(found.converged), found.residuals

        def dense(a, b=None):
            w, v = eigenpair.eigh(a, b)
            near = jnp.argsort(jnp.abs(w - options["sigma"]))[:k] if "sigma" in options else jnp.arange(k)
            near = jnp.arange(n - k, n) if options.get("which") == "LA" else jnp.sort(near)
            return loss(w[near], v[:, near]), w[near]

        given = (m.toarray(), metric.toarray()) if pair else (m.toarray(),)
        (_, expected), bars = jax.value_and_grad(dense, tuple(range(len(given))), has_aux=True)(*given)
        np.testing.assert_allclose(w, expected, atol=1e-10)
        coefficients = np.zeros(k)
        for j in range(k):  # c @ v over all ranks
            x = a.createVecRight()
            x.array = c[mine] * v[:, j]
            coefficients[j] = x.sum()
        gradient = found.pullback(2 * w, 2 * c[mine][:, None] * coefficients * np.arange(1.0, k + 1))
        for g, bar, matrix in zip(gradient if pair else (gradient,), bars, given):
            np.testing.assert_allclose(whole(g, m), np.where(matrix != 0, bar, 0), atol=1e-8)

    # Every copy: a diagonal matrix with a triple eigenvalue, the projector's diagonal, and a cluster that k cuts.
    spectrum = np.concatenate([[1.0, 1.0, 1.0], np.linspace(2, 5, n - 3)])
    a, mine = distributed(sp.diags(spectrum) + 0 * m)
    found = slepc.eigsh(a, 3)
    np.testing.assert_allclose(found.eigenvalues, 1, atol=1e-12)
    assert np.all(np.isfinite(found.pullback(np.ones(3), found.eigenvectors * 0).getValuesCSR()[2]))
    cut = slepc.eigsh(a, 2)
    assert np.all(np.isnan(cut.pullback(None, cut.eigenvectors).getValuesCSR()[2]))
    for arguments, kind in (((np.eye(4), 1), TypeError), ((a, n), ValueError), ((a, 0), ValueError)):
        try:
            slepc.eigsh(*arguments)
        except kind:
            continue
        raise AssertionError(arguments)
    print("rank", PETSc.COMM_WORLD.rank, "of", PETSc.COMM_WORLD.size, "agrees")
"""


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_same_on_every_number_of_ranks(ranks):
    pytest.importorskip("slepc4py", reason="slepc4py is not installed")
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    if ranks > 1:
        if shutil.which("mpiexec") is None:
            pytest.skip("mpiexec is not installed")
        command = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("agrees") == ranks
