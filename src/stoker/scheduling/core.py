"""Schedules the jobs of one model version, as a pure state machine.

Events go in as method calls with the time, actions come out in `SchedulerCore.actions`.  There is no socket, task or
clock here: `scheduling.scheduler` carries the actions out under asyncio, and simulations do on a virtual clock.

Invariants, checked over random interleavings:
  * every accepted job gets exactly one final action (`Deliver` or `Fail`), preceded by its parts in order;
  * a worker gets batches only while it is ready, and answers the oldest first, unless it runs several at once;
  * as the model's policy defines it, no worker is idle while a job is overdue, and no more jobs wait than may;
  * with job tickets, no job that came during a turn still waits at the end of it.

Events that move a job from one ``place`` to the next:

    NEW       submit                                                        QUEUED
    QUEUED    dispatch                                                      a Flight
    QUEUED    cancel, deadline, fail_all, no ticket, no worker can come     OVER
    a Flight  done, cancel, deadline, fail_all, its reader or worker fails  OVER
    a Flight  worker_lost, before the worker began the batch                QUEUED, or OVER (`scheduling.redelivery`)

Anything that arrives for a job that is OVER is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from stoker import errors
from stoker.core.job import OVER, QUEUED, Job
from stoker.core.measures import MAX_UNCOUNTED, ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.ports import Load, Outcome, QueueStatus
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.admission import Admission
from stoker.scheduling.deadlines import Deadlines
from stoker.scheduling.flight import OVERFLOW_WINDOWS, Flight, Stream, WorkerState, load_of
from stoker.scheduling.policies import policy_of
from stoker.scheduling.redelivery import Redelivery


class SchedulerCore:
    def __init__(
        self,
        spec: ModelSpec,
        *,
        stream_window_bytes: int,
        stream_stall_timeout_s: float,
        max_joined_bytes: int,
        torchserve_give_up: bool = False,
        counters: ModelCounters | None = None,
    ) -> None:
        self.actions: list[actions.Action] = []
        self.spec = spec
        self._counters = counters or ModelCounters()
        self._window = stream_window_bytes
        self._stall_timeout_s = stream_stall_timeout_s
        self._max_joined_bytes = max_joined_bytes
        self._admission = Admission(spec, torchserve_give_up)
        self._policy = policy_of(spec)  # holds the jobs that wait
        self._tickets = spec.job_tickets
        self._newcomers: list[Job] = []  # with job tickets: accepted in this turn
        self._deadlines = Deadlines()
        self._redelivery = Redelivery()
        self._workers: dict[int, WorkerState] = {}
        self._streaming: set[Flight] = set()  # flights that have sent parts
        self._next_batch_id = 1
        self.wake_at = inf
        """The time by which the shell must call `on_time`. Never later than `next_wake`, but cheaper to maintain."""

    # ---------------------------------------------------------------------------------- callers

    def submit(self, job: Job, now: float) -> None:
        """Accepts ``job``, or raises the reason and keeps nothing of it. Call `dispatch` before the turn ends."""
        admission = self._admission
        if not admission.open or job.deadline is not None:
            admission.check(job, now)
        self._policy.put(job, now)
        job.accepted_at = now
        if job.streaming:
            self._counters.streams += 1
        if self._tickets:
            self._newcomers.append(job)
        if job.deadline is not None:
            self._deadlines.add(job)
            self._wake_by(job.deadline)

    def cancel(self, job: Job, now: float) -> None:
        """Ends a job whose caller has left, and cancels it in the worker that holds it."""
        if job.place is not OVER:
            self._end(job, errors.Cancelled(), now)

    def consumed(self, job: Job, nbytes: int, now: float) -> None:
        """Records that the consumer has read ``nbytes`` of a stream, which may grant the worker more credit."""
        flight = job.place
        if isinstance(flight, Flight):
            index = flight.jobs.index(job)
            if (stream := flight.streams.get(index)) is not None:
                self._read(flight, index, stream, nbytes, now)

    def may_sleep(self, may: bool, now: float) -> None:
        """Sets whether jobs for a model without workers wait and wake it, or fail, even those that wait already."""
        self._admission.may_sleep(may)
        self._fail_unservable(now)

    def close_admission(self, error: errors.ServingError) -> None:
        self._admission.close(error)

    def fail_all(self, error: errors.ServingError, now: float) -> None:
        """Fails all jobs that are left."""
        for job in list(self._policy.jobs()):
            self._end(job, error, now)
        for worker in self._workers.values():
            for flight in worker.flights:
                for job in flight.unanswered():
                    self._end(job, error, now)

    # ---------------------------------------------------------------------------------- workers

    def pool_status(self, configured: int, failure: errors.ServingError | None, now: float) -> None:
        self._admission.pool_status(configured, failure)
        self._fail_unservable(now)

    def worker_ready(self, worker_id: int) -> None:
        worker = self._workers[worker_id] = self._policy.new_worker(worker_id)
        self._policy.worker_ready(worker)

    def worker_draining(self, worker_id: int) -> None:
        if (worker := self._workers.get(worker_id)) is not None:
            worker.draining = True
            self._policy.worker_draining(worker)

    def worker_lost(self, worker_id: int, error: errors.ServingError, started: int | None, now: float) -> None:
        """Fails the batches that the worker was running, and returns all others to the head of the queue, unless
        `scheduling.redelivery` forbids it.

        ``started``: the newest batch that it had begun; None: unknown, because its node was lost too; see
        `WorkerState.had_begun`. A batch that it had finished, but whose answer was lost, is returned unless its caller
        has seen a part of it.
        """
        worker = self._workers.pop(worker_id, None)
        if worker is None:
            return
        begun = [flight for flight in worker.flights if flight.streams or worker.had_begun(flight, started)]
        suspect = None if begun else next((f for f in worker.flights if f.id > (started or 0)), None)
        back: list[Job] = []
        for flight in worker.flights:
            self._streaming.discard(flight)
            for job in flight.unanswered():
                if flight not in begun and self._redelivery.allows(job, suspected=flight is suspect):
                    back.append(job)
                else:
                    self._end(job, error, now)
        for job, reason in self._policy.worker_lost(worker, begun, back, error):
            self._end(job, reason, now)
        self._fail_unservable(now)

    def parts(self, worker_id: int, batch_id: int, parts: Sequence[Sequence[Chunk]], now: float) -> None:
        """Delivers intermediate parts of a running batch. ``parts``: those of each job, in order."""
        worker = self._workers.get(worker_id)
        flight = worker.answering(batch_id, len(parts)) if worker is not None else None
        if worker is None or flight is None:
            self._restart(worker)
            return
        if flight not in self._streaming:
            self._streaming.add(flight)
            self._policy.stepped(flight)
        for index, (job, chunks) in enumerate(zip(flight.jobs, parts, strict=True)):
            if job.place is flight and chunks:
                self._deliver_parts(flight, index, job, chunks, now)
        worker.record_activity(now, flight)
        self._wake_by(worker.late_at(self.spec.response_timeout_s))

    def done(
        self, worker_id: int, batch_id: int, outcomes: Sequence[Outcome], now: float, handler_s: float = -1.0
    ) -> None:
        """Ends a running batch. ``outcomes``: one for each job. ``handler_s``: see `SchedulerPort.batch_done`."""
        worker = self._workers.get(worker_id)
        flight = worker.answering(batch_id, len(outcomes)) if worker is not None else None
        if worker is None or flight is None:
            self._restart(worker)
            return
        took_s = worker.ended(flight, now, handler_s)
        counters = self._counters
        if flight.streams:
            self._streaming.discard(flight)
        for job, outcome in zip(flight.jobs, outcomes):  # noqa: B905 - as many: `answering` has counted them
            if job.place is not flight:
                continue
            if type(outcome) is Chunk:  # nearly always
                job.place = OVER
                self.actions.append(actions.Deliver(job, outcome))
                if job.totals is not None:
                    counters.served.append((job.totals, flight.sent_at - job.accepted_at, now - job.accepted_at))
                if job.streaming:
                    counters.streams -= 1
            else:
                self._fail(job, outcome, now)
        counters.last_batch_at = now
        counters.ended.append((len(outcomes), took_s, handler_s))
        for job, reason in self._policy.batch_done(worker, flight, outcomes, now):
            self._end(job, reason, now)
        if now + self.spec.response_timeout_s < self.wake_at:  # otherwise it wakes early enough
            self._wake_by(worker.late_at(self.spec.response_timeout_s))

    def idle(self, worker_id: int) -> bool:
        """Tells whether the worker holds no batch, and no state that open sequences need."""
        worker = self._workers.get(worker_id)
        return worker is None or not (worker.flights or self._policy.holds(worker))

    # ---------------------------------------------------------------------------------- time

    def dispatch(self, now: float) -> None:
        """Sends all batches that may leave now. Call it at the end of each turn in which something happened."""
        if self._deadlines.heap:
            self._drop_expired(now)
        if len(self._counters.ended) + len(self._counters.served) >= MAX_UNCOUNTED:
            self._counters.settle()
        policy, first_id = self._policy, self._next_batch_id
        while (batch := policy.next_batch(now)) is not None:
            worker, jobs = batch
            flight = Flight(self._next_batch_id, jobs, now)
            self._next_batch_id += 1
            for job in jobs:
                job.place = flight
            if not worker.flights:
                worker.since = now
            worker.flights.append(flight)
            if worker.blocked_at is not None:
                self._unblock(worker, now)  # it runs batches at once, and the new one waits for no reader
            self.actions.append(actions.Send(worker.id, flight))
        if self._next_batch_id != first_id:
            self._wake_by(now + self.spec.response_timeout_s)
        if self._newcomers:
            self._refuse_without_ticket(now)
        if not self._admission.open and self._admission.asleep and policy.waiting:
            self.actions.append(actions.Wake())
        if (at := policy.wake_at) < self.wake_at:
            self.wake_at = at

    def _refuse_without_ticket(self, now: float) -> None:
        """Refuses jobs that came in this turn and that no worker took. Jobs returned by a dead worker had a ticket."""
        newcomers, self._newcomers = self._newcomers, []
        for job in newcomers:
            if job.place is QUEUED:
                self._policy.withdraw(job)
                self._end(job, errors.NoJobTicket(self.spec.key.name, job.named_version), now)

    def on_time(self, now: float) -> None:
        """Does what is due. Call it at `wake_at` at the latest."""
        self._drop_expired(now)
        self._end_stalled(now)
        for worker in self._workers.values():
            late_at = worker.late_at(self.spec.response_timeout_s)
            if late_at is not None and late_at <= now:
                self._time_out(worker, now)
        self.dispatch(now)
        for worker in self._workers.values():
            if worker.draining and self.idle(worker.id):
                self.actions.append(actions.Drained(worker.id))
        wake = self.next_wake()
        self.wake_at = inf if wake is None else wake

    def _time_out(self, worker: WorkerState, now: float) -> None:
        timeout = self.spec.response_timeout_s
        late = worker.give_up(now, timeout)
        for flight in late:
            for job in flight.unanswered():
                self._end(job, errors.ResponseTimeout(f"The handler did not answer within {timeout:g} s."), now)
        if not late:  # the pool will report the worker lost, which ends its jobs
            self.actions.append(actions.Restart(worker.id, errors.ResponseTimeout(seconds=timeout)))

    def next_wake(self) -> float | None:
        """Returns when `on_time` will have something to do if nothing happens before; None: never."""
        timeout = self.spec.response_timeout_s
        times = [at for w in self._workers.values() if (at := w.late_at(timeout)) is not None]
        if (deadline := self._deadlines.earliest()) is not None:
            times.append(deadline)
        if (policy_wakes_at := self._policy.wake_at) < inf:
            times.append(policy_wakes_at)
        times += (stream.read_at + self._stall_timeout_s for _, stream in self._stalled())
        return min(times, default=None)

    def _wake_by(self, at: float | None) -> None:
        if at is not None and at < self.wake_at:
            self.wake_at = at

    # ---------------------------------------------------------------------------------- queries

    def queue_status(self) -> QueueStatus:
        return QueueStatus(pending=self._policy.waiting, remaining=self._policy.remaining)

    def load(self, now: float) -> Load:
        """Measures the load, for deciding how many workers there should be."""
        workers, holds = self._workers.values(), self._policy.holds
        load = load_of(self._policy.waiting, self._policy.jobs(), workers, self._counters, now)
        return load._replace(held=sum(holds(worker) for worker in workers if not worker.draining))

    @property
    def drained(self) -> bool:
        """Tells whether no job waits and no worker holds a batch."""
        return not self._policy.waiting and all(not worker.flights for worker in self._workers.values())

    # ---------------------------------------------------------------------------------- ends of jobs and workers

    def _unblock(self, worker: WorkerState, now: float) -> None:
        worker.unblock(now)
        self._wake_by(worker.late_at(self.spec.response_timeout_s))

    def _restart(self, worker: WorkerState | None) -> None:
        """Restarts a worker that answered anything but a running batch. None: it has been reported lost."""
        if worker is not None:
            self.actions.append(
                actions.Restart(worker.id, errors.WorkerDied("it answered a request that it did not have"))
            )

    def _fail(self, job: Job, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, errors.ServingError):
            self._end(job, outcome, now)
        else:
            # Dropped as late by the worker's clock, before ours found out; cancelled jobs were answered already.
            self._end(job, errors.DeadlineExceeded(), now)

    def _end(self, job: Job, error: errors.ServingError, now: float) -> None:
        """Ends an unanswered job with an error, wherever it is."""
        place = job.place
        if place is QUEUED:
            self._policy.remove(job)
        job.place = OVER
        self.actions.append(actions.Fail(job, error))
        self._counters.ended_with(error, streaming=job.streaming, counted=job.totals is not None)
        if isinstance(place, Flight):
            worker = next((w for w in self._workers.values() if place in w.flights), None)
            if worker is not None:
                index = place.jobs.index(job)
                self.actions.append(actions.CancelInWorker(worker.id, place.id, index))
                self._unblock(worker, now)

    def _fail_unservable(self, now: float) -> None:
        """Fails the waiting jobs if no worker can serve them any more."""
        if all(worker.draining for worker in self._workers.values()) and (cause := self._admission.workers_error()):
            for job in list(self._policy.jobs()):
                self._end(job, cause, now)

    def _drop_expired(self, now: float) -> None:
        for job in self._deadlines.pop_expired(now):
            self._end(job, errors.DeadlineExceeded(), now)

    # ---------------------------------------------------------------------------------- streams

    def _deliver_parts(self, flight: Flight, index: int, job: Job, chunks: Sequence[Chunk], now: float) -> None:
        stream = flight.streams.get(index)
        if stream is None:
            stream = flight.streams[index] = Stream(self._window, now)
        size = sum([len(chunk.data) for chunk in chunks])
        stream.received(size, now)
        if not job.streaming and stream.total > self._max_joined_bytes:
            self._end(job, errors.ResponseTooLarge(stream.total, self._max_joined_bytes), now)
        elif stream.unread > OVERFLOW_WINDOWS * self._window + size and job.streaming:
            self._end(job, errors.StreamStalled(seconds=now - stream.read_at), now)
        else:
            self.actions.append(actions.DeliverParts(job, chunks, size))
            if stream.credit <= 0:
                self._wake_by(stream.read_at + self._stall_timeout_s)
            if not job.streaming:  # its parts are joined later: no reader to wait for
                self._read(flight, index, stream, size, now)

    def _read(self, flight: Flight, index: int, stream: Stream, nbytes: int, now: float) -> None:
        if not (granted := stream.read(nbytes, now)):
            return
        worker = next((w for w in self._workers.values() if w.runs(flight)), None)
        if worker is not None:
            self.actions.append(actions.GrantCredit(worker.id, flight.id, index, granted))
            self._unblock(worker, now)

    def _end_stalled(self, now: float) -> None:
        for job, stream in list(self._stalled()):
            if stream.read_at + self._stall_timeout_s <= now:
                self._end(job, errors.StreamStalled(seconds=self._stall_timeout_s), now)

    def _stalled(self) -> Iterator[tuple[Job, Stream]]:
        """Yields unanswered jobs whose reader is a whole window behind, with their streams."""
        for flight in self._streaming:
            for index, stream in flight.streams.items():
                if stream.credit <= 0 and flight.jobs[index].place is flight:
                    yield flight.jobs[index], stream
