"""Learns how long a worker's batches take, and from that how many to send it ahead of time.  PURE."""

from __future__ import annotations

PREFETCH_WORK_S = 0.002  # work that a worker may hold beyond the batch it runs
PREFETCH_BATCHES = 64
PREFETCH_SLOWEST_S = 0.010  # nothing is sent ahead after a slower batch: it could wait behind another such one
WAKE_UP_S = 0.001  # a longer round trip crosses a network
_EWMA_WEIGHT = 0.1
_SLOWEST_DECAY = 0.99
_ROUND_TRIP_WEIGHT = 0.02


class ServiceTime:
    """Seconds per batch, learnt from answers.

    ``prefetch``: how many batches may wait in a busy worker's socket; 0 until batches are known to be short.
    ``round_trip``: seconds that a batch and its answer spend on the network: the part of their transit beyond
    `WAKE_UP_S`. That much more work may be sent ahead, so that the worker is not idle during a round trip.
    """

    __slots__ = ("average", "prefetch", "round_trip", "slowest")

    def __init__(self) -> None:
        self.average: float | None = None
        self.slowest = 0.0
        self.prefetch = 0
        self.round_trip = 0.0

    def record(self, seconds: float, handler_s: float = -1.0, *, lone: bool = False) -> None:
        """``seconds``: until the server read the answer, which it may do late. ``handler_s``: how long the handler ran;
        negative: unknown. ``lone``: the worker was idle before, so ``seconds`` include the round trip."""
        if lone and handler_s >= 0.0:
            self._record_round_trip(seconds - handler_s - WAKE_UP_S)
            seconds -= self.round_trip
        average, round_trip = self.average, self.round_trip
        average = seconds if average is None else average + _EWMA_WEIGHT * (seconds - average)
        self.average = average
        newest, slowest = handler_s if handler_s >= 0.0 else seconds, self.slowest * _SLOWEST_DECAY
        slowest = self.slowest = newest if newest > slowest else slowest
        work = PREFETCH_WORK_S + round_trip
        if slowest > PREFETCH_SLOWEST_S + round_trip:
            self.prefetch = 0
        elif work > PREFETCH_BATCHES * average:
            self.prefetch = PREFETCH_BATCHES
        else:
            self.prefetch = int(work / average)

    def _record_round_trip(self, seconds: float) -> None:
        """Follows a shorter measurement at once and a longer one slowly: it may include a wait for the server."""
        if self.average is None or seconds < self.round_trip:
            self.round_trip = max(0.0, seconds)
        else:
            self.round_trip += _ROUND_TRIP_WEIGHT * (seconds - self.round_trip)
