"""Starts workers with pinned threads, monitors them, and continues without a contender that hangs or crashes."""

from __future__ import annotations

import json
import os
import pathlib
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from peers.plan import Case, Effort

HERE = pathlib.Path(__file__).parent
BENCHMARKS = HERE.parent
sys.path.insert(0, str(BENCHMARKS.parent / "tools"))
STRIKES = 2  # hangs and crashes after which a contender is not tried again
START = 300  # seconds for a worker to begin: Julia may have to compile its packages first


class TimeIsUp(Exception):
    """The whole run has reached its limit."""


def environment(threads: int) -> dict[str, str]:
    """Every library that reads the environment gets the same number of threads."""
    names = ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM", "BLIS", "NUMEXPR", "JULIA")
    return {
        **os.environ,
        **{f"{name}_NUM_THREADS": str(threads) for name in names},
        "PYTHONPATH": str(BENCHMARKS),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
    }


def pin(threads: int) -> Callable[[], None]:
    """For the child: as many processors as threads, which is also how XLA counts its own."""

    def start() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

    return start


class Runner:
    """Runs chunks of cases; remembers which contenders are excluded."""

    def __init__(self, effort: Effort, log: pathlib.Path, deadline: float):
        self.effort, self.log, self.deadline = effort, log, deadline
        self.strikes: dict[str, int] = {}
        self.excluded: dict[str, dict[str, str]] = {}

    def run(self, cases: list[Case]) -> Iterator[dict[str, Any]]:
        """The workers' results for cases with the same language and number of threads, without those that hang or
        crash."""
        left = list(cases)
        while left:
            for message, done in self._worker(left):
                yield message
                if done is not None:
                    left = [case for case in left if case.id != done]

    def _exclusions(self, cases: list[Case]) -> dict[str, dict[str, str]]:
        for name, count in self.strikes.items():
            if count >= STRIKES:
                for case in cases:
                    self.excluded.setdefault(case.id, {}).setdefault(name, f"hung or crashed {count} times before")
        return self.excluded

    def _worker(self, cases: list[Case]) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Messages of one worker, with the case that each one ends."""
        with tempfile.TemporaryDirectory() as folder, self.log.open("a", encoding="utf-8") as log:
            current = pathlib.Path(folder) / "current"
            specification = pathlib.Path(folder) / "specification.json"
            content = {
                "cases": [case.spec() for case in cases],
                "effort": vars(self.effort),
                "excluded": self._exclusions(cases),
                "current": str(current),
            }
            specification.write_text(json.dumps(content), encoding="utf-8")
            threads = cases[0].threads
            command, variables = [sys.executable, "-m", "peers.worker"], environment(threads)
            if cases[0].language == "julia":
                import julia_runner

                julia = julia_runner.find()
                if not julia:
                    raise RuntimeError(julia.why_not)
                command, variables = julia.command(HERE / "worker.jl"), {**julia.environment(), **variables}
            process = subprocess.Popen(
                [*command, str(specification)],
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                preexec_fn=pin(threads),
                start_new_session=True,
            )
            try:
                how = None
                for line in self._lines(process, current, cases[0].language):
                    if line is None:
                        how = "hung"
                        break
                    message = json.loads(line)
                    yield message, message.get("id")
                code = None if how else process.wait()
                if how or code:
                    yield self._failure(cases, current, how or f"crashed (exit status {code})")
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _failure(self, cases: list[Case], current: pathlib.Path, how: str) -> tuple[dict[str, Any], str | None]:
        """Excludes the contender that was running; the case is repeated without it."""
        text = current.read_text(encoding="utf-8").strip() if current.exists() else ""
        if "\t" not in text:
            raise RuntimeError(f"the worker {how} before its first case; see {self.log}")
        case, name = text.split("\t")
        if name in self.excluded.get(case, {}):
            raise RuntimeError(f"the worker {how} outside of its cases; see {self.log}")
        self.strikes[name] = self.strikes.get(name, 0) + 1
        self.excluded.setdefault(case, {})[name] = how
        return {"failure": f"{name} {how} at {case}"}, None

    def _lines(self, process: subprocess.Popen, current: pathlib.Path, language: str) -> Iterator[str | None]:
        """Lines as they come, `None` after too long without a line and without a change of the running contender."""
        silence = self.effort.silence * (4 if language == "julia" else 1)  # Julia compiles more
        heard, buffer = time.time(), b""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if time.monotonic() > self.deadline:
                    raise TimeIsUp
                if selector.select(timeout=0.5):
                    some = os.read(process.stdout.fileno(), 1 << 16)
                    if not some:
                        return
                    heard, buffer = time.time(), buffer + some
                    *lines, buffer = buffer.split(b"\n")
                    for line in lines:
                        yield line.decode()
                    continue
                begun = current.exists() and current.stat().st_size > 0
                last = max(heard, current.stat().st_mtime if begun else 0)
                if time.time() - last > (silence if begun else START):
                    yield None
                    return
