"""Functions of the invariant subspace of the `k` lowest eigenvalues of a large operator, with derivatives of all orders
at any degeneracy inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..degeneracy.decision import open_columns, policy_of_whole
from ..degeneracy.policies import check
from ..runtime import arguments
from ..runtime.matrices import adjoint, matmul
from ..spectral import spectral
from .hermitian import block_of, checked_solution, choose, framed, scale_of_clusters
from .request import request

__all__ = ["SpectralProjector", "spectral_projector", "spectral_sum"]


@jax.tree_util.register_pytree_node_class
class SpectralProjector:
    """`P = V Vᴴ` with an orthonormal basis `V` of the subspace (`VᴴBV = I` for a pair). The matrix is not formed.

    Use `P @ x` for a vector `(n,)` or vectors `(n, m)`, `P.diagonal()`, `P.todense()`. The basis itself is private,
    because only results that do not depend on its choice have derivatives.
    """

    def __init__(self, frame: Array):
        self._frame = frame

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, n)`."""
        return (self._frame.shape[0],) * 2

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self._frame.dtype

    @property
    def rank(self) -> int:
        """`k`."""
        return self._frame.shape[1]

    def __matmul__(self, x: Any) -> Array:
        x = arguments.array("x", x)
        if x.ndim not in (1, 2) or x.shape[0] != self.shape[0]:
            raise ValueError(f"x must be a vector ({self.shape[0]},) or vectors ({self.shape[0]}, m), got {x.shape}")
        return matmul(self._frame, matmul(adjoint(self._frame), x))

    def diagonal(self) -> Array:
        """The diagonal, real: a density."""
        return jnp.sum(jnp.real(self._frame * jnp.conj(self._frame)), axis=-1)

    def todense(self) -> Array:
        """The matrix `(n, n)`."""
        return matmul(self._frame, adjoint(self._frame))

    def __repr__(self) -> str:
        return f"SpectralProjector(n={self.shape[0]}, rank={self.rank}, dtype={self.dtype})"

    def tree_flatten(self) -> tuple[tuple[Array], None]:
        """For JAX."""
        return (self._frame,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> SpectralProjector:
        """For JAX."""
        return cls(*children)


def spectral_projector(operator: Any, k: int, **options: Any) -> SpectralProjector:
    """The projector on the eigenvectors of the `k` lowest eigenvalues of a Hermitian operator or of a definite pair;
    with `sigma`, of the `k` eigenvalues closest to it.

    Its derivatives, of any order, depend only on the gap after the `k`-th eigenvalue, not on degeneracy on either side.
    If that gap is no larger than rounding errors, there is no such projector, and value and derivatives are NaN.

    **Arguments:** `operator`, `k` and `options` (`b`, `sigma`, `v0`, `tol`, `max_iterations`, `preconditioner`,
    `solver`, `progress`, `callback`, `n`, `dtype`) as for `eigsh`.

    **Returns:** a `SpectralProjector`, which is NaN if the eigenpairs have not converged.
    """
    return SpectralProjector(_subspace("spectral_projector", operator, k, options)[1])


def spectral_sum(f: Callable[[Array], Array], operator: Any, k: int, **options: Any) -> Array:
    """`Σ f(λᵢ)` over the `k` lowest eigenvalues of a Hermitian operator or of a definite pair; with `sigma`, over the
    `k` eigenvalues closest to it. It is differentiable at any degeneracy, except if `k` cuts a cluster: then it is NaN.

    **Arguments:** `f` as for `eigenpair.spectral_sum`, the others as for `eigenpair.large.spectral_projector`. `which`
    is not an option.
    """
    return spectral.spectral_sum(f, _subspace("spectral_sum", operator, k, options)[0])


def _subspace(function: str, operator: Any, k: int, options: dict[str, Any]) -> tuple[Array, Array]:
    """`Λ` and `V`; NaN if an eigenpair has not converged, or if `k` cuts a cluster."""
    known = dict.fromkeys(
        ("b", "sigma", "v0", "tol", "max_iterations", "preconditioner", "solver", "callback", "n", "dtype")
    )
    known["progress"] = False
    wrong = sorted(set(options) - set(known))
    if wrong:
        raise TypeError(f"{function} has no argument {wrong[0]!r}; there are {', '.join(sorted(known))}")
    spec, parameters, _ = request(
        function, operator, k, which=None, choose=choose, block_of=block_of, **{**known, **options}
    )
    found = framed(spec, parameters)
    w, rows, converged, scale = checked_solution(spec, found)
    policy = check()
    w = lax.stop_gradient(w)
    reach = scale_of_clusters(policy, found, scale)
    wide = policy_of_whole(policy, spec.forms[0].n, spec.k)
    cut = jnp.any(open_columns(wide, w, lax.stop_gradient(found.edges), reach))  # type: ignore[arg-type]
    factor = jnp.where(jnp.all(converged) & ~cut, 1, jnp.nan).astype(w.dtype)
    factor = factor.astype(rows.dtype)
    return found.matrix * factor, rows.T * factor
