"""Fixed batching, as in TorchServe: an idle worker waits until a batch is full or its delay has passed.  PURE.

Also serves models that cannot be sent batches ahead; unless their batching is fixed, the delay is zero.  Nothing is
sent ahead of time.
"""

from __future__ import annotations

from math import inf

from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import WorkerState
from stoker.scheduling.policies.batch_delay import BatchDelay
from stoker.scheduling.policies.queued import QueuedPolicy


class FixedPolicy(QueuedPolicy):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._delay = BatchDelay(spec)

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        self.wake_at = inf
        if (head := self.queue.head()) is None:
            self._delay.reset()
            return None
        if not self.idle:
            return None
        if not head.alone and self.queue.waiting < self.size and now < (due := self._delay.ends_at(now)):
            self.wake_at = due
            return None
        self._delay.reset()
        return self.take()
