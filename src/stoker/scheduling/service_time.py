"""Learns how long batches of a worker take, and so how many it may hold in advance.  PURE. Numbers only."""

from __future__ import annotations

PREFETCH_WORK_S = 0.002  # a worker may hold this much work beyond the batch it runs
PREFETCH_BATCHES = 64
PREFETCH_SLOWEST_S = 0.010  # a recent batch over this: its neighbours must not be stuck behind the next such one
WAKE_UP_S = 0.001  # what is longer on its way than this crosses a network
_EWMA_WEIGHT = 0.1
_SLOWEST_DECAY = 0.99
_WAY_WEIGHT = 0.02


class ServiceTime:
    """Seconds per batch, learnt from answers.

    ``prefetch``: how many batches may wait in a busy worker's socket: none until they are known to be short.
    ``way``: how long batch and answer travel, beyond `WAKE_UP_S`. What a worker gets done meanwhile may be sent too: it
    waits no longer there than the way takes.
    """

    __slots__ = ("average", "prefetch", "slowest", "way")

    def __init__(self) -> None:
        self.average: float | None = None
        self.slowest = 0.0
        self.prefetch = 0
        self.way = 0.0

    def record(self, seconds: float, handler_s: float = -1.0, *, lone: bool = False) -> None:
        """``seconds``: until the server read the answer, which it may do late. ``handler_s``: how long the handler ran;
        negative: unknown. ``lone``: the worker had nothing else, so ``seconds`` include the way."""
        if lone and handler_s >= 0.0:
            self._record_way(seconds - handler_s - WAKE_UP_S)
            seconds -= self.way
        average, way = self.average, self.way
        average = seconds if average is None else average + _EWMA_WEIGHT * (seconds - average)
        self.average = average
        newest, slowest = handler_s if handler_s >= 0.0 else seconds, self.slowest * _SLOWEST_DECAY
        slowest = self.slowest = newest if newest > slowest else slowest
        work = PREFETCH_WORK_S + way
        if slowest > PREFETCH_SLOWEST_S + way:
            self.prefetch = 0
        elif work > PREFETCH_BATCHES * average:
            self.prefetch = PREFETCH_BATCHES
        else:
            self.prefetch = int(work / average)

    def _record_way(self, seconds: float) -> None:
        """Trusts the shortest: others waited for the server."""
        if self.average is None or seconds < self.way:
            self.way = max(0.0, seconds)
        else:
            self.way += _WAY_WEIGHT * (seconds - self.way)
