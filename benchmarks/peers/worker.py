"""Runs cases in one process: `worker.py SPECIFICATION.json`. Started by run.py, which sets threads and monitors it.

Writes one line of JSON for each case to standard output, and the name of the running contender to a file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from typing import Any

import numpy as np
from peers import contenders, rounds
from peers.plan import OURS, Case

with open(sys.argv[1], encoding="utf-8") as file:
    SPECIFICATION = json.load(file)
# Output of the libraries goes to standard error, since standard output is for run.py.
CHANNEL = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
CURRENT = os.open(SPECIFICATION["current"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def now(case: Case, name: str) -> None:
    """One short system call, which wakes no thread."""
    os.pwrite(CURRENT, f"{case.id}\t{name}\n".ljust(200).encode(), 0)


def say(**content: Any) -> None:
    print(json.dumps(content), file=CHANNEL, flush=True)


def reason(error: BaseException) -> str:
    if isinstance(error, ImportError):
        return "not installed"
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def run(case: Case, excluded: dict[str, str]) -> None:
    given = contenders.data(case)
    calls, differences, left_out = {}, {}, dict(excluded)
    expected = None
    for name, maker in contenders.makers(case).items():
        if name in excluded:
            continue
        now(case, name)
        try:
            call = maker(case, given)
            output = contenders.answer(case, name, call())
            if name == OURS:
                expected = output
            elif expected is not None and output is not None:
                differences[name] = contenders.difference(case, expected, output)
            calls[name] = call
        except Exception as error:
            left_out[name] = reason(error)
            if not isinstance(error, ImportError):
                traceback.print_exc()
        say(alive=case.id)
    if expected is not None and not np.all(np.isfinite(expected)):
        left_out["warning"] = f"{OURS} returned what is not finite"
    effort = SPECIFICATION["effort"]
    times, repeat = rounds.measure(
        calls,
        n=case.n,
        seconds=effort["seconds"],
        rounds=effort["rounds"],
        least=effort["sample"],
        now=lambda name: now(case, name),
    )
    say(id=case.id, times=times, repeat=repeat, differences=differences, left_out=left_out)


def lapack() -> str:
    """SciPy's LAPACK, which all but torch and NumPy use."""
    from eigenpair import native

    info = native.lapack()
    return f"{info.get('internal_api', 'unknown')} {info.get('version') or ''} (SciPy's)"


def main() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    say(versions={"lapack": lapack()})
    fields = {field.name for field in dataclasses.fields(Case)}
    for spec in SPECIFICATION["cases"]:
        case = Case(**{k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k in fields})
        run(case, SPECIFICATION["excluded"].get(case.id, {}))
        jax.clear_caches()  # a process with a thousand compiled functions would not be typical


if __name__ == "__main__":
    main()
