"""Code in the documentation runs: every Python block of README.md and docs/, page by page.

Blocks of a page follow each other. A `text` block shows what the block before it prints. A comment before a block says
why it is not run, `<!-- not run: reason -->`, or what it needs, `<!-- needs: torch -->`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from pages import PAGES, ROOT, Block, blocks

pytestmark = pytest.mark.usefixtures("defaults_of_jax")

PYTHON = [block for page in PAGES for block in blocks(page, "python")]
# These set up JAX before it is imported.
OF_THEIR_OWN_PROCESS = ("docs/scaling.md",)


class Page:
    """The names that the blocks of a page have defined, and how far they have been run."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.done = 0

    def run(self, block: Block) -> None:
        """Also runs the blocks before it."""
        for other in (x for x in PYTHON if x.page == block.page and self.done <= x.number <= block.number):
            self.done = other.number + 1
            if not missing(other):
                exec(compile(other.code, f"{block.page}, line {other.line}", "exec"), self.names)


pages = {page: Page() for page in PAGES}


def missing(block: Block) -> str:
    """Why the block is not run; empty if it is."""
    if block.not_run:
        return block.not_run
    lacking = [name for name in block.needs if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


@pytest.mark.filterwarnings("ignore::eigenpair.degeneracy.DegeneracyWarning")
@pytest.mark.parametrize("block", [x for x in PYTHON if x.page not in OF_THEIR_OWN_PROCESS], ids=str)
def test_block(block, capsys):
    if why := missing(block):
        pytest.skip(why)
    pages[block.page].run(block)
    assert block.shown.strip() in capsys.readouterr().out


@pytest.mark.parametrize("page", OF_THEIR_OWN_PROCESS)
def test_page_in_its_own_process(page):
    code = "\n".join(block.code for block in blocks(page, "python") if not missing(block))
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_pictures_are_there_and_described(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for description, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
        assert ((ROOT / page).parent / path).exists()
        assert len(description.split()) > 5, f"{page}: say what is seen on {path}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "tests|csrc|python|julia|benchmarks|examples|tools|docs"
    for path in re.findall(rf"`((?:{folders})/[\w/.]+\.\w+)`", text):
        assert "NAME" in path or (ROOT / path).exists(), f"{page} names {path}"
