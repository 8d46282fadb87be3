"""Decides how many workers a model should have, between its minimum and its maximum.  PURE.

Decisions depend only on the samples so far: `Autoscaling.decide` gets one at each tick, and returns a `Decision` when
the number should change.

  * Scales up at once: to what the expected load needs, and to what clears the queue soon.  Looks as far ahead as
    workers take to start.  While little is known about the load, scales up only when requests wait.
  * Scales down after a calm period, to what its highest rate needs, given the latest estimate of what requests cost.
    The longer workers take to start, the longer the period.
  * Scales to zero, if that is the minimum, after a time without requests, which doubles whenever a request comes soon
    afterwards.
  * Makes at most two changes per minute; of two increases, the second is a larger step.  Exceptions are events that no
    steady load causes: a rate beyond all chance, requests that wait many times too long, a load that is still unknown.
  * Never scales up while workers fail to start, because more of them would fail too.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf
from typing import NamedTuple

from stoker.core.ports import Handled, Load
from stoker.scheduling.arrivals import Arrivals
from stoker.scheduling.demand import (
    LATE_SHARE,
    RELAXED_SHARE,
    SETTLED_SHARE,
    Cost,
    Strictness,
    busy_workers,
    late_of,
    workers_needed,
)

CALM_S = 20.0  # the shortest time for which fewer workers must have been enough
FIRST_CALM_S = 40.0  # the same after the first request, while the cost of requests is being learned
_STARTS_IN_A_CALM = 4.0  # the calm lasts at least so many starts: workers that start slowly are not ended early
FALL_S = 8.0  # the calm after the rate has clearly fallen
SLEEP_AFTER_S = 60.0
SLEEP_AFTER_AT_MOST_S = 3600.0
UNSURE_S = 20.0  # time from the first request in which little is known about the load
BETWEEN_CHANGES_S = 30.0  # while no request waits too long and there is no trend
BETWEEN_FALLS_S = 15.0
MINUTE_S = 60.0  # the time in which a steady load gets at most two changes
CLEAR_S = 10.0  # the time in which a queue should be worked off
_LONGEST_AHEAD_S = 30.0
_SMOOTHING = 0.3
_FIRST_STEP = 4
_MUCH_MORE = 1.2
_MUCH_LESS = 0.85  # while the need still falls below this, wait, in order to scale down in one step
_LARGER_STEP = 1.1
_HEADROOM = 1.08  # multiple of the workers needed that may be kept to make fewer requests late
_OVERRUN = 4.0  # requests that wait this many times the target and a batch are far too late


class Sample(NamedTuple):
    """``workers``: how many should run at present; of these, ``ready`` serve and ``failing`` failed to start."""

    now: float
    load: Load
    workers: int
    ready: int
    failing: int = 0


class Decision(NamedTuple):
    """``workers``: the new number. ``reason``: for the log and for DescribeModel."""

    workers: int
    reason: str


class Autoscaling:
    """``slots``: batches that a worker runs at once."""

    def __init__(self, *, target_wait_s: float, batch_size: int = 1, slots: int = 1) -> None:
        self._target_s = target_wait_s
        self._batch_size = batch_size
        self._slots = slots
        self._arrivals = Arrivals()
        self._cost = Cost()
        self._strictness = Strictness()
        self._before: Sample | None = None
        self._rates: deque[tuple[float, float]] = deque()
        self._active_at = self._since = -inf
        self._asleep_at = -inf
        self._sleep_after_s = SLEEP_AFTER_S
        self._start_s = 1.0  # how long a worker takes to start
        self._raised_at: float | None = None
        self._changed_at = self._changed_before_at = -inf
        self._grew = False

    # ------------------------------------------------------------------------------------------ events

    def woken(self, now: float) -> None:
        """Records that a request came while the model had no workers."""
        soon = now - self._asleep_at < self._sleep_after_s
        longer_s = min(self._sleep_after_s * 2, SLEEP_AFTER_AT_MOST_S)
        self._sleep_after_s = longer_s if soon else max(SLEEP_AFTER_S, self._sleep_after_s / 2)
        self.restart(now)
        self._raised_at = now

    def restart(self, now: float) -> None:
        """Forgets the rate of requests and past needs, because the number of workers changed outside of `decide`."""
        self._arrivals = Arrivals()
        self._before = None
        self._rates.clear()
        self._active_at = self._since = now

    def idle_s(self, now: float) -> float:
        """Returns the seconds since the last request."""
        return now - self._active_at

    def decide(self, sample: Sample, *, fewest: int, most: int) -> Decision | None:
        """Returns the new number of workers; None: it stays."""
        self._observe(sample)
        if self.idle_s(sample.now) >= self._sleep_after_s and fewest == 0:
            return self._sleep(sample)
        need, reason = self._need(sample, most)
        need = min(max(need, fewest, 1), most)
        self._rates.append((sample.now, self._arrivals.rate))
        if need > sample.workers:
            return self._raise(sample, need, most, reason)
        return self._lower(sample, need, most, reason)

    # ------------------------------------------------------------------------------------------ inside

    def _observe(self, sample: Sample) -> None:
        before, self._before = self._before, sample
        if sample.load.waiting or sample.load.running or self._active_at == -inf:
            self._active_at = sample.now
            self._since = sample.now if self._since == -inf else self._since
        if before is None or sample.now <= before.now:
            return
        seconds, load, old = sample.now - before.now, sample.load, before.load
        finished = max(0, load.ended - old.ended)
        arrived = finished + load.waiting + load.running - old.waiting - old.running
        if finished:
            self._active_at = sample.now
        self._arrivals.add(max(0, arrived), seconds)
        handled = (max(0.0, new - past) for new, past in zip(load.handled, old.handled, strict=True))
        self._cost.add(Handled(*handled), seconds)
        self._observe_late(sample, before, seconds)
        self._observe_start(sample)

    def _observe_late(self, sample: Sample, before: Sample, seconds: float) -> None:
        if self._arrivals.trend or sample.ready != before.ready or sample.ready != sample.workers:
            self._strictness.restart()
            return
        waits = [max(0, new - past) for new, past in zip(sample.load.waits, before.load.waits, strict=False)]
        if waits and sample.now - self._since > UNSURE_S + CLEAR_S:
            self._strictness.add(late_of(waits, self._target_s), sum(waits), seconds, self._arrivals.burst)

    def _observe_start(self, sample: Sample) -> None:
        if self._raised_at is not None and sample.ready >= sample.workers:
            took_s = min(sample.now - self._raised_at, _LONGEST_AHEAD_S)
            self._start_s += _SMOOTHING * (took_s - self._start_s)
            self._raised_at = None

    def _need(self, sample: Sample, most: int) -> tuple[int, str]:
        load = sample.load
        if not self._cost.known:
            return self._need_before_the_first_answer(sample)
        cost = self._cost.per_batch_and_job
        rate = self._arrivals.expected(self._start_s)
        need = self._needed(rate, most, LATE_SHARE)
        busy = busy_workers(self._arrivals.rate, cost, batch_size=self._batch_size, slots=self._slots)
        backlog = busy_workers(load.waiting / CLEAR_S, cost, batch_size=self._batch_size, slots=self._slots)
        to_clear = ceil(busy + backlog)
        if load.oldest_wait_s > self._target_s and to_clear > need:
            return to_clear, f"{load.waiting} requests wait, the first for {load.oldest_wait_s * 1000:.0f} ms"
        trend = ", rising," if self._arrivals.trend > 0 else ""
        return need, (
            f"{self._arrivals.rate:.3g} requests/s{trend} keep {busy:.2g} workers busy; "
            f"{need} hold the queue wait under {self._target_s * 1000:.0f} ms"
        )

    def _needed(self, rate: float, most: int, late: float) -> int:
        return workers_needed(
            rate,
            self._cost.per_batch_and_job,
            target_s=self._target_s,
            most=most,
            batch_size=self._batch_size,
            slots=self._slots,
            burst=self._arrivals.burst,
            spread=self._cost.spread,
            late=late,
            strictness=self._strictness.factor,
        )

    def _relaxed_need(self, rate: float, most: int) -> int:
        """Returns how many workers keep nearly all requests in time, limited to slightly more than are needed."""
        if not self._cost.known:
            return 0
        little_more = int(self._needed(rate, most, LATE_SHARE) * _HEADROOM)
        settled = self._needed(rate, most, SETTLED_SHARE)
        return min(self._needed(rate, most, RELAXED_SHARE), max(little_more, settled))

    def _need_before_the_first_answer(self, sample: Sample) -> tuple[int, str]:
        """Doubles the number whenever all workers are ready and the first requests still wait too long."""
        load, need = sample.load, sample.workers
        if load.oldest_wait_s > self._target_s and sample.ready >= sample.workers:
            need += min(max(1, load.waiting), sample.workers)
        return need, f"{load.waiting} requests wait and none has been answered yet"

    def _lower(self, sample: Sample, need: int, most: int, reason: str) -> Decision | None:
        """Lowers the number to what the highest rate of the calm needs, by the latest estimate of the cost."""
        now, longest_s = sample.now, max(CALM_S, _STARTS_IN_A_CALM * self._start_s)
        calm_s = FALL_S if self._arrivals.since_fall_s < longest_s else longest_s
        while self._rates[0][0] < now - longest_s - 1.0:
            self._rates.popleft()
        between_s = BETWEEN_FALLS_S if calm_s == FALL_S else MINUTE_S if self._grew else BETWEEN_CHANGES_S
        lasted = self._rates[0][0] <= now - calm_s and now - self._since >= FIRST_CALM_S
        if need >= sample.workers or not lasted or not self._settled(now, between_s):
            return None
        highest = max(rate for at, rate in self._rates if at >= now - calm_s)
        calm = min(max(need, self._relaxed_need(highest, most)), most)
        falls_on = self._relaxed_need(self._arrivals.rate, most) < calm * _MUCH_LESS - 1
        if calm >= sample.workers or falls_on:
            return None
        self._grew = False
        return self._changes_to(calm, f"{reason}; no more than {calm} were needed for {calm_s:.0f} s", now)

    def _raise(self, sample: Sample, need: int, most: int, reason: str) -> Decision | None:
        unsure = sample.now - self._since < UNSURE_S
        if unsure or self._arrivals.surges or sample.now - self._changed_at >= MINUTE_S:
            need = min(need, 2 * sample.ready + _FIRST_STEP)  # once these serve, the need is known better
        elif self._grew:  # the load grows, and this may be the last change for a while
            need = min(max(need, ceil(sample.workers * _LARGER_STEP)), most)
        urgent = self._urgent_at_first if unsure else self._urgent
        if sample.failing or need <= sample.workers or not urgent(sample, need):
            return None
        if self._raised_at is None:
            self._raised_at = sample.now
        self._grew = True
        return self._changes_to(need, reason, sample.now)

    def _urgent_at_first(self, sample: Sample, need: int) -> bool:
        """Tells whether requests wait too long: the only sign of missing workers while little is known of the load."""
        late = sample.load.oldest_wait_s > self._target_s and sample.ready >= sample.workers
        return late and (self._in_budget(sample.now) or self._overrun(sample, _OVERRUN / 2))

    def _urgent(self, sample: Sample, need: int) -> bool:
        """Tells whether to raise the number now, given the recent changes."""
        much_more = need >= sample.workers * _MUCH_MORE
        if not self._in_budget(sample.now) and not self._arrivals.surges and not self._overrun(sample, _OVERRUN):
            return False
        if sample.ready < sample.workers:  # workers are still starting
            return much_more and self._arrivals.surges
        rises = self._arrivals.trend > 0
        if sample.load.oldest_wait_s > self._target_s or (rises and much_more):
            return True
        return self._settled(sample.now, 0.0 if rises else BETWEEN_CHANGES_S)

    def _overrun(self, sample: Sample, times: float) -> bool:
        """Tells whether requests wait so long that the load must have outgrown these workers."""
        alone_s = sum(self._cost.per_batch_and_job)
        return self._cost.known and sample.load.oldest_wait_s > times * (self._target_s + alone_s)

    def _settled(self, now: float, between_s: float) -> bool:
        """Tells whether the last change is at least ``between_s`` ago, and another one is in budget."""
        return now - self._changed_at >= between_s and self._in_budget(now)

    def _in_budget(self, now: float) -> bool:
        """Tells whether a change now would be at most the second within a minute."""
        return now - self._changed_before_at >= MINUTE_S

    def _changes_to(self, workers: int, reason: str, now: float) -> Decision:
        self._changed_at, self._changed_before_at = now, self._changed_at
        return Decision(workers, reason)

    def _sleep(self, sample: Sample) -> Decision | None:
        if sample.workers == 0:
            return None
        self._asleep_at = sample.now
        return Decision(0, f"no request for {self.idle_s(sample.now):.0f} s")
