"""What the program prints and writes."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.files import BadInput


def refuse_output(name: str, force: bool) -> None:
    """Raises `BadInput` if results could not be written there, or would overwrite a file."""
    path = Path(name)
    if path.suffix != ".npz":
        raise BadInput(f"-o {name}: the name must end in .npz")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"-o {name}: there is no such directory")
    if path.exists() and not force:
        raise BadInput(f"-o {name}: the file exists; --force overwrites it")


def write(name: str, results: dict[str, np.ndarray[Any, Any]]) -> str:
    """Writes all results, or nothing, and prints what was written."""
    path = Path(name)
    existed = path.exists()
    handle, part = -1, ""
    try:
        handle, part = tempfile.mkstemp(dir=path.absolute().parent, suffix=".npz")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **results)  # type: ignore[arg-type]
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise BadInput(f"-o {name}: {error}") from None
    what = ", ".join(f"{key} {x.dtype}{list(x.shape)}" for key, x in results.items())
    return f"{'Overwrote' if existed else 'Wrote'} {name}: {what}"


def as_json(results: dict[str, Any]) -> str:
    """Arrays as lists, complex numbers as `[real, imaginary]`; NaN and Infinity as JavaScript names them."""

    def plain(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: plain(value) for key, value in x.items()}
        if isinstance(x, np.ndarray):
            return np.stack([x.real, x.imag], axis=-1).tolist() if x.dtype.kind == "c" else x.tolist()
        return x

    return json.dumps(plain(results), ensure_ascii=False)


def table(w: np.ndarray[Any, Any]) -> str:
    """The eigenvalues, or the ends of a long list of them."""
    rows = w.reshape(math.prod(w.shape[:-1]), w.shape[-1])
    lines = []
    if w.ndim == 1:
        for index in _ends(rows.shape[1], 10):
            lines.append("   …" if index is None else f"{index:6d}  {number(rows[0, index], padded=True)}")
    else:
        for row in _ends(rows.shape[0], 8):
            lines.append("   …" if row is None else f"{row:6d}  {shortened(rows[row])}")
    return "\n".join(lines)


def shortened(x: np.ndarray[Any, Any]) -> str:
    """One number in full, or the ends of a list of them."""
    if x.ndim == 0:
        return number(x[()])
    flat = x.ravel()
    return "  ".join("…" if i is None else number(flat[i], digits=7, padded=True) for i in _ends(flat.size, 6))


def number(x: Any, *, digits: int | None = None, padded: bool = False) -> str:
    """A number with the digits that its precision has."""
    if digits is None:
        digits = 8 if x.dtype in (np.float32, np.complex64) else 15
    if np.iscomplexobj(x):
        return f"{x.real:{' ' if padded else ''}.{digits}g}{x.imag:+.{digits}g}i"
    return f"{x:{' ' if padded else ''}.{digits}g}"


def _ends(count: int, shown: int) -> list[int | None]:
    if count <= shown:
        return list(range(count))
    return [*range(shown // 2), None, *range(count - shown // 2, count)]
