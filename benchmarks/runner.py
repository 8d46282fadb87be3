"""Runs the plan: servers of a group stay up and take turns; failed ones are reported and restarted.

All servers of a group start together and are warmed up one by one.  Then they idle while another one is measured.
Idling is measured too: a server that uses more than `RESTLESS` of a core when idle is ended and restarted for each of
its turns, so that it slows no other.  The order of the contenders rotates with every round.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.core_speed import around
from benchmarks.fresh_servers import FreshTurn
from benchmarks.group import Group, takes_part
from benchmarks.points import Closed, Point, Turn
from benchmarks.records import Findings
from benchmarks.workspace import Workspace
from stoker.bench import forward
from stoker.bench.checking import Checker, wait_for_answer
from stoker.bench.contender import Contender, Model, Running
from stoker.bench.measure import Measured
from stoker.bench.processes import cpu_seconds

T = TypeVar("T")

RESTLESS = 0.03
START_TIMEOUT_S = 180.0
MOST_FAILURES = 3
IDLE_S = 1.0


@dataclass
class Seat:
    """A contender in a group. ``restless``: restarted for each turn."""

    contender: Contender
    running: Running | None = None
    restless: bool = False
    failures: int = 0


@dataclass
class Runner:
    workspace: Workspace
    findings: Findings
    say: Callable[[str], None]
    _left_s: float = 0.0
    """Approximate seconds left when this group begins."""
    _this_s: float = 0.0
    """Approximate seconds of this group."""

    def run(self, groups: Sequence[Group], contenders: Sequence[Contender]) -> None:
        options = self.workspace.options
        planned = [group.estimate_s(contenders, options) for group in groups]
        for index, group in enumerate(groups):
            self._left_s = sum(planned[index:])
            self._this_s = planned[index]
            self.say(f"({group.letter}) {group.title}; about {minutes(self._left_s)} to go")
            self._group(group, group.participants(contenders, options))

    def _group(self, group: Group, contenders: list[Contender]) -> None:
        model = group.model(self.workspace.models)
        rounds = group.rounds(self.workspace.options)
        if group.fresh:
            self._fresh(group, model, contenders, rounds)
        if group.points:
            self._together(group, model, contenders, rounds)

    def _rounds(self, rounds: int) -> Iterator[int]:
        for turn in range(rounds):
            if turn:
                left = self._left_s - self._this_s * turn / rounds
                self.say(f"  round {turn + 1} of {rounds}; about {minutes(left)} to go")
            yield turn

    # ------------------------------------------------------------------------------------- servers of their own

    def _fresh(self, group: Group, model: Model, contenders: list[Contender], rounds: int) -> None:
        for turn in self._rounds(rounds):
            for point in group.fresh:
                for contender in rotated(contenders, turn):
                    fresh = FreshTurn(workspace=self.workspace, contender=contender, model=model, round=turn)
                    self._note(point.name, contender.name, turn, *around(functools.partial(point.measure, fresh)))

    # ------------------------------------------------------------------------------------- servers that take turns

    def _together(self, group: Group, model: Model, contenders: list[Contender], rounds: int) -> None:
        seats = [Seat(contender) for contender in contenders]
        try:
            self._open(group, model, seats)
            for turn in self._rounds(rounds):
                for point in group.points:
                    for seat in rotated(seats, turn):
                        if takes_part(seat.contender, point):
                            self._turn(group, model, seat, point, turn)
                self._loops(group, model, turn)
        finally:
            for seat in seats:
                self._leave(seat)

    def _open(self, group: Group, model: Model, seats: list[Seat]) -> None:
        for seat in seats:
            seat.running = self.workspace.start(seat.contender, model, **group.deployment)
        for seat in seats:
            problem = self._ready(group, seat)
            if problem:
                self.findings.notes.append(f"{seat.contender.name} did not start for '{group.title}': {problem}")
                seat.failures = MOST_FAILURES  # a server that does not even start is not waited for again
                self._leave(seat)
        self._rest(seats)

    def _ready(self, group: Group, seat: Seat) -> str | None:
        """Waits for the first right answer, then warms up."""
        assert seat.running is not None
        point = next(point for point in group.points if takes_part(seat.contender, point))
        checker = Checker(seat.running, seat.contender.wire, point.probe)
        problem = wait_for_answer(checker, seat.running, timeout_s=START_TIMEOUT_S)
        if problem is None and isinstance(point, Closed):
            warm = [p for p in group.points if isinstance(p, Closed) and takes_part(seat.contender, p)]
            busiest = max(warm, key=lambda p: p.concurrency)
            load = busiest.load(seat.running, seat.contender, self.workspace.options.warm_up_s)
            self.workspace.warm_up(load, seat.contender.wire)
        return problem

    def _rest(self, seats: list[Seat]) -> None:
        """Ends servers that are busy while idle; they are restarted for each turn."""
        waiting = [seat for seat in seats if seat.running is not None]
        time.sleep(IDLE_S)  # work in progress ends
        before = [cpu_seconds(seat.running.pids()) for seat in waiting if seat.running]
        time.sleep(IDLE_S)
        for seat, used in zip(waiting, before, strict=True):
            assert seat.running is not None
            share = (cpu_seconds(seat.running.pids()) - used) / IDLE_S
            if share > RESTLESS and len(waiting) > 1:
                seat.restless = True
                text = f"{seat.contender.name} uses {share:.0%} of a core while idle: started anew for each turn"
                if text not in self.findings.notes:
                    self.findings.notes.append(text)
                self._leave(seat)

    def _turn(self, group: Group, model: Model, seat: Seat, point: Point, turn: int) -> None:
        name = seat.contender.name
        if seat.running is None:
            problem = self._again(group, model, seat)
            if problem:
                self._note(point.name, name, turn, Measured(problem=problem))
                return
        assert seat.running is not None
        running = seat.running
        mine = Turn(workspace=self.workspace, contender=seat.contender, model=model, running=running, round=turn)
        measured, core_ms = around(functools.partial(point.measure, mine))
        if measured.problem:
            seat.failures += 1
            self.findings.notes.append(f"{point.name}, {name}: {measured.problem}; {last_words(running)}")
        if measured.problem or seat.restless:
            self._leave(seat)
        self._note(point.name, name, turn, measured, core_ms)

    def _again(self, group: Group, model: Model, seat: Seat) -> str | None:
        """Restarts a server that is not running when its turn comes."""
        if seat.failures >= MOST_FAILURES:
            return "given up after several failures"
        seat.running = self.workspace.start(seat.contender, model, **group.deployment)
        problem = self._ready(group, seat)
        if problem:
            seat.failures += 1
            self._leave(seat)
        return problem

    def _leave(self, seat: Seat) -> None:
        if seat.running is not None:
            self.workspace.stop(seat.running)
            seat.running = None

    # ------------------------------------------------------------------------------------- the rest

    def _loops(self, group: Group, model: Model, turn: int) -> None:
        for loop in group.loops:
            seconds = self.workspace.options.duration_s
            calls = functools.partial(forward.measure, model, loop.payload, seconds=seconds, stream=loop.stream)
            self._note(loop.point, forward.NAME, turn, *around(calls))

    def _note(self, point: str, contender: str, turn: int, measured: Measured, core_ms: float | None = None) -> None:
        self.findings.add(point, contender, turn, measured, core_ms)
        self.say(f"    {turn + 1}  {point:<16} {contender:<15} {summary(measured)}")


def rotated(items: Sequence[T], by: int) -> list[T]:
    return [*items[by % len(items) :], *items[: by % len(items)]] if items else []


def last_words(running: Running) -> str:
    return "the server runs" if running.alive() else f"the server ended: {running.log_tail()[-200:]}"


def summary(measured: Measured) -> str:
    if measured.problem:
        return f"PROBLEM: {measured.problem[:110]}"
    shown = [f"{measured.rate:,.1f}/s"] if measured.rate else []
    shown += [f"{name} {value:,.2f} ms" for name, value in measured.latencies_ms.items() if name in ("p50", "p99")]
    shown += [f"{measured.cpu_us:,.0f} us CPU"] if measured.cpu_us else []
    shown += [f"{name} {value:,.2f}" for name, value in measured.more.items()]
    return ", ".join(shown)


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
