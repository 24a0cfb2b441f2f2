"""Inputs with known spectra, losses that do not depend on the gauge, and other code that many tests need."""

from __future__ import annotations

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import native
from eigenpair.degeneracy import check

# Without kernels XLA computes, which treats denormal numbers as zero.
KERNELS = native.has_cpu_kernels()
needs_kernels = pytest.mark.skipif(not KERNELS, reason=f"no kernels: {native.why_no_kernels()}")

DTYPES = ("float32", "float64", "complex64", "complex128")
DOUBLE = ("float64", "complex128")
TYPES = (0, 1, 2, 3)
TRIANGLES = (None, True, False)
# `check()` by the core's rule and, since only JAX explains, by the rule that is written in JAX.
RULES = {"core": check(), "jax": check(explain=True)}


def eps(dtype) -> float:
    return float(np.finfo(dtype).eps)


def generator(*seed) -> np.random.Generator:
    """A random generator whose numbers depend only on the text of the seed."""
    return np.random.default_rng(list("/".join(map(str, seed)).encode()))


def random(seed, shape, dtype="float64"):
    rng = generator("random", seed)
    x = rng.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.normal(size=shape)
    return x.astype(dtype)


def adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


def unitary(seed, n, dtype="float64"):
    return np.linalg.qr(random(seed, (n, n), np.result_type(dtype, np.float64)))[0]


def with_spectrum(w, seed=0, dtype="float64"):
    """A Hermitian matrix with these eigenvalues, in a random basis."""
    q = unitary(seed, len(w), dtype)
    a = (q * np.asarray(w)) @ adjoint(q)
    return ((a + adjoint(a)) / 2).astype(dtype)


def positive(seed, shape, dtype="float64"):
    """Hermitian positive definite, condition number below about 10."""
    n = shape[-1]
    x = random(("positive", seed), shape, np.result_type(dtype, np.float64))
    return (x @ adjoint(x) / n + np.eye(n)).astype(dtype)


def pair_with(a, factor, type=1):
    """A definite pair with the eigenvalues of the Hermitian `a` and with `b = factor factorᴴ`."""
    outer = factor if type == 1 else adjoint(np.linalg.inv(factor))
    a, b = outer @ a @ adjoint(outer), factor @ adjoint(factor)
    return (a + adjoint(a)) / 2, (b + adjoint(b)) / 2


def spoiled(m, lower, seed=0):
    """`m` plus entries that must not be read: the other triangle or a skew-Hermitian part."""
    noise = random(("spoiled", seed), m.shape, m.dtype)
    if lower is None:
        return m + (noise - adjoint(noise)) / 2
    unread = np.triu(noise, 1) if lower else np.tril(noise, -1)
    if np.iscomplexobj(m):
        unread = unread + 1j * np.eye(m.shape[-1]) * noise.real
    return (m + unread).astype(m.dtype)


def problem(type=0, dtype="float64", n=3, batch=(), lower=None, seed=0):
    """`(a,)` or `(a, b)` with distinct eigenvalues, and the options of `eigh` for them."""
    shape = (*batch, n, n)
    a = random(("problem", seed), shape, np.result_type(dtype, np.float64))
    a = ((a + adjoint(a)) / 2 + np.diag(3.0 * np.arange(n))).astype(dtype)
    matrices = (spoiled(a, lower, seed),)
    if type:
        matrices += (spoiled(positive(seed, shape, dtype), lower, seed),)
    return matrices, keywords(type, lower)


def keywords(type=0, lower=None):
    return {"lower": lower} | ({"type": type} if type else {})


def hermitian(x, lower=None):
    """The Hermitian matrix that `eigh` reads from `x`."""
    if lower is None:
        return (x + adjoint(x)) / 2
    strict = np.tril(x, -1) if lower else np.triu(x, 1)
    diagonal = np.eye(x.shape[-1], dtype=bool)
    return np.where(diagonal, x.real, strict + adjoint(strict)).astype(x.dtype)


def restricted(x, lower=None):
    """A direction without the entries that are not read."""
    if lower is None:
        return hermitian(x)
    kept = np.tril(x, -1) if lower else np.triu(x, 1)
    return kept + np.eye(x.shape[-1]) * x.real


# Losses of (w, v), for matrices or batches of them.


def weights(n, dtype="float64"):
    return random("weights", (n, n), dtype)


def inner(c, m):
    """`Re tr(cᴴ m)`, summed over the batch of `m`."""
    dtype = np.promote_types(c.dtype, m.dtype)
    return jnp.sum(jnp.real(jnp.broadcast_to(jnp.conj(c), m.shape).astype(dtype) * m.astype(dtype)))


def around(v, x):
    """`V Diag(x) Vᴴ`."""
    return (v * x.astype(v.dtype)[..., None, :]) @ jnp.conj(jnp.swapaxes(v, -1, -2))


def sum_squares(w, v):
    return jnp.sum(w**2)


def weighted(w, v):
    return jnp.sum(w @ jnp.arange(1, w.shape[-1] + 1, dtype=w.dtype))


def projector(w, v, k=1):
    return inner(weights(v.shape[-2], v.dtype), v[..., :k] @ jnp.conj(jnp.swapaxes(v[..., :k], -1, -2)))


def moduli(w, v):
    return inner(weights(v.shape[-2], w.dtype)[:, : v.shape[-1]], jnp.real(v * jnp.conj(v)))


def density(w, v):
    return inner(weights(v.shape[-2], v.dtype), around(v, jnp.tanh(w)))


def exponential(w, v):
    """`tr(Cᵀ exp A)`: smooth, but at repeated eigenvalues its derivative does not follow from its cotangents."""
    return inner(weights(v.shape[-1]), around(v, jnp.exp(w)))


def fixed(w, v):
    return inner(weights(v.shape[-2], v.dtype), eigenpair.fix_gauge(v)) + jnp.sum(w)


LOSSES = {f.__name__: f for f in (sum_squares, weighted, projector, moduli, density, fixed)}


def of_matrices(loss, **options):
    """The loss as a function of the matrices."""
    return lambda *matrices: loss(*eigenpair.eigh(*matrices, **options))


def wait_for(x):
    """Waits until `x` has been computed and its warnings have been issued."""
    jax.block_until_ready(x)
    jax.effects_barrier()
