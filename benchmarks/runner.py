"""Runs the plan: the servers of a group stay up and take turns; one that fails is reported and restarted.

All servers of a group start together and are warmed up one by one.  While one is measured, the others idle.  A server
that uses more than `RESTLESS` of a core when idle is ended and restarted for each of its turns, so that it does not
slow the others down.  The order of the contenders rotates with every round.
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
"""Share of a core; see above."""
START_TIMEOUT_S = 180.0
MOST_FAILURES = 3
IDLE_S = 1.0


@dataclass
class Participant:
    """A contender in a group, and its server. ``restless``: busy when idle, so restarted for each turn."""

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
            self._taking_turns(group, model, contenders, rounds)

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
                    self._record(point.name, contender.name, turn, *around(functools.partial(point.measure, fresh)))

    # ------------------------------------------------------------------------------------- servers that take turns

    def _taking_turns(self, group: Group, model: Model, contenders: list[Contender], rounds: int) -> None:
        participants = [Participant(contender) for contender in contenders]
        try:
            self._start(group, model, participants)
            for turn in self._rounds(rounds):
                for point in group.points:
                    for participant in rotated(participants, turn):
                        if takes_part(participant.contender, point):
                            self._turn(group, model, participant, point, turn)
                self._loops(group, model, turn)
        finally:
            for participant in participants:
                self._stop(participant)

    def _start(self, group: Group, model: Model, participants: list[Participant]) -> None:
        for participant in participants:
            participant.running = self.workspace.start(participant.contender, model, **group.deployment)
        for participant in participants:
            problem = self._ready(group, participant)
            if problem:
                self.findings.notes.append(f"{participant.contender.name} did not start for '{group.title}': {problem}")
                participant.failures = MOST_FAILURES  # do not wait again for a server that does not even start
                self._stop(participant)
        self._end_restless(participants)

    def _ready(self, group: Group, participant: Participant) -> str | None:
        """Waits for the first right answer, then warms up."""
        assert participant.running is not None
        point = next(point for point in group.points if takes_part(participant.contender, point))
        checker = Checker(participant.running, participant.contender.wire, point.probe)
        problem = wait_for_answer(checker, participant.running, timeout_s=START_TIMEOUT_S)
        if problem is None and isinstance(point, Closed):
            warm = [p for p in group.points if isinstance(p, Closed) and takes_part(participant.contender, p)]
            busiest = max(warm, key=lambda p: p.concurrency)
            load = busiest.load(participant.running, participant.contender, self.workspace.options.warm_up_s)
            self.workspace.warm_up(load, participant.contender.wire)
        return problem

    def _end_restless(self, participants: list[Participant]) -> None:
        """Ends the servers that are busy while idle. Each is restarted for its turns."""
        waiting = [participant for participant in participants if participant.running is not None]
        time.sleep(IDLE_S)  # work in progress ends
        before = [cpu_seconds(participant.running.pids()) for participant in waiting if participant.running]
        time.sleep(IDLE_S)
        for participant, used in zip(waiting, before, strict=True):
            assert participant.running is not None
            share = (cpu_seconds(participant.running.pids()) - used) / IDLE_S
            if share > RESTLESS and len(waiting) > 1:
                participant.restless = True
                text = f"{participant.contender.name} uses {share:.0%} of a core while idle: restarted for each turn"
                if text not in self.findings.notes:
                    self.findings.notes.append(text)
                self._stop(participant)

    def _turn(self, group: Group, model: Model, participant: Participant, point: Point, turn: int) -> None:
        name = participant.contender.name
        if participant.running is None:
            problem = self._restart(group, model, participant)
            if problem:
                self._record(point.name, name, turn, Measured(problem=problem))
                return
        assert participant.running is not None
        running = participant.running
        mine = Turn(workspace=self.workspace, contender=participant.contender, model=model, running=running, round=turn)
        measured, core_ms = around(functools.partial(point.measure, mine))
        if measured.problem:
            participant.failures += 1
            self.findings.notes.append(f"{point.name}, {name}: {measured.problem}; {state_of(running)}")
        if measured.problem or participant.restless:
            self._stop(participant)
        self._record(point.name, name, turn, measured, core_ms)

    def _restart(self, group: Group, model: Model, participant: Participant) -> str | None:
        """Restarts a server that is not running when its turn comes."""
        if participant.failures >= MOST_FAILURES:
            return "given up after several failures"
        participant.running = self.workspace.start(participant.contender, model, **group.deployment)
        problem = self._ready(group, participant)
        if problem:
            participant.failures += 1
            self._stop(participant)
        return problem

    def _stop(self, participant: Participant) -> None:
        if participant.running is not None:
            self.workspace.stop(participant.running)
            participant.running = None

    # ------------------------------------------------------------------------------------- the rest

    def _loops(self, group: Group, model: Model, turn: int) -> None:
        for loop in group.loops:
            seconds = self.workspace.options.duration_s
            calls = functools.partial(forward.measure, model, loop.payload, seconds=seconds, stream=loop.stream)
            self._record(loop.point, forward.NAME, turn, *around(calls))

    def _record(self, point: str, contender: str, turn: int, measured: Measured, core_ms: float | None = None) -> None:
        self.findings.add(point, contender, turn, measured, core_ms)
        self.say(f"    {turn + 1}  {point:<16} {contender:<15} {summary(measured)}")


def rotated(items: Sequence[T], by: int) -> list[T]:
    return [*items[by % len(items) :], *items[: by % len(items)]] if items else []


def state_of(running: Running) -> str:
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
