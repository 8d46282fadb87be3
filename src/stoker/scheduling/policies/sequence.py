"""Sequence batching: the requests of one sequence go to one worker, one at a time, in order.  PURE.

A worker without a batch takes the oldest jobs of the sequences that are bound to it and of unbound ones, at most one of
each; the latter are bound to it from then on.  An open sequence costs an entry in a table; it reserves no worker and no
row of a batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from stoker.core.job import Job, Place
from stoker.core.model import ModelSpec
from stoker.core.ports import Dropped, Outcome
from stoker.core.reply import Chunk
from stoker.core.sequences import OPENED, TRUE, SequenceJob, SequenceLimits, value_in_any_case
from stoker.errors import SequenceClosed, SequenceQueueFull, ServingError, TooManySequences
from stoker.scheduling.flight import Flight, WorkerState
from stoker.scheduling.policies.batch_delay import BatchDelay
from stoker.scheduling.policies.open_sequence import BoundSequences, IdleSequences, OpenSequence, ReadySequences, State
from stoker.scheduling.policies.policy import Policy, Unserved

_REMEMBERED = 4
"""Limit of closed sequences whose worker is remembered, as a multiple of the limit of open ones."""


class SequencePolicy(Policy):
    def __init__(self, spec: ModelSpec, limits: SequenceLimits) -> None:
        self._spec = spec
        self._limits = limits
        self._rows = spec.batch_size
        self._open: dict[str, OpenSequence] = {}
        self._held: dict[Job, tuple[int, OpenSequence]] = {}  # jobs that wait or run, with their numbers
        self._joined: set[Job] = set()  # jobs that run, and for which the next of their sequence need not wait
        self._waiting = 0
        self._numbers = 0
        self._workers: dict[int, BoundSequences] = {}
        self._unbound = ReadySequences(State.UNBOUND)
        self._idle = IdleSequences(limits.max_idle_s, limits.max_life_s)
        self._former: OrderedDict[str, WorkerState] = OrderedDict()  # workers of closed sequences

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def remaining(self) -> int:
        return max(0, self._limits.most * self._limits.waiting - self._waiting)

    def jobs(self) -> Iterator[Job]:
        return (job for job in self._held if job.place is Place.QUEUED)

    # ------------------------------------------------------------------------------------------- jobs

    def put(self, job: Job, now: float) -> None:
        self._close_expired(now)
        sequence = self._sequence_of(job, now)
        self._numbers += 1
        self._held[job] = self._numbers, sequence
        sequence.queue.append((self._numbers, job))
        if _ends(job):
            sequence.sealed = True
        job.place = Place.QUEUED
        self._waiting += 1
        if len(sequence.queue) == 1:
            self._now_ready(sequence)

    def _sequence_of(self, job: Job, now: float) -> OpenSequence:
        """Returns the sequence that takes the job, and opens it if need be. Raises ServingError: none may take it."""
        if not isinstance(job, SequenceJob):
            return OpenSequence("", now, counted=False)
        limits, member = self._limits, job.member
        sequence = self._open.get(member.id)
        if sequence is None:
            if limits.refuse_unknown and not member.starts:
                raise SequenceClosed(self._spec.key.name, job.named_version)
            if len(self._open) >= limits.most:
                raise TooManySequences(self._spec.key.name, job.named_version)
            return self._opened(member.id, now)
        if sequence.sealed or sequence.ending:
            raise SequenceClosed(self._spec.key.name, job.named_version)
        if len(sequence.queue) >= limits.waiting + (not sequence.running):
            raise SequenceQueueFull(self._spec.key.name, job.named_version)
        return sequence

    def _opened(self, id: str, now: float) -> OpenSequence:
        """Opens a sequence, bound to its former worker if that still runs, because it may still have the state."""
        sequence = self._open[id] = OpenSequence(id, now)
        former = self._former.pop(id, None)
        bound = self._workers.get(former.id) if former is not None else None
        if bound is not None and bound.worker is former and not former.draining:
            self._bind(sequence, bound)
        return sequence

    def _bind(self, sequence: OpenSequence, bound: BoundSequences) -> None:
        sequence.worker = bound.worker
        bound.sequences.add(sequence)

    def _now_ready(self, sequence: OpenSequence) -> None:
        """Offers the sequence's oldest job to workers, unless it must wait for one that runs."""
        if sequence.state is State.UNBOUND:
            self._unbound.add(sequence)
        elif sequence.state is State.READY and sequence.worker is not None:
            self._workers[sequence.worker.id].ready.add(sequence)

    def withdraw(self, job: Job) -> None:
        """Drops a job as if it had never come, even if it was to end its sequence."""
        if _ends(job):
            self._held[job][1].sealed = False
        self._drop(job, ends=False)

    def remove(self, job: Job) -> None:
        self._drop(job, ends=_ends(job))

    def _drop(self, job: Job, *, ends: bool) -> None:
        number, sequence = self._held.pop(job)
        was_next = sequence.queue[0][0] == number
        sequence.queue.remove((number, job))
        job.place = Place.OVER
        self._waiting -= 1
        if ends:
            sequence.ending = True
        if sequence.closed:
            return
        if sequence.queue:
            if was_next:
                self._now_ready(sequence)
        elif not sequence.running and (sequence.ending or not sequence.begun):
            self._close(sequence)  # no job of it has begun, or a job was to end it
        elif not sequence.running:
            self._idle.add(sequence)

    # ---------------------------------------------------------------------------------------- batches

    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        self._close_expired(now)
        self.wake_at = self._idle.wake_at
        if not self._waiting:
            return None
        free = [bound for bound in self._workers.values() if self._room(bound.worker)]
        takers = sum(not bound.worker.draining for bound in free)
        for bound in sorted(free, key=lambda bound: len(bound.sequences)):
            if bound.delay.seconds and not bound.worker.flights and self._waits_for_rows(bound, now):
                continue
            bound.delay.reset()
            # New sequences are spread over the workers, because they stay where they begin.
            fresh = 0 if bound.worker.draining else -(-len(self._unbound) // takers)
            if jobs := self._take(bound, fresh):
                return bound.worker, jobs
        return None

    def _room(self, worker: WorkerState) -> int:
        """Returns how many jobs the next batch of a worker may have."""
        return 0 if worker.flights else self._rows

    def _waits_for_rows(self, bound: BoundSequences, now: float) -> bool:
        """Tells whether the worker waits for more rows, at most until `wake_at`."""
        oldest = self._oldest(bound, unbound_too=not bound.worker.draining)
        if oldest is None or oldest.queue[0][1].alone:
            return False
        rows = bound.ready.count() + (0 if bound.worker.draining else self._unbound.count())
        if rows >= self._rows:
            return False
        due = bound.delay.ends_at(now)
        if now >= due:
            return False
        self.wake_at = min(self.wake_at, due)
        return True

    def _take(self, bound: BoundSequences, fresh: int) -> list[Job]:
        """Takes a batch for a worker, with at most ``fresh`` jobs of unbound sequences, which it binds."""
        jobs: list[Job] = []
        while len(jobs) < self._room(bound.worker):
            sequence = self._oldest(bound, unbound_too=fresh > 0)
            if sequence is None or (sequence.queue[0][1].alone and (jobs or bound.worker.flights)):
                break
            if sequence.worker is None:
                fresh -= 1
                self._bind(sequence, bound)
            jobs.append(self._started(sequence))
            if jobs[0].alone:
                break
        return jobs

    def _oldest(self, bound: BoundSequences, *, unbound_too: bool) -> OpenSequence | None:
        """Returns the sequence with the oldest job that the worker may take; None: it may take none."""
        own, unbound = bound.ready.oldest(), self._unbound.oldest() if unbound_too else None
        found = min((each for each in (own, unbound) if each is not None), default=None)
        return None if found is None else found[1]

    def _started(self, sequence: OpenSequence) -> Job:
        _, job = sequence.queue.popleft()
        self._waiting -= 1
        sequence.running += 1
        sequence.joining += 1
        if not sequence.announced and sequence.counted:
            sequence.announced = True
            job.headers = {**job.headers, OPENED: TRUE}
        return job

    def batch_done(self, worker: WorkerState, flight: Flight, outcomes: Sequence[Outcome], now: float) -> Unserved:
        bound = self._workers[worker.id]
        over: dict[OpenSequence, None] = {}  # in order, each once
        for job, outcome in zip(flight.jobs, outcomes, strict=True):
            sequence = self._held.pop(job)[1]
            sequence.running -= 1
            sequence.joining -= job not in self._joined
            self._joined.discard(job)
            sequence.answered_at = now
            over[sequence] = None
            if outcome is Dropped.DROPPED:
                sequence.announced = sequence.begun
            else:
                sequence.begun = True
            if not sequence.counted or _ends(job):
                sequence.ending = True
            for ended in self._ended_by_handler(bound, outcome):
                ended.ending = True
                over[ended] = None
        unserved: list[tuple[Job, ServingError]] = []
        for sequence in over:
            unserved += self._answered(sequence, now)
        return unserved

    def _ended_by_handler(self, bound: BoundSequences, outcome: Outcome) -> list[OpenSequence]:
        """Returns the sequences that a response header ends, which holds ids joined with semicolons."""
        if type(outcome) is not Chunk or outcome.meta is None or not outcome.meta.headers:
            return []
        ids = value_in_any_case(outcome.meta.headers, self._limits.names.end)
        named = [self._open.get(id.strip()) for id in ids.split(";")] if ids else []
        return [sequence for sequence in named if sequence is not None and sequence in bound.sequences]

    def _answered(self, sequence: OpenSequence, now: float) -> Unserved:
        if sequence.ending:
            return self._unserved(sequence) if sequence.running else self._close(sequence)
        if sequence.queue:
            self._now_ready(sequence)
        elif sequence.running:
            pass
        elif self._idle.closes_at(sequence) <= now:
            self._expire(sequence)
        else:
            self._idle.add(sequence)
        return ()

    # ---------------------------------------------------------------------------------------- workers

    def worker_ready(self, worker: WorkerState) -> None:
        self._workers[worker.id] = BoundSequences(worker, BatchDelay(self._spec))

    def worker_draining(self, worker: WorkerState) -> None:
        """Keeps the sequences whose state the worker has, and unbinds the others."""
        bound = self._workers[worker.id]
        for sequence in [each for each in bound.sequences if not each.begun and not each.running]:
            self._unbind(sequence)

    def holds(self, worker: WorkerState) -> bool:
        bound = self._workers.get(worker.id)
        return bound is not None and bool(bound.sequences)

    def _unbind(self, sequence: OpenSequence) -> None:
        if sequence.worker is not None:
            self._workers[sequence.worker.id].sequences.discard(sequence)
        sequence.worker, sequence.announced = None, False
        self._now_ready(sequence)

    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        bound = self._workers[worker.id]
        for flight in worker.flights:
            for job in flight.jobs:
                if flight in begun:
                    self._held[job][1].begun = True
                if job not in back:
                    del self._held[job]
                self._joined.discard(job)
        for job in reversed(back):
            number, sequence = self._held[job]
            sequence.queue.appendleft((number, job))
            job.place = Place.QUEUED
            self._waiting += 1
        unserved: list[tuple[Job, ServingError]] = []
        for sequence in list(bound.sequences):
            sequence.running = sequence.joining = 0
            if sequence.begun or not sequence.queue:
                unserved += [(job, error) for job, _ in self._close(sequence)]
            else:
                self._unbind(sequence)
        del self._workers[worker.id]
        return unserved

    # --------------------------------------------------------------------------------------- closing

    def _close_expired(self, now: float) -> None:
        while (sequence := self._idle.pop_expired(now)) is not None:
            self._expire(sequence)

    def _expire(self, sequence: OpenSequence) -> None:
        if sequence.worker is not None:
            self._former[sequence.id] = sequence.worker
            if len(self._former) > _REMEMBERED * self._limits.most:
                self._former.popitem(last=False)
        self._close(sequence)

    def _close(self, sequence: OpenSequence) -> Unserved:
        """Closes a sequence, which frees its place; returns its waiting jobs."""
        sequence.closed = True
        if sequence.counted:
            del self._open[sequence.id]
        if sequence.worker is not None:
            self._workers[sequence.worker.id].sequences.discard(sequence)
        return self._unserved(sequence)

    def _unserved(self, sequence: OpenSequence) -> Unserved:
        return [(job, SequenceClosed(self._spec.key.name, job.named_version)) for _, job in sequence.queue]


def _ends(job: Job) -> bool:
    """Tells whether the job is marked as the last of its sequence."""
    return isinstance(job, SequenceJob) and job.member.ends
