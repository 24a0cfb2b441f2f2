"""Matrices from files, for `python -m eigenpair solve`."""

from __future__ import annotations

import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

DENSE_LIMIT = 4 * 2**30  # bytes of one matrix made dense; LAPACK needs several of that size


class BadInput(Exception):
    """Something the user can put right; the message says how."""


def read_matrix(text: str) -> np.ndarray[Any, Any]:
    """The array in a file, dense, in a precision that has an eigensolver."""
    name, _, key = text.rpartition(":") if ".npz:" in text else (text, "", "")
    path = Path(name)
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    readers = {".npy": _read_npy, ".npz": _read_npz, ".mtx": _read_mtx}
    if path.suffix not in readers:
        raise BadInput(f"{path}: the name must end in .npy, .npz or .mtx, to say what is inside")
    try:
        array = readers[path.suffix](path, key)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} cannot be read as {path.suffix}: {error}") from None
    except MemoryError:
        raise BadInput(f"{path} does not fit into memory") from None
    array = array.astype(float if array.dtype.kind in "iub" else array.dtype.newbyteorder("="), copy=False)
    if array.dtype.name not in ("float32", "float64", "complex64", "complex128"):
        raise BadInput(f"{path} holds {array.dtype}, which has no eigensolver; save it as float64 or complex128")
    return array


def _read_npy(path: Path, _key: str) -> np.ndarray[Any, Any]:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of several arrays; name it .npz")
    return array


def _read_npz(path: Path, key: str) -> np.ndarray[Any, Any]:
    import scipy.sparse

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

    rows, columns, *_ = scipy.io.mminfo(path)  # the header alone: a matrix too large is not even read
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
