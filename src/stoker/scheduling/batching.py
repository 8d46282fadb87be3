"""Decides when a batch leaves and how many jobs a worker may hold.  PURE: numbers only.

Adaptive batching (default): an idle worker takes what waits, at once; batches grow by themselves while workers are
busy.  ``max_batch_delay`` never makes a caller wait for a larger batch without need.  Fixed batching is TorchServe's:
from the moment an idle worker and a first job met, wait for a full batch or the whole delay.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFETCH_WORK_S = 0.002  # a worker may hold this much work beyond the batch it runs
PREFETCH_BATCHES = 64
PREFETCH_SLOWEST_S = 0.010  # a recent batch over this: its neighbours must not be stuck behind the next such one
_EWMA_WEIGHT = 0.1
_SLOWEST_DECAY = 0.99


class ServiceTime:
    """Learns from answers how long batches of a model take, in seconds.

    ``prefetch``: how many batches may wait in a busy worker's socket: none until they are known to be short.
    """

    __slots__ = ("average", "prefetch", "slowest")

    def __init__(self) -> None:
        self.average: float | None = None
        self.slowest = 0.0
        self.prefetch = 0

    def record(self, seconds: float) -> None:
        if self.average is None:
            self.average = seconds
        else:
            self.average += _EWMA_WEIGHT * (seconds - self.average)
        self.slowest = max(seconds, self.slowest * _SLOWEST_DECAY)
        if self.slowest > PREFETCH_SLOWEST_S:
            self.prefetch = 0
        else:
            self.prefetch = min(PREFETCH_BATCHES, int(PREFETCH_WORK_S / max(self.average, 1e-6)))


@dataclass(slots=True)
class BatchingPolicy:
    """``size``: most jobs per batch. ``delay_s`` matters to fixed batching only."""

    size: int
    delay_s: float
    fixed: bool
    forming_since: float | None = None

    def ready(self, waiting: int, alone: bool, now: float) -> bool:
        """Whether an idle worker takes what waits now (``waiting`` > 0; ``alone``: the first job travels alone)."""
        if not self.fixed or alone or waiting >= self.size:
            return True
        if self.forming_since is None:
            self.forming_since = now
        return now >= self.forming_since + self.delay_s

    def ready_at(self) -> float | None:
        """Returns when a batch that is being formed leaves, at the latest."""
        return None if self.forming_since is None else self.forming_since + self.delay_s

    def left(self) -> None:
        """Forgets the delay: a batch was taken, or nothing waits any more."""
        self.forming_since = None
