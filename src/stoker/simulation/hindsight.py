"""How many workers would have been enough for a trace, chosen knowing what comes.  PURE."""

from __future__ import annotations

import heapq
import random
from math import ceil

from stoker.simulation.traces import Trace

WINDOW_S = 60.0


def hindsight_worker_s(trace: Trace, *, target_s: float, late: float, most: int) -> float:
    """Returns seconds of workers: for each minute the fewest, one at least, that begin it idle, ready at once, and make
    at most the share ``late`` wait longer than the target."""
    by_minute: list[list[float]] = [[] for _ in range(ceil(trace.duration_s / WINDOW_S))]
    for at in trace.arrivals():
        by_minute[int(at // WINDOW_S)].append(at)
    return sum(WINDOW_S * _fewest(trace, arrivals, target_s, late, most) for arrivals in by_minute)


def _fewest(trace: Trace, arrivals: list[float], target_s: float, late: float, most: int) -> int:
    """Halves the range between too few and enough."""
    too_few, enough = 0, most
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _late(trace, middle, arrivals, target_s) <= late:
            enough = middle
        else:
            too_few = middle
    return enough


def _late(trace: Trace, workers: int, arrivals: list[float], target_s: float) -> float:
    rng = random.Random(trace.seed + 2)
    free, late, at = [0.0] * workers, 0, 0
    while at < len(arrivals):
        now = max(arrivals[at], heapq.heappop(free))
        size = 1
        while size < trace.batch_size and at + size < len(arrivals) and arrivals[at + size] <= now:
            size += 1
        late += sum(now - accepted > target_s for accepted in arrivals[at : at + size])
        heapq.heappush(free, now + trace.took_s(rng, size))
        at += size
    return late / max(1, len(arrivals))
