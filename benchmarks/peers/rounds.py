"""Interleaved rounds: A B C, B C A, C A B, …, so that whatever the machine does meanwhile meets all contenders."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from typing import Any

PAUSE_LARGE, PAUSE_SMALL = 0.03, 0.002
LARGE = 64
LONG = 0.02  # seconds: a call as long as this needs no other to warm it up


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

    `now` hears who is about to run, so that somebody outside knows who hangs. All have been called before.
    """
    # Threads that have worked spin for a while before they sleep (OpenBLAS's for some 20 ms), at the cost of who is
    # next. Below this size LAPACK uses none.
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
                    calls[name]()  # wakes its threads, and brings its data back into the caches
                times[name].append(sample(calls[name], repeat[name]))
    finally:
        gc.enable()
    return times, repeat
