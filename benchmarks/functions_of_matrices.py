"""Functions of pairs and general matrices with equal eigenvalues: the results of other packages, and the right values.

`python benchmarks/functions_of_matrices.py` prints the tables of docs/degeneracy.md, "Comparison with other packages".
Packages that are not installed are left out: `pip install pyscfad torch eigh`. The right values need no derivative
rule: finite differences with 40 digits (mpmath), and JAX's `expm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eigenpair
import jax
import jax.numpy as jnp
import mpmath
import numpy as np

jax.config.update("jax_enable_x64", True)


def of_reduced(eigh: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A solver of pairs from one of matrices, through the Cholesky factor of `b`."""

    def solve(a: Any, b: Any) -> tuple[Any, Any]:
        inverse = jnp.linalg.inv(jnp.linalg.cholesky(b))
        w, y = eigh(inverse @ a @ inverse.T)
        return w, inverse.T @ y

    return solve


def solvers_of_pairs() -> dict[str, Callable[[Any, Any], Any]]:
    """The solvers of the installed packages."""
    found: dict[str, Callable[[Any, Any], Any]] = {
        "eigenpair.eigh": eigenpair.eigh,
        "jnp.linalg.eigh, Cholesky": of_reduced(jnp.linalg.eigh),
    }
    try:
        import eigh as package

        found["package eigh"] = lambda a, b: package.eigh(a, b)
    except ImportError:
        pass
    try:
        from pyscfad.scipy.linalg import eigh as eigh_of_pyscfad

        found["pyscfad"] = lambda a, b: eigh_of_pyscfad(a, b)
    except ImportError:
        pass
    return found


def pair() -> tuple[np.ndarray, ...]:
    """A pair with the eigenvalues −1, 0, 0, 1, 2, and a direction for each matrix."""
    rng = np.random.default_rng(0)
    m = rng.standard_normal((5, 5)) + 3 * np.eye(5)
    directions = [(x + x.T) / 2 for x in rng.standard_normal((2, 5, 5))]
    return m @ np.diag([-1.0, 0, 0, 1, 2]) @ m.T, m @ m.T, *directions


def along(f: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    a, b, da, db = pair()
    return lambda t: f(a + t * da, b + t * db)


def sum_of_lowest(w: Any, v: Any) -> Any:
    return jnp.sum(w[:3])


def occupied(w: Any, v: Any) -> Any:
    return jnp.sum(pair()[2] * (v[:, :3] @ v[:, :3].T))


def smeared(w: Any, v: Any) -> Any:
    return jnp.sum(pair()[2] * ((v / (1 + jnp.exp(2 * w))) @ v.T))


def through_functions(loss: Any) -> Callable[[Any, Any], Any]:
    """The same quantity by spectral functions."""
    weights = pair()[2]
    if loss is sum_of_lowest:
        return lambda a, b: jnp.sum(a * eigenpair.spectral_projector(a, 3, b))
    if loss is occupied:
        return lambda a, b: jnp.sum(weights * eigenpair.spectral_projector(a, 3, b))
    return lambda a, b: jnp.sum(weights * eigenpair.spectral_map(eigenpair.functions.fermi_dirac(0.0, 2.0), a, b))


def exact(loss: Any, order: int) -> float:
    """By central differences with 40 digits."""
    a, b, da, db = (mpmath.matrix(x.tolist()) for x in pair())

    def value(t: Any) -> Any:
        low = mpmath.cholesky(b + t * db)
        inverse = mpmath.inverse(low)
        w, y = mpmath.eigsy(inverse * (a + t * da) * inverse.T)
        v = inverse.T * y
        if loss is sum_of_lowest:
            return sum(sorted(w)[:3])
        f = (lambda x: 1 / (1 + mpmath.exp(2 * x))) if loss is smeared else (lambda x: int(x < 0.5))
        n = range(5)
        return sum(da[i, j] * sum(v[i, k] * f(w[k]) * v[j, k] for k in n) for i in n for j in n)

    h = mpmath.mpf(10) ** -12
    if order == 1:
        return float((value(h) - value(-h)) / (2 * h))
    return float((value(h) - 2 * value(mpmath.mpf(0)) + value(-h)) / h**2)


def attempt(compute: Callable[[], Any]) -> str:
    try:
        return f"{float(compute()):.6f}"
    except Exception as error:
        return f"{type(error).__name__}"


def of_pairs() -> list[list[str]]:
    """Rows of the table: quantity, right, eigenpair's function, then each solver."""
    solvers = solvers_of_pairs()
    rows = [["quantity", "right", "spectral functions", *solvers]]
    quantities = {
        "sum of the three lowest eigenvalues, second derivative": (sum_of_lowest, 2),
        "density matrix of the three lowest, second derivative": (occupied, 2),
        "smeared density matrix, first derivative": (smeared, 1),
        "smeared density matrix, second derivative": (smeared, 2),
    }

    def derivative(f: Callable[[Any, Any], Any], order: int) -> Any:
        g = along(f)
        return (jax.grad(g) if order == 1 else jax.grad(jax.grad(g)))(0.0)

    for name, (loss, order) in quantities.items():
        found = [attempt(lambda loss=loss, order=order: derivative(through_functions(loss), order))]
        for solve in solvers.values():

            def through_solver(a: Any, b: Any, loss: Any = loss, solve: Any = solve) -> Any:
                return loss(*solve(a, b)[:2])

            found.append(attempt(lambda f=through_solver, order=order: derivative(f, order)))
        with mpmath.workdps(40):
            rows.append([name, f"{exact(loss, order):.6f}", *found])
    return rows


def of_general_matrices() -> list[list[str]]:
    """The largest error of the gradient of `tr(B exp A)`, relative to its largest entry, at a triple eigenvalue."""
    rng = np.random.default_rng(0)
    p = rng.standard_normal((6, 6)) + 3 * np.eye(6)
    a = p @ np.diag([-1, 0.5, 0.5, 0.5, 2, 3.0]) @ np.linalg.inv(p)
    b = rng.standard_normal((6, 6))
    right = jax.grad(lambda x: jnp.trace(b @ jax.scipy.linalg.expm(x)))(a)

    def through(eig: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def f(x: Any) -> Any:
            w, v = eig(x)
            return jnp.trace(b @ (v * jnp.exp(w)) @ jnp.linalg.inv(v)).real

        return f

    contenders = {
        "eigenpair.matrix_function": lambda x: jnp.trace(b @ eigenpair.matrix_function(jnp.exp, x)).real,
        "eigenpair.eig": through(eigenpair.eig),
        "jax.lax.linalg.eig": through(
            lambda x: jax.lax.linalg.eig(x, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
        ),
    }
    rows = [["gradient of tr(B exp A), triple eigenvalue", "largest error"]]
    for name, f in contenders.items():
        error = attempt_error(lambda f=f: jax.grad(f)(a), right)
        rows.append([name, error])
    try:
        import torch

        x = torch.tensor(a, requires_grad=True)
        w, v = torch.linalg.eig(x)
        loss = torch.trace((torch.tensor(b) + 0j) @ (v * torch.exp(w)) @ torch.linalg.inv(v)).real
        loss.backward()
        rows.append(["torch.linalg.eig", attempt_error(lambda: np.asarray(x.grad), right)])
    except ImportError:
        pass
    return rows


def attempt_error(compute: Callable[[], Any], right: Any) -> str:
    try:
        found = np.asarray(compute())
    except Exception as error:
        return type(error).__name__
    return f"{np.max(np.abs(found - right)) / np.max(np.abs(right)):.1e}"


def main() -> None:
    for rows in (of_pairs(), of_general_matrices()):
        print("| " + " | ".join(rows[0]) + " |")
        print("|---" * len(rows[0]) + "|")
        for row in rows[1:]:
            print("| " + " | ".join(row) + " |")
        print()


if __name__ == "__main__":
    main()
