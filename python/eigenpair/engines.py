"""One matrix too large for one device: engines that solve `A v = λ v` for a matrix spread over several.

An engine replaces the solver and nothing else: the derivatives, degeneracy policies included, are those of
`eigenpair.hermitian`, on matrices that stay spread as they are. See `docs/scaling.md`.
"""

from .runtime.engines import Engine, engine, jaxmg

__all__ = ["Engine", "engine", "jaxmg"]
