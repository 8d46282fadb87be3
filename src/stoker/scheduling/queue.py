"""Jobs that wait for a worker: bounded, first in first out, with deadlines.  PURE.

Removing a job from the middle only marks it (``job.place``); what is marked is skipped when its turn comes and
swept out when the marked outnumber the waiting.  So every operation is O(1) amortised, whatever clients cancel.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from stoker.core.job import Job, Place

_SWEEP_SLACK = 256  # sweeping tiny heaps costs more than it frees


QUEUED, OVER = Place.QUEUED, Place.OVER


class JobQueue:
    """``limit``: how many jobs may wait. `put_back` may exceed it: those jobs were accepted before."""

    def __init__(self, limit: int) -> None:
        self._jobs: deque[Job] = deque()
        self.waiting = 0  # jobs in here that are not marked
        self.limit = limit

    def __len__(self) -> int:
        return self.waiting

    @property
    def full(self) -> bool:
        return self.waiting >= self.limit

    def __iter__(self) -> Iterator[Job]:
        return (job for job in self._jobs if job.place is QUEUED)

    def put(self, job: Job) -> None:
        job.place = QUEUED
        self._jobs.append(job)
        self.waiting += 1

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Puts jobs back to the head in their old order: a worker died before it started them."""
        back = list(jobs)
        for job in back:
            job.place = QUEUED
        self._jobs.extendleft(reversed(back))
        self.waiting += len(back)

    def remove(self, job: Job) -> None:
        job.place = OVER
        self.waiting -= 1
        if len(self._jobs) > 2 * self.waiting + _SWEEP_SLACK:
            self._jobs = deque(self)

    def head(self) -> Job | None:
        """Returns the job whose turn it is, None when nothing waits."""
        jobs = self._jobs
        while jobs:
            if jobs[0].place is QUEUED:
                return jobs[0]
            jobs.popleft()
        return None

    def take(self, most: int, *, alone: bool = True) -> list[Job]:
        """Takes up to ``most`` jobs for one batch.  A job that must be alone is taken alone, and never overtaken.

        ``alone``: whether such a job may be taken at all."""
        jobs, taken = self._jobs, list[Job]()
        while jobs and len(taken) < most:
            job = jobs[0]
            if job.alone and (taken or not alone) and job.place is QUEUED:
                break
            jobs.popleft()
            if job.place is QUEUED:
                taken.append(job)
                if job.alone:
                    break
        self.waiting -= len(taken)
        return taken


class Deadlines:
    """The earliest deadline of all unanswered jobs, waiting or running. ``heap``: empty: there are none."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Job]] = []
        self._count = 0  # breaks ties, jobs do not compare
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
        """Yields unanswered jobs whose deadline has come; the caller must answer each."""
        while (at := self.earliest()) is not None and at <= now:
            yield heapq.heappop(self.heap)[2]
