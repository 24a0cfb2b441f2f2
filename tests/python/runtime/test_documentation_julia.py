"""Julia blocks of README.md and docs/ run, all of them in one process. See test_documentation.py for the comments that
mark a block."""

from __future__ import annotations

import julia_runner
import pytest
from pages import PAGES, ROOT, blocks

JULIA = [block for page in PAGES for block in blocks(page, "julia")]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """The outcome of each block: `("passed" | "skipped" | "failed", why)` by its file."""
    julia = julia_runner.find()
    if not julia:
        pytest.skip(julia.why_not)
    folder = tmp_path_factory.mktemp("pages")
    for block in JULIA:
        if not block.not_run:
            path = folder / file_of(block)
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.code)
            path.with_suffix(".needs").write_text("\n".join(block.needs))
    # -O1: most of the time goes into compiling code that runs once.
    script = ROOT / "tests" / "python" / "run_pages.jl"
    done = julia.run("-O1", script, folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in (folder / "verdicts").read_text().splitlines():
        verdict, path, *why = line.split(" ", 2)
        found[path.removeprefix(f"{folder}/")] = (verdict, *why, "")
    return found


def file_of(block) -> str:
    return f"{block.page.removesuffix('.md').replace('/', '_')}/{block.number:03}.jl"


@pytest.mark.parametrize("block", JULIA, ids=str)
def test_block(block, verdicts):
    if block.not_run:
        pytest.skip(block.not_run)
    verdict, why, *_ = verdicts[file_of(block)]
    if verdict == "skipped":
        pytest.skip(why)
    assert verdict == "passed", why


def test_doctests_of_the_julia_package():
    julia = julia_runner.find()
    if not julia:
        pytest.skip(julia.why_not)
    pages = sorted((ROOT / "julia" / "docs" / "src").glob("*.md"))
    done = julia.run("-O1", ROOT / "tests" / "python" / "run_doctests.jl", *pages, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
