"""The pages of the documentation and the code in them, for the tests."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]

# A fence, indented where it is in a content tab, and a comment in the line before it.
_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<key>not run|needs): (?P<value>.*?) -->\n(?:[ ]*\n)?)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.DOTALL | re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    number: int  # among the blocks of its language
    line: int
    code: str
    shown: str  # what the page says that it prints
    not_run: str
    needs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, language: str) -> list[Block]:
    """The blocks of a page in one language, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Block] = []
    last = ""
    for match in _FENCE.finditer(text):
        code, here = textwrap.dedent(match["code"]), match["language"]
        if here == "text" and last == language:
            found[-1] = dataclasses.replace(found[-1], shown=code)
        elif here == language:
            not_run = match["value"] if match["key"] == "not run" else ""
            needs = tuple(match["value"].split(", ")) if match["key"] == "needs" else ()
            line = text.count("\n", 0, match.start("code")) + 1
            found.append(Block(page, len(found), line, code, "", not_run, needs))
        last = here
    return found
