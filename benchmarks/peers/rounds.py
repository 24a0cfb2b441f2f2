"""Interleaved rounds, A B C, B C A, C A B, …, so that other load of the machine affects all contenders alike."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from typing import Any

PAUSE_LARGE, PAUSE_SMALL = 0.03, 0.002
LARGE = 64
LONG = 0.02  # seconds: a call that takes longer needs no warm-up


def sample(call: Callable[[], Any], repeat: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) / repeat


def measure(
    calls: dict[str, Callable[[], Any]],
    *,
    n: int,
    seconds: float,
    rounds: tuple[int, int],
    least: float,
    now: Callable[[str], None],
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds per call of each contender in each round, and how many calls made one sample.

    `now` is called with the name of the contender that is about to run, so that the parent process knows which one
    hangs. All have been called before.
    """
    # After work, threads wait in a busy loop for a while (OpenBLAS's for about 20 ms) and slow down the next contender.
    # Below this size LAPACK uses no threads.
    pause = PAUSE_LARGE if n >= LARGE else PAUSE_SMALL
    repeat, cost, long = {}, 0.0, set()
    for name, call in calls.items():
        now(name)
        once = sample(call, 1)
        if once < LONG:
            once = min(once, sample(call, 1))
        repeat[name] = max(1, math.ceil(least / once))
        if once >= LONG:
            long.add(name)
        cost += once * (repeat[name] + (name not in long)) + pause
    count = min(max(math.floor(seconds / cost), rounds[0]), rounds[1])
    names = list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for k in range(count):
            turn = k % len(names)
            for name in names[turn:] + names[:turn]:
                now(name)
                time.sleep(pause)
                if name not in long:
                    calls[name]()  # wakes its threads and fills the caches
                times[name].append(sample(calls[name], repeat[name]))
    finally:
        gc.enable()
    return times, repeat
