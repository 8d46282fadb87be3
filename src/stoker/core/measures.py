"""Counts what happens to a model version, in plain numbers that a scrape reads.  PURE.

Names, labels and formats are added when they are read, so that counting a request takes a few additions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple

from stoker import errors

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
JOBS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


MAX_UNCOUNTED = 512
"""Batches and jobs that a model's counters may collect: counting many at once takes a fraction of the time."""


class Histogram:
    """Counts values by size. ``counts``: at index i how many values are at most ``bounds[i]`` and above the bound
    before; last, how many are above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def observe_all(self, values: list[float]) -> None:
        """Counts finite values, and sorts them."""
        values.sort()
        before = 0
        for index, bound in enumerate(self.bounds):
            up_to = bisect_right(values, bound, lo=before)
            self.counts[index] += up_to - before
            before = up_to
        self.counts[-1] += len(values) - before
        self.total += sum(values)


class RequestTotals:
    """Totals of the requests that named the model's version, or of those that did not."""

    __slots__ = ("latency_s", "queued_s", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.latency_s = 0.0
        self.queued_s = 0.0


Served = tuple[RequestTotals, float, float]
"""A job that was answered in full: the totals to which it counts, and the seconds from its acceptance until it was sent
and until it was answered."""

Ended = tuple[int, float, float]
"""A batch whose results came: its jobs, the seconds since the worker was free for it, and the seconds that the handler
ran; negative: it failed."""


class BatchTotals:
    """Totals of batches of one size. ``handled``: those whose handler call succeeded. ``handler_s``: how long these
    calls took. ``handler_s_squared``: the sum of the squares."""

    __slots__ = ("count", "handled", "handler_s", "handler_s_squared")

    def __init__(self) -> None:
        self.count = 0
        self.handled = 0
        self.handler_s = self.handler_s_squared = 0.0

    def add(self, count: int, handler_times: Sequence[float]) -> None:
        """Adds ``count`` batches, and the seconds of those whose handler call succeeded."""
        self.count += count
        self.handled += len(handler_times)
        self.handler_s += sum(handler_times)
        self.handler_s_squared += sum(map(mul, handler_times, handler_times))


class Newest:
    """The latest measurements of the whole server, and how many there have been."""

    __slots__ = ("_at", "batches", "overhead_s", "queued_s", "served")

    def __init__(self) -> None:
        self._at = 0.0
        self.served = 0
        self.queued_s = 0.0
        self.batches = 0
        self.overhead_s = 0.0

    def update(self, ended: Sequence[Ended], served: Sequence[Served], at: float) -> None:
        """Takes what a model version has measured. ``at``: when the last of the batches ended (monotonic)."""
        overheads_s = [took_s - handler_s for _, took_s, handler_s in ended if handler_s >= 0]
        self.served += len(served)
        self.batches += len(overheads_s)
        if at >= self._at:  # models are not counted in the order in which their batches ended
            self._at = at
            self.queued_s = served[-1][1] if served else self.queued_s
            self.overhead_s = overheads_s[-1] if overheads_s else self.overhead_s


class ModelCounters:
    """All counters of a model version. ``last_batch_at``: when the last batch ended (monotonic); 0: none has.

    ``ended``, ``served``: batches and jobs that are not counted yet. The scheduler appends to them, and calls `settle`
    when there are `MAX_UNCOUNTED`. Totals and ``newest`` are up to date after `settle`, everything else always.
    """

    __slots__ = (
        "_batches",
        "_handler_time",
        "_latency",
        "_queue_wait",
        "by_default",
        "by_version",
        "cancelled",
        "ended",
        "failed",
        "last_batch_at",
        "newest",
        "refused",
        "served",
        "streams",
    )

    def __init__(self, newest: Newest | None = None) -> None:
        self.newest = newest or Newest()
        self.by_default = RequestTotals()
        self.by_version = RequestTotals()
        self.ended: list[Ended] = []
        self.served: list[Served] = []
        self._latency = Histogram(SECONDS)
        self._queue_wait = Histogram(SECONDS)
        self._handler_time = Histogram(SECONDS)
        self._batches: dict[int, BatchTotals] = {}
        self.last_batch_at = 0.0
        self.failed = 0
        self.cancelled = 0
        self.refused = 0
        self.streams = 0

    @property
    def latency(self) -> Histogram:
        self.settle()
        return self._latency

    @property
    def queue_wait(self) -> Histogram:
        self.settle()
        return self._queue_wait

    @property
    def batches(self) -> Mapping[int, BatchTotals]:
        """Returns the totals by the number of jobs in a batch."""
        self.settle()
        return self._batches

    @property
    def handler_time(self) -> Histogram:
        """Returns how long calls of the handler took."""
        self.settle()
        return self._handler_time

    @property
    def batch_size(self) -> Histogram:
        """Makes a histogram of the sizes of batches."""
        sizes = Histogram(JOBS)
        for jobs, totals in self.batches.items():
            sizes.observe(jobs, totals.count)
        return sizes

    def settle(self) -> None:
        """Counts what has ended since the last call."""
        if not self.ended:
            return
        ended, self.ended = self.ended, []
        served, self.served = self.served, []
        self.newest.update(ended, served, self.last_batch_at)
        by_size: defaultdict[int, list[float]] = defaultdict(list)
        for jobs, _, handler_s in ended:
            by_size[jobs].append(handler_s)
        for jobs, times in by_size.items():
            handled = [handler_s for handler_s in times if handler_s >= 0]
            self._batches.setdefault(jobs, BatchTotals()).add(len(times), handled)
            self._handler_time.observe_all(handled)
        for totals, queued_s, answered_s in served:
            totals.latency_s += answered_s
            totals.queued_s += queued_s
        self._queue_wait.observe_all([queued_s for _, queued_s, _ in served])
        self._latency.observe_all([answered_s for _, _, answered_s in served])

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
