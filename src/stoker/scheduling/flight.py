"""Batches that workers hold, and how far each stream is ahead of its reader.  PURE.

Credit: a job may have ``window`` bytes of parts on their way unread.  The worker counts the same numbers
(`ipc.to_worker.Grant`), so both sides agree on when a handler has to wait for its readers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice

from msgspec import field

from stoker.core.job import Batch, Job
from stoker.core.measures import ModelCounters
from stoker.core.ports import Handled, Load
from stoker.scheduling.service_time import ServiceTime

CANCEL_TIMEOUT_S = 5.0  # an event loop that is alive acknowledges a cancellation long before
_OLDEST_AMONG = 100
OVERFLOW_WINDOWS = 4  # a stalled reader that shares its batch may buffer this many windows, then its stream ends


class Stream:
    """One job's parts: ``unread`` bytes wait for the consumer, ``credit`` bytes may still be sent."""

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
        """Notes what the consumer read; returns the credit to grant: seldom and much, as each grant is a message."""
        self.unread -= nbytes
        self.ungranted += nbytes
        self.read_at = now
        if self.ungranted * 4 < self._window:
            return 0
        granted, self.ungranted = self.ungranted, 0
        self.credit += granted
        return granted


class Flight(Batch):
    """A batch that was sent. A job of it is unanswered while its ``place`` is this flight.

    ``streams``: by index of the job; only those that got a part have one.
    """

    sent_at: float
    streams: dict[int, Stream] = field(default_factory=dict)

    def unanswered(self) -> list[Job]:
        return [job for job in self.jobs if job.place is self]

    def blocked(self) -> bool:
        """Returns whether the handler waits for readers: no unanswered job of the batch has credit left."""
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

    ``since``: when the running batch began or last made progress; ``blocked_at``: since when it waits for slow
    readers, which is not its fault and does not count against the response timeout.
    """

    any_order = False  # of the answers

    __slots__ = ("blocked_at", "draining", "flights", "id", "service", "since")

    def __init__(self, id: int) -> None:
        self.id = id
        self.flights: deque[Flight] = deque()
        self.draining = False
        self.service = ServiceTime()
        self.since = 0.0
        self.blocked_at: float | None = None

    def answering(self, batch_id: int, jobs: int) -> Flight | None:
        """Returns the batch that an answer for ``jobs`` jobs is about; None when there is no such batch or it is not
        its turn."""
        for flight in self.flights:
            if flight.id == batch_id and len(flight.jobs) == jobs:
                return flight
            if not self.any_order:
                break
        return None

    def ended(self, flight: Flight, now: float, handler_s: float) -> float:
        """Removes a batch; returns how long the worker took for it."""
        self.flights.popleft()
        took_s = now - self.since
        if not flight.streams:
            self.service.record(took_s, handler_s, lone=flight.sent_at >= self.since)
        self.since, self.blocked_at = now, None
        return took_s

    def runs(self, flight: Flight) -> bool:
        return bool(self.flights) and self.flights[0] is flight

    def had_begun(self, flight: Flight, started: int | None) -> bool:
        """``started``: the newest batch that a dead worker began; None when unknown: then it is the one whose turn it
        was, because answers leave before the next batch begins, or a moment later."""
        return flight is self.flights[0] if started is None else flight.id == started

    def blocked(self) -> bool:
        """Returns whether the worker waits for readers."""
        return bool(self.flights) and self.flights[0].blocked()

    def record_activity(self, now: float, flight: Flight | None = None) -> None:
        """``flight``: the batch that goes on; None: one has ended."""
        self.since = now
        self.blocked_at = now if self.flights and self.flights[0].streams and self.blocked() else None

    def unblock(self, now: float) -> None:
        """Does not count the time that the running batch waited for readers, once they caught up."""
        if self.blocked_at is not None and not self.blocked():
            self.since += now - self.blocked_at
            self.blocked_at = None

    def late_at(self, timeout_s: float) -> float | None:
        """Returns when the running batch times out; None while nothing runs or it waits for readers."""
        if not self.flights or self.blocked_at is not None:
            return None
        return self.since + timeout_s

    def give_up(self, now: float, timeout_s: float) -> list[Flight]:
        """Returns the batches whose jobs have timed out; none: the worker itself has. Call it at `late_at`, once."""
        self.since = now
        return []


class SteppingWorker(WorkerState):
    """A worker that batches continuously: all its batches run at once, each of one job, and end in any order.

    Batches join in the order sent. A report about any of them shows that the step which they share goes on.
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
        """Does as above; for None all may have, since nothing waits for its turn."""
        return started is None or flight.id <= started

    def blocked(self) -> bool:
        return bool(self.flights) and all(flight.blocked() for flight in self.flights)


class ConcurrentWorker(SteppingWorker):
    """A worker whose handler is asynchronous: its batches have nothing in common but the event loop.

    Each has a response timeout of its own, since it began or last sent a part, which ends its job alone.  Only when
    that cancellation is not acknowledged is the loop itself silent, and the worker late.
    """

    __slots__ = ("_alive_at", "_given_up_at")

    def __init__(self, id: int) -> None:
        super().__init__(id)
        self._alive_at: dict[int, float] = {}  # of the batches that have sent parts
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
    """``jobs``: those that wait, in nearly the order in which they came."""
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
