"""Measurements that need a new process: time to import, time of the first call, peak memory of a gradient.

`fresh.py TASK CONTENDER N` measures one and prints it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator

from peers.plan import OURS, Case

TIMEOUT = 180
CONTENDERS = {
    "import": (OURS, "eigh (package)"),
    "first_call": (OURS, "jax.numpy", "eigh (package)"),
    "memory": (OURS, "jax.numpy", "eigh (package)", "torch"),
}


def measure(
    case: Case, processes: int, environment: dict[str, str], start: Callable[[], None], deadline: float
) -> Iterator[dict]:
    """One dictionary, as the workers write it; before that, one empty for each process that ended."""
    names = list(CONTENDERS[case.task])
    times: dict[str, list[float]] = {name: [] for name in names}
    left_out: dict[str, str] = {}
    # The memory is the same every time. The first of the times fills the disk's cache and is not used.
    rounds = 1 if case.task == "memory" else processes + (processes > 1)
    for k in range(rounds):
        turn = k % len(names)
        for name in names[turn:] + names[:turn]:
            if name in left_out:
                continue
            command = [sys.executable, __file__, case.task, name, str(case.n)]
            limit = max(1, min(TIMEOUT, deadline - time.monotonic()))
            try:
                done = subprocess.run(
                    command, env=environment, preexec_fn=start, capture_output=True, text=True, timeout=limit
                )
                if done.returncode:
                    left_out[name] = _reason(done.stderr)
                elif k > 0 or rounds == 1:
                    times[name].append(float(done.stdout.split()[-1]))
            except subprocess.TimeoutExpired:
                left_out[name] = f"no end after {limit:.0f} s"
            yield {}
    times = {name: values for name, values in times.items() if values and name not in left_out}
    yield {"id": case.id, "times": times, "repeat": {}, "differences": {}, "left_out": left_out}


def _reason(stderr: str) -> str:
    """The line that names the exception: JAX adds others below it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["it says nothing"]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exit|Exception)\b", line)] or lines[-1:]
    return "not installed" if named[-1].startswith("ModuleNotFoundError") else named[-1][:200]


# ---- in the child -------------------------------------------------------------------------------------------------


def import_time(name: str, _n: int) -> float:
    import jax
    import jax.numpy  # noqa: F401

    start = time.perf_counter()
    if name == OURS:
        import eigenpair  # noqa: F401
    else:
        import eigh  # noqa: F401
    return time.perf_counter() - start


def _solver(name: str) -> Callable:
    if name == OURS:
        import eigenpair

        return eigenpair.eigh
    if name == "jax.numpy":
        import jax.numpy as jnp

        return jnp.linalg.eigh
    import eigh

    return eigh.eigh


def _jax_gradient(name: str) -> Callable:
    import jax

    jax.config.update("jax_enable_x64", True)
    solve = _solver(name)
    return jax.jit(jax.value_and_grad(lambda a, c: (c * solve(a)[1] ** 2).sum()))


def _matrices(n: int) -> tuple:
    import numpy as np

    m, c = np.random.default_rng(n).normal(size=(2, n, n))
    return m + m.T, c


def first_call(name: str, n: int) -> float:
    import jax

    gradient = _jax_gradient(name)
    arguments = tuple(jax.numpy.asarray(x) for x in _matrices(n))
    # An unrelated function first, so that JAX's one-time setup is not counted.
    jax.block_until_ready(jax.jit(lambda a, c: a @ c)(*arguments))
    start = time.perf_counter()
    jax.block_until_ready(gradient(*arguments))
    return time.perf_counter() - start


def _resident(field: str) -> int:
    """Bytes: VmRSS now, VmHWM at most since the counter was reset."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def memory(name: str, n: int) -> float:
    """The peak of memory during the call above the memory before it (which has the matrix), in multiples of the
    matrix."""
    import os

    if not os.path.exists("/proc/self/clear_refs"):
        raise SystemExit("needs /proc/self/clear_refs, which Linux has")
    if name == "torch":
        import torch

        a, c = (torch.tensor(x) for x in _matrices(n))

        def call(a, c):
            x = a.requires_grad_()
            return torch.autograd.grad((c * torch.linalg.eigh(x)[1] ** 2).sum(), x)

        small = tuple(torch.tensor(x) for x in _matrices(16))
    else:
        import jax

        f = _jax_gradient(name)
        a, c = (jax.numpy.asarray(x) for x in _matrices(n))
        small = tuple(jax.numpy.asarray(x) for x in _matrices(16))
        compiled = {x.shape: f.lower(x, x).compile() for x in (a, small[0])}

        def call(a, c):
            return jax.block_until_ready(compiled[a.shape](a, c))

    call(*small)  # loads what is loaded only once
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")
    before = _resident("VmRSS")
    result = call(a, c)
    peak = _resident("VmHWM")
    del result
    return (peak - before) / (8 * n * n)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the package eigh warns that there is no CUDA
    task = {"import": import_time, "first_call": first_call, "memory": memory}[sys.argv[1]]
    print(task(sys.argv[2], int(sys.argv[3])))
