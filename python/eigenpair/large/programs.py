"""Equality of traced functions, so that compiled solvers are reused."""

from __future__ import annotations

from typing import Any

import numpy as np


class SameFunction:
    """A jaxpr that equals every other one that computes the same: variables are compared by their numbers, parameters
    by value, and parameters that cannot be compared by identity."""

    def __init__(self, key: Any, alive: Any):
        self._key, self._alive, self._hash = key, alive, hash(key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameFunction) and self._key == other._key

    @staticmethod
    def of(jaxpr: Any) -> SameFunction:
        """Of a traced function."""
        alive: list[Any] = []
        return SameFunction(program_key(jaxpr, alive), alive)


def program_key(jaxpr: Any, alive: list[Any]) -> Any:
    """A key that two programs share exactly if they compute the same. Its arrays are kept in `alive`."""
    numbers: dict[Any, int] = {}

    def number(v: Any) -> Any:
        if hasattr(v, "val"):
            value = np.asarray(v.val)
            return (str(value.dtype), value.shape, value.tobytes())
        return numbers.setdefault(v, len(numbers)), str(v.aval)

    def of(value: Any) -> Any:
        if hasattr(value, "jaxpr") and hasattr(value, "consts"):
            return (program_key(value.jaxpr, alive), tuple(of(c) for c in value.consts))
        if hasattr(value, "eqns"):
            return program_key(value, alive)
        if isinstance(value, (tuple, list)):
            return tuple(of(v) for v in value)
        try:
            hash(value)
        except TypeError:
            alive.append(value)  # so that its identity is not given to another
            return id(value)
        return value

    head = tuple(number(v) for v in (*jaxpr.constvars, *jaxpr.invars))
    body = tuple(
        (
            e.primitive,
            tuple(number(v) for v in e.invars),
            tuple((name, of(value)) for name, value in sorted(e.params.items())),
            tuple(number(v) for v in e.outvars),
        )
        for e in jaxpr.eqns
    )
    return head, body, tuple(number(v) for v in jaxpr.outvars)
