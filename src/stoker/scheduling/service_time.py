"""Learns how long a worker's batches take, and from that how many to send it ahead of time.  PURE."""

from __future__ import annotations

PREFETCH_WORK_S = 0.002  # work that a worker may hold beyond the batch it runs
PREFETCH_BATCHES = 64
PREFETCH_SLOWEST_S = 0.010  # nothing is sent ahead after a slower batch: it could wait behind another such one
WAKE_UP_S = 0.001  # a longer round trip crosses a network
MAX_NEW = 64
_EWMA_WEIGHT = 0.1
_SLOWEST_DECAY = 0.99
_ROUND_TRIP_WEIGHT = 0.02


Answered = tuple[float, float, bool]
"""A batch: the seconds until the server read the answer, which it may do late; those that the handler ran, negative:
unknown; and whether the worker was idle before, so that the former include the round trip."""


class ServiceTime:
    """Seconds per batch, learnt from answers.

    ``new``: batches not learnt from yet. Callers append to it, and call `learn` before they use anything else, or when
    there are `MAX_NEW`.
    ``prefetch``: how many batches may wait in a busy worker's socket; 0 until batches are known to be short.
    ``round_trip``: seconds that a batch and its answer spend on the network: the part of their transit beyond
    `WAKE_UP_S`. That much more work may be sent ahead, so that the worker is not idle during a round trip.
    """

    __slots__ = ("average", "new", "prefetch", "round_trip", "slowest")

    def __init__(self) -> None:
        self.average: float | None = None
        self.slowest = 0.0
        self.prefetch = 0
        self.round_trip = 0.0
        self.new: list[Answered] = []

    def learn(self) -> None:
        average, slowest = self.average, self.slowest
        for took_s, handler_s, lone in self.new:
            seconds = took_s
            if lone and handler_s >= 0.0:
                self._record_round_trip(took_s - handler_s - WAKE_UP_S, first=average is None)
                seconds -= self.round_trip
            average = seconds if average is None else average + _EWMA_WEIGHT * (seconds - average)
            newest = handler_s if handler_s >= 0.0 else seconds
            slowest *= _SLOWEST_DECAY
            slowest = max(slowest, newest)
        self.new.clear()
        self.average, self.slowest = average, slowest
        work = PREFETCH_WORK_S + self.round_trip
        if average is None or slowest > PREFETCH_SLOWEST_S + self.round_trip:
            self.prefetch = 0
        elif work > PREFETCH_BATCHES * average:
            self.prefetch = PREFETCH_BATCHES
        else:
            self.prefetch = int(work / average)

    def _record_round_trip(self, seconds: float, *, first: bool) -> None:
        """Follows a shorter measurement at once and a longer one slowly: it may include a wait for the server."""
        if first or seconds < self.round_trip:
            self.round_trip = max(0.0, seconds)
        else:
            self.round_trip += _ROUND_TRIP_WEIGHT * (seconds - self.round_trip)
