"""Implements the queue that most policies share: bounded, first in first out, one for all workers.  PURE.

Removing a job only marks it (``job.place``); marked jobs are skipped at the head, and swept out when they outnumber the
waiting ones.  So every operation is O(1) amortised, whatever clients cancel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from stoker.core.job import OVER, QUEUED, Job
from stoker.core.model import ModelSpec
from stoker.core.ports import Outcome
from stoker.errors import QueueFull, ServingError
from stoker.scheduling.flight import Flight, WorkerState
from stoker.scheduling.policies.policy import Policy, Unserved

_SWEEP_SLACK = 256  # sweeping short queues costs more than it frees


class JobQueue:
    """``limit``: how many jobs may wait. `put_back` may exceed it, because its jobs were accepted before."""

    def __init__(self, limit: int) -> None:
        self._jobs: deque[Job] = deque()
        self.waiting = 0  # jobs that are not marked as removed
        self.limit = limit

    def __iter__(self) -> Iterator[Job]:
        return (job for job in self._jobs if job.place is QUEUED)

    def put(self, job: Job) -> None:
        job.place = QUEUED
        self._jobs.append(job)
        self.waiting += 1

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Puts jobs back at the head, in their old order, because a worker died before it began them."""
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
        """Returns the job whose turn it is; None: no job waits."""
        jobs = self._jobs
        while jobs:
            if jobs[0].place is QUEUED:
                return jobs[0]
            jobs.popleft()
        return None

    def take(self, most: int, *, alone: bool = True) -> list[Job]:
        """Takes up to ``most`` jobs for one batch. A job that must be alone is taken alone, and is never overtaken.

        ``alone``: whether such a job may be taken at all.
        """
        jobs = self._jobs
        taken: list[Job] = []
        while jobs and len(taken) < most:
            job = jobs[0]
            if job.place is not QUEUED:
                jobs.popleft()
                continue
            if job.alone and (taken or not alone):
                break
            taken.append(jobs.popleft())
            if job.alone:
                break
        self.waiting -= len(taken)
        return taken


class QueuedPolicy(Policy):
    """``size``: most jobs per batch."""

    def __init__(self, spec: ModelSpec) -> None:
        self._key = spec.key
        self.size = spec.batch_size
        self.queue = JobQueue(spec.job_queue_size)
        self.workers: dict[int, WorkerState] = {}  # those that may take jobs
        self.idle: dict[int, WorkerState] = {}  # those that hold no batch, the one idle for longest first

    @property
    def waiting(self) -> int:
        return self.queue.waiting

    @property
    def remaining(self) -> int:
        return max(0, self.queue.limit - self.queue.waiting)

    def put(self, job: Job, now: float) -> None:
        queue = self.queue
        if queue.waiting >= queue.limit and queue.waiting >= queue.limit + self.taken_this_turn():
            raise QueueFull(self._key.name, job.named_version)
        queue.put(job)

    def taken_this_turn(self) -> int:
        """Returns how many waiting jobs the workers can take at the end of this turn."""
        return len(self.idle) * self.size

    def remove(self, job: Job) -> None:
        self.queue.remove(job)

    def jobs(self) -> Iterator[Job]:
        return iter(self.queue)

    def worker_ready(self, worker: WorkerState) -> None:
        self.workers[worker.id] = self.idle[worker.id] = worker

    def worker_draining(self, worker: WorkerState) -> None:
        self.workers.pop(worker.id, None)
        self.idle.pop(worker.id, None)

    def batch_done(self, worker: WorkerState, flight: Flight, outcomes: Sequence[Outcome], now: float) -> Unserved:
        if not worker.flights and not worker.draining:
            self.idle[worker.id] = worker
        return ()

    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        self.worker_draining(worker)
        self.queue.put_back(back)
        return ()

    def take(self) -> tuple[WorkerState, list[Job]]:
        """Takes a batch for the worker that has been idle for longest."""
        return self.idle.pop(next(iter(self.idle))), self.queue.take(self.size)
