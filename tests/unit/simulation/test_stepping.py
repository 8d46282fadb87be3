"""Continuous batching over many seeded interleavings, and proof that its laws can be broken."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from simulation.laws import ENDINGS, Broken
from simulation.stepping import SteppingWorld

from stoker.core.model import ModelSpec
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.flight import Flight, SteppingWorker, WorkerState
from stoker.scheduling.policies.continuous import ContinuousPolicy

SEEDS = 3_000


@pytest.mark.timeout(600)
def test_thousands_of_interleavings_keep_every_law_and_reach_every_ending() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS):
        outcomes += SteppingWorld(seed).run().outcomes
    assert set(outcomes) >= ENDINGS


class OneTooMany(ContinuousPolicy):
    def _taken(self, worker: WorkerState) -> int:
        return super()._taken(worker) - (len(worker.flights) > 1)


class LeaksASlot(ContinuousPolicy):
    def _taken(self, worker: WorkerState) -> int:
        return super()._taken(worker) + (worker.id == 1)


class LetsOthersJoinAJobThatMustBeAlone(ContinuousPolicy):
    def _taken(self, worker: WorkerState) -> int:
        return len(worker.flights)


class RunsAgainWhatHadJoined(SteppingWorker):
    __slots__ = ()

    def had_begun(self, flight: Flight, started: int | None) -> bool:
        return flight.id == started


class NeverWaitsForReaders(SteppingWorker):
    __slots__ = ()

    def blocked(self) -> bool:
        return False


class NoticesNobodyWhoJoins(SteppingWorker):
    __slots__ = ()

    def unblock(self, now: float) -> None:
        pass


def with_worker(worker: type[SteppingWorker]) -> type[ContinuousPolicy]:
    class Policy(ContinuousPolicy):
        def new_worker(self, id: int) -> WorkerState:
            return worker(id)

    return Policy


@pytest.mark.parametrize(
    "policy",
    [
        OneTooMany,
        LeaksASlot,
        LetsOthersJoinAJobThatMustBeAlone,
        with_worker(RunsAgainWhatHadJoined),
        with_worker(NeverWaitsForReaders),
        with_worker(NoticesNobodyWhoJoins),
    ],
)
def test_a_planted_fault_is_found(policy: type[ContinuousPolicy]) -> None:
    class Faulty(SchedulerCore):
        def __init__(self, spec: ModelSpec, **options: Any) -> None:
            super().__init__(spec, **options)
            self._policy = policy(spec)

    with pytest.raises(Broken, match=r"seed \d+: "):
        for seed in range(2_000):
            SteppingWorld(seed, core=Faulty).run()
