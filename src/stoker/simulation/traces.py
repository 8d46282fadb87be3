"""Makes traces of requests: their rate over time, how they cluster, and what each costs a worker.  PURE."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

Rate = Callable[[float], float]
"""Returns the requests per second at a time."""
Arrivals = Callable[[Rate, float, random.Random], list[float]]
"""Draws the times of requests within a duration, in seconds."""
Service = Callable[[random.Random], float]
"""Draws a factor of the service time; its mean is 1."""

_STEP_S = 0.05


def steady(rate: float) -> Rate:
    return lambda now: rate


def ramp(first: float, last: float, duration_s: float) -> Rate:
    return lambda now: first + (last - first) * now / duration_s


def spikes(base: float, peak: float, *, every_s: float, long_s: float) -> Rate:
    return lambda now: peak if now % every_s >= every_s - long_s else base


def daily(night: float, noon: float, day_s: float) -> Rate:
    return lambda now: night + (noon - night) * (1 - math.cos(2 * math.pi * now / day_s)) / 2


def sawtooth(low: float, high: float, period_s: float) -> Rate:
    """Rises evenly, then falls suddenly, again and again."""
    return lambda now: low + (high - low) * (now % period_s) / period_s


def step(first: float, last: float, at_s: float) -> Rate:
    return lambda now: first if now < at_s else last


def pause(rate: float, *, since_s: float, until_s: float) -> Rate:
    """Lets no request come between two times."""
    return lambda now: 0.0 if since_s <= now < until_s else rate


def poisson(rate: Rate, duration_s: float, rng: random.Random) -> list[float]:
    """Draws independent requests, by thinning."""
    highest = max(rate(number * _STEP_S) for number in range(int(duration_s / _STEP_S) + 1))
    found, now = [], 0.0
    while highest > 0 and (now := now + rng.expovariate(highest)) < duration_s:
        if rng.random() * highest < rate(now):
            found.append(now)
    return found


def regular(rate: Rate, duration_s: float, rng: random.Random) -> list[float]:
    """Draws one request after the other, as evenly as the rate allows."""
    found, due = [], rng.random()
    for number in range(int(duration_s / _STEP_S)):
        due += rate(number * _STEP_S) * _STEP_S
        found += [(number + part / int(due)) * _STEP_S for part in range(int(due))]
        due %= 1.0
    return found


def bursts(size: int) -> Arrivals:
    """Draws ``size`` requests at once, at independent times."""

    def draw(rate: Rate, duration_s: float, rng: random.Random) -> list[float]:
        times = poisson(lambda now: rate(now) / size, duration_s, rng)
        return [at for at in times for _ in range(size)]

    return draw


def fixed(rng: random.Random) -> float:
    return 1.0


def exponential(rng: random.Random) -> float:
    return rng.expovariate(1.0)


def lognormal(spread: float) -> Service:
    """Draws from a lognormal distribution of mean 1. ``spread``: standard deviation of the logarithm."""
    return lambda rng: rng.lognormvariate(-(spread**2) / 2, spread)


def bimodal(rng: random.Random) -> float:
    """Makes one in five take six times as long as the others."""
    return 3.0 if rng.random() < 0.2 else 0.5


_NEARLY_EVEN = lognormal(0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """``service_s``: of a batch of one job; each further job adds ``marginal`` times that. ``start_s``: how long a
    worker takes to start."""

    rate: Rate
    duration_s: float
    arrive: Arrivals = poisson
    service: Service = _NEARLY_EVEN
    service_s: float = 0.4
    marginal: float = 1.0
    batch_size: int = 1
    start_s: float = 2.0
    seed: int = 0

    def arrivals(self) -> list[float]:
        return self.arrive(self.rate, self.duration_s, random.Random(self.seed))

    def took_s(self, rng: random.Random, jobs: int) -> float:
        return self.service_s * (1 + self.marginal * (jobs - 1)) * self.service(rng)
