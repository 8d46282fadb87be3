"""Simulates autoscaling on a trace of requests: runs the scheduler's core and the policy on a virtual clock, with
workers that take time to start.  PURE."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stoker.core.job import Batch, Job, ModelKey
from stoker.core.measures import RequestTotals
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk
from stoker.errors import WorkerDied
from stoker.scheduling import actions
from stoker.scheduling.autoscaling import Autoscaling, Sample
from stoker.scheduling.core import SchedulerCore
from stoker.simulation.traces import Trace

KEY = ModelKey("m", "1.0")
TICK_S = 0.5
WINDOW_S = 60.0
ANSWER = Chunk(b"ok")
_GONE = WorkerDied()


@dataclass(slots=True)
class Result:
    """``waits``: (time of acceptance, seconds in the queue) of each job. ``changes``: (time, workers, reason).
    ``worker_s``: the seconds that all workers ran."""

    waits: list[tuple[float, float]] = field(default_factory=list)
    changes: list[tuple[float, int, str]] = field(default_factory=list)
    worker_s: float = 0.0
    failed: int = 0

    def late_share(
        self, target_s: float, since: float = 0.0, until: float = math.inf, without: Sequence[tuple[float, float]] = ()
    ) -> float:
        """Returns the share of requests that waited longer than ``target_s``. ``without``: intervals whose requests are
        left out."""
        waits = [
            wait
            for at, wait in self.waits
            if since <= at < until and not any(first <= at < last for first, last in without)
        ]
        return sum(wait > target_s for wait in waits) / max(1, len(waits))

    def most_changes_in_a_minute(self, since: float = 0.0) -> int:
        times = [at for at, _, _ in self.changes if at >= since]
        return max((sum(at <= other < at + WINDOW_S for other in times) for at in times), default=0)


class Run:
    """``workers``: how many are ready at the beginning."""

    def __init__(self, trace: Trace, *, target_s: float, fewest: int, most: int, workers: int) -> None:
        self.trace = trace
        self.now = 0.0
        self.result = Result()
        spec = ModelSpec(
            key=KEY, url="", model_dir="", handler="h", batch_size=trace.batch_size, job_queue_size=10**9,
            response_timeout_s=1e9,
        )  # fmt: skip
        self.core = SchedulerCore(spec, stream_window_bytes=1000, stream_stall_timeout_s=30.0, max_joined_bytes=1000)
        self.policy = Autoscaling(target_wait_s=target_s, batch_size=trace.batch_size)
        self._bounds = fewest, most
        self._rng = random.Random(trace.seed + 1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._next_id = 0
        self._slots: dict[int, bool] = {}  # id: whether it is ready
        self._draining: set[int] = set()
        self._totals = RequestTotals()
        self._scale(workers)
        for number in list(self._slots):
            self._ready(number)

    def run(self) -> Result:
        for at in self.trace.arrivals():
            self._at(at, self._arrive)
        ticks = int(self.trace.duration_s / TICK_S)
        for tick in range(ticks):
            self._at(tick * TICK_S, self._tick)
        while self._events and self._events[0][0] < self.trace.duration_s:
            at, _, action = heapq.heappop(self._events)
            self.result.worker_s += (len(self._slots) + len(self._draining)) * (at - self.now)
            self.now = at
            action()
            self.core.dispatch(at)
            self._carry_out()
        return self.result

    def _at(self, at: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, action))

    def _arrive(self) -> None:
        self.core.submit(Job(KEY, (), totals=self._totals), self.now)

    def _carry_out(self) -> None:
        todo, self.core.actions = self.core.actions, []
        for action in todo:
            if isinstance(action, actions.Send):
                self.result.waits += [(job.accepted_at, self.now - job.accepted_at) for job in action.batch.jobs]
                took_s = self.trace.took_s(self._rng, len(action.batch.jobs))
                self._at(self.now + took_s, self._ender(action.worker, action.batch, took_s))
            elif isinstance(action, actions.Fail):
                self.result.failed += 1

    def _ender(self, worker: int, batch: Batch, took_s: float) -> Callable[[], None]:
        def end() -> None:
            self.core.done(worker, batch.id, [ANSWER] * len(batch.jobs), self.now, took_s)
            if worker in self._draining and self.core.idle(worker):
                self._draining.discard(worker)
                self.core.worker_lost(worker, _GONE, None, self.now)

        return end

    def _tick(self) -> None:
        sample = Sample(self.now, self.core.load(self.now), len(self._slots), sum(self._slots.values()))
        decision = self.policy.decide(sample, fewest=self._bounds[0], most=self._bounds[1])
        if decision is not None:
            self.result.changes.append((self.now, decision.workers, decision.reason))
            self._scale(decision.workers)

    def _scale(self, count: int) -> None:
        for number in sorted(self._slots, key=lambda number: (self._slots[number], -number)):
            if len(self._slots) <= count:
                break
            if self._slots.pop(number):
                self._draining.add(number)
                self.core.worker_draining(number)
                if self.core.idle(number):
                    self._draining.discard(number)
                    self.core.worker_lost(number, _GONE, None, self.now)
        while len(self._slots) < count:
            self._next_id += 1
            self._slots[self._next_id] = False
            self._at(self.now + self.trace.start_s, self._starter(self._next_id))
        self.core.pool_status(len(self._slots), None, self.now)

    def _starter(self, number: int) -> Callable[[], None]:
        return lambda: self._ready(number)

    def _ready(self, number: int) -> None:
        if number in self._slots and not self._slots[number]:
            self._slots[number] = True
            self.core.worker_ready(number)
