"""Adaptive batching, the default: an idle worker takes what waits, at once.  PURE.

Batches grow by themselves while workers are busy; ``max_batch_delay`` never makes a caller wait for a larger batch
without need.  Full batches may be sent ahead to a busy worker whose batches are short (`ServiceTime.prefetch`).
"""

from __future__ import annotations

from stoker.core.job import Job
from stoker.scheduling.flight import WorkerState
from stoker.scheduling.policies.queued import QueuedPolicy
from stoker.scheduling.service_time import PREFETCH_BATCHES


class AdaptivePolicy(QueuedPolicy):
    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        queue = self.queue
        if not queue.waiting:
            return None
        if self.idle:
            return self.take()
        if queue.waiting < self.size:
            return None  # a batch that waits anyway may as well grow
        receiver, fewest = None, PREFETCH_BATCHES + 1  # the busy worker that holds least of those that may hold more
        for worker in self.workers.values():
            held = len(worker.flights)
            if held <= worker.service.prefetch and held < fewest:
                receiver, fewest = worker, held
        if receiver is None:
            return None
        jobs = queue.take(self.size, alone=False)
        return (receiver, jobs) if jobs else None
