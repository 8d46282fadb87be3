"""Counters of a model version: plain numbers that the data path adds to and a scrape reads.  PURE.

Names, labels and formats are elsewhere: a request costs a handful of additions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stoker import errors

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
JOBS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """``counts[i]``: values up to ``bounds[i]`` and over the bound before; the last one: over all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


class RequestTotals:
    """Requests that named a model in one way: with its version, or without any."""

    __slots__ = ("latency_s", "queued_s", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.latency_s = 0.0
        self.queued_s = 0.0


Served = tuple[RequestTotals, float, float]
"""Where a job counts, and how many seconds after it was accepted it was sent and answered."""


class BatchTotals:
    """Batches of one size. ``handled``: those whose call ended well. ``handler_s``: how long these calls took.
    ``handler_s_squared``: the sum of their squares."""

    __slots__ = ("count", "handled", "handler_s", "handler_s_squared")

    def __init__(self) -> None:
        self.count = 0
        self.handled = 0
        self.handler_s = self.handler_s_squared = 0.0


class Newest:
    """The newest measurements of the whole server, and how many there were."""

    __slots__ = ("batches", "overhead_s", "queued_s", "served")

    def __init__(self) -> None:
        self.served = 0
        self.queued_s = 0.0
        self.batches = 0
        self.overhead_s = 0.0


class ModelCounters:
    """``batches``: by their number of jobs. ``last_batch_at``: when the newest one ended (monotonic); 0: none has."""

    __slots__ = (
        "batches",
        "by_default",
        "by_version",
        "cancelled",
        "failed",
        "handler_time",
        "last_batch_at",
        "latency",
        "newest",
        "queue_wait",
        "refused",
        "streams",
    )

    def __init__(self, newest: Newest | None = None) -> None:
        self.newest = newest or Newest()
        self.by_default = RequestTotals()
        self.by_version = RequestTotals()
        self.latency = Histogram(SECONDS)
        self.queue_wait = Histogram(SECONDS)
        self.handler_time = Histogram(SECONDS)
        self.batches: dict[int, BatchTotals] = {}
        self.last_batch_at = 0.0
        self.failed = 0
        self.cancelled = 0
        self.refused = 0
        self.streams = 0

    @property
    def batch_size(self) -> Histogram:
        """Returns the sizes of batches, summed up now."""
        sizes = Histogram(JOBS)
        for jobs, totals in self.batches.items():
            sizes.counts[bisect_left(JOBS, jobs)] += totals.count
            sizes.total += jobs * totals.count
        return sizes

    def batch_ended(
        self, jobs: int, took_s: float, handler_s: float, now: float, served: Iterable[Served] = ()
    ) -> None:
        """Counts a batch whose results came ``took_s`` after the worker was free for it.

        ``handler_s``: how long the handler ran; negative: it failed. ``served``: those of its jobs that had their
        whole answer.
        """
        self.last_batch_at = now
        newest, latency, wait = self.newest, self.latency, self.queue_wait
        for totals, queued_s, answered_s in served:
            latency.counts[bisect_left(SECONDS, answered_s)] += 1
            latency.total += answered_s
            wait.counts[bisect_left(SECONDS, queued_s)] += 1
            wait.total += queued_s
            totals.latency_s += answered_s
            totals.queued_s += queued_s
            newest.queued_s = queued_s
            newest.served += 1
        size = self.batches.get(jobs)
        if size is None:
            size = self.batches[jobs] = BatchTotals()
        size.count += 1
        if handler_s < 0:
            return
        size.handled += 1
        size.handler_s += handler_s
        size.handler_s_squared += handler_s * handler_s
        handler = self.handler_time
        handler.counts[bisect_left(SECONDS, handler_s)] += 1
        handler.total += handler_s
        newest.batches += 1
        newest.overhead_s = took_s - handler_s

    def ended_with(self, error: errors.ServingError, *, streaming: bool, counted: bool) -> None:
        """Counts a job that ended with an error. ``counted``: it has totals."""
        if streaming:
            self.streams -= 1
        if not counted:
            return
        if isinstance(error, errors.Cancelled):
            self.cancelled += 1
        elif isinstance(error, errors.NoJobTicket):
            self.refused += 1
        else:
            self.failed += 1


class WorkflowCounters:
    """Requests of one workflow by how they ended, and attempts of its nodes after the first."""

    __slots__ = ("cancelled", "failed", "latency_s", "ok", "retries")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.cancelled = 0
        self.latency_s = 0.0
        self.retries: dict[str, int] = {}


class HandlerSample(NamedTuple):
    """One value that a handler recorded. ``type``: counter, gauge or histogram. ``request_ids``: joined with commas."""

    name: str
    type: str
    unit: str
    dimensions: Sequence[tuple[str, str]]
    value: float
    request_ids: str


class Unmeasured:
    """Implements `core.ports.ModelTelemetry`, for any model, where nothing is measured."""

    counters: ModelCounters | None = None

    def predicted(self, seconds: float, jobs: Sequence[object]) -> None:
        pass

    def recorded(self, sample: HandlerSample) -> None:
        pass

    def printed(self, line: str) -> bool:
        return False

    def worker_loaded(self, worker: str, seconds: float) -> None:
        pass
