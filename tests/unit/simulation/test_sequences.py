"""The laws of sequences over many seeded interleavings, and proof that they can be broken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from simulation.laws import Broken, Laws
from simulation.stepping import SteppingSequencesWorld
from simulation.world import Scenario, World

from stoker.core.job import Job, Place
from stoker.core.model import ModelSpec
from stoker.errors import ServingError
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.flight import Flight, WorkerState
from stoker.scheduling.policies.continuous_sequence import ContinuousSequencePolicy
from stoker.scheduling.policies.open_sequence import BoundSequences, OpenSequence
from stoker.scheduling.policies.policy import Unserved
from stoker.scheduling.policies.sequence import SequencePolicy

SEEDS = 1_000


def run(seed: int, core: type[SchedulerCore] = SchedulerCore) -> Laws:
    return World(seed, scenario=Scenario.draw_sequences(random.Random(seed)), core=core).run()


@pytest.mark.timeout(600)
def test_thousands_of_interleavings_keep_every_law_of_sequences() -> None:
    outcomes: Counter[str] = Counter()
    rows = 0
    for seed in range(SEEDS):
        laws = run(seed)
        assert laws.sequences is not None
        outcomes += laws.outcomes
        rows += laws.sequences.rows
    assert set(outcomes) >= {"answered", "Cancelled", "DeadlineExceeded", "SequenceClosed", "WorkerDied"}
    assert rows > 10 * SEEDS


def test_interleavings_of_continuous_batches_keep_every_law_of_sequences() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS // 2):
        outcomes += SteppingSequencesWorld(seed).run().outcomes
    assert set(outcomes) >= {"answered", "Cancelled", "SequenceClosed", "WorkerDied", "StreamStalled"}


class JoinsAtOnce(ContinuousSequencePolicy):
    """A job joins the same step as the one before it."""

    def _started(self, sequence: OpenSequence) -> Job:
        job = super()._started(sequence)
        sequence.joining = 0
        self._joined.add(job)
        self._now_ready(sequence)
        return job


def test_a_fault_planted_in_the_continuous_policy_is_found() -> None:
    class Faulty(SchedulerCore):
        def __init__(self, spec: ModelSpec, **options: object) -> None:
            super().__init__(spec, **options)  # type: ignore[arg-type]
            assert spec.sequences is not None
            self._policy = JoinsAtOnce(spec, spec.sequences)

    with pytest.raises(Broken, match="two jobs of sequence"):
        for seed in range(300):
            SteppingSequencesWorld(seed, core=Faulty).run()


class ForgetsTheWorker(SequencePolicy):
    def _answered(self, sequence: OpenSequence, now: float) -> Unserved:
        if not sequence.ending:
            self._unbind(sequence)
        return super()._answered(sequence, now)


class GoesOnElsewhereAfterADeath(SequencePolicy):
    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        for sequence in self._workers[worker.id].sequences:
            sequence.begun = False
        return super().worker_lost(worker, (), back, error)


class LeaksAPlace(SequencePolicy):
    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        kept = dict(self._open)
        unserved = super().worker_lost(worker, begun, back, error)
        self._open = kept
        return unserved


class NeverExpires(SequencePolicy):
    def _close_expired(self, now: float) -> None:
        pass


class ExpiresEarly(SequencePolicy):
    def _close_expired(self, now: float) -> None:
        super()._close_expired(now + 0.01)


class ForgetsWhatWaits(SequencePolicy):
    def _close(self, sequence: OpenSequence) -> Unserved:
        list(super()._close(sequence))
        return ()


class ServesItsOwnFirst(SequencePolicy):
    def _take(self, bound: BoundSequences, fresh: int) -> list[Job]:
        return super()._take(bound, 0 if bound.sequences else fresh)


class LetsTheNewestGoFirst(SequencePolicy):
    def put(self, job: Job, now: float) -> None:
        super().put(job, now)
        self._held[job][1].queue.rotate(1)


class SendsBeforeTheAnswer(SequencePolicy):
    def _started(self, sequence: OpenSequence) -> Job:
        job = super()._started(sequence)
        running, sequence.running = sequence.running, 0
        if sequence.queue:
            self._now_ready(sequence)
        else:
            sequence.running = running
        return job


class AcceptsWithoutEnd(SequencePolicy):
    def put(self, job: Job, now: float) -> None:
        limits, self._limits = self._limits, self._limits._replace(waiting=1_000, most=1_000)
        super().put(job, now)
        self._limits = limits


class RunsAgainWhatWasBegun(SequencePolicy):
    """A job that was begun goes back to its sequence, which is not closed."""

    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        again = [job for flight in begun for job in flight.jobs]
        for job in again:
            job.place = Place.QUEUED
        return super().worker_lost(worker, (), [*again, *back], error)


@pytest.mark.parametrize(
    "fault",
    [
        ForgetsTheWorker,
        GoesOnElsewhereAfterADeath,
        LeaksAPlace,
        NeverExpires,
        ExpiresEarly,
        ForgetsWhatWaits,
        ServesItsOwnFirst,
        LetsTheNewestGoFirst,
        SendsBeforeTheAnswer,
        AcceptsWithoutEnd,
        RunsAgainWhatWasBegun,
    ],
)
def test_a_fault_planted_in_the_policy_is_found(fault: type[SequencePolicy]) -> None:
    class Faulty(SchedulerCore):
        def __init__(self, spec: ModelSpec, **options: object) -> None:
            super().__init__(spec, **options)  # type: ignore[arg-type]
            assert spec.sequences is not None
            self._policy = fault(spec, spec.sequences)

    with pytest.raises(Broken, match=r"seed \d+: "):
        for seed in range(1_000):
            run(seed, Faulty)
