"""python tests/conformance/write_results.py OUTPUT [FILE...]: writes Python's results for every case as JSON.

The format is that of julia/test/write_results.jl: `{"language", "results": {id: {"value", "gradient": {"a", "b"},
"hvp", "verdict"}}}`, matrices as in the cases, NaN written as null.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import cases  # noqa: E402 - computes in double precision from the start


def encode(case: cases.Case) -> dict[str, Any]:
    found = cases.compute(case)
    refused = any(x is not None and np.isnan(x).any() for x in found.gradient)
    return {
        "value": cases.without_nan(found.value),
        "gradient": dict(zip("ab", map(cases.as_json, found.gradient), strict=True)),
        "hvp": None if found.hvp is None else dict(zip("ab", map(cases.as_json, found.hvp), strict=True)),
        "verdict": "nan" if refused else "number",
    }


def results(files: list[str]) -> dict[str, Any]:
    chosen = {id: case for id, case in cases.load().items() if not files or case["file"] in files}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(cases.compute_group, {cases.kind(case) for case in chosen.values()}))
    return {id: encode(case) for id, case in chosen.items()}


def main(output: str, *files: str) -> None:
    found = results(list(files))
    Path(output).write_text(json.dumps({"language": "python", "results": found}), encoding="utf-8")
    print(f"{len(found)} cases written to {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
