"""Write the reference cases, or check that the files agree with the oracle.

    python tests/cases/generate.py                  write all files
    python tests/cases/generate.py hermitian        only that file
    python tests/cases/generate.py --check          recompute a fixed random sample and compare it byte for byte

Every machine writes the same bytes: inputs are seeded by the case's id, and no BLAS is used.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpmath
import plan_functions
import plan_general
import plan_hermitian
import plan_pairs
import plan_spectral
import plan_tridiagonal
from oracle import FIRST_DIGITS, SECOND_DIGITS
from oracle_cases import Spec, assemble
from oracle_inputs import WORK_DIGITS, Redraw

HERE = Path(__file__).resolve().parent
FAMILIES = {"hermitian": plan_hermitian, "spectral": plan_spectral, "general": plan_general}
FAMILIES |= {"pairs": plan_pairs, "functions": plan_functions, "tridiagonal": plan_tridiagonal}
ATTEMPTS = 400
CHECK_SHARE, CHECK_TIME = 0.05, 0.02  # shares of the cases and of the time
Job = tuple[str, Spec]


def make_case(job: Job) -> str:
    """One case as a line of JSON, from the first draw of random inputs that makes a good test."""
    family, spec = job
    mpmath.mp.dps = WORK_DIGITS
    for attempt in range(ATTEMPTS):
        rng = random.Random(f"{spec.id}#{attempt}")
        try:
            return json.dumps(
                assemble(spec, FAMILIES[family].build(spec, rng), rng), ensure_ascii=False, allow_nan=False
            )
        except Redraw:
            continue
    raise RuntimeError(f"{spec.id}: no good draw in {ATTEMPTS}")


def header(count: int) -> str:
    """The `oracle` object of a file."""
    about = {
        "generator": "tests/cases/generate.py",
        "arithmetic": "mpmath",
        "digits": {"first_order": FIRST_DIGITS, "second_order": SECOND_DIGITS},
        "derivatives": "central differences of the documented function",
        "cases": count,
    }
    return json.dumps(about)


def run(jobs: list[Job], workers: int) -> Iterator[str]:
    """The cases of all jobs, in order, with a counter on stderr."""
    begun = time.monotonic()
    with multiprocessing.Pool(workers) as pool:
        for done, line in enumerate(pool.imap(make_case, jobs), 1):
            if sys.stderr.isatty() or done % 25 == 0 or done == len(jobs):
                end = "\r" if sys.stderr.isatty() and done < len(jobs) else "\n"
                print(
                    f"{done}/{len(jobs)} cases, {time.monotonic() - begun:.0f} s", end=end, file=sys.stderr, flush=True
                )
            yield line


def family_specs(family: str) -> list[Spec]:
    """The specifications of one file, after checking that ids are unique."""
    specs = FAMILIES[family].specs()
    ids = [s.id for s in specs]
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise ValueError(f"{family}: repeated ids {repeated}")
    return specs


def write(family: str, workers: int) -> None:
    """Write one file, a case a line."""
    jobs = [(family, s) for s in family_specs(family)]
    lines = list(run(jobs, workers))
    body = ",\n".join(lines)
    (HERE / f"{family}.json").write_text(
        f'{{"oracle": {header(len(lines))},\n"cases": [\n{body}\n]}}\n', encoding="utf-8"
    )


def cost(spec: Spec) -> float:
    """Roughly how long a case takes, relative to a real 2×2 gradient."""
    entries = spec.n**2 * (1 + spec.complex) * (1 + bool(spec.kind))
    return entries * spec.n**2 * (5 if spec.order == 2 else 1)


def sample(jobs: list[Job]) -> list[Job]:
    """A fixed random share of the jobs, the slowest left out."""
    budget, picked = CHECK_TIME * sum(cost(s) for _, s in jobs), []
    for job in random.Random("check").sample(jobs, len(jobs)):
        if len(picked) < CHECK_SHARE * len(jobs) and cost(job[1]) <= budget:
            budget -= cost(job[1])
            picked.append(job)
    return picked


def check(families: list[str], workers: int) -> int:
    """Recompute a sample and compare; also the list of ids. The exit status."""
    jobs: list[Job] = []
    stored: dict[str, str] = {}
    problems = []
    for family in families:
        specs = family_specs(family)
        lines = (HERE / f"{family}.json").read_text(encoding="utf-8").splitlines()[2:-1]
        found: dict[str, str] = {json.loads(x.removesuffix(","))["id"]: x.removesuffix(",") for x in lines}
        if list(found) != [s.id for s in specs]:
            problems.append(f"{family}.json does not hold the planned cases in order")
        stored |= found
        jobs += [(family, s) for s in specs]
    jobs = sample(jobs)
    for (family, spec), line in zip(jobs, run(jobs, workers), strict=True):
        if stored.get(spec.id) != line:
            problems.append(f"{family}.json: {spec.id} differs")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(jobs)} cases recomputed, {len(problems)} problems")
    return int(bool(problems))


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", choices=[*FAMILIES, []], help="which files (default: all)")
    parser.add_argument("--check", action="store_true", help="recompute a sample and compare, write nothing")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    args = parser.parse_args(argv)
    families: list[Any] = args.families or list(FAMILIES)
    if args.check:
        return check(families, args.workers)
    for family in families:
        write(family, args.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
