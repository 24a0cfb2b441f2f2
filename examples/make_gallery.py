"""The gallery of the documentation, made from the scripts in `examples/gallery`.

    python examples/make_gallery.py [NAME …]    runs them, or all; pictures, docs/gallery.md and the notebooks
    python examples/make_gallery.py --page      docs/gallery.md and the notebooks alone; runs nothing

A script begins with its title and what it shows. Its last paragraph describes the picture, for those who do not see it.
Cells begin with `# %%`. Julia scripts are run where there is a Julia (see tools/julia_runner.py).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS, PICTURES = ROOT / "examples" / "gallery", ROOT / "docs" / "gallery"
ORDER = [
    "huckel",
    "hartree_fock",
    "truss",
    "whitening",
    "laplacian",
    "laplacian.jl",
    "stability",
    "rcwa",
    "inverse",
    "inverse.jl",
    "purification",
]
HEAD = """<!-- Written by examples/make_gallery.py from the scripts. -->
# Gallery

Scripts to copy. Each runs in less than a minute on two cores, prints what it found, checks it, and makes its picture.
`make demo` runs two more, [water and graphene](#water-and-graphene).

"""
TAIL = """## Water and graphene

`make demo` runs these two, and compares them with PySCF, with formulas by hand, and Python with Julia.

![Water's orbital energies against bond length and angle, with the computed gradients as tangents](water.png)

![Graphene's bands along Γ–K–M–Γ and their velocities](graphene.png)

## Large operators

`examples/phononic.py` widens the band gap of a phononic crystal, and `examples/waveguide.py` designs a waveguide for a
group index. Both differentiate [`eigsh`](reference/eigsh.md).
"""


class Script(NamedTuple):
    """A script of the gallery, taken apart."""

    path: Path
    title: str
    text: str
    picture: str  # in words
    code: str

    @property
    def image(self) -> str:
        """The file that it writes."""
        return f"{self.path.stem}.png" if self.path.suffix == ".py" else f"{self.path.stem}_julia.svg"


def read(path: Path) -> Script:
    """The script's head and its code."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        _, head, code = source.split('"""', 2)
    else:
        head, code = re.fullmatch(r"((?:#[^\n]*\n)+)\n(.*)", source, re.DOTALL).groups()
        head = re.sub(r"^# ?", "", head, flags=re.MULTILINE)
    title, *text, picture = head.strip().split("\n\n")
    picture = " ".join(picture.removeprefix("Picture: ").split())
    return Script(path, title.rstrip("."), "\n\n".join(text), picture, code.strip() + "\n")


def scripts() -> list[Script]:
    """All of them, in the order of the page."""
    return [read(SCRIPTS / (name if name.endswith(".jl") else f"{name}.py")) for name in ORDER]


def page() -> str:
    """docs/gallery.md."""
    parts = []
    for script in scripts():
        language = "python" if script.path.suffix == ".py" else "julia"
        notebook = f" [Notebook](gallery/{script.path.stem}.ipynb)." if language == "python" else ""
        parts.append(
            f"## {script.title}\n\n{script.text}\n\n![{script.picture}](gallery/{script.image})\n\n"
            f"`examples/gallery/{script.path.name}`.{notebook}\n\n"
            # Not a block of the page: it is the file, and tested as such.
            f'??? example "The script"\n\n    ```{{ .{language} }}\n'
            f'    --8<-- "examples/gallery/{script.path.name}"\n    ```\n'
        )
    return HEAD + "\n".join(parts) + "\n" + TAIL


def notebook(script: Script) -> str:
    """The script as a Jupyter notebook: its head and the comments at cells' beginnings as text."""
    cells = [("markdown", f"# {script.title}\n\n{script.text}")]
    for cell in re.split(r"^# %%", script.code, flags=re.MULTILINE):
        comment, _, code = cell.partition("\n")
        cells += [("markdown", comment.strip())] * bool(comment.strip()) + [("code", code.strip())] * bool(code.strip())
    extra = {"code": {"execution_count": None, "outputs": []}, "markdown": {}}
    body = [
        {"cell_type": kind, "id": f"cell-{k}", "metadata": {}, "source": text, **extra[kind]}
        for k, (kind, text) in enumerate(cells)
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    whole = {"cells": body, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def run(script: Script, folder: Path) -> float | None:
    """Seconds that it took, or `None` where it cannot run. The picture goes to the folder."""
    started = time.monotonic()
    if script.path.suffix == ".py":
        environment = {**os.environ, "MPLBACKEND": "Agg"}
        subprocess.run([sys.executable, script.path], cwd=folder, env=environment, check=True)
    else:
        sys.path.insert(0, str(ROOT / "tools"))
        import julia_runner

        julia = julia_runner.find()
        if not julia:
            print(f"{script.path.name}: {julia.why_not}")
            return None
        julia.run(script.path, cwd=folder).check_returncode()
    return time.monotonic() - started


def main() -> None:
    """The command line."""
    PICTURES.mkdir(exist_ok=True)
    for script in scripts():
        if script.path.suffix == ".py":
            (PICTURES / f"{script.path.stem}.ipynb").write_text(notebook(script), encoding="utf-8")
        if not sys.argv[1:] or script.path.stem in sys.argv[1:] or script.path.name in sys.argv[1:]:
            print(f"── {script.title}")
            seconds = run(script, PICTURES)
            if seconds is not None:
                print(f"   {seconds:.0f} s")
    (ROOT / "docs" / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
