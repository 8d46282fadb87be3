"""Estimates how many workers a model needs: how often requests arrive, what one costs, who would wait.  PURE.

`Arrivals` smooths the rate twice: the slow average decides while the load is steady, the fast one as soon as it differs
by more than chance.  `Cost` learns a worker's time per batch and per job.  `workers_needed` is queueing theory on both:
the fewest workers with which few requests wait longer than the target.
"""

from __future__ import annotations

from math import exp, inf, sqrt
from typing import NamedTuple

FAST_S = 4.0
SLOW_S = 30.0
COST_S = 120.0
LATE_SHARE = 0.18  # of requests may wait longer than the target, by a theory that expects worse than what comes
RELAXED_SHARE = 0.12  # the same once workers are taken away: less, so that the next moment does not want them back
_CHANCE = 3.0  # standard deviations by which a steady load differs from its average now and then
_FULL = 0.93  # a worker is never planned to be busier
_RIDGE = 0.02  # of the evidence: how much speaks against a gain by batching until batches differ in size


class _Average:
    """An exponential average over ``span_s`` that is right from its first value on."""

    __slots__ = ("_sum", "_weight", "span_s")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._sum = 0.0
        self._weight = 0.0

    def add(self, count: float, seconds: float) -> None:
        kept = exp(-seconds / self.span_s)
        self._sum = self._sum * kept + count / seconds * (1 - kept)
        self._weight = self._weight * kept + (1 - kept)

    @property
    def value(self) -> float:
        return self._sum / self._weight if self._weight else 0.0

    def follow(self, other: _Average) -> None:
        """Begins anew with what the other one knows."""
        self._weight = min(self._weight, other.seconds / (2 * self.span_s))
        self._sum = other.value * self._weight

    @property
    def seconds(self) -> float:
        """How much time it stands for."""
        return 2 * self.span_s * self._weight


class Arrivals:
    """Requests per second. ``since_fall_s``: how long ago they clearly became fewer."""

    __slots__ = ("_fast", "_slow", "since_fall_s")

    def __init__(self) -> None:
        self.since_fall_s = inf
        self._fast = _Average(FAST_S)
        self._slow = _Average(SLOW_S)

    def add(self, count: float, seconds: float) -> None:
        self._fast.add(count, seconds)
        self._slow.add(count, seconds)
        self.since_fall_s += seconds
        if self.trend < 0:
            self.since_fall_s = 0.0
            self._slow.follow(self._fast)

    @property
    def rate(self) -> float:
        return self._fast.value if self.trend else self._slow.value

    @property
    def trend(self) -> float:
        """Requests per second, gained each second; 0 while chance explains what differs."""
        gain = self._fast.value - self._slow.value
        chance = sqrt(max(self._slow.value, self._fast.value) / self._fast.seconds) if self._fast.seconds else inf
        return gain / (SLOW_S - FAST_S) if abs(gain) > _CHANCE * chance else 0.0

    def expected(self, ahead_s: float) -> float:
        """The rate ``ahead_s`` from now. A fall is not expected to go on."""
        trend = self.trend
        return self.rate + trend * (FAST_S + ahead_s) if trend > 0 else self.rate


class Cost:
    """Seconds of a worker per batch and per job, from totals that are reported now and then: a decaying least-squares
    fit. Until batches differ in size, batching is taken to gain nothing."""

    __slots__ = ("_bb", "_bj", "_bs", "_jj", "_js")

    def __init__(self) -> None:
        self._bb = self._bj = self._jj = self._bs = self._js = 0.0

    @property
    def known(self) -> bool:
        return self._js > 0

    def add(self, batches: float, jobs: float, busy_s: float, seconds: float) -> None:
        kept = exp(-seconds / COST_S) if batches else 1.0
        self._bb = self._bb * kept + batches * batches
        self._bj = self._bj * kept + batches * jobs
        self._jj = self._jj * kept + jobs * jobs
        self._bs = self._bs * kept + batches * busy_s
        self._js = self._js * kept + jobs * busy_s

    @property
    def per_batch_and_job(self) -> tuple[float, float]:
        if not self.known:
            return 0.0, 0.0
        alone = self._js / self._jj  # of a job, were batches to cost nothing
        bb = self._bb * (1 + _RIDGE)
        jj = self._jj * (1 + _RIDGE)
        off_b = self._bs - alone * self._bj
        off_j = self._js - alone * self._jj  # 0 by the choice of `alone`
        determinant = bb * jj - self._bj * self._bj
        batch = (off_b * jj - off_j * self._bj) / determinant
        job = alone + (off_j * bb - off_b * self._bj) / determinant
        if batch <= 0.0:
            return 0.0, alone
        if job <= 0.0:
            return self._bs / self._bb, 0.0
        return batch, job


def workers_needed(
    rate: float,
    cost: tuple[float, float],
    *,
    target_s: float,
    most: int,
    batch_size: int = 1,
    slots: int = 1,
    late: float = LATE_SHARE,
) -> int:
    """Returns the fewest workers that hold the target for all but the share ``late``; ``most`` when none do. ``slots``:
    batches that one worker runs at once."""
    if rate <= 0.0:
        return 0
    work = _Work(rate, *cost, batch_size, slots)
    return next((count for count in range(1, most) if work.held_by(count, target_s, late)), most)


def busy_workers(rate: float, cost: tuple[float, float], *, batch_size: int, slots: int) -> float:
    """How many workers ``rate`` keeps busy when batches are full."""
    per_batch, per_job = cost
    return rate * (per_batch / batch_size + per_job) / slots


class _Work(NamedTuple):
    rate: float
    per_batch: float
    per_job: float
    batch_size: int
    slots: int

    def held_by(self, count: int, target_s: float, late: float) -> bool:
        cost = self.per_batch, self.per_job
        if busy_workers(self.rate, cost, batch_size=self.batch_size, slots=self.slots) >= count * _FULL:
            return False
        alone_s = self.per_batch + self.per_job
        servers, busy = count * self.slots, self.rate * alone_s
        if busy < servers and late_share(servers, busy, alone_s, target_s) <= late:
            return True
        return self.batch_size > 1 and self._full_batches_s(servers) * 2 / servers <= target_s

    def _full_batches_s(self, servers: int) -> float:
        """How long a batch takes once every worker is busy: batches grow until they keep up."""
        spare = servers - self.rate * self.per_job
        size = self.rate * self.per_batch / spare if spare > 0 else self.batch_size
        return self.per_batch + self.per_job * min(self.batch_size, max(1.0, size))


def late_share(servers: int, busy: float, service_s: float, target_s: float) -> float:
    """Returns which share of requests waits longer than ``target_s`` (Erlang's C formula). ``busy`` < ``servers``."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = busy * blocked / (number + busy * blocked)
    waits = blocked / (1 - busy / servers * (1 - blocked))
    return waits * exp(-(servers - busy) * target_s / service_s) if service_s > 0 else 0.0
