"""A group: points that are measured on one deployment, who takes part in it, its rounds, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import COMPARED, MAIN
from benchmarks.crowds import Crowd
from benchmarks.fresh_servers import Leaving, Memory, ScaleUp, StartUp
from benchmarks.placed import NodeDeath
from benchmarks.points import Point
from benchmarks.workload import Contender, Workload
from benchmarks.workspace import Options
from stoker.bench.contender import Model

START_S = 6.0
"""Approximate time until all servers of a group have started."""
LOOP_OVERHEAD_S = 4.0

FreshPoint = StartUp | Memory | ScaleUp | Leaving | Crowd | NodeDeath


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The forward loop that runs beside a group, under the name of the point it is compared with."""

    point: str
    payload: bytes
    stream: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """Points on one deployment. ``model`` is built when the group begins."""

    title: str
    workload: Workload
    model: Callable[[Path], Model]
    deployment: dict[str, Any] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    fresh: tuple[FreshPoint, ...] = ()
    loops: tuple[Loop, ...] = ()
    most_rounds: int | None = None
    """Limit on the run's rounds: for slow points with little variance."""
    repeats: int = 1
    """Factor on the run's rounds: a ratio close to 1 needs more of them on a machine that drifts."""
    only: tuple[str, ...] | None = None
    """The contenders of this group, if not all."""

    @property
    def letter(self) -> str:
        """Returns the workload's letter, with which the names of its points begin."""
        return self.workload.value

    def rounds(self, options: Options) -> int:
        if options.quick:
            return options.rounds
        return self.repeats * options.rounds if self.most_rounds is None else min(self.most_rounds, options.rounds)

    def participants(self, contenders: Sequence[Contender], options: Options) -> list[Contender]:
        quick = COMPARED if options.quick and self.workload is not Workload.SMALL else None
        only = self.only or quick
        return [
            contender
            for contender in contenders
            if contender.offers(self.workload)
            and (only is None or contender.name in only)
            and any(takes_part(contender, point) for point in (*self.points, *self.fresh))
        ]

    def estimate_s(self, contenders: Sequence[Contender], options: Options) -> float:
        """Returns the approximate seconds that the group takes."""
        here = self.participants(contenders, options)
        turns = [(c, p) for c in here for p in (*self.points, *self.fresh) if takes_part(c, p)]
        round_s = sum(point.seconds(options) for _, point in turns)
        round_s += len(self.loops) * (options.duration_s + LOOP_OVERHEAD_S)
        preparing = (START_S + len(here) * (options.warm_up_s + 1)) if self.points else 0.0
        return round_s * self.rounds(options) + preparing


def takes_part(contender: Contender, point: Point | FreshPoint) -> bool:
    """Tells whether a contender is measured at a point: those of `MAIN` always, others if the point is for them."""
    if contender.name in MAIN:
        return True
    over_grpc = contender.wire != "http" or not getattr(point, "grpc_only", False)
    return over_grpc and bool(getattr(point, "for_peers", False))
