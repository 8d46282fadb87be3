"""Finds the earliest deadline of all unanswered jobs.  PURE.

Answered jobs are skipped when they reach the top, and swept out when there are many: each operation is O(log n)
amortised.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from stoker.core.job import OVER, Job

_SWEEP_SLACK = 256  # sweeping tiny heaps costs more than it frees


class Deadlines:
    """The deadlines of jobs that wait or run. ``heap``: may contain answered jobs, too; empty: there are none."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Job]] = []
        self._count = 0  # breaks ties, because jobs cannot be compared
        self._sweep_at = _SWEEP_SLACK

    def add(self, job: Job) -> None:
        assert job.deadline is not None
        self._count += 1
        heapq.heappush(self.heap, (job.deadline, self._count, job))
        if len(self.heap) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        self.heap = [entry for entry in self.heap if entry[2].place is not OVER]
        heapq.heapify(self.heap)
        self._sweep_at = 2 * len(self.heap) + _SWEEP_SLACK

    def earliest(self) -> float | None:
        while self.heap and self.heap[0][2].place is OVER:
            heapq.heappop(self.heap)
        return self.heap[0][0] if self.heap else None

    def pop_expired(self, now: float) -> Iterator[Job]:
        """Yields unanswered jobs whose deadline has passed; the caller must answer each."""
        while (at := self.earliest()) is not None and at <= now:
            yield heapq.heappop(self.heap)[2]
