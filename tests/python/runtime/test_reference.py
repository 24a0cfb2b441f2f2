"""The reference has every public name of both languages, without building it."""

from __future__ import annotations

import inspect
import re
import sys

import eigenpair
import pytest
from pages import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import hooks

PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
NAVIGATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
SOURCE = (ROOT / "julia" / "src" / "EigenPair.jl").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", eigenpair.__all__)
def test_python(name):
    if inspect.ismodule(getattr(eigenpair, name)):
        assert any(re.search(rf"^ *::: eigenpair\.{name}\b", text, re.MULTILINE) for text in PAGES.values())
    else:
        # A function with the name of its module is listed under the module that defines it.
        of_it = re.compile(rf"^ *::: eigenpair\.({name}|verification\.{name}\.{name})$", re.MULTILINE)
        assert any(of_it.search(text) for text in PAGES.values())


def public_names_of_julia() -> set[str]:
    lists = [
        *re.findall(r"^export (.+)$", SOURCE, re.MULTILINE),
        *re.findall(r'"public ([^"]+)"', SOURCE),
    ]
    return {name.strip() for line in lists for name in line.split(",")}


@pytest.mark.parametrize("name", sorted(public_names_of_julia()))
def test_julia(name):
    assert name in hooks.docstrings(), f"EigenPair.jl has no docstring of {name}"
    assert name in PAGES[hooks.PAGES[name]]


@pytest.mark.parametrize("page", PAGES)
def test_page(page):
    assert f"reference/{page}" in NAVIGATION
    for names in re.findall(r"^ *::: julia (.+)$", PAGES[page], re.MULTILINE):
        for name in names.split():
            assert name in hooks.docstrings()
            assert hooks.PAGES[name] == page
            for text in hooks.docstrings()[name]:
                assert "@ref" not in hooks.markdown_of(text)


def test_a_docstring_becomes_markdown():
    text = "    f(x; a = 1)\n\nAs [`eigh`](@ref) does, \\\nin one line.\n\n# Examples\n```jldoctest\njulia> f(1)\n```\n"
    shown = hooks.markdown_of(text, "    ")
    assert shown.startswith("    ```julia\n    f(x; a = 1)\n    ```\n")
    assert "[`eigh`](eigh.md) does, in one line." in shown
    assert "**Examples**" in shown
    assert "jldoctest" not in shown
