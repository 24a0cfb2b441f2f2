"""Every script of the gallery runs, checks its result and makes its picture. Page and notebooks are made from them."""

from __future__ import annotations

import ast
import json
import sys

import pytest
from pages import ROOT

sys.path.insert(0, str(ROOT / "examples"))
import make_gallery

NEEDS = {"huckel": ["pyscf"], "hartree_fock": ["pyscf"], "truss": ["optax"], "whitening": ["optax", "equinox"]}
SCRIPTS = make_gallery.scripts()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.path.name)
def test_script(script, tmp_path):
    for package in ["matplotlib", *NEEDS.get(script.path.stem, [])]:
        pytest.importorskip(package)
    if make_gallery.run(script, tmp_path) is None:
        pytest.skip("there is no Julia")
    assert (tmp_path / script.image).stat().st_size > 1000


def test_all_scripts_are_in_the_gallery():
    assert {script.path for script in SCRIPTS} == set((ROOT / "examples" / "gallery").iterdir())


def test_the_page_is_made_from_the_scripts():
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == make_gallery.page()
    for script in SCRIPTS:
        assert len(script.picture) > 30
        assert (ROOT / "docs" / "gallery" / script.image).exists()


@pytest.mark.parametrize("script", [x for x in SCRIPTS if x.path.suffix == ".py"], ids=lambda script: script.path.name)
def test_notebook_has_the_code_of_the_script(script):
    cells = json.loads(make_gallery.notebook(script))["cells"]
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(script.code))
