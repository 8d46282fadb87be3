"""What must hold whatever happens: the scheduler's promises as checks after each turn."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence

from simulation.sequences import SequenceLaws
from stoker import errors
from stoker.core.job import Batch, Job, Place
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.flight import Flight
from stoker.scheduling.redelivery import MOST_RETURNS

ENDINGS = {
    "answered",
    "Cancelled",
    "DeadlineExceeded",
    "HandlerRaised",
    "ResponseTimeout",
    "StreamStalled",
    "WorkerDied",
    "WorkersUnavailable",
}
"""What became of jobs; enough seeds reach every one."""


class Broken(AssertionError):
    """A law was broken; the message holds the seed that shows it."""


class Laws:
    """``ends``: final actions per job. ``peak_waiting``: the longest the queue was.

    ``may_serve``: whether a worker lives, is on its way, or comes back.
    """

    def __init__(self, core: SchedulerCore, spec: ModelSpec, seed: int, *, may_serve: Callable[[], bool]) -> None:
        self.core, self.spec, self._seed = core, spec, seed
        self._may_serve = may_serve
        self._jobs: list[Job] = []
        self._sent: set[int] = set()
        self._had_tickets: set[str] = set()
        self._in_hands = 0
        self._parts_due: defaultdict[str, deque[Chunk]] = defaultdict(deque)
        self._unread: Counter[tuple[int, int]] = Counter()
        self._deaths_by: Counter[str] = Counter()
        self._begun: set[str] = set()
        self._waited: list[Job] = []
        self._given_back: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.peak_waiting = 0
        self.sequences = SequenceLaws(core, spec.sequences, self.check) if spec.sequences is not None else None

    def check(self, holds: bool, law: str) -> None:
        if not holds:
            raise Broken(f"seed {self._seed}: {law}")

    def accepted(self, job: Job) -> None:
        self._jobs.append(job)
        if self.sequences is not None:
            self.sequences.accepted(job)

    def refused(self, error: errors.ServingError) -> None:
        """A job was not accepted."""
        unavailable = isinstance(error, errors.WorkersUnavailable)
        self.check(not unavailable or not self._may_serve(), "a job was refused though a worker may come")

    def action(self, action: actions.Action, now: float) -> None:
        if isinstance(action, actions.Send):
            self._batch(action, now)
        elif isinstance(action, actions.DeliverParts):
            self._parts(action)
        elif isinstance(action, actions.Deliver):
            self._own(action.job, action.chunk)
            self.check(not self._parts_due[action.job.id], f"job {action.job.id} ended before all its parts came")
            self._end(action.job, "answered")
        elif isinstance(action, actions.GrantCredit):
            self._grant(action)
        elif isinstance(action, actions.Fail):
            self.refused(action.error)
            if isinstance(action.error, errors.NoJobTicket):
                self._without_ticket(action.job)
            self._end(action.job, type(action.error).__name__)

    def _batch(self, action: actions.Send, now: float) -> None:
        jobs = action.batch.jobs
        self.check(0 < len(jobs) <= self.spec.batch_size, f"a batch of {len(jobs)} jobs left")
        self.check(len(jobs) == 1 or not any(job.alone for job in jobs), "a job that must be alone has company")
        self.check(action.batch.id not in self._sent, "a batch was sent twice")
        self._sent.add(action.batch.id)
        if self.sequences is not None:
            self.sequences.sent(action.batch)
        self._had_tickets.update(job.id for job in jobs)
        for job in jobs:
            self.check(not self.ends[job.id], f"job {job.id} was sent after its end")
            self.check(job.deadline is None or job.deadline > now, f"expired job {job.id} was sent to a worker")

    def sent(self, batch: Batch, parts: Sequence[Sequence[Chunk]]) -> None:
        """A worker sends parts of its running batch, each with a chunk for each job."""
        for part in parts:
            for index, (job, chunk) in enumerate(zip(batch.jobs, part, strict=True)):
                self._parts_due[job.id].append(chunk)
                self._unread[batch.id, index] += len(chunk.data)

    def begins(self, batch: Batch) -> None:
        """A handler is called for a batch."""
        for job in batch.jobs:
            self.check(job.id not in self._begun, f"job {job.id} runs twice, and no answer was lost")
            self._begun.add(job.id)

    def dies(self, flights: Sequence[Flight], started: int | None) -> None:
        """A worker ends with these batches unanswered. It runs them one after the other: of those that it had begun all
        but the newest were over. ``started``: the newest, None: only the one whose turn it was is known for sure."""
        newest = (flights[0].id if flights else 0) if started is None else started
        self._waited = []
        for flight in flights:
            if flight.id != newest:
                self._begun.difference_update(job.id for job in flight.jobs)
            if flight.id > newest and not flight.streams:
                self._waited += flight.unanswered()

    def died(self, error: errors.ServingError) -> None:
        """The scheduler knows it."""
        self._given_back.update(job.id for job in self._waited)
        failed = [a.job for a in self.core.actions if isinstance(a, actions.Fail) and a.error is error]
        for job in self._waited if self.sequences is None else ():  # a sequence fails with its state
            spent = self._given_back[job.id] >= MOST_RETURNS or self._deaths_by[job.id] > 0
            self.check(job not in failed or spent, f"job {job.id} failed though it was not its turn")

    def killed_by(self, jobs: Sequence[str]) -> None:
        """A worker died of receiving a batch with these jobs in it."""
        self._deaths_by.update(jobs)
        for job in jobs:
            self.check(self._deaths_by[job] <= MOST_RETURNS, f"job {job} kills one worker after the other")

    def _without_ticket(self, job: Job) -> None:
        self.check(self.spec.job_tickets, "a job needed a ticket where there are none")
        self.check(job.id not in self._had_tickets, "a job that was sent once is refused")
        if self.sequences is None:
            self.check(not self._idle_workers(), "a job was refused though a worker is idle")

    def _parts(self, action: actions.DeliverParts) -> None:
        job, due = action.job, self._parts_due[action.job.id]
        self.check(not self.ends[job.id], f"job {job.id} got a part after its end")
        for chunk in action.chunks:
            self._own(job, chunk)
            self.check(bool(due) and due.popleft() is chunk, f"job {job.id} got a part that was not its turn")
        size = sum(len(chunk.data) for chunk in action.chunks)
        self.check(size == action.nbytes, f"the parts of job {job.id} were counted wrong")

    def _grant(self, action: actions.GrantCredit) -> None:
        stream = action.batch_id, action.job_index
        self._unread[stream] -= action.nbytes
        self.check(action.nbytes > 0 <= self._unread[stream], "a worker was granted more than was read")

    def _own(self, job: Job, chunk: Chunk) -> None:
        own = job.id.encode()
        data = bytes(chunk.data)
        self.check(data == own * (len(data) // len(own)), f"job {job.id} got another job's answer")

    def _end(self, job: Job, how: str) -> None:
        self.ends[job.id] += 1
        self.outcomes[how] += 1
        self.check(self.ends[job.id] == 1, f"job {job.id} ended twice, the second time: {how}")

    def after_turn(self, now: float) -> float | None:
        """Returns when the core wakes next."""
        core = self.core
        waiting = core.queue_status().pending
        self.peak_waiting = max(self.peak_waiting, waiting)
        given_back = self._in_hands = max(self._in_hands, self._in_hands_now())
        if self.sequences is not None:
            self.sequences.after_turn(now)
        else:
            room = self.spec.job_queue_size + self.spec.batch_size + given_back
            self.check(waiting <= room, "the queue overflows")
        if self.spec.job_tickets:
            queued = {job.id for job in core._policy.jobs()}
            self.check(queued <= self._had_tickets, "a job without a ticket waits")
        wake = core.next_wake()
        self.check(wake is None or core.wake_at <= wake, "the timer would come too late")
        self.check(self._may_serve() or not waiting, "a job waits for a worker that cannot come")
        if waiting and self.sequences is None:
            self.check(not self.unserved(now), "a worker is idle while a job waits past its time")
        return wake

    def unserved(self, now: float) -> bool:
        """Whether a worker could take a job that waits past its time."""
        return self._idle_workers() > 0 and not self.forming(now)

    def forming(self, now: float) -> bool:
        """Whether a batch is being formed."""
        wake_at = self.core._policy.wake_at
        return self.spec.batching == "fixed" and now < wake_at <= now + self.spec.max_batch_delay_s

    def _in_hands_now(self) -> int:
        return sum(len(flight.jobs) for worker in self.core._workers.values() for flight in worker.flights)

    def _idle_workers(self) -> int:
        return sum(1 for w in self.core._workers.values() if not w.flights and not w.draining)

    def timer_moved_on(self, now: float) -> None:
        wake = self.core.next_wake()
        self.check(wake is None or wake > now, "the timer came due and is due again: the loop would spin")

    def at_the_end(self, now: float) -> None:
        """Checks that everything is settled: nothing more will happen."""
        for job in self._jobs:
            self.check(self.ends[job.id] == 1, f"job {job.id} never got an answer")
            self.check(job.place is Place.OVER, f"job {job.id} is over and still held")
        self.check(self.core.drained, "something is left in the scheduler")
        if self.sequences is not None:
            self.sequences.at_the_end()
