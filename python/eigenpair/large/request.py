"""Checks of arguments, before anything is compiled."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..degeneracy.policies import Policy, check
from ..runtime.arguments import array
from . import operators
from .basis import random_rows
from .frame import Parameters, Spec
from .operators import Operator
from .progress import watch
from .selection import WHICH

SOLVERS = ("krylov", "lobpcg", "arpack", "primme")
# Names in other libraries.
_HINTS = {
    "SM": "; for the eigenvalues nearest to 0 give sigma=0",
    "SR": "; of a Hermitian operator, 'SA' are the lowest",
    "LR": "; of a Hermitian operator, 'LA' are the highest",
    "SA": "; of a general operator, 'SR' have the smallest real parts",
    "LA": "; of a general operator, 'LR' have the largest real parts",
}


def traced(*trees: Any) -> bool:
    """Whether any of the arrays is traced."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(trees))


def no_zeros(function: str, policy: Policy) -> None:
    """Raises for `check(refused="zero")`: only the part of an operator's gradient inside the cluster would become
    zero."""
    if isinstance(policy, check) and policy.refused == "zero":
        raise ValueError(f'degeneracy: {function} has no check(refused="zero"); a refused gradient is NaN')


def integer(name: str, value: Any, least: int) -> int:
    """A Python integer."""
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a Python integer, got {value!r}") from None
    if result < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return result


def number(name: str, value: Any) -> float:
    """A finite Python number, not a traced one, because the factorization needs its value."""
    if isinstance(value, (bool, jax.core.Tracer)):
        raise TypeError(f"{name} must be a Python number, got {value!r}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a Python number, got {value!r}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return result


def tolerance(value: Any, dtype: Any) -> float:
    """`tol`, or the default for that precision."""
    eps = float(jnp.finfo(dtype).eps)
    if value is None:
        return eps**0.8
    tol = number("tol", value)
    if tol < 0:
        raise ValueError(f"tol must be zero or positive, got {value!r}")
    return max(tol, 4 * eps)


def choice(name: str, value: Any, among: tuple[str, ...]) -> str:
    """One of a few strings."""
    if value not in among:
        hint = _HINTS.get(value, "") if name == "which" and isinstance(value, str) else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, among))}, got {value!r}{hint}")
    return value


def start(v0: Any, n: int, k: int, dtype: Any, block: int) -> tuple[Any, int]:
    """The start vectors, as rows, and how many of them are from `v0`: `(block, n)`, or `(k, n)` if `v0` has more."""
    given = 0
    rows = None
    if v0 is not None:
        v0 = array("v0", v0)
        rows = v0[None] if v0.ndim == 1 else v0.T
        if v0.ndim not in (1, 2) or rows.shape[1] != n:
            raise ValueError(f"v0 must be a vector ({n},) or vectors in the columns of ({n}, m), got shape {v0.shape}")
        if jnp.iscomplexobj(rows) and not jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(
                f"v0 is complex, but the operator is real ({dtype}); give its real part, or a complex operator"
            )
        rows = jax.lax.stop_gradient(rows.astype(dtype))[:k]
        given = rows.shape[0]
    count = k if given > block else block
    rows = jnp.zeros((0, n), dtype) if rows is None else rows[:count]
    if rows.shape[0] < count:
        more = random_rows(7, jnp.zeros((count - rows.shape[0], n), dtype))
        rows = jnp.concatenate([rows, more])
    return rows, given


def sizes(a: Operator, b: Operator | None, m: Operator | None, k: int, function: str) -> None:
    """Raises `ValueError` if sizes do not match."""
    n = a.form.n
    for name, other in (("b", b), ("preconditioner", m)):
        if other is not None and other.form.n != n:
            raise ValueError(f"{name} must have the size of the operator: got {other.form.n} for {n}")
    if k >= n:
        dense = "eigh" if function == "eigsh" else "eig"
        raise ValueError(f"k must be less than the size of the operator, {n}, got {k}; for all eigenpairs call {dense}")


def request(
    function: str,
    operator: Any,
    k: Any,
    *,
    b: Any,
    sigma: Any,
    which: Any,
    v0: Any,
    tol: Any,
    max_iterations: Any,
    preconditioner: Any,
    solver: Any,
    progress: Any,
    callback: Any,
    n: Any,
    dtype: Any,
    choose: Callable[..., tuple[str, str]],
    block_of: Callable[[int, int], int],
) -> tuple[Spec, Parameters, str]:
    """The problem, and a text that says which solver is used and why."""
    k = integer("k", k, 1)
    if sigma is not None and which not in (None, "LM"):
        raise ValueError(f"with sigma the eigenvalues next to it are wanted; leave out which, got {which!r}")
    which = choice("which", "SA" if which is None else which, WHICH) if sigma is None else "LM"
    if v0 is not None:
        v0 = array("v0", v0)
        n = v0.shape[0] if n is None and v0.ndim else n
        dtype = v0.dtype if dtype is None else dtype
    if n is not None:
        n = integer("n", n, 1)
    a = operators.split("operator", operator, n, dtype)
    if n is not None and a.form.n != n:
        raise ValueError(f"n={n} (or the length of v0) is not the size of the operator, {a.form.n}")
    common = a.form.dtype
    others = [
        None if x is None else operators.split(name, x, a.form.n, common)
        for name, x in (("b", b), ("preconditioner", preconditioner))
    ]
    sizes(a, others[0], others[1], k, function)
    precision = jnp.dtype(operators.common_dtype([a, *others]))
    sigma = None if sigma is None else number("sigma", sigma)
    cycles = 300 if max_iterations is None else integer("max_iterations", max_iterations, 1)
    named = None if solver is None else choice("solver", solver, SOLVERS)
    chosen, reason = choose(a, others[0], others[1], sigma, which, named)
    block = block_of(a.form.n, k)
    rows, given = start(v0, a.form.n, k, precision, k if chosen == "lobpcg" else block)
    watcher = watch(function, progress, callback)
    spec = Spec(
        (a.form, *(None if x is None else x.form for x in others)),  # type: ignore[arg-type]
        k,
        which,
        sigma,
        tolerance(tol, precision),
        cycles,
        chosen,
        given,
        str(precision),
        watcher,
        function,
    )
    of_b, of_m = (None if x is None else x.parameters for x in others)
    parameters = Parameters(a.parameters, of_b, of_m, rows)
    return spec, parameters, f"{chosen}: {reason}"
