"""The scheduler's laws over many seeded interleavings, and proof that the laws can be broken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from simulation.laws import ENDINGS, Broken
from simulation.stepping import SteppingWorld
from simulation.world import FailureRule, Scenario, World

from stoker import errors
from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk
from stoker.pool.slot_states import Lifecycle, State
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.flight import Flight, WorkerState
from stoker.scheduling.policies.queued import QueuedPolicy
from stoker.scheduling.redelivery import Redelivery

SEEDS = 10_000


@pytest.mark.timeout(600)
def test_ten_thousand_interleavings_keep_every_law_and_reach_every_ending() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS):
        outcomes += World(seed).run().outcomes
    assert set(outcomes) >= ENDINGS


def test_with_job_tickets_nothing_waits_and_nothing_is_refused_while_a_worker_is_free() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(2000):
        outcomes += World(seed, scenario=Scenario.draw_tickets(random.Random(seed))).run().outcomes
    assert set(outcomes) >= {"answered", "NoJobTicket", "WorkerDied", "Cancelled"}


def poisoned(seed: int, core: type[SchedulerCore] = SchedulerCore, world: type[World] = World) -> World:
    return world(seed, scenario=Scenario.draw_poison(random.Random(seed)), core=core)


@pytest.mark.parametrize("world", [World, SteppingWorld])
def test_a_job_that_kills_the_workers_that_receive_it_costs_few_of_them(world: type[World]) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(500):
        outcomes += poisoned(seed, world=world).run().outcomes
    assert set(outcomes) >= {"answered", "WorkerDied"}


class AlwaysAgain(Redelivery):
    def allows(self, job: Job, *, suspected: bool) -> bool:
        return True


class SendsPoisonForEver(SchedulerCore):
    def __init__(self, spec: ModelSpec, **options: Any) -> None:
        super().__init__(spec, **options)
        self._redelivery = AlwaysAgain()


def test_poison_that_is_sent_for_ever_is_found() -> None:
    with pytest.raises(Broken, match="kills one worker after the other"):
        for seed in range(100):
            poisoned(seed, SendsPoisonForEver).run()


def test_a_seed_repeats_itself() -> None:
    first, second = World(7).run(), World(7).run()
    assert first.outcomes == second.outcomes and first.peak_waiting == second.peak_waiting


class ForgetsTheJobsOfDeadWorkers(SchedulerCore):
    def worker_lost(self, worker_id: int, error: errors.ServingError, started: int | None, now: float) -> None:
        if (worker := self._workers.pop(worker_id, None)) is not None:
            self._policy.worker_draining(worker)


class RequeuesWhatWasBegun(SchedulerCore):
    """A poison job would kill one worker after the other; here: a part reaches a job that starts over."""

    def worker_lost(self, worker_id: int, error: errors.ServingError, started: int | None, now: float) -> None:
        super().worker_lost(worker_id, error, -1, now)
        for action in list(self.actions):
            if getattr(action, "error", None) is error:
                self.actions.remove(action)


class MayHaveBegunAll(WorkerState):
    __slots__ = ()

    def had_begun(self, flight: Flight, started: int | None) -> bool:
        return started is None or flight.id == started


class FailsAllThatALostNodeHeld(SchedulerCore):
    def worker_ready(self, worker_id: int) -> None:
        super().worker_ready(worker_id)
        self._workers[worker_id].__class__ = MayHaveBegunAll


class RunsAllAgainThatALostNodeHeld(SchedulerCore):
    def worker_lost(self, worker_id: int, error: errors.ServingError, started: int | None, now: float) -> None:
        super().worker_lost(worker_id, error, 0 if started is None else started, now)


class AnswersCancelledJobsAgain(SchedulerCore):
    def cancel(self, job: Job, now: float) -> None:
        place = job.place
        super().cancel(job, now)
        job.place = place


class LosesAnIdleWorker(SchedulerCore):
    def dispatch(self, now: float) -> None:
        if self._policy.waiting != 2:
            super().dispatch(now)


class SendsExpiredJobs(SchedulerCore):
    def _drop_expired(self, now: float) -> None:
        if len(self._workers) != 1:
            super()._drop_expired(now)


class NeverGrantsCredit(SchedulerCore):
    def consumed(self, job: Job, nbytes: int, now: float) -> None:
        pass


class DeliversPartsOutOfOrder(SchedulerCore):
    def parts(self, worker_id: int, batch_id: int, parts: Sequence[Sequence[Chunk]], now: float) -> None:
        super().parts(worker_id, batch_id, [chunks[::-1] for chunks in parts], now)


class LosesTheLastOfSeveralParts(SchedulerCore):
    def parts(self, worker_id: int, batch_id: int, parts: Sequence[Sequence[Chunk]], now: float) -> None:
        super().parts(worker_id, batch_id, [chunks[:-1] if len(chunks) > 2 else chunks for chunks in parts], now)


class GrantsTwice(SchedulerCore):
    def consumed(self, job: Job, nbytes: int, now: float) -> None:
        super().consumed(job, 2 * nbytes, now)


class IgnoresItsLimit(SchedulerCore):
    def submit(self, job: Job, now: float) -> None:
        assert isinstance(self._policy, QueuedPolicy)
        queue = self._policy.queue
        limit, queue.limit = queue.limit, 1_000_000
        super().submit(job, now)
        queue.limit = limit


@pytest.mark.parametrize(
    "fault",
    [
        ForgetsTheJobsOfDeadWorkers,
        RequeuesWhatWasBegun,
        FailsAllThatALostNodeHeld,
        RunsAllAgainThatALostNodeHeld,
        AnswersCancelledJobsAgain,
        LosesAnIdleWorker,
        SendsExpiredJobs,
        IgnoresItsLimit,
        DeliversPartsOutOfOrder,
        LosesTheLastOfSeveralParts,
        GrantsTwice,
    ],
)
def test_a_fault_planted_in_the_scheduler_is_found(fault: type[SchedulerCore]) -> None:
    with pytest.raises(Broken, match=r"seed \d+: "):
        for seed in range(2_000):
            World(seed, core=fault).run()


def any_failed_start(lifecycles: Iterable[Lifecycle]) -> errors.ServingError | None:
    """One failure of one slot is remembered for all: the next crash of a worker that served refuses everything."""
    known = list(lifecycles)
    if any(lifecycle.state is State.READY for lifecycle in known):
        return None
    return next((lifecycle.start_failure for lifecycle in known if lifecycle.start_failure is not None), None)


def never(lifecycles: Iterable[Lifecycle]) -> errors.ServingError | None:
    """Jobs wait for workers that cannot start."""
    return None


@pytest.mark.parametrize(
    ("rule", "law"),
    [(any_failed_start, "was refused though a worker may come"), (never, "waits for a worker that cannot come")],
)
def test_a_fault_planted_in_the_pools_rule_is_found(rule: FailureRule, law: str) -> None:
    with pytest.raises(Broken, match=law):
        for seed in range(2_000):
            World(seed, failure_rule=rule).run()


def test_without_credit_for_readers_more_streams_stall() -> None:
    def stalled(core: type[SchedulerCore]) -> int:
        return sum(World(seed, core=core).run().outcomes["StreamStalled"] for seed in range(500))

    assert stalled(NeverGrantsCredit) > stalled(SchedulerCore)
