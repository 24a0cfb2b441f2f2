"""Every error text that docs/troubleshooting.md explains occurs in the source, and the page's tables agree with it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
KEYS = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)


def of_python(path: Path) -> list[str]:
    """The string literals of a Python file, with `…` for interpolated values."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            found.append("".join(x.value if isinstance(x, ast.Constant) else "…" for x in node.values))
    return found


def of_others(path: Path) -> list[str]:
    """String literals of Julia and C++: continued lines joined, interpolation and concatenation as `…`."""
    text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
    if path.suffix == ".jl":
        text = re.sub(r"\$(?:\((?:[^()]|\([^()]*\))*\)|[^\W\d]\w*)", "…", text)
        text = text.replace("`", "")
    else:
        text = re.sub(r'"\s*\n\s*"', "", text)
    return [text]


SOURCES = [
    *(text for path in (ROOT / "python").rglob("*.py") for text in of_python(path)),
    *(
        text
        for folder, suffix in (("julia/src", ".jl"), ("csrc", ".cc"), ("csrc", ".h"))
        for path in (ROOT / folder).rglob(f"*{suffix}")
        for text in of_others(path)
    ),
]


@pytest.mark.parametrize("key", KEYS)
def test_the_text_occurs_in_the_source(key):
    # `…` in the page matches anything; at the ends of a text it is ignored.
    pattern = re.compile(".*?".join(re.escape(part) for part in key.split("…")))
    assert any(pattern.search(text) for text in SOURCES), key


def test_there_are_keys():
    assert len(KEYS) > 40
