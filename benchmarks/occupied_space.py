"""The README's example: the gradient of a loss of the four lowest eigenvectors, three of them of equal eigenvalues.

`python benchmarks/occupied_space.py` prints the relative error, in the Frobenius norm, against finite differences. The
matrices are those of docs/degeneracy.md.
"""

from __future__ import annotations

import pathlib
import re
import textwrap
from typing import Any

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "degeneracy.md"


def matrices() -> tuple[np.ndarray, np.ndarray]:
    """A and B, by the first block of the page that makes them."""
    fences = re.findall(r"^( *```python\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    blocks = [textwrap.dedent(fence).removeprefix("```python\n") for fence in fences]
    names: dict[str, Any] = {}
    exec(next(block for block in blocks if re.search(r"^A\b.*=", block, re.MULTILINE)), names)
    return np.asarray(names["A"]), np.asarray(names["B"])


def differences(a: np.ndarray, b: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Of fourth order, in every symmetric direction."""

    def loss(x: np.ndarray) -> float:
        v = np.linalg.eigh(x)[1][:, :4]
        return float(np.trace(b @ v @ v.T))

    gradient = np.zeros_like(a)
    for i, j in np.ndindex(a.shape):
        d = np.zeros_like(a)
        d[i, j] += step / 2
        d[j, i] += step / 2
        gradient[i, j] = (8 * (loss(a + d) - loss(a - d)) - (loss(a + 2 * d) - loss(a - 2 * d))) / (12 * step)
    return gradient


def main() -> None:
    a, b = matrices()
    expected = differences(a, b)

    def show(name: str, gradient: Any) -> None:
        found = (np.asarray(gradient) + np.asarray(gradient).T) / 2
        print(f"{name:20}{np.linalg.norm(found - expected) / np.linalg.norm(expected):10.1e}")

    def with_jax(eigh: Any) -> Any:
        def loss(x: Any) -> Any:
            v = eigh(x)[1][:, :4]
            return jnp.trace(b @ v @ v.T)

        return jax.grad(loss)(a)

    show("eigenpair.eigh", with_jax(eigenpair.eigh))
    show("jnp.linalg.eigh", with_jax(jnp.linalg.eigh))
    try:
        import torch
    except ImportError:
        return
    x = torch.tensor(a, requires_grad=True)
    v = torch.linalg.eigh(x)[1][:, :4]
    torch.trace(torch.tensor(b) @ v @ v.T).backward()
    show("torch.linalg.eigh", x.grad)


if __name__ == "__main__":
    main()
