"""Adaptive batching, the default: an idle worker takes at once what waits.  PURE.

Batches grow while all workers are busy; ``max_batch_delay`` is not used, so no caller waits merely for a larger batch.
Full batches may be sent ahead to a busy worker whose batches are short (`ServiceTime.prefetch`).
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
            return None  # let the batch grow: it has to wait anyway
        receiver, fewest = None, PREFETCH_BATCHES + 1  # of the workers that may hold more: the one that holds fewest
        for worker in self.workers.values():
            service, held = worker.service, len(worker.flights)
            if service.new:
                service.learn()
            if held <= service.prefetch and held < fewest:
                receiver, fewest = worker, held
        if receiver is None:
            return None
        jobs = queue.take(self.size, alone=False)
        return (receiver, jobs) if jobs else None
