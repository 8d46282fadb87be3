"""Judges figures by their bars and aims, and makes their rows of the table. PURE.

Most are the ratio of one value of two contenders, taken within each round; the median counts. A bar must be reached, an
aim should be.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.records import Findings, Pick
from stoker.bench.spread import Spread, short

OURS, THEIRS = "stoker-nghttp2", "torchserve"


@dataclass(frozen=True)
class Row:
    """A row of the table. ``ratio``: what is judged; for a few figures it is a time. ``verdict``: whether it reached
    its aim or its bar, or why that is unknown."""

    name: str
    what: str
    ours: str
    theirs: str
    ratio: Spread | None
    bar: str
    aim: str
    verdict: str

    def cells(self) -> list[str]:
        ratio = self.ratio.text() if self.ratio else "-"
        return [self.name, self.what, self.ours, self.theirs, ratio, self.bar, self.aim, self.verdict]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A ratio, for calls with a run's findings.

    ``at_most``: the ratio has upper bounds (latency, memory), else lower ones (throughput). ``bar``: None for a figure
    that has an aim only. ``aim_text``: an aim in words.
    """

    name: str
    what: str
    point: str
    pick: Pick
    bar: float | None
    aim: float | None
    unit: str
    at_most: bool = False
    ours: str = OURS
    against: str = THEIRS
    aim_text: str | None = None

    def __call__(self, findings: Findings) -> list[Row]:
        ours = findings.spread(self.point, self.ours, self.pick)
        theirs = findings.spread(self.point, self.against, self.pick)
        ratio = findings.ratio(self.point, self.ours, self.against, self.pick)
        row = Row(
            self.name,
            self.what,
            with_unit(ours, self.unit),
            with_unit(theirs, self.unit),
            ratio,
            bound_text(self.bar, at_most=self.at_most),
            self.aim_text or bound_text(self.aim, at_most=self.at_most),
            verdict(ratio, self.bar, self.aim, at_most=self.at_most),
        )
        return [row]


def at_most(
    name: str,
    what: str,
    ours: str,
    theirs: str,
    value: Spread | None,
    *,
    bar: float,
    aim: float | None = None,
    unit: str = "x",
) -> Row:
    """Makes the row of a ``value`` that has upper bounds. ``unit``: of the value and its bounds; x: it is a ratio."""
    bar_text, aim_text = (bound_text(bound, at_most=True, unit=unit) for bound in (bar, aim))
    return Row(name, what, ours, theirs, value, bar_text, aim_text, verdict(value, bar, aim, at_most=True))


def bound_text(value: float | None, *, at_most: bool, unit: str = "x") -> str:
    if value is None:
        return ""
    return f"at most {value:g} {unit}" if at_most else f"{value:g} {unit}"


def with_unit(spread: Spread | None, unit: str) -> str:
    return f"{short(spread.median)} {unit}" if spread else "-"


def verdict(ratio: Spread | None, bar: float | None, aim: float | None, *, at_most: bool) -> str:
    if ratio is None:
        return "not measured"
    if aim is not None and reaches(ratio.median, aim, at_most=at_most):
        return "aim reached"
    if bar is None:
        return "aim missed"
    return "bar reached" if reaches(ratio.median, bar, at_most=at_most) else "missed"


def reaches(value: float, bound: float, *, at_most: bool) -> bool:
    return value <= bound if at_most else value >= bound
