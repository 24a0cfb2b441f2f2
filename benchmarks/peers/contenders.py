"""eigenpair and other libraries in Python: functions without arguments that do one task and wait for the result."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from peers.plan import ALL_OF_IT, FLOOR, FORWARD, FRAME, OURS, Case

Call = Callable[[], Any]


class Data(NamedTuple):
    """The inputs of a case; `c` are the weights of its loss."""

    a: np.ndarray
    b: np.ndarray | None
    c: np.ndarray


def data(case: Case) -> Data:
    """Random matrices: well separated eigenvalues almost surely, and B well conditioned."""
    rng = np.random.default_rng(case.n)
    shape = (*((case.batch,) if case.batch else ()), case.n, case.n)
    m = rng.normal(size=shape)
    a = m + np.swapaxes(m, -1, -2)
    b = None
    if case.generalized:
        m = rng.normal(size=shape)
        b = np.matmul(m, np.swapaxes(m, -1, -2)) / case.n + np.eye(case.n)
    kept = case.n if case.subset is None else case.subset[1] - case.subset[0] + 1
    return Data(a, b, rng.normal(size=(*shape[:-1], kept) if "vectors" in case.task else (*shape[:-2], kept)))


def part(case: Case, w: Any, v: Any = None) -> Any:
    """The eigenvalues that are wanted, and their vectors, of a full decomposition."""
    if case.subset is not None:
        wanted = slice(case.subset[0], case.subset[1] + 1)
        w, v = w[..., wanted], None if v is None else v[..., wanted]
    return w if v is None else (w, v)


# ---- on JAX -------------------------------------------------------------------------------------------------------


def on_jax(case: Case, given: Data, solve: Callable[..., Any], values: Callable[..., Any]) -> Call:
    """The task of `case` from functions that return (w, v) and w."""
    import jax
    import jax.numpy as jnp

    matrices = tuple(jnp.asarray(x) for x in given[:2] if x is not None)
    c = jnp.asarray(given.c)
    task = case.task.removeprefix("eager_")
    if task == "grad_values":
        f = jax.value_and_grad(lambda c, *x: jnp.sum(c * values(*x)), tuple(range(1, 1 + len(matrices))))
    elif task == "grad_vectors":
        f = jax.value_and_grad(lambda c, *x: jnp.sum(c * solve(*x)[1] ** 2), tuple(range(1, 1 + len(matrices))))
    else:
        f = solve if task == "forward" else values
    arguments = (c, *matrices) if task.startswith("grad") else matrices
    if not case.task.startswith("eager_"):
        f = jax.jit(f)
    return lambda: jax.block_until_ready(f(*arguments))


def ours(case: Case, given: Data) -> Call:
    import eigenpair

    options = {"subset_by_index": case.subset}
    return on_jax(case, given, lambda *x: eigenpair.eigh(*x, **options), lambda *x: eigenpair.eigvalsh(*x, **options))


def ours_all(case: Case, given: Data) -> Call:
    """Our whole decomposition, from which the subset is taken."""
    import eigenpair

    return on_jax(
        case, given, lambda *x: part(case, *eigenpair.eigh(*x)), lambda *x: part(case, eigenpair.eigvalsh(*x))
    )


def ours_forward(case: Case, given: Data) -> Call:
    """Our forward pass, with which a gradient is compared."""
    return ours(dataclasses.replace(case, task="forward"), given)


def nothing(case: Case, given: Data) -> Call:
    """A JAX program that only reads and writes the same amount of data and computes the loss."""
    import jax.numpy as jnp

    return on_jax(case, given, lambda a: (a[..., 0] * 2, a * 2), lambda a: jnp.diagonal(a, axis1=-2, axis2=-1) * 2)


def jax_numpy(case: Case, given: Data) -> Call:
    """`jnp.linalg`; generalized problems by Cholesky and triangular solves, as users write them without a library."""
    import jax.numpy as jnp
    from jax import lax

    def reduced(a: Any, b: Any) -> tuple[Any, Any]:
        factor = jnp.linalg.cholesky(b)
        half = lax.linalg.triangular_solve(factor, a, left_side=True, lower=True)
        return lax.linalg.triangular_solve(factor, jnp.swapaxes(half, -1, -2), left_side=True, lower=True), factor

    def solve(a: Any, b: Any = None) -> Any:
        if b is None:
            return part(case, *jnp.linalg.eigh(a))
        a, factor = reduced(a, b)
        w, y = jnp.linalg.eigh(a)
        return w, lax.linalg.triangular_solve(factor, y, left_side=True, lower=True, transpose_a=True)

    def values(a: Any, b: Any = None) -> Any:
        return part(case, jnp.linalg.eigvalsh(a if b is None else reduced(a, b)[0]))

    return on_jax(case, given, solve, values)


def package_eigh(case: Case, given: Data) -> Call:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no CUDA
        import eigh

    return on_jax(
        case, given, lambda *x: part(case, *eigh.eigh(*x)), lambda *x: part(case, eigh.eigh(*x, eigvals_only=True))
    )


# ---- others -------------------------------------------------------------------------------------------------------


def torch(case: Case, given: Data) -> Call:
    import torch

    torch.set_num_threads(case.threads)
    a, b, c = (None if x is None else torch.from_numpy(x) for x in given)
    linalg = torch.linalg

    def reduced(a: Any, b: Any) -> tuple[Any, Any]:
        factor = linalg.cholesky(b)
        half = linalg.solve_triangular(factor, a, upper=False)
        return linalg.solve_triangular(factor, half.mT, upper=False), factor

    def solve(a: Any, b: Any) -> Any:
        if b is None:
            return part(case, *linalg.eigh(a))
        a, factor = reduced(a, b)
        w, y = linalg.eigh(a)
        return w, linalg.solve_triangular(factor.mT, y, upper=True)

    def values(a: Any, b: Any) -> Any:
        return part(case, linalg.eigvalsh(a if b is None else reduced(a, b)[0]))

    task = case.task.removeprefix("eager_")
    if not task.startswith("grad"):
        f = solve if task == "forward" else values

        def forward() -> Any:
            with torch.no_grad():
                return f(a, b)

        return forward
    variables = [x.requires_grad_() for x in (a, b) if x is not None]

    def gradient() -> Any:
        loss = (c * values(a, b)).sum() if task == "grad_values" else (c * solve(a, b)[1] ** 2).sum()
        return loss.detach(), torch.autograd.grad(loss, variables)

    return gradient


def scipy(case: Case, given: Data) -> Call:
    import scipy.linalg

    options = {"eigvals_only": case.task == "values", "subset_by_index": case.subset}
    if not case.batch:
        return lambda: scipy.linalg.eigh(given.a, given.b, **options)

    def loop() -> Any:
        b = [None] * len(given.a) if given.b is None else given.b
        results = [scipy.linalg.eigh(x, y, **options) for x, y in zip(given.a, b, strict=True)]
        return np.array(results) if case.task == "values" else tuple(np.array(r) for r in zip(*results, strict=True))

    return loop


def numpy(case: Case, given: Data) -> Call:
    f = np.linalg.eigvalsh if case.task == "values" else np.linalg.eigh
    return lambda: f(given.a)


def lapack(driver: str) -> Callable[[Case, Data], Call]:
    def make(case: Case, given: Data) -> Call:
        from limits import floor

        vectors = case.task != "values"
        return floor.caller(driver, given.a, given.b, vectors=vectors, subset=case.subset, threads=case.threads)

    return make


def makers(case: Case) -> dict[str, Callable[[Case, Data], Call]]:
    """The contenders that can do the task. A peer that is not installed, or fails, raises when it is made or called."""
    found = {OURS: ours, "jax.numpy": jax_numpy, "eigh (package)": package_eigh, "torch": torch}
    forward = case.task.removeprefix("eager_") in ("forward", "values")
    if case.group == "batch":
        found[FRAME] = nothing
    if case.subset is not None:
        found[ALL_OF_IT] = ours_all
        del found["torch"], found["eigh (package)"]  # nor do they know subsets; one full decomposition is enough
    if forward:
        found["scipy"] = scipy
        if case.batch and not case.generalized:
            found["numpy"] = numpy
    if case.group in ("single", "generalized") and case.task.startswith("grad"):
        found[FORWARD] = ours_forward
    # A gradient is compared with LAPACK's time for its forward pass, with vectors.
    if not case.task.startswith("eager_"):
        drivers = ["dsyevd", "dsyevr", *(["dsyev"] if case.n <= 32 else [])]
        drivers = ["dsygvd"] if case.generalized else ["dsyevr"] if case.subset else drivers
        found.update({FLOOR + driver: lapack(driver) for driver in drivers})
    return found


# ---- the same answer? ---------------------------------------------------------------------------------------------


def answer(case: Case, name: str, output: Any) -> np.ndarray | None:
    """The results in which all contenders must agree: eigenvalues, or the symmetric part of the gradient."""
    if name in (FORWARD, FRAME):
        return None
    if name.startswith(FLOOR):
        return None if "grad" in case.task else np.asarray(output)
    if "grad" not in case.task:
        return np.asarray(output if case.task == "values" else output[0])
    gradients = [np.asarray(g) for g in output[1]]
    return np.stack([(g + np.swapaxes(g, -1, -2)) / 2 for g in gradients])


def difference(case: Case, ours: np.ndarray, other: np.ndarray) -> float:
    """The relative difference, the median over a batch: of 10,000 random matrices, some have gaps so small that half of
    the digits are lost."""
    if ours.shape != other.shape:
        return float("inf")
    axes = (-2, -1) if "grad" in case.task else (-1,)
    scale = np.max(np.abs(ours), axis=axes)
    return float(np.median(np.max(np.abs(ours - other), axis=axes) / np.where(scale > 0, scale, 1)))
