"""Results of a run: one record per contender, point and round, and notes for everything that is not a figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stoker.bench.measure import Measured
from stoker.bench.spread import Spread, ratios

Pick = Callable[[Measured], float]


@dataclass(frozen=True)
class Record:
    point: str
    contender: str
    round: int
    measured: Measured
    core_ms: float | None = None
    """How long a fixed piece of work took on the cores around the measurement, see `core_speed`."""


@dataclass
class Findings:
    """``absent``: contenders that could not take part, and why.

    ``notes``: what a reader should know besides the figures.
    """

    machine: dict[str, str]
    options: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    configured: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def add(self, point: str, contender: str, turn: int, measured: Measured, core_ms: float | None = None) -> None:
        self.records.append(Record(point, contender, turn, measured, core_ms))

    def values(self, point: str, contender: str, pick: Pick) -> dict[int, float]:
        """Returns usable figures by round."""
        return {r.round: pick(r.measured) for r in self.of(point, contender) if r.measured.problem is None}

    def of(self, point: str, contender: str) -> list[Record]:
        return [r for r in self.records if r.point == point and r.contender == contender]

    def spread(self, point: str, contender: str, pick: Pick) -> Spread | None:
        return Spread.of(list(self.values(point, contender, pick).values()))

    def ratio(self, point: str, ours: str, theirs: str, pick: Pick) -> Spread | None:
        return Spread.of(ratios(self.values(point, ours, pick), self.values(point, theirs, pick)))

    def points(self) -> list[str]:
        return unique(record.point for record in self.records)

    def contenders(self) -> list[str]:
        return unique(record.contender for record in self.records)

    def problems(self, point: str, contender: str) -> list[str]:
        return [r.measured.problem for r in self.of(point, contender) if r.measured.problem]

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def load(file: Path) -> Findings:
    raw = json.loads(file.read_text(encoding="utf-8"))
    records = [Record(**r | {"measured": Measured(**r["measured"])}) for r in raw.pop("records")]
    return Findings(**raw, records=records)


def unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def rate(measured: Measured) -> float:
    return measured.rate


def p50(measured: Measured) -> float:
    return measured.latencies_ms.get("p50", 0.0)


def p99(measured: Measured) -> float:
    return measured.latencies_ms.get("p99", 0.0)


def cpu(measured: Measured) -> float:
    return measured.cpu_us


def extra(name: str) -> Pick:
    return lambda measured: measured.more.get(name, 0.0)
