"""Engines for a matrix that is too large for one device: they solve `A v = λ v` for a matrix spread over several.

An engine replaces only the solver. The derivatives and degeneracy policies are those of `eigenpair.hermitian`, and all
matrices stay spread over the devices. See `docs/scaling.md`.
"""

from .runtime.engines import Engine, engine, jaxmg

__all__ = ["Engine", "engine", "jaxmg"]
