"""The version of Python, C and Julia packages: that of pyproject.toml. The others are compared with it, or set to it.

    python tools/version.py            prints it; exit status 1, and a line for each, where another file says otherwise
    python tools/version.py X.Y.Z      writes it everywhere

CMake and `eigenpair.__version__` read pyproject.toml, or what was installed from it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The first match in each file is the version.
PLACES = {
    "pyproject.toml": r'(?m)^version = "([^"]+)"',
    "julia/Project.toml": r'(?m)^version = "([^"]+)"',
    "julia/build_tarballs.jl": r'(?m)^version = v"([^"]+)"',
    "CITATION.cff": r"(?m)^version: (\S+)",
}


def read(name: str) -> str:
    """The version that a file names."""
    found = re.search(PLACES[name], (ROOT / name).read_text(encoding="utf-8"))
    return found[1] if found else "none"


def write(name: str, version: str) -> None:
    """Names another version in a file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.search(PLACES[name], text)
    assert found, f"{name} names no version"
    (ROOT / name).write_text(text[: found.start(1)] + version + text[found.end(1) :], encoding="utf-8")


def main() -> int:
    """The command line."""
    if len(sys.argv) > 1:
        if not re.fullmatch(r"\d+\.\d+\.\d+", sys.argv[1]):
            print(f"{sys.argv[1]} is no version like 1.2.3", file=sys.stderr)
            return 2
        for name in PLACES:
            write(name, sys.argv[1])
    version = read("pyproject.toml")
    print(version)
    others = {name: found for name in PLACES if (found := read(name)) != version}
    for name, found in others.items():
        print(f"{name} says {found}: python tools/version.py {version}", file=sys.stderr)
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main())
