"""Continuous batching: a job joins those that a worker has in progress as soon as one of its slots is free.  PURE.

A job takes a slot from when it is sent until its end; each is a batch of one.  It goes to the worker with the most free
slots.  A job that must be alone waits for a worker without any other, and no other overtakes it.  With fixed
batching an idle worker waits until it can begin with all its slots, or for the whole delay; whoever comes later joins
at once.
"""

from __future__ import annotations

from math import inf

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import SteppingWorker, WorkerState
from stoker.scheduling.policies.forming import Forming
from stoker.scheduling.policies.queued import QueuedPolicy


class ContinuousPolicy(QueuedPolicy):
    """``size``: the slots of a worker."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._forming = Forming(spec.max_batch_delay_s if spec.batching == "fixed" else 0.0)

    def new_worker(self, id: int) -> WorkerState:
        return SteppingWorker(id)

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        self.wake_at = inf
        if (head := self.queue.head()) is None:
            self._forming.over()
            return None
        if (worker := self._receiver(head)) is None:
            return None
        begins = worker.flights or head.alone or self.queue.waiting >= self.size
        if not begins and now < (due := self._forming.due(now)):
            self.wake_at = due
            return None
        self._forming.over()
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
