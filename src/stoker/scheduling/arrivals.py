"""Estimates the rate of requests, and how much of its variation is chance.  PURE.

The rate is smoothed twice: the slow average counts while the load is steady, the fast one as soon as both differ by
more than chance explains. How much that is, is measured: bursts of requests vary more than independent requests.
"""

from __future__ import annotations

from math import exp, inf, sqrt

FAST_S = 4.0
SLOW_S = 30.0
DISPERSION_EACH_S = 1.0  # the length of an interval
DISPERSION_OF = 60  # intervals
_INDEPENDENT = 3  # weight of the prior that requests are independent, in intervals
_OUTLIER = 9.0  # times the dispersion: a larger difference is a change of the load, not part of its variation
_UNCERTAINTY = 0.4  # of a measured dispersion
_RARE = 3.0  # standard deviations by which a steady load rarely differs from its average
_NEVER = 5.0  # standard deviations by which it never does


class _Average:
    """An exponential average over ``span_s``, without a bias towards its start."""

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
        """Replaces what it has learnt by what ``other`` has."""
        self._weight = min(self._weight, other.seconds / (2 * self.span_s))
        self._sum = other.value * self._weight

    @property
    def seconds(self) -> float:
        """Returns the length of time that the average covers."""
        return 2 * self.span_s * self._weight


class Dispersion:
    """The index of dispersion of requests: the variance of their number in an interval, divided by its mean. 1 for
    independent requests, the size of the bursts for simultaneous ones, 0 for perfectly regular ones."""

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
        differs = (now - before) ** 2 / (now + before)  # its mean is the dispersion, whatever the rate
        self._known = min(self._known + 1, DISPERSION_OF)
        self.value += (min(differs, _OUTLIER * max(1.0, self.value)) - self.value) / self._known


class Arrivals:
    """The rate of requests and its trend. ``since_fall_s``: seconds since the rate last fell clearly."""

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
        """Returns how many requests come at once; 1 unless the load clearly shows otherwise."""
        value = self._dispersion.value
        return max(1.0, value - _UNCERTAINTY) if value > 1.0 else min(1.0, value / (1 - _UNCERTAINTY))

    @property
    def trend(self) -> float:
        """Returns by how much the rate grows each second; 0 while chance explains the difference."""
        return self._gain_beyond(_RARE) / (SLOW_S - FAST_S)

    @property
    def surges(self) -> bool:
        """Tells whether the rate has risen by more than it ever does by chance."""
        return self._gain_beyond(_NEVER) > 0

    def _gain_beyond(self, deviations: float) -> float:
        gain = self._fast.value - self._slow.value
        if not self._fast.seconds:
            return 0.0
        chance = sqrt(max(1.0, self.burst) * max(self._slow.value, self._fast.value) / self._fast.seconds)
        return gain if abs(gain) > deviations * chance else 0.0

    def expected(self, ahead_s: float) -> float:
        """Returns the rate expected in ``ahead_s``. A rising trend is extrapolated, a falling one is not."""
        trend = self.trend
        return self.rate + trend * (FAST_S + ahead_s) if trend > 0 else self.rate
