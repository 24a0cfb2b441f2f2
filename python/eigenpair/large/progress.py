"""Monitoring of a long solve: a progress bar, or a function of the caller."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Watch = Callable[[Any, Any, Any], None]


@dataclasses.dataclass(frozen=True)
class _Watch:
    function: str
    progress: bool
    callback: Callable[..., Any] | None

    def __call__(self, iteration: Any, eigenvalues: Any, residuals: Any) -> None:
        eigenvalues, residuals = np.asarray(eigenvalues), np.asarray(residuals)
        if self.callback is not None:
            self.callback(int(np.max(iteration)), eigenvalues, residuals)
        if self.progress:
            low, high = (float(f(residuals)) for f in (np.min, np.max))
            line = f"{self.function}: iteration {int(np.max(iteration))}, residuals {low:.1e} to {high:.1e}"
            end = "" if sys.stderr.isatty() else "\n"
            print(f"\r{line}" if end == "" else line, end=end, file=sys.stderr, flush=True)


def watch(function: str, progress: Any, callback: Any) -> Watch | None:
    """The function that a solver calls after each iteration, or `None`.

    **Raises:** `TypeError` naming the argument.
    """
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(f"progress must be True or False, got {progress!r}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function (iteration, eigenvalues, residuals), got {callback!r}")
    if not progress and callback is None:
        return None
    return _Watch(function, bool(progress), callback)
