"""Searches for Julia once, and prints one line at the end: what ran in Julia, or what was skipped."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import julia_runner

NEEDS_JULIA = ("test_cross_language", "test_one_process")
_counts: Counter[str] = Counter()
_why_not: list[str] = []


@pytest.fixture(scope="session")
def julia():
    """The Julia to use. With EIGENPAIR_REQUIRE_JULIA=1 its absence is a failure, else a skip."""
    found = julia_runner.find()
    if not found:
        _why_not[:] = [found.why_not]
        pytest.skip(f"no Julia: {found.why_not}")
    return found


def pytest_runtest_logreport(report):
    if report.failed and "EIGENPAIR_PART" in os.environ:
        # The run may be ended before its summary.
        print(
            f"\nFAILED {report.nodeid}: {str(report.longrepr).strip().splitlines()[-1]}",
            file=sys.__stdout__,
            flush=True,
        )
    if any(f"/{name}.py" in report.nodeid for name in NEEDS_JULIA):
        if report.skipped:
            _counts["skipped"] += 1
        elif report.when == "call":
            _counts["compared"] += 1


def pytest_terminal_summary(terminalreporter):
    if _why_not:
        terminalreporter.write_line(f"Python against Julia: {_counts['skipped']} tests skipped, for {_why_not[0]}")
    elif _counts:
        terminalreporter.write_line(f"Python against Julia: {_counts['compared']} comparisons made")
