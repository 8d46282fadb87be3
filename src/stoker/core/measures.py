"""Counts what happens to a model version, in plain numbers that a scrape reads.  PURE.

Names, labels and formats are added when they are read, so that counting a request takes a few additions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from typing import NamedTuple

from stoker import errors

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
JOBS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


_KEPT = 512
"""Measurements to collect before counting them: counting many at once takes a fraction of the time."""


class Histogram:
    """Counts values by size.

    ``new``: finite values that are not counted yet. Callers append to it, and then call `settle`, at least now and
    then.
    """

    __slots__ = ("_counts", "_total", "bounds", "new")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self.new: list[float] = []

    def observe(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self.bounds, value)] += times
        self._total += value * times

    def settle(self) -> None:
        """Counts the new values once there are many."""
        if len(self.new) >= _KEPT:
            self._count_new()

    @property
    def counts(self) -> list[int]:
        """Returns at index i how many values are at most ``bounds[i]`` and above the bound before; last, how many are
        above all bounds."""
        self._count_new()
        return self._counts

    @property
    def total(self) -> float:
        self._count_new()
        return self._total

    @property
    def count(self) -> int:
        return sum(self.counts)

    def _count_new(self) -> None:
        new, counts, before = self.new, self._counts, 0
        if not new:
            return
        new.sort()
        for index, bound in enumerate(self.bounds):
            up_to = bisect_right(new, bound, lo=before)
            counts[index] += up_to - before
            before = up_to
        counts[-1] += len(new) - before
        self._total += sum(new)
        new.clear()


class RequestTotals:
    """Totals of the requests that named the model's version, or of those that did not."""

    __slots__ = ("latency_s", "queued_s", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.latency_s = 0.0
        self.queued_s = 0.0


Served = tuple[RequestTotals, float, float]
"""The totals to which a job counts, and the seconds from its acceptance until it was sent and until it was answered."""


class BatchTotals:
    """Totals of batches of one size. ``handled``: those whose handler call succeeded. ``handler_s``: how long these
    calls took. ``handler_s_squared``: the sum of the squares."""

    __slots__ = ("count", "handled", "handler_s", "handler_s_squared", "new")

    def __init__(self) -> None:
        self.count = 0
        self.handled = 0
        self.handler_s = self.handler_s_squared = 0.0
        self.new: list[float] = []

    def take_new(self) -> list[float]:
        """Adds the seconds of new calls to the sums, and returns them."""
        new, self.new = self.new, []
        self.handled += len(new)
        self.handler_s += sum(new)
        self.handler_s_squared += sum(map(mul, new, new))
        return new


class Newest:
    """The latest measurements of the whole server, and how many there have been."""

    __slots__ = ("batches", "overhead_s", "queued_s", "served")

    def __init__(self) -> None:
        self.served = 0
        self.queued_s = 0.0
        self.batches = 0
        self.overhead_s = 0.0


class ModelCounters:
    """All counters of a model version. ``last_batch_at``: when the last batch ended (monotonic); 0: none has."""

    __slots__ = (
        "_batches",
        "_handler_time",
        "by_default",
        "by_version",
        "cancelled",
        "failed",
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
        self._handler_time = Histogram(SECONDS)
        self._batches: dict[int, BatchTotals] = {}
        self.last_batch_at = 0.0
        self.failed = 0
        self.cancelled = 0
        self.refused = 0
        self.streams = 0

    @property
    def batches(self) -> Mapping[int, BatchTotals]:
        """Returns the totals by the number of jobs in a batch."""
        self._sum_up(self._batches.values())
        return self._batches

    @property
    def handler_time(self) -> Histogram:
        """Returns how long calls of the handler took."""
        self._sum_up(self._batches.values())
        return self._handler_time

    @property
    def batch_size(self) -> Histogram:
        """Makes a histogram of the sizes of batches."""
        sizes = Histogram(JOBS)
        for jobs, totals in self._batches.items():
            sizes.observe(jobs, totals.count)
        return sizes

    def _sum_up(self, sizes: Iterable[BatchTotals]) -> None:
        for totals in sizes:
            self._handler_time.new += totals.take_new()
            self._handler_time.settle()

    def batch_ended(
        self, jobs: int, took_s: float, handler_s: float, now: float, served: Iterable[Served] = ()
    ) -> None:
        """Counts a batch whose results came ``took_s`` after the worker was free for it.

        ``handler_s``: how long the handler ran; negative: it failed. ``served``: the jobs that were answered in full.
        """
        self.last_batch_at = now
        newest, latencies, waits = self.newest, self.latency.new, self.queue_wait.new
        for totals, queued_s, answered_s in served:
            latencies.append(answered_s)
            waits.append(queued_s)
            totals.latency_s += answered_s
            totals.queued_s += queued_s
            newest.queued_s = queued_s
            newest.served += 1
        size = self._batches.get(jobs)
        if size is None:
            size = self._batches[jobs] = BatchTotals()
        size.count += 1
        if handler_s >= 0:
            size.new.append(handler_s)
            newest.batches += 1
            newest.overhead_s = took_s - handler_s
        if len(size.new) >= _KEPT or len(latencies) >= _KEPT:
            self._sum_up((size,))
            self.latency.settle()
            self.queue_wait.settle()

    def ended_with(self, error: errors.ServingError, *, streaming: bool, counted: bool) -> None:
        """Counts a job that ended with an error. ``counted``: whether the job has totals."""
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
    """Counts the requests of one workflow by outcome, and retries by node."""

    __slots__ = ("cancelled", "failed", "latency_s", "ok", "retries")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.cancelled = 0
        self.latency_s = 0.0
        self.retries: dict[str, int] = {}


class HandlerSample(NamedTuple):
    """A value that a handler recorded. ``type``: counter, gauge or histogram. ``request_ids``: joined with commas."""

    name: str
    type: str
    unit: str
    dimensions: Sequence[tuple[str, str]]
    value: float
    request_ids: str


class Unmeasured:
    """Implements `core.ports.ModelTelemetry`, and measures nothing."""

    counters: ModelCounters | None = None
    predicted: None = None

    def recorded(self, sample: HandlerSample) -> None:
        pass

    def printed(self, line: str) -> bool:
        return False

    def worker_loaded(self, worker: str, seconds: float) -> None:
        pass
