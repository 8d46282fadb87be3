"""Estimates how many workers a model needs, from what requests cost and how many would have to wait.  PURE.

`Cost` learns a worker's time per batch and per job, and its variance. `workers_needed` applies queueing theory to that
and to the rate of requests: the fewest workers with which few requests wait longer than the target. `Strictness`
corrects the theory if more requests wait than it predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, inf, log
from typing import NamedTuple

from stoker.core.measures import SECONDS
from stoker.core.ports import Handled

COST_S = 120.0
LATE_SHARE = 0.09  # share of the requests that may wait longer than the target before workers are added
SETTLED_SHARE = 0.065  # the same before workers are removed; lower, or they would be added again at once
RELAXED_SHARE = 0.003  # the same if that takes only slightly more workers
LATE_HELD = 0.045  # measured share of late requests above which the theory is corrected
LATE_OF_S = 90.0
LEARN_S = 40.0
FADE_S = 600.0
_ENOUGH_JOBS = 20
_ENOUGH_BURSTS = 6
_STRICTEST = 0.02
_FULL = 0.95  # the highest utilisation to plan for
_LEAST_ALIKE = 0.01  # for batches whose times are exponential or vary more
_LEAST_PEAKED = 0.3  # below this the approximation is bad
_SPREAD = 0.5  # prior, before batches were measured
_SPREAD_BATCHES = 5.0  # weight of that prior, in batches
_RIDGE_BATCHES = 0.5  # weight of the prior that batching gains nothing, in batches


class Cost:
    """Estimates a worker's seconds per batch and per job, by a decaying least-squares fit over batches. Assumes that
    batching gains nothing until batches differ in size."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums = Handled()

    @property
    def known(self) -> bool:
        return self._sums.seconds > 0

    def add(self, new: Handled, seconds: float) -> None:
        """Learns from ``new``: the batches that ended in the last ``seconds``."""
        kept = exp(-seconds / COST_S) if new.batches else 1.0
        self._sums = Handled(*(old * kept + more for old, more in zip(self._sums, new, strict=True)))

    @property
    def per_batch_and_job(self) -> tuple[float, float]:
        if not self.known:
            return 0.0, 0.0
        batches, jobs, squared, seconds, jobs_seconds, _ = self._sums
        alone = jobs_seconds / squared  # seconds per job if a batch itself cost nothing
        ridge = 1 + _RIDGE_BATCHES / batches
        off_b = seconds - alone * jobs  # the corresponding difference for jobs_seconds is 0, by the choice of `alone`
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
        """Returns the variance of the time of batches of one size, divided by the square of its mean: 0 if it is
        constant, 1 if it is exponentially distributed."""
        batches, jobs, squared, seconds, jobs_seconds, seconds_squared = self._sums
        if not self.known:
            return _SPREAD
        batch, job = self.per_batch_and_job
        explained = 2 * (batch * seconds + job * jobs_seconds)
        fitted = batch * (batch * batches + 2 * job * jobs) + job * job * squared
        varies = max(0.0, seconds_squared - explained + fitted) * batches / (seconds * seconds)
        return (varies * batches + _SPREAD * _SPREAD_BATCHES) / (batches + _SPREAD_BATCHES)


class Strictness:
    """Learns when more requests wait too long than the theory predicts. ``factor``: by which to multiply the allowed
    theoretical share of late requests, so that the observed share keeps the target. Learns only while the number of
    workers stays the same, and forgets slowly."""

    __slots__ = ("_jobs", "_late", "factor")

    def __init__(self) -> None:
        self.factor = 1.0
        self.restart()

    def restart(self) -> None:
        """Forgets what was counted, because the number of workers has changed."""
        self._jobs = self._late = 0.0

    def add(self, late: float, jobs: float, seconds: float, burst: float = 1.0) -> None:
        """Records that ``late`` of ``jobs`` requests waited longer than the target in the last ``seconds``."""
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
    """Returns how many waited longer than ``target_s``. ``waits``: counts by the bounds of `SECONDS`; assumes an even
    distribution between two bounds."""
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
    """Returns the fewest workers that hold the target for all requests but the share ``late``; ``most`` if fewer do
    not. ``slots``: batches that one worker runs at once. ``burst``: requests that come at once. ``spread``: see `Cost`.
    """
    if rate <= 0.0:
        return 0
    work = _Work(rate, *cost, batch_size, slots, burst, spread)
    fewest = int(busy_workers(rate, cost, batch_size=batch_size, slots=slots) / _FULL) + 1
    return next((count for count in range(fewest, most) if work.late(count, target_s) <= late * strictness), most)


def busy_workers(rate: float, cost: tuple[float, float], *, batch_size: int, slots: int) -> float:
    """Returns how many workers ``rate`` keeps busy if all batches are full."""
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
        """Returns the share that waits longer than the target, for batches of one job or larger ones, whichever is
        better."""
        servers = count * self.slots
        alone = self._late_in_batches_of(1, servers, target_s)
        if self.batch_size == 1:
            return alone
        full = self._late_in_batches_of(self.batch_size, servers, target_s)
        return min(alone, max(full, self._late_while_all_are_busy(servers, target_s)))

    def _late_while_all_are_busy(self, servers: int, target_s: float) -> float:
        """Returns the share that waits longer for the next batch to end, if batches grow until no server is idle."""
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
        ahead = max(0.0, self.burst / size - 1) / servers * (servers - busy) / peaked  # of the last job in a burst
        return min(1.0, late * expm1(ahead) / ahead) if ahead else late


def late_share(servers: int, busy: float, service_s: float, target_s: float, peaked: float = 1.0) -> float:
    """Returns the share of requests that wait longer than ``target_s``, by Erlang's C formula, with Hayward's
    approximation for arrivals that are not Poisson or service times that are not exponential. ``busy`` must be less
    than ``servers``. ``peaked``: the mean of the dispersions of arrivals and service times; for 1, Erlang's formula is
    exact."""
    if service_s <= 0:
        return 0.0
    peaked = max(peaked, _LEAST_PEAKED)
    return _waiting_share(servers / peaked, busy / peaked) * exp(-(servers - busy) / peaked * target_s / service_s)


def _waiting_share(servers: float, busy: float) -> float:
    """Computes Erlang's C formula, interpolating its logarithm linearly for fractional numbers of servers."""
    whole = int(servers)
    blocked = 1.0
    for number in range(1, whole + 1):
        blocked = busy * blocked / (number + busy * blocked)
    more = busy * blocked / (whole + 1 + busy * blocked)
    blocked *= exp(log(more / blocked) * (servers - whole))
    return blocked / (1 - busy / servers * (1 - blocked))
