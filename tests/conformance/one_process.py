"""Both languages in one process, Julia's package with the LAPACK that Python uses. Run by test_one_process.py.

Prints a line of JSON: the number of cases with equal bits, the other cases, and the largest difference of gradients.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import cases  # noqa: E402
import eigenpair  # noqa: E402
from juliacall import Main as jl  # noqa: E402 - jax first, as in a user's session

ROOT = Path(__file__).resolve().parents[2]

SETUP = """
using EigenPair, JSON, Logging, PythonCall

include(LOSSES)

const LENT = Dict(pyconvert(String, name) => Ptr{Cvoid}(pyconvert(UInt, x)) for (name, x) in ROUTINES)

const HANDLE = EigenPair.LAPACKHandle(LENT; integer_bits = 32)

const READ = Dict(case["id"] => case for case in Losses.read_cases("hermitian.json"))

function forward(id)
    case = READ[pyconvert(String, id)]
    return EigenPair.with_lapack(HANDLE) do
        w, v = eigh(Losses.arguments(case)...; Losses.options(case)...)
        (w, v, eigvalsh(Losses.arguments(case)...; Losses.options(case)...))
    end
end

function stacked(ids)
    read = [READ[pyconvert(String, id)] for id in ids]
    matrices = map(args -> stack(args), zip(map(Losses.arguments, read)...))
    return EigenPair.with_lapack(HANDLE) do
        w, v = eigh(matrices...; Losses.options(first(read))...)
        (w, v)
    end
end

function gradient(id)
    case = READ[pyconvert(String, id)]
    return with_logger(NullLogger()) do
        EigenPair.with_lapack(() -> Losses.gradient_of(Losses.loss_function(case), Losses.arguments(case)), HANDLE)
    end
end
"""


def addresses() -> dict[str, int]:
    """The BLAS and LAPACK of the core in Python: SciPy's, by routine name."""
    from scipy.linalg import cython_blas, cython_lapack

    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = {**cython_blas.__pyx_capi__, **cython_lapack.__pyx_capi__}
    return {name: get_pointer(capsule, get_name(capsule)) for name, capsule in capsules.items()}


def same_bits(x: Any, y: Any) -> bool:
    x, y = np.asarray(x), np.asarray(y)
    return x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True)


def options(case: cases.Case) -> dict[str, Any]:
    found = {"lower": {None: None, "lower": True, "upper": False}[case["triangle"]]}
    return found | ({"type": case["type"]} if case["type"] else {})


def main() -> None:
    jl.LOSSES = str(ROOT / "julia" / "test" / "losses.jl")
    jl.ROUTINES = addresses()
    for block in SETUP.strip().split("\n\n"):
        jl.seval(block)
    hermitian = {id: case for id, case in cases.load().items() if case["file"] == "hermitian.json"}
    different = []
    for id, case in hermitian.items():
        matrices = tuple(cases.inputs(case))
        mine = (*eigenpair.eigh(*matrices, **options(case)), eigenpair.eigvalsh(*matrices, **options(case)))
        if not all(map(same_bits, mine, jl.forward(id))):
            different.append(id)

    batches: dict[tuple[Any, ...], list[str]] = {}
    for id, case in hermitian.items():
        batches.setdefault((case["dtype"], case["type"], case["triangle"], len(case["a"]["re"])), []).append(id)
    for ids in batches.values():
        matrices = [np.stack(x) for x in zip(*(cases.inputs(hermitian[id]) for id in ids), strict=True)]
        w, v = eigenpair.eigh(*matrices, **options(hermitian[ids[0]]))
        their_w, their_v = jl.stacked(ids)
        if not (same_bits(w, np.asarray(their_w).T) and same_bits(v, np.moveaxis(np.asarray(their_v), -1, 0))):
            different.append(f"a batch of {len(ids)}: {ids[0]}")

    chosen: dict[tuple[Any, ...], str] = {}
    for id, case in hermitian.items():
        # Compiled anew for every case, so a selection: every loss, type and triangle in some dtype.
        for axes in (("dtype", case["loss"]["name"]), ("type", case["triangle"])):
            if case["verdict"] == "number":
                chosen.setdefault((axes[1], case[axes[0]]), id)
    apart = {}
    for id in sorted(set(chosen.values())):
        case = hermitian[id]
        mine, theirs = cases.compute_single(case).gradient, jl.gradient(id)
        for x, y in zip(mine, theirs, strict=False):
            if x is not None:
                unit = case["condition"] * np.finfo(case["dtype"]).eps / np.finfo(float).eps * (np.abs(x).max() or 1)
                apart[id] = max(apart.get(id, 0), float(np.abs(x - np.asarray(y)).max() / unit))
    report = {"cases": len(hermitian), "batches": len(batches), "different": different, "apart": apart}
    print(json.dumps(report))


if __name__ == "__main__":
    sys.exit(main())
