"""A hook for mkdocs: docstrings of the Julia package in the pages.

A line `::: julia NAME …` is replaced by the docstrings of these names, read from `julia/src` as text, so building the
pages needs no Julia. A name without a docstring is an error.
"""

from __future__ import annotations

import functools
import itertools
import re
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "julia" / "src"

# The line before a docstring.
_OPENS = re.compile(r'^(?:@doc\s+)?(?:raw)?"""$')
_DEFINITION = re.compile(
    r"^(?:@inline\s+|@noinline\s+|Base\.@constprop\s+:\w+\s+)*"
    r"(?:(?:abstract|mutable|primitive)\s+)?(?:function|struct|type|module|const|macro)?\s*(?:EigenPair\.)?([\w!]+)"
)
_DIRECTIVE = re.compile(r"^([ \t]*)::: julia ([^\n]+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\[`([^`]+)`\]\(@ref\)")

# Where a name of Julia's is described, for links between docstrings.
PAGES = {
    "eigh": "eigh.md",
    "EighResult": "eigh.md",
    "eigvalsh": "eigvalsh.md",
    **{f"{f}_{kind}": "eigh_banded.md" for f in ("eigh", "eigvalsh") for kind in ("tridiagonal", "banded")},
    **dict.fromkeys(("eigsh", "EigshResult", "eigsh_pullback", "eigsh_pushforward"), "eigsh.md"),
    "eig": "eig.md",
    "EigResult": "eig.md",
    "EigLeftResult": "eig.md",
    "EigBothResult": "eig.md",
    "eigvals": "eigvals.md",
    "condition_numbers": "condition_numbers.md",
    "spectral_map": "spectral_map.md",
    "spectral_sum": "spectral_sum.md",
    "spectral_projector": "spectral_projector.md",
    "fix_gauge": "fix_gauge.md",
    **dict.fromkeys(("matrix_function", "sqrtm", "logm", "signm"), "matrix_function.md"),
    **dict.fromkeys(("inv_sqrt", "power", "fermi_dirac", "chemical_potential"), "functions.md"),
    **dict.fromkeys(("check", "mask", "broaden", "raw", "with_policy", "count_refusals"), "degeneracy.md"),
    "DegeneracyPolicy": "degeneracy.md",
    **dict.fromkeys(("LAPACKHandle", "with_lapack", "set_library!", "library_path"), "native.md"),
    **dict.fromkeys(("check_grads", "GradientCheck", "InputCheck"), "check_grads.md"),
    **{f"{f}_{d}": "pullbacks.md" for f in ("eigh", "eigvalsh", "eig", "eigvals") for d in ("pullback", "pushforward")},
}


@functools.cache
def docstrings() -> dict[str, list[str]]:
    """Docstrings by the name that they describe; several where methods have one each."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.jl")):
        lines = iter(path.read_text(encoding="utf-8").split("\n"))
        for line in lines:
            if not line.count('"""') % 2:
                continue
            text = "".join(f"{x}\n" for x in itertools.takewhile(lambda x: '"""' not in x, lines))
            if not _OPENS.match(line):
                continue
            defined = _DEFINITION.match(next(lines, ""))
            # Also the names in the signature at the head, for one docstring that describes several.
            heads = re.findall(
                r"^    (?:[^=(]+ = )?(?:EigenPair\.)?([\w!]+)(?:\(|$)", text.split("\n\n")[0], re.MULTILINE
            )
            for name in dict.fromkeys([*([defined.group(1)] if defined else []), *heads]):
                found.setdefault(name, []).append(text)
    return found


def markdown_of(text: str, indent: str = "") -> str:
    """A Julia docstring as Markdown for these pages."""
    text = text.replace("\\\n", "").replace("\\$", "$").replace("\\\\", "\\")
    lines = text.rstrip().split("\n")
    # The signature: indented lines at the head.
    count = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("    ")), len(lines))
    signature = textwrap.dedent("\n".join(lines[:count])).strip()
    body = "\n".join(lines[count:])
    body = re.sub(r"^```(?:jldoctest|@example|@repl)[^\n]*$", "```julia", body, flags=re.MULTILINE)
    body = re.sub(r"^#+ (.+)$", r"**\1**", body, flags=re.MULTILINE)
    body = re.sub(r"^!!! (\w+)", r"!!! \1", body, flags=re.MULTILINE)
    body = _REFERENCE.sub(_link, body)
    # Continued lines are indented.
    signature = "\n".join(map(_wrapped, re.sub(r"\n\s+", " ", signature).split("\n")))
    head = f"```julia\n{signature}\n```\n\n" if signature else ""
    return textwrap.indent(head + body, indent)


def _wrapped(line: str, width: int = 76) -> str:
    """A signature too long for the page, with each keyword argument on a line of its own."""
    match = re.fullmatch(r"([^;]*);\s*(.*)\)", line)
    if len(line) <= width or not match:
        return line
    keywords = "".join(f"    {keyword},\n" for keyword in match[2].split(", "))
    return f"{match[1]};\n{keywords})"


def _link(match: re.Match[str]) -> str:
    name = match.group(1)
    page = PAGES.get(name.removeprefix("EigenPair.").split("(")[0])
    return f"[`{name}`]({page})" if page else f"`{name}`"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page."""

    def replaced(match: re.Match[str]) -> str:
        parts = []
        for name in match.group(2).split():
            if name not in docstrings():
                raise ValueError(f"{page.file.src_path}: EigenPair.jl has no docstring of {name}")
            parts += [markdown_of(text, match.group(1)) for text in docstrings()[name]]
        return f"\n\n{match.group(1)}---\n\n".join(parts)

    return _DIRECTIVE.sub(replaced, markdown)
