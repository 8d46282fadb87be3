"""What must hold of sequences whatever happens, checked beside the scheduler's other promises."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable

from stoker.core.job import Batch, Job
from stoker.core.reply import ResponseMeta
from stoker.core.sequences import OPENED, Membership, SequenceJob, SequenceLimits, in_sequence
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.policies.open_sequence import OpenSequence, State
from stoker.scheduling.policies.sequence import SequencePolicy

Check = Callable[[bool, str], None]


def draw_limits(rng: random.Random) -> SequenceLimits:
    return SequenceLimits(
        max_idle_s=rng.choice([0.001, 0.05, 1.0]),
        max_life_s=rng.choice([0.0, 0.0, 0.02, 0.3]),
        most=rng.choice([1, 2, 4, 12]),
        waiting=rng.choice([1, 2, 20]),
        refuse_unknown=rng.random() < 0.1,
    )


def drawn_job(job: Job, limits: SequenceLimits, rng: random.Random) -> Job:
    """Makes ``job`` a request of one of a few sequences; now and then one of none, as a description is."""
    if rng.random() < 0.05:
        job.alone = True
        return job
    name = rng.choice("abcdef") if rng.random() < 0.9 else ""
    member = Membership(name, starts=rng.random() < 0.3, ends=rng.random() < 0.05)
    return in_sequence(job, limits, member, f"generated {job.id}")


def handlers_end(job: Job, rng: random.Random) -> ResponseMeta | None:
    """What a handler sets that ends sequences: its own, one that it may not know, both."""
    if rng.random() >= 0.05 or not isinstance(job, SequenceJob):
        return None
    return ResponseMeta(headers={"TS_Request_Sequence_End": f" {job.member.id} ;;{rng.choice('abcdef')}"})


class SequenceLaws:
    """``_homes``: which worker has the state of a sequence, and the number of the newest job it has run."""

    def __init__(self, core: SchedulerCore, limits: SequenceLimits, check: Check) -> None:
        assert isinstance(core._policy, SequencePolicy)
        self._core, self._policy, self._limits, self._check = core, core._policy, limits, check
        self._numbers: dict[Job, int] = {}
        self._opened_by: dict[Job, OpenSequence] = {}
        self._begun: set[OpenSequence] = set()
        self._sent: Counter[str] = Counter()
        self._flying: dict[str, Job] = {}
        self._homes: dict[str, tuple[object, int]] = {}
        self._before: dict[OpenSequence, State] = {}
        self.rows = 0

    def accepted(self, job: Job) -> None:
        self._numbers[job] = len(self._numbers)
        self._opened_by[job] = self._policy._held[job][1]

    def sent(self, batch: Batch) -> None:
        members = [job for job in batch.jobs if isinstance(job, SequenceJob)]
        for job in members:
            id = job.member.id
            self._check(id not in self._flying, f"two jobs of sequence {id} are in flight")
            self._flying[id] = job
            self._sent[job.id] += 1
            self._check(self._sent[job.id] == 1 or OPENED in job.headers, f"job {job.id} was sent again")

    def runs(self, worker: object, jobs: Iterable[Job]) -> None:
        """A handler gets jobs: it finds the state that earlier ones left, or starts anew where it is told to."""
        for job in jobs:
            if not isinstance(job, SequenceJob):
                continue
            self.rows += 1
            id, number, sequence = job.member.id, self._numbers[job], self._opened_by[job]
            first = sequence not in self._begun
            self._check(first == (OPENED in job.headers), f"sequence {id} opens twice, or never")
            self._begun.add(sequence)
            if not first:
                home, newest = self._homes.get(id, (None, -1))
                self._check(home is worker, f"the state of sequence {id} is in another worker")
                self._check(newest < number, f"sequence {id} runs out of order")
            self._homes[id] = worker, number

    def landed(self, batch: Batch) -> None:
        """The batch is answered, or its worker is lost; or the next job of its sequence may join it."""
        for job in batch.jobs:
            if isinstance(job, SequenceJob) and self._flying.get(job.member.id) is job:
                del self._flying[job.member.id]

    def after_turn(self, now: float) -> None:
        policy = self._policy
        open_now = dict.fromkeys(policy._open.values())
        self._check(len(open_now) <= self._limits.most, "more sequences are open than may")
        for sequence in open_now:
            room = self._limits.waiting + (not sequence.running)
            self._check(len(sequence.queue) <= room, f"too many jobs of sequence {sequence.id} wait")
            self._bound_once(sequence)
            self._in_time(sequence, now)
        for sequence, state in self._before.items():
            if sequence not in open_now:
                self._closed(sequence, state, now)
        self._check(not any(each.closed for _, each in policy._held.values()), "a job waits for a closed sequence")
        self._before = {sequence: sequence.state for sequence in open_now}
        self._nothing_starves(now)

    def _bound_once(self, sequence: OpenSequence) -> None:
        bound = [each.worker for each in self._policy._workers.values() if sequence in each.sequences]
        expected = [] if sequence.worker is None else [sequence.worker]
        self._check(bound == expected, f"sequence {sequence.id} is not where it should be")

    def _in_time(self, sequence: OpenSequence, now: float) -> None:
        due = sequence.state is State.IDLE and self._policy._idle.closes_at(sequence) <= now
        self._check(not due, f"sequence {sequence.id} is open past its limit")

    def _closed(self, sequence: OpenSequence, state: State, now: float) -> None:
        lives = sequence.worker is not None and self._core._workers.get(sequence.worker.id) is sequence.worker
        excused = sequence.ending or not sequence.begun or not lives
        in_time = state is not State.IDLE or self._policy._idle.closes_at(sequence) <= now
        self._check(excused or in_time, f"sequence {sequence.id} was closed before its limit")

    def _nothing_starves(self, now: float) -> None:
        if now < self._policy.wake_at and self._policy._spec.batching == "fixed":
            return  # a batch forms
        policy = self._policy
        for bound in policy._workers.values():
            room = policy._room(bound.worker) > 0 and self._core._workers.get(bound.worker.id) is bound.worker
            ready = any(each.state is State.READY for each in bound.sequences)
            unbound = policy._unbound.count() > 0 and not bound.worker.draining
            oldest = policy._oldest(bound, unbound_too=unbound)
            alone = oldest is not None and oldest.queue[0][1].alone and len(bound.worker.flights) > 0
            starves = room and (ready or unbound) and not alone
            self._check(not starves, "a worker is idle while a sequence has a job for it")

    def at_the_end(self) -> None:
        policy = self._policy
        left = len(policy._open) + sum(len(each.sequences) for each in policy._workers.values())
        self._check(not left, "a place of a sequence leaked")
        self._check(not policy._held and not policy.waiting, "a job is held that is over")
