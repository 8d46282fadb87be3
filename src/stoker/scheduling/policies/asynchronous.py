"""Serves asynchronous handlers: a worker runs many jobs at a time, each a batch of its own.  PURE.

A job goes at once to the worker that holds fewest, unless that holds as many as it may.  No job waits to be alone,
because no two jobs share a call of the handler.
"""

from __future__ import annotations

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import ConcurrentWorker, WorkerState
from stoker.scheduling.policies.queued import QueuedPolicy


class AsyncPolicy(QueuedPolicy):
    """``size``: most jobs per worker."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.size = spec.async_jobs

    def new_worker(self, id: int) -> WorkerState:
        return ConcurrentWorker(id)

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        if self.queue.head() is None:
            return None
        worker = min(self.workers.values(), key=_held, default=None)
        if worker is None or _held(worker) >= self.size:
            return None
        return worker, self.queue.take(1)

    def taken_this_turn(self) -> int:
        return sum(self.size - _held(worker) for worker in self.workers.values())


def _held(worker: WorkerState) -> int:
    return len(worker.flights)
