"""Runs Python code in a new process, without the state of this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import time


def quick(*flags):
    """The environment of a process that compiles like this one, with additional `flags`."""
    return {"XLA_FLAGS": " ".join([*flags, os.environ.get("XLA_FLAGS", "")])}


# Of a process with eight devices on the CPU.
EIGHT_DEVICES = quick("--xla_force_host_platform_device_count=8")


def run(code, *, timeout=120, arguments=(), cpus=None, **environment):
    """The standard output of the code. `cpus`: the number of processors for the process, set before JAX counts them."""
    prelude = "import os\n"
    if cpus is not None:
        prelude += f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cpus}])\n"
    (output,) = run_together(prelude + textwrap.dedent(code), [arguments], timeout=timeout, **environment)
    return output


def run_together(code, arguments, *, timeout, **environment):
    """The standard outputs of several processes at once, one for each tuple of arguments. All have ended on return."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EIGENPAIR_", "JAX_", "XLA_"))}
    started = []
    with contextlib.ExitStack() as stack:
        for each in arguments:
            streams = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(2)]
            command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, each)]
            process = subprocess.Popen(command, stdout=streams[0], stderr=streams[1], env={**inherited, **environment})
            stack.callback(_end, process)
            started.append((process, *streams))
        deadline = time.monotonic() + timeout
        # Report the first that fails: the others may be waiting for it.
        while any(process.poll() is None for process, *_ in started):
            late = time.monotonic() > deadline
            if late or any(process.poll() for process, *_ in started):
                break
            time.sleep(0.02)
        outputs, complaints = [], []
        for process, out, err in started:
            out.seek(0)
            err.seek(0)
            outputs.append(out.read())
            if process.poll() != 0:
                status = "still running" if process.poll() is None else f"exit status {process.poll()}"
                complaints.append(f"{status}\n{outputs[-1]}\n{err.read()[-4000:]}")
        assert not complaints, "\n".join(complaints)
    return outputs


def _end(process):
    if process.poll() is None:
        process.kill()
        process.wait()
