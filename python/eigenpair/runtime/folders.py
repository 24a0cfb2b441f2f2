"""The folders with those files of the installed package that are not Python."""

from __future__ import annotations

import sys
from pathlib import Path

_LIBRARY = {"win32": "{}.dll", "darwin": "lib{}.dylib"}.get(sys.platform, "lib{}.so")


def find(*parts: str) -> Path | None:
    """A file or folder of the package. An editable installation has two places: the sources, and the built files."""
    places = (Path(folder, *parts) for folder in sys.modules["eigenpair"].__path__)
    return next((path for path in places if path.exists()), None)


def find_library(name: str) -> Path | None:
    """A shared library of the package: `"eigenpair"`, the core, or `"eigenpair_xla"`, its handlers for XLA."""
    return find(_LIBRARY.format(name))
