"""Tracks the batches that workers hold, and how far each stream is ahead of its reader.  PURE.

A job may have ``window`` bytes of parts in transit or unread; what is left of that is its credit.  The worker counts
the same numbers (`ipc.to_worker.Grant`), so both sides agree on when a handler has to wait for its readers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice

from msgspec import field

from stoker.core.job import Batch, Job
from stoker.core.measures import ModelCounters
from stoker.core.ports import Handled, Load
from stoker.scheduling.service_time import MAX_NEW, ServiceTime

CANCEL_TIMEOUT_S = 5.0  # a handler's event loop that runs acknowledges a cancellation long before
_OLDEST_AMONG = 100
OVERFLOW_WINDOWS = 4  # windows that a stalled reader in a shared batch may have buffered before its stream ends


class Stream:
    """The parts of one job. ``unread``: bytes that wait for the consumer. ``credit``: bytes that may still be sent."""

    __slots__ = ("_window", "credit", "read_at", "total", "ungranted", "unread")

    def __init__(self, window: int, now: float) -> None:
        self._window = window
        self.credit = window
        self.unread = 0
        self.ungranted = 0
        self.total = 0
        self.read_at = now  # when the consumer last made progress, or had nothing to read

    def received(self, nbytes: int, now: float) -> None:
        if not self.unread:
            self.read_at = now
        self.credit -= nbytes
        self.unread += nbytes
        self.total += nbytes

    def read(self, nbytes: int, now: float) -> int:
        """Records what the consumer has read; returns the credit to grant: rarely, since each grant costs a message."""
        self.unread -= nbytes
        self.ungranted += nbytes
        self.read_at = now
        if self.ungranted * 4 < self._window:
            return 0
        granted, self.ungranted = self.ungranted, 0
        self.credit += granted
        return granted


class Flight(Batch):
    """A batch that was sent to a worker. A job of it is unanswered while its ``place`` is this flight.

    ``streams``: by index of the job, for jobs that have got a part.
    """

    sent_at: float
    streams: dict[int, Stream] = field(default_factory=dict)

    def unanswered(self) -> list[Job]:
        return [job for job in self.jobs if job.place is self]

    def blocked(self) -> bool:
        """Tells whether the handler waits for readers: no unanswered job of the batch has credit left."""
        live = False
        for index, job in enumerate(self.jobs):
            if job.place is self:
                stream = self.streams.get(index)
                if stream is None or stream.credit > 0:
                    return False
                live = True
        return live


class WorkerState:
    """One ready worker as the scheduler sees it. It runs its batches one after the other, in order.

    ``since``: when the running batch began or last made progress. ``blocked_at``: since when it waits for slow
    readers, which does not count against the response timeout.
    """

    any_order = False  # whether it may answer its batches in any order

    __slots__ = ("blocked_at", "draining", "flights", "id", "service", "since")

    def __init__(self, id: int) -> None:
        self.id = id
        self.flights: deque[Flight] = deque()
        self.draining = False
        self.service = ServiceTime()
        self.since = 0.0
        self.blocked_at: float | None = None

    def answering(self, batch_id: int, jobs: int) -> Flight | None:
        """Returns the batch with this id and so many jobs; None: there is none, or it is not its turn."""
        for flight in self.flights:
            if flight.id == batch_id and len(flight.jobs) == jobs:
                return flight
            if not self.any_order:
                break
        return None

    def ended(self, flight: Flight, now: float, handler_s: float) -> float:
        """Removes a batch that has ended; returns how long the worker took for it."""
        self.flights.popleft()
        took_s = now - self.since
        if not flight.streams:
            new = self.service.new
            new.append((took_s, handler_s, flight.sent_at >= self.since))
            if len(new) >= MAX_NEW:
                self.service.learn()
        self.since, self.blocked_at = now, None
        return took_s

    def runs(self, flight: Flight) -> bool:
        return bool(self.flights) and self.flights[0] is flight

    def had_begun(self, flight: Flight, started: int | None) -> bool:
        """Tells whether the worker, which is dead, had begun the batch.

        ``started``: the newest batch that it had begun; None: unknown. Then the oldest is assumed, because an answer
        leaves the worker before, or just after, the next batch begins.
        """
        return flight is self.flights[0] if started is None else flight.id == started

    def blocked(self) -> bool:
        """Tells whether the worker waits for readers."""
        return bool(self.flights) and self.flights[0].blocked()

    def record_activity(self, now: float, flight: Flight | None = None) -> None:
        """Records that a batch has made progress. ``flight``: which one; None: one has ended."""
        self.since = now
        self.blocked_at = now if self.flights and self.flights[0].streams and self.blocked() else None

    def unblock(self, now: float) -> None:
        """Excludes the time that the running batch waited for readers from its response time, once they caught up."""
        if self.blocked_at is not None and not self.blocked():
            self.since += now - self.blocked_at
            self.blocked_at = None

    def late_at(self, timeout_s: float) -> float | None:
        """Returns when the running batch times out; None: none runs, or it waits for readers."""
        if not self.flights or self.blocked_at is not None:
            return None
        return self.since + timeout_s

    def give_up(self, now: float, timeout_s: float) -> list[Flight]:
        """Returns the batches to fail because they have timed out; none: the worker itself must be restarted. Call it
        once at each `late_at`."""
        self.since = now
        return []


class SteppingWorker(WorkerState):
    """A worker that batches continuously: all its batches run at once, each of one job, and end in any order.

    Batches join in the order sent. They share the handler's steps, so a report about any of them is progress of all.
    """

    any_order = True

    __slots__ = ()

    def ended(self, flight: Flight, now: float, handler_s: float) -> float:
        self.flights.remove(flight)
        self.record_activity(now)
        return now - flight.sent_at

    def runs(self, flight: Flight) -> bool:
        return flight in self.flights

    def had_begun(self, flight: Flight, started: int | None) -> bool:
        """Does as in `WorkerState`; None: assumes that all had begun, because none waits for its turn."""
        return started is None or flight.id <= started

    def blocked(self) -> bool:
        return bool(self.flights) and all(flight.blocked() for flight in self.flights)


class ConcurrentWorker(SteppingWorker):
    """A worker whose handler is asynchronous: its batches share nothing but an event loop.

    Each batch has a response timeout of its own, counted from when it was sent or last sent a part, which ends only its
    job.  The worker is restarted only if it does not acknowledge that cancellation, because then its loop is blocked.
    """

    __slots__ = ("_alive_at", "_given_up_at")

    def __init__(self, id: int) -> None:
        super().__init__(id)
        self._alive_at: dict[int, float] = {}  # by batch that has sent parts: when it last did
        self._given_up_at: dict[int, float] = {}

    def ended(self, flight: Flight, now: float, handler_s: float) -> float:
        self._alive_at.pop(flight.id, None)
        self._given_up_at.pop(flight.id, None)
        return super().ended(flight, now, handler_s)

    def record_activity(self, now: float, flight: Flight | None = None) -> None:
        if flight is not None:
            self._alive_at[flight.id] = now

    def late_at(self, timeout_s: float) -> float | None:
        times = (self._late_at(flight, timeout_s) for flight in self.flights)
        return min((at for at in times if at is not None), default=None)

    def _late_at(self, flight: Flight, timeout_s: float) -> float | None:
        if (given_up_at := self._given_up_at.get(flight.id)) is not None:
            return given_up_at + CANCEL_TIMEOUT_S
        if flight.blocked():
            return None
        alive_at = self._alive_at.get(flight.id, flight.sent_at)
        return max([alive_at, *(stream.read_at for stream in flight.streams.values())]) + timeout_s

    def give_up(self, now: float, timeout_s: float) -> list[Flight]:
        late = [f for f in self.flights if (at := self._late_at(f, timeout_s)) is not None and at <= now]
        silent = any(flight.id in self._given_up_at for flight in late)
        self._given_up_at.update((flight.id, now) for flight in late)
        return [] if silent else late


def load_of(
    waiting: int, jobs: Iterable[Job], workers: Collection[WorkerState], counters: ModelCounters, now: float
) -> Load:
    """Measures the load. ``jobs``: those that wait, nearly in the order in which they came."""
    sizes = counters.batches
    return Load(
        waiting=waiting,
        oldest_wait_s=max((now - job.accepted_at for job in islice(jobs, _OLDEST_AMONG)), default=0.0),
        running=sum(len(flight.jobs) for worker in workers for flight in worker.flights),
        busy=sum(bool(worker.flights) for worker in workers),
        ended=sum(jobs * totals.count for jobs, totals in sizes.items()),
        handled=Handled(
            batches=sum(totals.handled for totals in sizes.values()),
            jobs=sum(jobs * totals.handled for jobs, totals in sizes.items()),
            jobs_squared=sum(jobs * jobs * totals.handled for jobs, totals in sizes.items()),
            seconds=sum(totals.handler_s for totals in sizes.values()),
            jobs_seconds=sum(jobs * totals.handler_s for jobs, totals in sizes.items()),
            seconds_squared=sum(totals.handler_s_squared for totals in sizes.values()),
        ),
        waits=tuple(counters.queue_wait.counts),
    )
