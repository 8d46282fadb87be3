"""Times a fixed piece of work on each core around a measurement: shows how fast the cores were.

A core of a virtual machine may be one thread of a physical core.  While another guest works on the other thread, the
same work takes up to twice the CPU time.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable

from stoker.bench.measure import Measured

MOST_CORES = 16
REPEATS = 4
"""Repeats on each core, of which the fastest counts; one takes about a millisecond."""


def around(measure: Callable[[], Measured]) -> tuple[Measured, float | None]:
    """Measures. Also returns the mean milliseconds of the work on the cores before and after; None if not timed."""
    before = time_cores()
    measured = measure()
    times = before + time_cores()
    return measured, statistics.fmean(times) if times else None


def time_cores() -> list[float]:
    """Returns the work's milliseconds on each core, on `MOST_CORES` at most; empty where threads cannot be pinned."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = os.sched_getaffinity(0)
    cores = sorted(allowed)[:: math.ceil(len(allowed) / MOST_CORES)]
    try:
        try:
            return [_work_ms_on(core) for core in cores]
        finally:
            os.sched_setaffinity(0, allowed)
    except OSError:
        return []


def _work_ms_on(core: int) -> float:
    os.sched_setaffinity(0, {core})
    return min(_work_ms() for _ in range(REPEATS))


def _work_ms() -> float:
    """Returns the CPU time of the work."""
    began = time.thread_time()
    total = 0
    for number in range(12_000):
        total += number * number % 7
    return (time.thread_time() - began) * 1e3
