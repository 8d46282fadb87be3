"""Limits how long an idle worker waits for a full batch.  PURE.

Only fixed batching waits.  The delay starts when an idle worker and a first job are both there.
"""

from __future__ import annotations

from stoker.core.model import ModelSpec


class BatchDelay:
    def __init__(self, spec: ModelSpec) -> None:
        self.seconds = spec.max_batch_delay_s if spec.batching == "fixed" else 0.0
        self._started_at: float | None = None

    def ends_at(self, now: float) -> float:
        """Returns when the worker stops waiting; starts the delay unless it is running."""
        if self._started_at is None:
            self._started_at = now
        return self._started_at + self.seconds

    def reset(self) -> None:
        """Stops the delay: the batch left, or no job waits any more."""
        self._started_at = None
