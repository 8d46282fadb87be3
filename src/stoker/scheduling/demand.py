"""Estimates how many workers a model needs, from what a request costs and how many would wait.  PURE.

`Cost` learns a worker's time per batch and per job, and how it spreads. `workers_needed` is queueing theory on that
and the rate of requests: the fewest workers with which few wait longer than the target. `Strictness` corrects the
theory where more requests wait than it expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, inf, log
from typing import NamedTuple

from stoker.core.measures import SECONDS
from stoker.core.ports import Handled

COST_S = 120.0
LATE_SHARE = 0.09  # how many of the requests may wait longer than the target before workers are added
SETTLED_SHARE = 0.065  # the same before workers are taken away: less, or the next moment would want them back
RELAXED_SHARE = 0.003  # the same where that takes only a few workers more
LATE_HELD = 0.045  # how many of the requests may be measured to wait longer before theory is corrected
LATE_OF_S = 90.0
LEARN_S = 40.0
FADE_S = 600.0
_ENOUGH_JOBS = 20
_ENOUGH_BURSTS = 6
_STRICTEST = 0.02
_FULL = 0.95  # a worker is never planned to be busier
_LEAST_ALIKE = 0.01  # batches whose times are exponential or vary more
_LEAST_PEAKED = 0.3  # below this the approximation is bad
_SPREAD = 0.5  # assumed until batches were measured
_SPREAD_BATCHES = 5.0  # the weight of that assumption, in measured batches
_RIDGE_BATCHES = 0.5  # the weight of the assumption that batching gains nothing, in measured batches


class Cost:
    """Seconds of a worker per batch and per job, from totals that are reported now and then: a decaying least-squares
    fit over batches. Until batches differ in size, batching is taken to gain nothing."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums = Handled()

    @property
    def known(self) -> bool:
        return self._sums.seconds > 0

    def add(self, new: Handled, seconds: float) -> None:
        """Learns from ``new``, batches that ended within ``seconds``."""
        kept = exp(-seconds / COST_S) if new.batches else 1.0
        self._sums = Handled(*(old * kept + more for old, more in zip(self._sums, new, strict=True)))

    @property
    def per_batch_and_job(self) -> tuple[float, float]:
        if not self.known:
            return 0.0, 0.0
        batches, jobs, squared, seconds, jobs_seconds, _ = self._sums
        alone = jobs_seconds / squared  # of a job, were batches to cost nothing
        ridge = 1 + _RIDGE_BATCHES / batches
        off_b = seconds - alone * jobs  # by the choice of `alone`, the same for jobs_seconds is 0
        determinant = batches * ridge * squared * ridge - jobs * jobs
        batch = off_b * squared * ridge / determinant
        job = alone - off_b * jobs / determinant
        if batch <= 0.0:
            return 0.0, alone
        if job <= 0.0:
            return seconds / batches, 0.0
        return batch, job

    @property
    def spread(self) -> float:
        """The variance of what a batch of one size takes, over the square of its mean: 0 when all take the same, 1
        when they are exponential."""
        batches, jobs, squared, seconds, jobs_seconds, seconds_squared = self._sums
        if not self.known:
            return _SPREAD
        batch, job = self.per_batch_and_job
        explained = 2 * (batch * seconds + job * jobs_seconds)
        fitted = batch * (batch * batches + 2 * job * jobs) + job * job * squared
        varies = max(0.0, seconds_squared - explained + fitted) * batches / (seconds * seconds)
        return (varies * batches + _SPREAD * _SPREAD_BATCHES) / (batches + _SPREAD_BATCHES)


class Strictness:
    """Learns that more requests wait too long than theory expects. ``factor``: what to multiply the theoretical share
    of late requests by, so that the observed share keeps the target. It learns only while the number of workers stays,
    and forgets slowly."""

    __slots__ = ("_jobs", "_late", "factor")

    def __init__(self) -> None:
        self.factor = 1.0
        self.restart()

    def restart(self) -> None:
        """Forgets what was counted: the workers are others than before."""
        self._jobs = self._late = 0.0

    def add(self, late: float, jobs: float, seconds: float, burst: float = 1.0) -> None:
        """Records that ``late`` of so many ``jobs`` waited longer than the target."""
        kept = exp(-seconds / LATE_OF_S)
        self._late = self._late * kept + late
        self._jobs = self._jobs * kept + jobs
        share = self._late / self._jobs if self._jobs >= _ENOUGH_JOBS + _ENOUGH_BURSTS * burst else 0.0
        if share > LATE_HELD:
            self.factor *= exp(-seconds / LEARN_S * min(share / LATE_HELD - 1, 2.0))
        else:
            self.factor **= exp(-seconds / FADE_S)
        self.factor = max(self.factor, _STRICTEST)


def late_of(waits: Sequence[float], target_s: float) -> float:
    """Returns how many of these waited longer. ``waits``: counts by the bounds of `SECONDS`, evenly spread between."""
    late, lower = 0.0, 0.0
    for count, upper in zip(waits, (*SECONDS, inf), strict=True):
        if lower >= target_s:
            late += count
        elif upper > target_s and upper < inf:
            late += count * (upper - target_s) / (upper - lower)
        lower = upper
    return late


def workers_needed(
    rate: float,
    cost: tuple[float, float],
    *,
    target_s: float,
    most: int,
    batch_size: int = 1,
    slots: int = 1,
    burst: float = 1.0,
    spread: float = 1.0,
    late: float = LATE_SHARE,
    strictness: float = 1.0,
) -> int:
    """Returns the fewest workers that hold the target for all but the share ``late``; ``most`` when none do. ``slots``:
    batches that one worker runs at once. ``burst``: requests that come at once. ``spread``: see `Cost`."""
    if rate <= 0.0:
        return 0
    work = _Work(rate, *cost, batch_size, slots, burst, spread)
    fewest = int(busy_workers(rate, cost, batch_size=batch_size, slots=slots) / _FULL) + 1
    return next((count for count in range(fewest, most) if work.late(count, target_s) <= late * strictness), most)


def busy_workers(rate: float, cost: tuple[float, float], *, batch_size: int, slots: int) -> float:
    """Returns how many workers ``rate`` keeps busy when batches are full."""
    per_batch, per_job = cost
    return rate * (per_batch / batch_size + per_job) / slots


class _Work(NamedTuple):
    rate: float
    per_batch: float
    per_job: float
    batch_size: int
    slots: int
    burst: float
    spread: float

    def late(self, count: int, target_s: float) -> float:
        """Returns which share waits longer with the better of two sizes: batches of one job, or larger ones."""
        servers = count * self.slots
        alone = self._late_in_batches_of(1, servers, target_s)
        if self.batch_size == 1:
            return alone
        full = self._late_in_batches_of(self.batch_size, servers, target_s)
        return min(alone, max(full, self._late_while_all_are_busy(servers, target_s)))

    def _late_while_all_are_busy(self, servers: int, target_s: float) -> float:
        """Returns which share waits longer for the next batch to end, where batches grow until no server is idle."""
        idle = servers - self.rate * self.per_job
        if idle <= 0:
            return 1.0
        size = min(max(self.rate * self.per_batch / idle, 1.0), self.batch_size)
        if 1.0 < size <= self.burst:  # bursts fill larger batches
            return 0.0
        batch_s = self.per_batch + self.per_job * size
        alike = max(1.0 - self.spread, _LEAST_ALIKE)
        return max(0.0, 1.0 - alike * target_s / batch_s) ** (servers / alike) if batch_s else 0.0

    def _late_in_batches_of(self, size: int, servers: int, target_s: float) -> float:
        batch_s = self.per_batch + self.per_job * size
        busy = self.rate / size * batch_s
        if busy >= servers:
            return 1.0
        peaked = max((self.burst / size + self.spread) / 2, _LEAST_PEAKED)
        late = late_share(servers, busy, batch_s, target_s, peaked)
        ahead = max(0.0, self.burst / size - 1) / servers * (servers - busy) / peaked  # of the last one in a burst
        return min(1.0, late * expm1(ahead) / ahead) if ahead else late


def late_share(servers: int, busy: float, service_s: float, target_s: float, peaked: float = 1.0) -> float:
    """Returns which share of requests waits longer than ``target_s``: Erlang's C formula, with Hayward's approximation
    for what is no Poisson process or not exponential. ``busy`` < ``servers``. ``peaked``: the mean of how much arrivals
    and service times vary; 1 where Erlang's formula is exact."""
    if service_s <= 0:
        return 0.0
    peaked = max(peaked, _LEAST_PEAKED)
    return _waiting_share(servers / peaked, busy / peaked) * exp(-(servers - busy) / peaked * target_s / service_s)


def _waiting_share(servers: float, busy: float) -> float:
    """Computes Erlang's C formula. Between whole numbers of servers, its logarithm is interpolated linearly."""
    whole = int(servers)
    blocked = 1.0
    for number in range(1, whole + 1):
        blocked = busy * blocked / (number + busy * blocked)
    more = busy * blocked / (whole + 1 + busy * blocked)
    blocked *= exp(log(more / blocked) * (servers - whole))
    return blocked / (1 - busy / servers * (1 - blocked))
