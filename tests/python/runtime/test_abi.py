"""Definitions that exist in several languages agree: `csrc/problems.inc` and `eigenpair.h` with Python's list of
targets, Julia's structs and entry points, and the structs of the tests; the core's explanations with Python's."""

import ctypes
import re
from pathlib import Path

import pytest
from decision_by_core import Decision
from eigenpair.degeneracy import explanations
from eigenpair.runtime import native

ROOT = Path(__file__).parents[3]
HEADER = (ROOT / "csrc" / "include" / "eigenpair.h").read_text()
PROBLEMS = (ROOT / "csrc" / "problems.inc").read_text()
JULIA = "\n".join(path.read_text() for path in sorted((ROOT / "julia" / "src").rglob("*.jl")))

JULIA_TYPES = {"int32_t": "Int32", "int64_t": "Int64", "double": "Float64", "void*": "Pointer", "int32_t*": "Pointer"}
CTYPES = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "double": ctypes.c_double,
    "void*": ctypes.c_void_p,
    "int32_t*": ctypes.c_void_p,
}


def listed(macro):
    """`(name, description)` of each line of problems.inc."""
    return re.findall(rf"^{macro}\((\w+), \w+, (\w+)\)", PROBLEMS, re.MULTILINE)


def fields(struct):
    """`(name, type)` of each field of a struct in the header."""
    (body,) = re.findall(rf"typedef struct {struct} \{{(.*?)\n\}} {struct};", HEADER, re.DOTALL)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    lines = [" ".join(line.split()).removeprefix("const ") for line in body.split(";") if line.strip()]
    return [(line.split()[-1], " ".join(line.split()[:-1])) for line in lines]


STRUCTS = sorted({description for _, description in listed("EIGENPAIR_PROBLEM")} | {"eigenpair_decision"})


def test_the_list_is_read():
    assert len(listed("EIGENPAIR_PROBLEM")) >= 5
    assert len(listed("EIGENPAIR_CUDA_PROBLEM")) >= 2
    assert ("struct_size", "int64_t") in fields("eigenpair_hermitian_problem")


def fields_in_julia(name):
    """`(name, type)` of each field of a Julia struct, written out or by `@native_struct(Name, Type(fields…), …)`."""
    if found := re.search(rf"^struct {name}\n(.*?)^end", JULIA, re.DOTALL | re.MULTILINE):
        pairs = [line.strip().split("::") for line in found[1].splitlines()]
        return [(field, "Pointer" if kind.startswith("Ptr") else kind) for field, kind in pairs]
    (body,) = re.findall(rf"@native_struct\(\s*{name},(.*?)\n\)", JULIA, re.DOTALL)
    groups = re.findall(r"(\w+)\(([^)]*)\)", body)
    return [(field.strip(), kind) for kind, fields in groups for field in fields.split(",")]


@pytest.mark.parametrize("struct", STRUCTS)
def test_structs_of_julia(struct):
    name = "C" + "".join(word.capitalize() for word in struct.removeprefix("eigenpair_").split("_"))
    assert fields_in_julia(name) == [(field, JULIA_TYPES[kind]) for field, kind in fields(struct)]


def test_entry_points_of_julia():
    (names,) = re.findall(r"const ENTRY_POINTS = \((.*?)\n\)", JULIA, re.DOTALL)
    names = set(re.findall(r":(\w+)", names))
    assert names >= {f"{name}_job" for name, _ in listed("EIGENPAIR_PROBLEM")}
    for name in names:
        assert re.search(rf"\beigenpair_{name}\(", HEADER), name


def test_targets_of_python():
    assert set(native.TARGETS) == {f"eigenpair_{name}" for name, _ in listed("EIGENPAIR_PROBLEM")}
    assert set(native.CUDA_TARGETS) == {f"eigenpair_cuda_{name}" for name, _ in listed("EIGENPAIR_CUDA_PROBLEM")}


def test_version_of_julia():
    (version,) = re.findall(r"#define EIGENPAIR_ABI_VERSION (\d+)", HEADER)
    assert f"const ABI_VERSION = Int32({version})" in JULIA


def test_struct_of_the_tests():
    found = [(name, kind) for name, kind in Decision._fields_]
    assert found == [(name, CTYPES[kind]) for name, kind in fields("eigenpair_decision")]


REASONS = dict(re.findall(r"EIGENPAIR_REASON_(\w+) = (\d+)", HEADER))
EXPLAINED = [name for name, number in REASONS.items() if 0 < int(number) < int(REASONS["CLUSTER"])]


def test_every_reason_is_explained():
    assert len(EXPLAINED) >= 7
    assert set(explanations.REASONS) == {int(REASONS[name]) for name in EXPLAINED}


@pytest.mark.skipif(native.library_path() is None, reason="the core was not built")
@pytest.mark.parametrize("name", EXPLAINED)
def test_explanations_of_core(name):
    """JAX works without the core too, so Python has a copy of the texts, word for word."""
    text_of = ctypes.CDLL(str(native.library_path())).eigenpair_reason_text
    text_of.restype = ctypes.c_char_p
    number = getattr(explanations, name)
    assert number == int(REASONS[name])
    assert text_of(number).decode() == explanations.REASONS[number]
