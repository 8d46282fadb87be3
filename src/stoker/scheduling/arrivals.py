"""Estimates how often requests arrive, and how much of what differs is chance.  PURE.

The rate is smoothed twice: the slow average decides while the load is steady, the fast one as soon as it differs by
more than chance. How far chance reaches is measured: requests that come in bursts differ more than independent ones.
"""

from __future__ import annotations

from math import exp, inf, sqrt

FAST_S = 4.0
SLOW_S = 30.0
DISPERSION_EACH_S = 1.0
DISPERSION_OF = 60  # moments, of that length each
_INDEPENDENT = 3  # the weight of the assumption that requests are independent, in measured moments
_HABIT = 9.0  # times the dispersion: what differs by more is a change, no habit
_UNSURE = 0.4
_CHANCE = 3.0  # standard deviations by which a steady load differs from its average now and then
_NEVER = 5.0  # standard deviations by which it never does


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
        """Returns how much time it stands for."""
        return 2 * self.span_s * self._weight


class Dispersion:
    """Index of dispersion of requests: the variance of their number in a moment over its mean. 1 when independent,
    the size of bursts that come at once, 0 when they are as regular as a clock."""

    __slots__ = ("_before", "_count", "_known", "_seconds", "value")

    def __init__(self) -> None:
        self.value = 1.0
        self._known = float(_INDEPENDENT)
        self._before: float | None = None
        self._count = self._seconds = 0.0

    def add(self, count: float, seconds: float) -> None:
        self._count += count
        self._seconds += seconds
        if self._seconds < DISPERSION_EACH_S:
            return
        before, now = self._before, self._count
        self._before, self._count, self._seconds = now, 0.0, 0.0
        if before is None or not before + now:
            return
        differs = (now - before) ** 2 / (now + before)  # its mean is the dispersion, at any rate
        self._known = min(self._known + 1, DISPERSION_OF)
        self.value += (min(differs, _HABIT * max(1.0, self.value)) - self.value) / self._known


class Arrivals:
    """Requests per second. ``since_fall_s``: how long ago they clearly became fewer."""

    __slots__ = ("_dispersion", "_fast", "_slow", "since_fall_s")

    def __init__(self) -> None:
        self.since_fall_s = inf
        self._dispersion = Dispersion()
        self._fast = _Average(FAST_S)
        self._slow = _Average(SLOW_S)

    def add(self, count: float, seconds: float) -> None:
        self._dispersion.add(count, seconds)
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
    def burst(self) -> float:
        """Returns how many requests come at once; 1 until the load clearly shows otherwise."""
        value = self._dispersion.value
        return max(1.0, value - _UNSURE) if value > 1.0 else min(1.0, value / (1 - _UNSURE))

    @property
    def trend(self) -> float:
        """Requests per second, gained each second; 0 while chance explains what differs."""
        return self._gain_beyond(_CHANCE) / (SLOW_S - FAST_S)

    @property
    def surges(self) -> bool:
        """Tells whether requests became more than chance explains in any steady load of this kind."""
        return self._gain_beyond(_NEVER) > 0

    def _gain_beyond(self, deviations: float) -> float:
        gain = self._fast.value - self._slow.value
        if not self._fast.seconds:
            return 0.0
        chance = sqrt(max(1.0, self.burst) * max(self._slow.value, self._fast.value) / self._fast.seconds)
        return gain if abs(gain) > deviations * chance else 0.0

    def expected(self, ahead_s: float) -> float:
        """Returns the rate ``ahead_s`` from now. A fall is not expected to go on."""
        trend = self.trend
        return self.rate + trend * (FAST_S + ahead_s) if trend > 0 else self.rate
