"""What policies have in common that keep one queue for all workers.  PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.core.ports import Outcome
from stoker.errors import QueueFull, ServingError
from stoker.scheduling.flight import Flight, WorkerState
from stoker.scheduling.policies.policy import Policy, Unserved
from stoker.scheduling.queue import JobQueue


class QueuedPolicy(Policy):
    """``size``: most jobs per batch."""

    def __init__(self, spec: ModelSpec) -> None:
        self._key = spec.key
        self.size = spec.batch_size
        self.queue = JobQueue(spec.job_queue_size)
        self.workers: dict[int, WorkerState] = {}  # that may take jobs
        self.idle: dict[int, WorkerState] = {}  # those without any batch, in the order in which they fell idle

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
        """Returns how many waiting jobs workers take at the end of the turn."""
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
        """Takes a batch for the worker that is idle for longest."""
        return self.idle.pop(next(iter(self.idle))), self.queue.take(self.size)
