"""Every script of the gallery runs, checks its result and makes its picture. Page and notebooks are made from them."""

from __future__ import annotations

import ast
import json
import runpy
import sys

import jax
import pytest
from pages import ROOT

sys.path.insert(0, str(ROOT / "examples"))
import make_gallery

NEEDS = {"huckel": ["pyscf"], "hartree_fock": ["pyscf"], "truss": ["optax"], "whitening": ["optax", "equinox"]}
SCRIPTS = make_gallery.scripts()


@pytest.fixture
def _as_for_users(monkeypatch):
    """Scripts set double precision themselves, and nothing else; and nothing opens a window."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    before = jax.config.jax_enable_x64
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.usefixtures("_as_for_users")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.path.name)
def test_script(script, tmp_path, monkeypatch):
    for package in ["matplotlib", *NEEDS.get(script.path.stem, [])]:
        pytest.importorskip(package)
    if script.path.suffix == ".py":  # in this process, which has imported JAX
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(script.path), run_name="__main__")
        sys.modules["matplotlib.pyplot"].close("all")
    elif make_gallery.run(script, tmp_path) is None:
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
    written = (ROOT / "docs" / "gallery" / f"{script.path.stem}.ipynb").read_text(encoding="utf-8")
    assert written == make_gallery.notebook(script), "run python examples/make_gallery.py --page"
    cells = json.loads(written)["cells"]
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(script.code))
