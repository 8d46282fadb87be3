"""Jobs that wait for a worker: bounded, first in first out, with deadlines.  PURE.

Removing a job from the middle only marks it (``job.place``); what is marked is skipped when its turn comes and
swept out when the marked outnumber the waiting.  So every operation is O(1) amortised, whatever clients cancel.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from stoker.core.job import Job

_SWEEP_SLACK = 256  # sweeping tiny heaps costs more than it frees


class Queued:
    """The value of ``job.place`` while a job waits."""

    __slots__ = ()


QUEUED = Queued()


class JobQueue:
    """``limit``: how many jobs may wait. `put_back` may exceed it: those jobs were accepted before."""

    def __init__(self, limit: int) -> None:
        self._jobs: deque[Job] = deque()
        self._live = 0
        self.limit = limit

    def __len__(self) -> int:
        return self._live

    @property
    def full(self) -> bool:
        return self._live >= self.limit

    def __iter__(self) -> Iterator[Job]:
        return (job for job in self._jobs if job.place is QUEUED)

    def put(self, job: Job) -> None:
        job.place = QUEUED
        self._jobs.append(job)
        self._live += 1

    def put_back(self, jobs: Iterable[Job]) -> None:
        """To the head, in their old order: a worker died before it started them."""
        back = list(jobs)
        for job in back:
            job.place = QUEUED
        self._jobs.extendleft(reversed(back))
        self._live += len(back)

    def remove(self, job: Job) -> None:
        job.place = None
        self._live -= 1
        if len(self._jobs) > 2 * self._live + _SWEEP_SLACK:
            self._jobs = deque(self)

    def head(self) -> Job | None:
        """The job whose turn it is; None when nothing waits."""
        while self._jobs and self._jobs[0].place is not QUEUED:
            self._jobs.popleft()
        return self._jobs[0] if self._jobs else None

    def take(self, most: int) -> list[Job]:
        """Up to ``most`` jobs for one batch.  A job that must be alone is taken alone, and never overtaken."""
        taken: list[Job] = []
        while len(taken) < most and (job := self.head()) is not None:
            if job.alone and taken:
                break
            self._jobs.popleft()
            self._live -= 1
            taken.append(job)
            if job.alone:
                break
        return taken


class Deadlines:
    """The earliest deadline of all unanswered jobs, waiting or running."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._count = 0  # breaks ties, jobs do not compare
        self._sweep_at = _SWEEP_SLACK

    def add(self, job: Job) -> None:
        assert job.deadline is not None
        self._count += 1
        heapq.heappush(self._heap, (job.deadline, self._count, job))
        if len(self._heap) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].place is not None]
        heapq.heapify(self._heap)
        self._sweep_at = 2 * len(self._heap) + _SWEEP_SLACK

    def earliest(self) -> float | None:
        while self._heap and self._heap[0][2].place is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_expired(self, now: float) -> Iterator[Job]:
        """Unanswered jobs whose deadline has come. The caller must answer each."""
        while (at := self.earliest()) is not None and at <= now:
            yield heapq.heappop(self._heap)[2]
