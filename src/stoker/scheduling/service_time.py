"""Learns how long batches of a worker take, and so how many it may hold in advance.  PURE. Numbers only."""

from __future__ import annotations

PREFETCH_WORK_S = 0.002  # a worker may hold this much work beyond the batch it runs
PREFETCH_BATCHES = 64
PREFETCH_SLOWEST_S = 0.010  # a recent batch over this: its neighbours must not be stuck behind the next such one
_EWMA_WEIGHT = 0.1
_SLOWEST_DECAY = 0.99


class ServiceTime:
    """Seconds per batch, learnt from answers.

    ``prefetch``: how many batches may wait in a busy worker's socket: none until they are known to be short.
    """

    __slots__ = ("average", "prefetch", "slowest")

    def __init__(self) -> None:
        self.average: float | None = None
        self.slowest = 0.0
        self.prefetch = 0

    def record(self, seconds: float, handler_s: float = -1.0) -> None:
        """``seconds``: until the server read the answer, which it may do late. ``handler_s``: how long the handler ran;
        negative: unknown."""
        if self.average is None:
            self.average = seconds
        else:
            self.average += _EWMA_WEIGHT * (seconds - self.average)
        self.slowest = max(handler_s if handler_s >= 0.0 else seconds, self.slowest * _SLOWEST_DECAY)
        if self.slowest > PREFETCH_SLOWEST_S:
            self.prefetch = 0
        else:
            self.prefetch = min(PREFETCH_BATCHES, int(PREFETCH_WORK_S / max(self.average, 1e-6)))
