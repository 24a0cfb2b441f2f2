"""The stored cases against textbook formulas in float64: two ways to compute a gradient that share no code.

A sample only, of the losses whose formulas are short; the libraries are checked against every case elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
EPS = 2.0**-52
Array = Any


def load(family: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    return json.loads((HERE / f"{family}.json").read_text(encoding="utf-8"))["cases"]


def matrix(m: dict[str, Any] | None) -> Array:
    """A stored matrix as an array."""
    if m is None:
        return None
    re = np.array(m["re"])
    return re if m["im"] is None else re + 1j * np.array(m["im"])


def number(x: Any) -> complex:
    """A stored number."""
    return complex(x["re"], x["im"]) if isinstance(x, dict) else x


def pick(family: str, functions: set[str], losses: set[str], count: int) -> list[Any]:
    """Evenly spread cases with a gradient, of these functions and losses."""
    wanted = [
        c
        for c in load(family)
        if c["function"] in functions and c["loss"]["name"] in losses and c["gradient"] and c["verdict"] == "number"
    ]
    return [pytest.param(c, id=c["id"]) for c in wanted[:: max(1, len(wanted) // count)]]


def compare(case: dict[str, Any], value: float, gradient: dict[str, Array]) -> None:
    """Value and gradient agree up to rounding."""
    tol = 20 * len(case["a"]["re"]) * EPS * case["condition"]
    assert abs(value - case["value"]) <= tol * abs(case["value"])
    for key, found in gradient.items():
        expected = matrix(case["gradient"][key])
        assert np.abs(found - expected).max() <= tol * np.abs(expected).max(), key


def hermitian_part(m: Array, triangle: str | None) -> Array:
    """The Hermitian matrix that is read."""
    if triangle is None:
        return (m + m.conj().T) / 2
    low = np.tril(m, -1) if triangle == "lower" else np.triu(m, 1).conj().T
    return low + low.conj().T + np.diag(np.diag(m).real)


def onto_triangle(g: Array, triangle: str | None) -> Array:
    """A Hermitian gradient as one with respect to the triangle that is read."""
    if triangle is None:
        return g
    strict = np.tril(g, -1) if triangle == "lower" else np.triu(g, 1)
    return 2 * strict + np.diag(np.diag(g).real)


def eigenvalue_loss(loss: dict[str, Any], w: Array) -> tuple[float, Array]:
    """Value and ∂L/∂w."""
    if loss["name"] == "weighted_sum":
        c = np.array([number(x) for x in loss["c"]])
        return (c.conj() @ w).real, c
    if loss["name"] == "sum_squares":
        return (w @ w).real, 2 * w.conj()
    z = number(loss["z"])
    return (1 / (z - w)).sum().real, (1 / (z - w) ** 2).conj()


VALUES = {"weighted_sum", "sum_squares", "resolvent"}


@pytest.mark.parametrize("case", pick("hermitian", {"eigh", "eigvalsh"}, VALUES, 16))
def test_hermitian_eigenvalues(case: dict[str, Any]) -> None:
    """∂L/∂A = X Diag(w̄) Xᴴ and ∂L/∂B = ± Y Diag(λ w̄) Yᴴ, all four types."""
    kind, triangle = case["type"], case["triangle"]
    a, b = (None if case[k] is None else hermitian_part(matrix(case[k]), triangle) for k in "ab")
    low = np.eye(len(a)) if b is None else np.linalg.cholesky(b)
    inv = np.linalg.inv(low)
    reduced = inv @ a @ inv.conj().T if kind < 2 else low.conj().T @ a @ low
    w, q = np.linalg.eigh(reduced)
    dual, primal = low @ q, inv.conj().T @ q  # normalized by B⁻¹ and by B
    x, y, sign = {0: (q, q, 0), 1: (primal, primal, -1), 2: (dual, primal, 1), 3: (dual, primal, 1)}[kind]
    value, w_bar = eigenvalue_loss(case["loss"], w)
    w_bar = np.real(w_bar)
    grads = {"a": onto_triangle((x * w_bar) @ x.conj().T, triangle)}
    if b is not None:
        grads["b"] = onto_triangle((y * (sign * w * w_bar)) @ y.conj().T, triangle)
    compare(case, value, grads)


@pytest.mark.parametrize(
    "case", [p for p in pick("hermitian", {"eigh"}, {"projector"}, 60) if p.values[0]["type"] == 0]
)
def test_hermitian_projector(case: dict[str, Any]) -> None:
    """dP = Σ (vᵢvᵢᴴ dA vⱼvⱼᴴ + its adjoint)/(λᵢ − λⱼ) over i below and j above the cut."""
    w, v = np.linalg.eigh(hermitian_part(matrix(case["a"]), case["triangle"]))
    c, k = matrix(case["loss"]["C"]), case["loss"]["k"]
    inner = v.conj().T @ (c + c.conj().T) @ v / 2
    weight = np.zeros_like(w[:, None] * w)
    weight[:k, k:] = 1 / (w[:k, None] - w[None, k:])
    g = v @ ((weight + weight.T) * inner) @ v.conj().T
    value = np.vdot(c, v[:, :k] @ v[:, :k].conj().T).real
    compare(case, value, {"a": onto_triangle(g, case["triangle"])})


def distinct(picked: list[Any]) -> list[Any]:
    """Those without repeated eigenvalues."""
    return [p for p in picked if p.values[0]["spectrum"] != "degenerate"]


@pytest.mark.parametrize("case", distinct(pick("general", {"eigvals", "eig"}, VALUES, 14)))
def test_general_eigenvalues(case: dict[str, Any]) -> None:
    """∂L/∂A = B⁻ᴴ V⁻ᴴ Diag(w̄) Vᴴ and ∂L/∂B = −(∂L/∂A) (B⁻¹A)ᴴ."""
    a, b = matrix(case["a"]), matrix(case["b"])
    m = a if b is None else np.linalg.solve(b, a)
    w, v = np.linalg.eig(m)
    stored = np.array(case["eigenvalues"]["re"]) + 1j * np.array(case["eigenvalues"]["im"])
    order = [int(np.argmin(abs(w - x))) for x in stored]
    w, v = w[order].astype(complex), v[:, order]
    value, w_bar = eigenvalue_loss(case["loss"], w)
    g = np.linalg.inv(v).conj().T @ np.diag(w_bar) @ v.conj().T
    g = g if b is None else np.linalg.solve(b.conj().T, g)
    grads = {"a": g} if b is None else {"a": g, "b": -g @ m.conj().T}
    compare(case, value, grads if np.iscomplexobj(a) else {k: x.real for k, x in grads.items()})


def cluster_projectors(m: Array, w: Array) -> list[Array]:
    """For every eigenvalue, P = Π (M − μ)/(λ − μ) over the other values μ: onto the whole space of that value."""
    apart = abs(w[:, None] - w) > 1e-8 * abs(w).max()
    values = [w[i] for i in range(len(w)) if apart[i, :i].all()]
    found = []
    for x, other in zip(w, apart, strict=True):
        p = np.eye(len(w), dtype=complex)
        for y in values:
            if any(abs(w[other] - y) < 1e-8 * abs(w).max()):
                p = p @ (m - y * np.eye(len(w))) / (x - y)
        found.append(p)
    return found


@pytest.mark.parametrize(
    "case", [p for p in pick("general", {"eigvals", "eig"}, VALUES, 1000) if p.values[0]["spectrum"] == "degenerate"]
)
def test_general_degenerate(case: dict[str, Any]) -> None:
    """No eigenvector needed: 2M, (z − M)⁻² and Σ c̄ᵢ Pᵢ/mᵢ (P onto the space of a value of multiplicity m)."""
    a, b = matrix(case["a"]), matrix(case["b"])
    m = a if b is None else np.linalg.solve(b, a)
    w = np.array(case["eigenvalues"]["re"]) + 1j * np.array(case["eigenvalues"]["im"])
    value, w_bar = eigenvalue_loss(case["loss"], w)
    if case["loss"]["name"] == "weighted_sum":
        pairs = zip(w_bar, cluster_projectors(m, w), strict=True)
        slope = sum(np.conj(c) * p / round(np.trace(p).real) for c, p in pairs)
    elif case["loss"]["name"] == "sum_squares":
        slope = 2 * m
    else:
        slope = np.linalg.matrix_power(np.linalg.inv(number(case["loss"]["z"]) * np.eye(len(a)) - m), 2)
    g = slope.conj().T
    g = g if b is None else np.linalg.solve(b.conj().T, g)
    grads = {"a": g} if b is None else {"a": g, "b": -g @ m.conj().T}
    compare(case, value, grads if np.iscomplexobj(a) else {k: x.real for k, x in grads.items()})


SLOPES = {
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "inv_sqrt": (lambda x: x**-0.5, lambda x: -0.5 * x**-1.5),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
}


@pytest.mark.parametrize(
    "case", [p for p in pick("spectral", {"spectral_sum"}, {"identity"}, 14) if p.values[0]["f"]["name"] in SLOPES]
)
def test_spectral_sum(case: dict[str, Any]) -> None:
    """∂ tr f(A) = f′(A), whatever the spectrum."""
    f, slope = SLOPES[case["f"]["name"]]
    w, v = np.linalg.eigh(hermitian_part(matrix(case["a"]), None))
    compare(case, f(w).sum(), {"a": (v * slope(w)) @ v.conj().T})


def test_verdicts_and_gradients_fit() -> None:
    """No gradient without a reason, unique ids, and every input exact in its dtype."""
    ids = set()
    for family in ("hermitian", "general", "spectral"):
        for case in load(family):
            ids.add((family, case["id"]))
            assert case["verdict"] in ("number", "nan")
            if case["verdict"] == "number" and case["gradient"] is None:
                assert case["clarke"], case["id"]
            if case["verdict"] == "number":
                assert case["value"] is not None
            if case["spectrum"] == "defective":
                assert case["verdict"] == "nan"
                assert case["gradient"] is None
            if case["spectrum"].startswith(("degenerate", "defective")) and family != "spectral":
                assert case["hvp"] is None
            for m in (matrix(case["a"]), matrix(case["b"])):
                assert m is None or (m.astype(case["dtype"]) == m).all(), case["id"]
    assert len(ids) == sum(len(load(f)) for f in ("hermitian", "general", "spectral"))
