"""A few eigenpairs of a large Hermitian operator or definite pair, with derivatives, without forming the matrix."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import cluster_width
from ..degeneracy.policies import Policy, broaden, check, mask, policy_of_call
from ..runtime.remedies import LARGE, with_remedies
from . import filtered, gauge, host, host_eigenpairs, krylov, lobpcg, messages
from .basis import random_rows
from .dense import small
from .frame import Frame, Parameters, Spec, frame, operators
from .krylov_state import Found
from .krylov_state import plan as make_plan
from .operators import Operator, Sparse, inner, products
from .request import no_zeros, request, traced
from .results import EigshResult

__all__ = ["eigsh"]


@with_remedies(LARGE)
def eigsh(
    operator: Any,
    k: int,
    *,
    b: Any = None,
    sigma: float | None = None,
    which: str | None = None,
    v0: Any = None,
    tol: float | None = None,
    max_iterations: int | None = None,
    preconditioner: Any = None,
    solver: str | None = None,
    degeneracy: Policy | None = None,
    progress: bool = False,
    callback: Callable[..., Any] | None = None,
    n: int | None = None,
    dtype: Any = None,
) -> EigshResult:
    """A few eigenvalues and eigenvectors of a large Hermitian operator, `A v = λ v`, or of a definite pair, `A v = λ
    B v`: a differentiable `scipy.sparse.linalg.eigsh`.

    **Arguments:**

    - `operator`: a matrix (dense, BCOO or BCSR of `jax.experimental.sparse`, or a SciPy sparse matrix), a lineax linear
        operator, or a function of a vector `(n,)` written in JAX. It is differentiated with respect to its parameters:
        the stored entries of a matrix, the arrays of a lineax operator, all values that a function closes over.
    - `k`: the number of eigenpairs, less than `n`.
    - `b`: Hermitian positive definite, in one of the forms of `operator`.
    - `sigma`: a number: the eigenvalues closest to it, by factorization of `A − σB`. For matrices.
    - `which`: `"SA"`, the lowest (the default); `"LA"`, the highest; `"LM"`, the largest in modulus; `"BE"`, from both
        ends. Not with `sigma`.
    - `v0`: the start: a vector `(n,)` or, better, vectors `(n, m)`, such as the eigenvectors of the last step of
        an optimization.
    - `tol`: residuals `‖A v − λ B v‖` may be as large as `tol (‖A‖ + |λ|‖B‖)‖v‖`; `ε^0.8` by default, 3e-13 in double
        precision.
    - `max_iterations`: restarts of a Krylov method or steps of LOBPCG, 300 by default.
    - `preconditioner`: a Hermitian positive definite approximation of `A⁻¹`, in one of the forms of `operator`. The
        solver and the derivatives use it; it is not differentiated.
    - `solver`: `"krylov"` (thick-restart block Krylov, on the device), `"lobpcg"` (on the device, with a
        preconditioner), `"arpack"`, `"primme"` (on the host, for matrices). The default depends on the arguments, see
        `EigshResult.solver`.
    - `degeneracy`: what derivatives do where eigenvalues coincide, see `eigenpair.degeneracy`: `check()` or `raw()`.
    - `progress`, `callback`: in each iteration, write a line to the standard error, or call a function `(iteration,
        eigenvalues, residuals)`.
    - `n`, `dtype`: size and dtype of the vectors, if `operator` is a function and there is no `v0`.

    **Returns:** `EigshResult`, which unpacks to `(eigenvalues, eigenvectors)`. An eigenpair that has not converged is
    NaN. All are NaN if the search for missed copies of repeated eigenvalues did not finish. A `ConvergenceWarning` says
    why.

    **Raises:** `TypeError` or `ValueError` naming the argument, before anything is compiled; `ValueError` if the
    operator is seen not to be Hermitian.

    A call that is not traced can be interrupted. Derivatives of eigenvalues need no further solve. Derivatives of each
    eigenvector need one linear system, solved by MINRES. Inside a cluster of eigenvalues the rules are those of `eigh`.
    If `k` cuts a cluster in two, its eigenvectors have no derivatives. See `docs/large.md`.
    """
    policy = policy_of_call(degeneracy)
    if isinstance(policy, (mask, broaden)) or (isinstance(policy, check) and policy.generic_basis):
        raise ValueError(f"degeneracy: {policy} would have to know all eigenvectors; eigsh has check() and raw()")
    no_zeros("eigsh", policy)
    spec, parameters, reason = request(
        "eigsh", operator, k, b=b, sigma=sigma, which=which, v0=v0, tol=tol, max_iterations=max_iterations,
        preconditioner=preconditioner, solver=solver, progress=progress, callback=callback, n=n, dtype=dtype,
        choose=choose, block_of=block_of,
    )  # fmt: skip
    found = framed(spec, parameters)
    w, v, converged, scale = checked_solution(spec, found)
    cluster = scale_of_clusters(policy, found, scale)
    w, v = gauge.eigenvectors(policy, found.matrix, found.rows.T, found.edges, cluster)
    factor = jnp.where(converged, 1, jnp.nan).astype(w.dtype)
    return EigshResult(
        w * factor,
        v * factor.astype(v.dtype)[None, :],
        found.residuals / found.lengths,
        found.iterations,
        converged,
        reason,
    )


def choose(
    a: Operator, b: Operator | None, m: Operator | None, sigma: float | None, which: str, named: str | None
) -> tuple[str, str]:
    """The solver to use, and the reason for the choice."""
    matrices = a.form.explicit and (b is None or b.form.explicit)
    ends = which in ("SA", "LA")
    if sigma is not None:
        if not matrices:
            raise ValueError(
                "sigma needs a factorization, and so matrices: give operator and b as arrays or sparse matrices, or "
                "leave out sigma"
            )
        if named not in (None, "arpack"):
            raise ValueError(f"sigma is for the solver 'arpack', got {named!r}")
        return "arpack", "shift-invert with SuperLU, for sigma" if named is None else "as asked, shift-invert"
    if named in ("arpack", "primme"):
        if not matrices or b is not None:
            raise ValueError(
                f"solver={named!r} is for A v = λ v with a matrix, or with sigma; 'krylov' solves this problem"
            )
        if named == "primme" and not ends:
            raise ValueError("solver='primme' has which='SA' and 'LA'; 'krylov' and 'arpack' have the others")
        if named == "primme" and not host_eigenpairs.has_primme():
            raise ImportError("solver='primme' needs the package primme: pip install 'eigenpair[large]'")
        return named, "as asked"
    if named == "lobpcg" and not ends:
        raise ValueError("solver='lobpcg' has which='SA' and 'LA'; 'krylov' has the others")
    if named is not None:
        return named, "as asked"
    if m is not None and ends:
        return "lobpcg", "there is a preconditioner"
    if isinstance(a.form, Sparse) and b is None and jax.default_backend() == "cpu" and a.form.n >= HOST_FROM:
        # SciPy multiplies by a sparse matrix faster than XLA.
        if ends and host_eigenpairs.has_primme():
            return "primme", "a sparse matrix on CPU"
        return "arpack", "a sparse matrix on CPU" + (", primme not being installed" if ends else "")
    return "krylov", "products on the device"


# Smaller problems are formed as matrices by the solver on the device.
HOST_FROM = 200


def block_of(n: int, k: int) -> int:
    """The number of vectors in a block."""
    plan = make_plan(n, k, "SA", 1.0, 1)
    return 1 if plan is None else plan.block


def framed(spec: Spec, parameters: Parameters) -> Frame:
    """The frame, after a check that the operators are Hermitian."""
    a, b, _ = operators(spec, parameters)
    eager = not traced(parameters)
    wrong = jnp.array(False)
    for name, x in (("operator", a), ("b", b)):
        if x is None:
            continue
        asymmetric = _asymmetric(x.form, lax.stop_gradient(x.parameters), spec.dtype)
        if eager and bool(asymmetric):
            raise ValueError(messages.not_hermitian(name))
        if not eager:
            messages.of_symmetry(spec.function, name, asymmetric)
        wrong = wrong | asymmetric
    found = frame(spec, solve, parameters)
    return found._replace(complete=found.complete & ~wrong)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _asymmetric(form: Any, parameters: Any, dtype: str) -> Array:
    """Whether products with two random vectors show that an operator is not Hermitian. NaN does not show it."""
    precision = jnp.dtype(dtype)
    both = random_rows(3, jnp.zeros((2, form.n), precision))
    y = products(Operator(form, parameters), precision)(both)
    gram = inner(y, both)
    size = jnp.sqrt(jnp.sum(jnp.abs(y) ** 2) * jnp.sum(jnp.abs(both) ** 2))
    apart = jnp.max(jnp.abs(gram - jnp.conj(gram).T))
    return apart > float(jnp.finfo(precision).eps) ** 0.6 * size / math.sqrt(form.n)


def solve(spec: Spec, parameters: Parameters) -> Found:
    """The eigenpairs, by the chosen solver."""
    a, b, _ = operators(spec, parameters)
    eager = not traced(parameters)
    if spec.solver in ("arpack", "primme"):
        return host.solve(spec, parameters, not eager)
    if spec.solver == "lobpcg":
        steps = lobpcg.plan(a.form.n, spec.k, spec.which, spec.tol, spec.cycles)
        if steps is None:
            return _small(spec, parameters)
        return lobpcg.solve(steps, spec.forms, parameters[:3], parameters.start, spec.watch, not eager)
    plan = make_plan(a.form.n, spec.k, spec.which, spec.tol, spec.cycles)
    if plan is None:
        return _small(spec, parameters)
    if filtered.is_used(plan, a.form.n, b):
        return filtered.solve(plan, a, parameters.start, spec.given, spec.watch, not eager)
    return krylov.solve(plan, a, b, parameters.start, spec.given, spec.watch, not eager)


def _small_problem(spec: Spec, parameters: Parameters) -> Found:
    a, b, _ = operators(spec, parameters)
    return small(spec.k, spec.which, a, b, jnp.dtype(spec.dtype))


_small = jax.jit(_small_problem, static_argnums=0)


def checked_solution(spec: Spec, found: Frame) -> tuple[Array, Array, Array, Array]:
    """Eigenvalues, vectors, which of them have converged, and the scale of rounding errors, `(1,)`. Warns about the
    others."""
    w = jnp.real(jnp.diagonal(found.matrix))
    fixed = lax.stop_gradient(found)
    size = fixed.scale[0] + (0 if spec.forms[1] is None else jnp.abs(lax.stop_gradient(w)) * fixed.scale[1])
    allowed = spec.tol * size
    relative = fixed.residuals / fixed.lengths
    converged = (relative <= allowed) & fixed.complete
    messages.of_solution(spec.function, converged, fixed.complete, relative, allowed, fixed.iterations)
    return w, found.rows, converged, jnp.max(size * fixed.lengths**2, keepdims=True)


def scale_of_clusters(policy: Policy, found: Frame, scale: Array) -> Array:
    """The scale that makes clusters as wide as the errors from rounding and from residuals, shape `(1,)`."""
    if not isinstance(policy, check):
        return scale
    width = cluster_width(policy, found.rows.shape[-1], scale.dtype)
    fixed = lax.stop_gradient(found)
    return jnp.maximum(scale, 2 * jnp.max(fixed.residuals * fixed.lengths) / width)
