"""Reads the reference cases and computes them with eigenpair: one compiled computation for all cases of a kind."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eigenpair
import jax
import jax.numpy as jnp
import losses
import numpy as np

CASES = Path(__file__).resolve().parent.parent / "cases"
FAMILIES = ("hermitian", "general", "spectral", "pairs", "functions", "tridiagonal")
Case = dict[str, Any]
Pair = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Result:
    """The computed result of one case, in the convention of the cases: `∂L/∂Re + i ∂L/∂Im`."""

    value: np.ndarray
    eigenvalues: np.ndarray
    gradient: Pair
    hvp: Pair | None


@functools.cache
def load() -> dict[str, Case]:
    """All cases of the functions that eigenpair has in Python, by id."""
    found = {}
    for family in FAMILIES:
        path = CASES / f"{family}.json"
        if path.exists():
            for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
                if hasattr(eigenpair, case["function"]):
                    assert case["id"] not in found, case["id"]
                    found[case["id"]] = {**case, "file": path.name}
    return found


def kind(case: Case) -> tuple[Any, ...]:
    """Cases of one kind differ in numbers only, so one compiled computation serves them all."""
    loss = case["loss"]
    return (
        case["function"],
        case["dtype"],
        case["type"],
        case["triangle"],
        case["b"] is not None,
        np.shape(case["a"]["re"]),
        loss["name"],
        loss.get("k"),
        tuple((key, value.dtype.name) for key, value in sorted(losses.parameters(loss, case["dtype"]).items())),
        json.dumps(case.get("f")),
        case.get("k"),
        case["hvp"] is not None,
    )


@functools.cache
def groups() -> dict[tuple[Any, ...], list[Case]]:
    found: dict[tuple[Any, ...], list[Case]] = {}
    for case in load().values():
        found.setdefault(kind(case), []).append(case)
    return found


def inputs(case: Case, key: str = "") -> Iterator[np.ndarray]:
    """The matrices a and b (when there is one), or those of the direction."""
    holder = case[key] if key else case
    for name in ("a", "b"):
        if holder[name] is not None:
            yield losses.matrix(holder[name], case["dtype"])


def loss_of(case: Case) -> Any:
    """The function of this kind of case: `(parameters, a[, b]) → (loss, eigenvalues)`."""
    name, k, function = case["loss"]["name"], case["loss"].get("k"), case["function"]
    hermitian = {"lower": {None: None, "lower": True, "upper": False}[case["triangle"]]}
    if case["type"]:
        hermitian["type"] = case["type"]

    def loss(p: dict[str, Any], *matrices: Any) -> tuple[Any, Any]:
        v = None
        if function == "eigh":
            w, v = eigenpair.eigh(*matrices, **hermitian)
        elif function == "eigvalsh":
            w = eigenpair.eigvalsh(*matrices, **hermitian)
        elif function == "eig":
            w, v = eigenpair.eig(*matrices)
        elif function == "eigvals":
            w = eigenpair.eigvals(*matrices)
        elif function.endswith("_tridiagonal"):
            result = getattr(eigenpair, function)(*(x[0] for x in matrices))
            w, v = (result, None) if function.startswith("eigvals") else result
        else:
            return spectral(case, p, *matrices)
        if function in ("eig", "eigvals"):
            order = by_real_then_imaginary(w)
            w, v = w[order], (None if v is None else v[:, order])
        return losses.evaluate(name, p, k, w, v, eigenpair.fix_gauge), w

    return loss


def spectral(case: Case, p: dict[str, Any], *matrices: Any) -> tuple[Any, Any]:
    if case["eigenvalues"] is None:  # of functions of general matrices, which need none
        f = [losses.scalar_function(case["f"])] if "f" in case else []
        return losses.inner(p["C"], getattr(eigenpair, case["function"])(*f, *matrices)), jnp.zeros(0)
    # The cases add skew-Hermitian noise, which must not be read.
    options = {"hermitian_part": True} | ({"type": case["type"]} if case["type"] else {})
    w = eigenpair.eigvalsh(*map(jax.lax.stop_gradient, matrices), **({"type": case["type"]} if case["type"] else {}))
    if case["function"] == "spectral_projector":
        a, *b = matrices
        return losses.inner(p["C"], eigenpair.spectral_projector(a, case["k"], *b, **options)), w
    result = getattr(eigenpair, case["function"])(losses.scalar_function(case["f"]), *matrices, **options)
    return (result if case["loss"]["name"] == "identity" else losses.inner(p["C"], result)), w


def by_real_then_imaginary(w: Any) -> Any:
    """The order of the cases; real parts equal up to rounding, as of conjugate pairs, count as equal."""
    w = jax.lax.stop_gradient(w)
    tie = jnp.sqrt(jnp.finfo(w.dtype).eps) * jnp.max(jnp.abs(w), initial=0) / 16
    first = jnp.argsort(jnp.real(w))
    step = jnp.diff(jnp.real(w)[first]) > tie
    level = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(step)])
    return first[jnp.lexsort((jnp.imag(w)[first], level))]


def computation(case: Case, batched: bool) -> Any:
    """Compiled `(parameters, matrices, direction) → (value, eigenvalues, gradient, Hessian-vector product)`."""
    loss = loss_of(case)
    count = 1 + (case["b"] is not None)

    def compute(p: Any, matrices: Any, direction: Any) -> Any:
        def gradient(*m: Any) -> Any:
            (value, w), grads = jax.value_and_grad(loss, tuple(range(1, 1 + count)), has_aux=True)(p, *m)
            return grads, (value, w)

        if direction is None:
            grads, (value, w) = gradient(*matrices)
            return value, w, grads, None
        grads, hvp, (value, w) = jax.jvp(gradient, matrices, direction, has_aux=True)
        return value, w, grads, hvp

    return jax.jit(jax.vmap(compute) if batched else compute)


def operands(case: Case) -> tuple[Any, ...]:
    direction = tuple(inputs(case, "direction")) if case["hvp"] is not None else None
    return losses.parameters(case["loss"], case["dtype"]), tuple(inputs(case)), direction


def compute_single(case: Case) -> Result:
    return result_of(computation(case, batched=False)(*operands(case)))


@functools.cache
def compute_group(key: tuple[Any, ...]) -> dict[str, Result]:
    """All cases of a kind as one batch, with a matrix full of NaN among them, which must not affect the others."""
    cases = groups()[key]
    members = [operands(case) for case in cases]
    p, matrices, direction = members[0]
    members.append((p, (np.full_like(matrices[0], np.nan), *matrices[1:]), direction))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    outputs = jax.tree.map(np.asarray, computation(cases[0], batched=True)(*stacked))
    results = [result_of(jax.tree.map(operator.itemgetter(i), outputs)) for i in range(len(members))]
    poisoned = results.pop()
    assert np.isnan(poisoned.value), "a matrix full of NaN must have NaN for a loss"
    assert np.isnan(poisoned.eigenvalues).all(), "a matrix full of NaN must have NaN for eigenvalues"
    assert np.isnan(poisoned.gradient[0]).any(), "a matrix full of NaN must have NaN for a gradient"
    return {case["id"]: result for case, result in zip(cases, results, strict=True)}


def compute(case: Case) -> Result:
    return compute_group(kind(case))[case["id"]]


def result_of(outputs: Any) -> Result:
    value, w, grads, hvp = outputs
    return Result(np.asarray(value), np.asarray(w), pair(grads), None if hvp is None else pair(hvp))


def pair(found: Sequence[Any]) -> Pair:
    """Both gradients (the second is `None` without b), conjugated from JAX's convention."""
    a, *b = (np.conj(np.asarray(x)) for x in found)
    return a, (b[0] if b else None)


def as_json(m: np.ndarray | None) -> dict[str, Any] | None:
    if m is None:
        return None
    return {"re": without_nan(m.real), "im": without_nan(m.imag) if np.iscomplexobj(m) else None}


def without_nan(x: np.ndarray) -> Any:
    """Nested lists, with null for NaN, which JSON lacks."""
    return np.where(np.isnan(x), None, x.astype(object)).tolist()
