"""Operators with known spectra."""

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp


def cube(size):
    """The Laplacian of a cube with `size` points to an edge, as SciPy's matrix."""
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(size, size))
    eye = sp.identity(size)
    parts = [sp.kron(sp.kron(x, y), z) for x, y, z in ((line, eye, eye), (eye, line, eye), (eye, eye, line))]
    return sum(parts[1:], parts[0]).tocsr()


def cube_eigenvalues(size):
    one = 4 * np.sin(np.pi * np.arange(1, size + 1) / (2 * (size + 1))) ** 2
    return np.sort((one[:, None, None] + one[:, None] + one).ravel())


def chain(weights):
    """A graph Laplacian with a grounded end: `x ↦ Dᵀ (w ∘ D x)` of a path, as a function of a vector."""

    def product(x):
        y = weights * jnp.diff(x, prepend=0.0)
        return y - jnp.append(y[1:], 0.0)

    return product


def chain_matrix(weights):
    n = weights.shape[0]
    d = jnp.eye(n) - jnp.eye(n, k=-1)
    return d.T @ (weights[:, None] * d)
