"""Matrices from files, for the program `eigenpair`."""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

DENSE_LIMIT = 4 * 2**30  # bytes of one matrix made dense; LAPACK needs several of that size


class BadInput(Exception):
    """An error in the user's input. The message says how to correct it."""


def read_matrix(text: str) -> np.ndarray[Any, Any]:
    """The array in a file, or in standard input (`-`), dense, in a precision that has an eigensolver."""
    if text == "-":
        return _from_stdin()
    name, _, key = text.rpartition(":") if ".npz:" in text else (text, "", "")
    path = Path(name)
    if not path.is_file():
        raise BadInput(f"{path} is a folder" if path.is_dir() else f"there is no file {path}")
    return _read(path, path.suffix, key)


def _from_stdin() -> np.ndarray[Any, Any]:
    """Reads any of the formats, recognized by the first bytes."""
    content = sys.stdin.buffer.read()
    if not content.strip():
        raise BadInput("nothing came from standard input")
    begins = {b"\x93NUMPY": ".npy", b"PK": ".npz", b"%%MatrixMarket": ".mtx"}
    suffix = next((suffix for magic, suffix in begins.items() if content.startswith(magic)), ".csv")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"standard input{suffix}")
        path.write_bytes(content)
        return _read(path, suffix, "")


def _read(path: Path, suffix: str, key: str) -> np.ndarray[Any, Any]:
    readers = {".npy": _read_npy, ".npz": _read_npz, ".mtx": _read_mtx, ".csv": _read_csv}
    if suffix not in readers:
        raise BadInput(f"{path}: the name must end in .npy, .npz, .mtx or .csv, to say what is inside")
    name = path.name if path.name.startswith("standard input") else str(path)
    try:
        array = readers[suffix](path, key)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{name} cannot be read as {suffix}: {error}") from None
    except MemoryError:
        raise BadInput(f"{name} does not fit into memory") from None
    array = array.astype(float if array.dtype.kind in "iub" else array.dtype.newbyteorder("="), copy=False)
    if array.dtype.name not in ("float32", "float64", "complex64", "complex128"):
        raise BadInput(f"{name} holds {array.dtype}, which has no eigensolver; save it as float64 or complex128")
    return array


def _read_csv(path: Path, _key: str) -> np.ndarray[Any, Any]:
    """Rows of numbers separated by commas, semicolons or blanks; complex numbers as in Python, or with i."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        entries = re.split(r"\s*[,;]\s*|\s+", line)
        try:
            rows.append([complex(re.sub(r"[iI]$", "j", entry) if entry[-1:] in "iI" else entry) for entry in entries])
        except ValueError:
            raise ValueError(f"line {number} has an entry that is no number: {line[:60]}") from None
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"line {number} has {len(rows[-1])} entries, and the first has {len(rows[0])}")
    if not rows:
        raise ValueError("it has no numbers")
    array = np.array(rows)
    return array if np.any(array.imag) else array.real


def _read_npy(path: Path, _key: str) -> np.ndarray[Any, Any]:
    _refuse_others(path, b"\x93NUMPY", b"PK")
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of several arrays; name it .npz")
    return array


def _refuse_others(path: Path, *magic: bytes) -> None:
    """Raises ValueError if the file does not begin with these bytes. NumPy's message would be about pickled objects."""
    with path.open("rb") as file:
        if not file.read(8).startswith(magic):
            raise ValueError("its first bytes are those of another format")


def _read_npz(path: Path, key: str) -> np.ndarray[Any, Any]:
    import scipy.sparse

    _refuse_others(path, b"PK")
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.keys())
        if {"format", "shape", "data"} <= set(names):  # as scipy.sparse.save_npz writes
            return _dense(path, scipy.sparse.load_npz(path))
        if not key and len(names) == 1:
            key = names[0]
        if key not in names:
            raise ValueError(f"say which array as {path}:NAME; there are {', '.join(names) or 'none'}")
        return np.asarray(archive[key])


def _read_mtx(path: Path, _key: str) -> np.ndarray[Any, Any]:
    import scipy.io

    rows, columns, *_ = scipy.io.mminfo(path)  # only the header: a matrix that is too large is not read
    _refuse_absurd(path, rows, columns, 8)
    with warnings.catch_warnings():
        # SciPy 1.18 announces another type of sparse result; either is made dense, and 1.13 has no argument for it.
        warnings.filterwarnings("ignore", "The default value for `spmatrix`", DeprecationWarning)
        matrix = scipy.io.mmread(path)
    return _dense(path, matrix)


def _dense(path: Path, matrix: Any) -> np.ndarray[Any, Any]:
    if isinstance(matrix, np.ndarray):
        return matrix
    rows, columns = matrix.shape
    _refuse_absurd(path, rows, columns, matrix.dtype.itemsize)
    size = rows * columns * matrix.dtype.itemsize
    note(f"{path} is sparse ({matrix.nnz} entries) and was made dense: {rows}×{columns}, {size / 2**20:.1f} MiB")
    return np.asarray(matrix.toarray())


def _refuse_absurd(path: Path, rows: int, columns: int, itemsize: int) -> None:
    if rows * columns * itemsize > DENSE_LIMIT:
        raise BadInput(
            f"{path} is {rows}×{columns}: {rows * columns * itemsize / 2**30:.0f} GiB when dense, and this program "
            "makes it dense. For a few eigenvalues of a large sparse matrix, use scipy.sparse.linalg.eigsh."
        )


def note(text: str) -> None:
    """Prints a note to the standard error."""
    print(f"note: {text}", file=sys.stderr)
