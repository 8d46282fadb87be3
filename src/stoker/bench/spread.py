"""Summarises several rounds: median with min and max, ratios taken round by round, percentiles. PURE.

A ratio compares two contenders within one round, so that a slow minute of the machine counts for both.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of ``count`` rounds."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Returns None if there is nothing to summarise."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))

    def text(self, digits: int = 3) -> str:
        """Returns ``1.23 (1.20-1.31)``, to ``digits`` significant digits; one value alone has no range."""
        if self.count == 1:
            return short(self.median, digits)
        return f"{short(self.median, digits)} ({short(self.low, digits)}-{short(self.high, digits)})"


def short(value: float, digits: int = 3) -> str:
    """Formats to ``digits`` significant digits, without exponents and with grouped thousands."""
    if value == 0:
        return "0"
    places = 0
    size = abs(value)
    while size < 10 ** (digits - 1) and places < digits + 6:
        size *= 10
        places += 1
    return f"{value:,.{places}f}"


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Returns ``ours / theirs`` for every round (key) in both."""
    return [ours[turn] / theirs[turn] for turn in sorted(ours.keys() & theirs.keys()) if theirs[turn]]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Returns the value that ``share`` (0 to 1) of the sorted values do not exceed (nearest rank)."""
    if not ordered:
        raise ValueError("no values")
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]


def latencies(milliseconds: Sequence[float]) -> dict[str, float]:
    """Returns the reported percentiles; empty if nothing was answered."""
    if not milliseconds:
        return {}
    ordered = sorted(milliseconds)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: percentile(ordered, share) for name, share in shares.items()}
