"""Fixed batching, TorchServe's: a batch waits until it is full or for the whole delay.  PURE.

The delay runs from the moment when an idle worker and a first job met; without fixed batching there is none.  Nothing
is sent ahead.
"""

from __future__ import annotations

from math import inf

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import WorkerState
from stoker.scheduling.policies.forming import Forming
from stoker.scheduling.policies.queued import QueuedPolicy


class FixedPolicy(QueuedPolicy):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._forming = Forming(spec.max_batch_delay_s if spec.batching == "fixed" else 0.0)

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        self.wake_at = inf
        if (head := self.queue.head()) is None:
            self._forming.over()
            return None
        if not self.idle:
            return None
        if not head.alone and self.queue.waiting < self.size and now < (due := self._forming.due(now)):
            self.wake_at = due
            return None
        self._forming.over()
        return self.take()
