"""Runs Python code in a process of its own, where nothing of this one is left."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run(code, *, timeout=120, arguments=(), cpus=None, **environment):
    """The standard output. `cpus`: how many the process may use, fixed before JAX counts them."""
    prelude = "import os\n"
    if cpus is not None:
        prelude += f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cpus}])\n"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EIGENPAIR_", "JAX_", "XLA_"))}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**inherited, **environment},
        check=False,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr[-4000:]}"
    return result.stdout
