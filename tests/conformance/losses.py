"""The losses and scalar functions of `tests/cases/README.md`, written for JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

EIGENVALUE_LOSSES = ("weighted_sum", "sum_squares", "resolvent")


def matrix(m: dict[str, Any], dtype: Any) -> np.ndarray:
    """The matrix that `{"re": rows, "im": rows or null}` stands for."""
    re = np.array(m["re"], np.float64)
    return (re if m["im"] is None else re + 1j * np.array(m["im"], np.float64)).astype(dtype)


def number(x: Any) -> complex | float:
    return complex(x["re"], x["im"]) if isinstance(x, dict) else x


def parameters(loss: dict[str, Any], dtype: str) -> dict[str, np.ndarray]:
    """The parameters of a loss, in the precision of the case."""
    dtype = np.dtype(dtype)
    real, complex_ = np.finfo(dtype).dtype, np.result_type(dtype, np.complex64)
    found = {}
    if "C" in loss:
        found["C"] = matrix(loss["C"], real if loss["C"]["im"] is None else dtype)
    if "c" in loss:
        c = [number(x) for x in loss["c"]]
        found["c"] = np.array(c, complex_ if any(isinstance(x, complex) for x in c) else real)
    if "z" in loss:
        found["z"] = np.array(number(loss["z"]), complex_)
    if "s" in loss:
        found["s"] = np.array(loss["s"], real)
    return found


def inner(c: Array, m: Array) -> Array:
    """`Re tr(Cᴴ M)`, or the same of vectors."""
    dtype = np.promote_types(c.dtype, m.dtype)
    return jnp.sum(jnp.real(jnp.conj(c).astype(dtype) * m.astype(dtype)))


def evaluate(
    name: str, p: dict[str, Array], k: int | None, w: Array, v: Array | None, gauge: Callable[..., Array]
) -> Array:
    """The loss `name` of eigenvalues and eigenvectors (`None` where it needs none)."""
    if name == "weighted_sum":
        return inner(p["c"], w)
    if name == "sum_squares":
        return jnp.sum(jnp.real(w * w))
    if name == "resolvent":
        return jnp.sum(jnp.real(1 / (p["z"] - w.astype(p["z"].dtype))))
    assert v is not None
    if name == "projector":
        return inner(p["C"], v[:, :k] @ v[:, :k].conj().T)
    if name == "moduli":
        return jnp.sum(p["C"] * jnp.real(v * v.conj()))
    if name == "density":
        occupations = 1 / (1 + (w / p["s"].astype(w.dtype)) ** 2)
        return inner(p["C"], (v * occupations.astype(v.dtype)[None, :]) @ v.conj().T)
    if name == "fixed_gauge":
        return inner(p["C"], gauge(v))
    raise ValueError(f"unknown loss {name!r}")


def scalar_function(f: dict[str, Any]) -> Callable[[Array], Array]:
    """The function a spectral case names."""
    name = f["name"]
    if name == "power":
        return lambda x: x ** f["p"]
    if name == "fermi_dirac":
        return lambda x: 1 / (1 + jnp.exp(f["beta"] * (x - f["mu"])))
    if name == "inv_sqrt":
        return lambda x: 1 / jnp.sqrt(x)
    return {"exp": jnp.exp, "log": jnp.log, "sqrt": jnp.sqrt, "tanh": jnp.tanh}[name]
