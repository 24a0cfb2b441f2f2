"""All measurements, against other libraries: `python benchmarks/run.py`, or with --quick in less than two minutes.

Tables, plots and JSON go to benchmarks/results; with --publish, tables and plots to docs as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from limits import arithmetic, machine
from peers import fresh, plan, report, workers
from peers.plan import Case

HERE = pathlib.Path(__file__).parent
QUICK_LIMIT = 110  # seconds, after which remaining cases are left out, with a line that says so


class Bar:
    """Progress on standard error: a line that changes on a terminal, a line for each tenth elsewhere."""

    def __init__(self, total: int):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.live = sys.stderr.isatty()
        self.told = -1

    def show(self, text: str, step: int = 0) -> None:
        self.done += step
        spent = time.monotonic() - self.start
        rest = spent / self.done * (self.total - self.done) if self.done else math.nan
        left = f", about {_clock(rest)} left" if self.done else ""
        if self.live:
            filled = 30 * self.done // max(self.total, 1)
            line = f"[{'█' * filled}{'·' * (30 - filled)}] {self.done}/{self.total}  {_clock(spent)}{left}  {text}"
            print(f"\r\x1b[K{line[: os.get_terminal_size(2).columns - 1]}", end="", file=sys.stderr, flush=True)
        elif self.done * 10 // self.total > self.told:
            self.told = self.done * 10 // self.total
            print(f"{self.done}/{self.total} cases, {_clock(spent)}{left}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        print(f"{chr(13) + chr(27) + '[K' if self.live else ''}{text}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def chunks(cases: list[Case], mode: str) -> Iterator[list[Case]]:
    """Cases that share a process."""

    def key(case: Case) -> Any:
        # A quick run starts fewer processes.
        return (case.language, case.threads, case.group if mode == "full" or case.group == "startup" else "")

    parts = [list(part) for _, part in itertools.groupby(cases, key)]
    for part in parts:
        yield part
        if mode == "full" and part[0].group == "threads" and part[0].threads == 2:
            # Processes with one and with two threads cannot be interleaved more finely than this.
            yield from [p for p in parts if p[0].group == "threads"]


def measure(cases: list[Case], mode: str, limit: float, log: pathlib.Path) -> dict[str, Any]:
    """Results by case, and the facts about the run."""
    effort = plan.EFFORTS[mode]
    runner = workers.Runner(effort, log, time.monotonic() + limit)
    parts = list(chunks(cases, mode))
    bar = Bar(sum(len(part) for part in parts))
    results: dict[str, Any] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []

    def note(text: str) -> None:
        if text not in notes:
            notes.append(text)
            bar.say(text)

    def messages(part: list[Case]) -> Iterator[dict[str, Any]]:
        if part[0].group != "startup":
            yield from runner.run(part)
            return
        for case in part:
            pinned = workers.environment(case.threads), workers.pin(case.threads)
            for message in fresh.measure(case, effort.processes, *pinned, runner.deadline):
                if time.monotonic() > runner.deadline:
                    raise workers.TimeIsUp
                yield message

    for part in parts:
        bar.show(f"{part[0].group}: starting")
        try:
            for message in messages(part):
                versions |= message.get("versions", {})
                if "failure" in message:
                    note(message["failure"])
                if "id" not in message:
                    bar.show(message.get("alive", part[0].group))
                    continue
                for name, why in message["left_out"].items():
                    if name == "warning" or not why.startswith(("hung", "crashed", "not installed")):
                        note(f"{name} at {message['id']}: {why}")
                    elif why == "not installed" or "before" in why:
                        note(f"{name} is left out: {why}")  # of many cases; a hang or crash was noted as it happened
                merge(results, message, next(case for case in part if case.id == message["id"]))
                bar.show(message["id"], step=1)
        except workers.TimeIsUp:
            note(f"time is up after {limit:.0f} s: {bar.total - bar.done} of {bar.total} cases were not measured")
            break
        except RuntimeError as error:
            note(f"{part[0].group} is left out: {error}")
    bar.say(f"{bar.done} cases in {_clock(time.monotonic() - bar.start)}")
    return {"cases": list(results.values()), "versions": versions, "notes": notes}


def merge(results: dict[str, Any], message: dict[str, Any], case: Case) -> None:
    """A case that was measured in several processes has the rounds of all."""
    message.pop("alive", None)
    before = results.get(case.id)
    if before is not None:
        for name, times in before["times"].items():
            if name in message["times"]:
                message["times"][name] = times + message["times"][name]
    results[case.id] = {**case.spec(), **message}


def accuracy() -> None:
    """The picture of gradient errors, in docs."""
    subprocess.run([sys.executable, str(HERE / "accuracy.py")], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer sizes and rounds, less than two minutes")
    size.add_argument("--smoke", action="store_true", help="tiny sizes: whether all of this works, not how fast")
    parser.add_argument("--only", nargs="+", choices=plan.GROUPS, metavar="GROUP", help=", ".join(plan.GROUPS))
    parser.add_argument("--threads", type=int, default=2, help="of every library (default: 2)")
    parser.add_argument("--limit", type=float, help=f"seconds, then stop (default: none; {QUICK_LIMIT} with --quick)")
    parser.add_argument("--publish", action="store_true", help="write docs/performance_tables.md and its pictures")
    parser.add_argument("--report", action="store_true", help="measure nothing, report the last run again")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out, the workers are ended
    mode = "quick" if arguments.quick else "smoke" if arguments.smoke else "full"
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    if arguments.report:
        found = json.loads((folder / "performance.json").read_text(encoding="utf-8"))
    else:
        cases = [c for c in plan.cases(mode, arguments.threads) if not arguments.only or c.group in arguments.only]
        log = folder / "workers.log"
        log.write_text("", encoding="utf-8")
        before = machine.load()
        if busy := machine.busy(before):
            print(busy, file=sys.stderr)
        limit = arguments.limit or (QUICK_LIMIT if mode == "quick" else math.inf)
        measured = measure(cases, mode, limit, log)
        found = {
            "mode": mode,
            "threads": arguments.threads,
            "machine": machine.describe(before),
            "versions": {**machine.versions(), **measured["versions"]},
            "rate": arithmetic.rate(arguments.threads),
            "notes": [*filter(None, [busy]), *measured["notes"]],
            "cases": [report.with_statistics(case) for case in measured["cases"]],
        }
        (folder / "performance.json").write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    report.write(found, folder)
    if mode == "full" and not (arguments.only or arguments.report):
        accuracy()
    if arguments.publish:
        if found["mode"] != "full":
            print(f"Not published: this was a {found['mode']} run.", file=sys.stderr)
            return 1
        report.write(found, HERE.parent / "docs", publish=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
