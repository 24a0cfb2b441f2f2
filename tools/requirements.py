"""Prints the packages that must be installed, according to pyproject.toml, before the package is built without
isolation.

python tools/requirements.py EXTRA ... > requirements.txt
python tools/requirements.py --xla-headers     the jaxlib whose XLA headers the extension is built with

That jaxlib is older than the one that runs the tests, so the two are never installed in one environment.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
build = project["build-system"]["requires"]
(headers,) = (requirement for requirement in build if requirement.startswith("jaxlib"))
if sys.argv[1:] == ["--xla-headers"]:
    print(headers)
else:
    wanted = [requirement for requirement in build if requirement != headers]
    wanted += project["project"]["dependencies"]
    for extra in sys.argv[1:]:
        wanted += project["project"]["optional-dependencies"][extra]
    print("\n".join(dict.fromkeys(wanted)))
