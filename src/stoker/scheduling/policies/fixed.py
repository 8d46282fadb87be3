"""Fixed batching, TorchServe's: a batch waits until it is full or for the whole delay.  PURE.

The delay runs from the moment when an idle worker and a first job met.  Nothing is sent ahead.
"""

from __future__ import annotations

from math import inf

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import WorkerState
from stoker.scheduling.policies.queued import QueuedPolicy


class FixedPolicy(QueuedPolicy):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._delay_s = spec.max_batch_delay_s
        self._forming_since: float | None = None

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        self.wake_at = inf
        if (head := self.queue.head()) is None:
            self._forming_since = None
            return None
        if not self.idle:
            return None
        if not head.alone and self.queue.waiting < self.size:
            if self._forming_since is None:
                self._forming_since = now
            due = self._forming_since + self._delay_s
            if now < due:
                self.wake_at = due
                return None
        self._forming_since = None
        return self.take()
