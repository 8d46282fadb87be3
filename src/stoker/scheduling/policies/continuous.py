"""Continuous batching: a job joins those that a worker is running as soon as the worker has a free slot.  PURE.

Each job is a batch of one, and occupies a slot from when it is sent until it ends.  It goes to the worker with the most
free slots.  A job that must be alone waits for a worker that has no other, and no other job overtakes it.  With fixed
batching an idle worker waits until it can fill all its slots, or until the delay has passed; later jobs join at once.
"""

from __future__ import annotations

from math import inf

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import SteppingWorker, WorkerState
from stoker.scheduling.policies.batch_delay import BatchDelay
from stoker.scheduling.policies.queued import QueuedPolicy


class ContinuousPolicy(QueuedPolicy):
    """``size``: the slots of a worker."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._delay = BatchDelay(spec)

    def new_worker(self, id: int) -> WorkerState:
        return SteppingWorker(id)

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        self.wake_at = inf
        if (head := self.queue.head()) is None:
            self._delay.reset()
            return None
        if (worker := self._receiver(head)) is None:
            return None
        starts_now = worker.flights or head.alone or self.queue.waiting >= self.size
        if not starts_now and now < (due := self._delay.ends_at(now)):
            self.wake_at = due
            return None
        self._delay.reset()
        return worker, self.queue.take(1)

    def _receiver(self, head: Job) -> WorkerState | None:
        worker = min(self.workers.values(), key=self._taken, default=None)
        most = 1 if head.alone else self.size
        return worker if worker is not None and self._taken(worker) < most else None

    def _taken(self, worker: WorkerState) -> int:
        flights = worker.flights
        return self.size if flights and flights[0].jobs[0].alone else len(flights)

    def taken_this_turn(self) -> int:
        return sum(self.size - self._taken(worker) for worker in self.workers.values())
