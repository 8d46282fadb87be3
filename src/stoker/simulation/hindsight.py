"""Finds the fewest workers that would have held the target on a trace, given that all of it is known.  PURE.

The number of workers changes from minute to minute. One queue lasts from the first request to the last, so requests
left over from a minute wait in the next one. Added workers start in advance, and count while they start; removed ones
finish what they have begun. Any requests may be late, as with autoscaling, up to a share of all.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from stoker.simulation.traces import Trace

WINDOW_S = 60.0
_LOOKS_AHEAD = 4  # minutes within which requests left over from a minute are worked off


class _State(NamedTuple):
    """Numbers of jobs and batches begun by the end of a minute, and the times until which workers are busy."""

    jobs: int = 0
    batches: int = 0
    busy_until: tuple[float, ...] = ()


class Hindsight:
    """``late``: the share of all requests that may wait longer than ``target_s``. ``most``: limit of workers."""

    def __init__(self, trace: Trace, *, target_s: float, late: float, most: int) -> None:
        rng = random.Random(trace.seed + 1)
        self._trace, self._target_s, self._late, self._most = trace, target_s, late, most
        self._arrivals = trace.arrivals()
        self._took_alone_s = [trace.took_s(rng, 1) for _ in self._arrivals]
        self._minutes = ceil(trace.duration_s / WINDOW_S)

    def worker_s(self) -> float:
        """Returns the seconds that all workers run."""
        counts = self._fewer(self._enough())
        started = sum(max(0, after - before) for before, after in pairwise(counts))
        seconds = (min(WINDOW_S, self._trace.duration_s - minute * WINDOW_S) for minute in range(self._minutes))
        worked = sum(count * length for count, length in zip(counts, seconds, strict=True))
        return worked + started * self._trace.start_s

    def fixed(self) -> int:
        """Returns the fewest workers that hold the target if their number never changes."""
        too_few, enough = 0, self._most
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            holds = self.late_share_of(middle) <= self._late
            too_few, enough = (too_few, middle) if holds else (middle, enough)
        return enough

    def late_share_of(self, workers: int) -> float:
        """Returns the share of requests that are late if there are always so many ``workers``."""
        return sum(self._replay([workers] * self._minutes)[1]) / max(1, len(self._arrivals))

    # -------------------------------------------------------------------------------------- the numbers

    def _enough(self) -> list[int]:
        """Returns for each minute the fewest workers that hold the target for the requests of that minute alone."""
        counts, state, first = [], _State(), 0
        for minute in range(self._minutes):
            end = (minute + 1) * WINDOW_S
            last = bisect_left(self._arrivals, end)
            too_few, enough = 0, self._most
            while enough - too_few > 1:
                middle = (too_few + enough) // 2
                late, after = self._minute(state, minute, middle)
                unbegun = self._too_late(after.jobs, min(end, self._trace.duration_s))
                holds = late + unbegun <= self._late * (last - first)
                too_few, enough = (too_few, middle) if holds else (middle, enough)
            counts.append(enough)
            state, first = self._minute(state, minute, enough)[1], last
        return counts

    def _fewer(self, counts: list[int]) -> list[int]:
        """Removes workers one by one, each where that makes the fewest requests late, until no more may be late."""
        may_be_late = self._late * len(self._arrivals)
        states, late = self._replay(counts)
        while True:
            total = sum(late)
            more = {
                minute: self._more_late(counts, minute, states, late)
                for minute in range(self._minutes)
                if counts[minute] > 1
            }
            minute = min(more, key=more.__getitem__, default=None)
            if minute is None or total + more[minute] > may_be_late:
                return counts
            fewer = [*counts[:minute], counts[minute] - 1, *counts[minute + 1 :]]
            states, late = self._replay(fewer)
            if sum(late) > may_be_late:
                return counts
            counts = fewer

    def _more_late(self, counts: Sequence[int], minute: int, states: Sequence[_State], late: Sequence[int]) -> int:
        """Returns how many more requests are late if this minute has one worker less."""
        state, more = states[minute], 0
        for number in range(minute, min(self._minutes, minute + _LOOKS_AHEAD)):
            if number > minute and state == states[number]:
                break
            now_late, state = self._minute(state, number, counts[number] - (number == minute))
            more += now_late - late[number]
        return more

    # ------------------------------------------------------------------------------------------- replay

    def _replay(self, counts: Sequence[int]) -> tuple[list[_State], list[int]]:
        """Returns the state at the beginning of each minute, and how many requests were late in it."""
        states, late, state = [], [], _State()
        for minute, count in enumerate(counts):
            states.append(state)
            now_late, state = self._minute(state, minute, count)
            late.append(now_late)
        late[-1] += self._too_late(state.jobs, self._trace.duration_s)
        return states, late

    def _minute(self, state: _State, minute: int, workers: int) -> tuple[int, _State]:
        """Returns how many requests begin in this minute and are late, and the state at its end."""
        begin, end = minute * WINDOW_S, (minute + 1) * WINDOW_S
        busy = sorted(state.busy_until)[max(0, len(state.busy_until) - workers) :]
        free = [*busy, *[begin] * (workers - len(busy))]
        heapq.heapify(free)
        job, batch, late = state.jobs, state.batches, 0
        arrivals, jobs, at_most, target_s = self._arrivals, len(self._arrivals), self._trace.batch_size, self._target_s
        while job < jobs and (now := max(arrivals[job], free[0])) < end:
            late += now - arrivals[job] > target_s
            size = 1
            while size < at_most and job + size < jobs and arrivals[job + size] <= now:
                late += now - arrivals[job + size] > target_s
                size += 1
            took_s = self._took_alone_s[batch] * (1 + self._trace.marginal * (size - 1))
            heapq.heapreplace(free, now + took_s)
            job, batch = job + size, batch + 1
        return late, _State(job, batch, tuple(until for until in free if until > end))

    def _too_late(self, job: int, now: float) -> int:
        """Returns how many of the requests from number ``job`` on have waited too long by ``now``."""
        return max(0, bisect_left(self._arrivals, now - self._target_s) - job)
