"""A world for the scheduler: clients, workers and faults on a virtual clock, drawn from one seed.

The scheduler's pure core runs as it is; everything around it is made here: jobs that arrive, expire, are cancelled or
read slowly, workers that answer, stream, hang, die and come back, a pool that scales.  `laws` watches it all.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from simulation.laws import Laws
from simulation.sequences import draw_limits, drawn_job, handlers_end
from stoker import errors
from stoker.core.job import Batch, Input, Job, ModelKey
from stoker.core.model import ModelSpec
from stoker.core.ports import Dropped, Outcome
from stoker.core.reply import Chunk
from stoker.core.sequences import SequenceLimits
from stoker.pool.slot_states import Event, Lifecycle, State, failure_of_all
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore

WINDOW = 1000  # bytes of unread parts per stream; small, so that it is reached
STALL_S = 3.0
RESPONSE_TIMEOUT_S = 2.0
REST_S = 1000.0  # by then everything is over


@dataclass(slots=True, kw_only=True)
class Scenario:
    """How often what happens. Probabilities are per job, batch or event."""

    jobs: int = 40
    workers: int = 2
    batch_size: int = 1
    batching: str = "adaptive"
    queue_size: int = 12
    max_delay_s: float = 0.05
    service_s: float = 0.01
    arrival_gap_s: float = 0.005
    stream: float = 0.2
    dense: float = 0.0
    deadline: float = 0.2
    cancel: float = 0.1
    death: float = 0.03
    hang: float = 0.01
    handler_error: float = 0.05
    held_replies: float = 0.5
    stalled_reader: float = 0.1
    rescale: float = 0.0
    load_failure: float = 0.0
    poison: float = 0.0
    sequences: SequenceLimits | None = None
    tickets: bool = False

    @classmethod
    def draw_sequences(cls, rng: random.Random) -> Scenario:
        return replace(cls.draw(rng), sequences=draw_limits(rng))

    @classmethod
    def draw_tickets(cls, rng: random.Random) -> Scenario:
        sequences = draw_limits(rng) if rng.random() < 0.5 else None
        return replace(cls.draw(rng), sequences=sequences, tickets=True, batching="adaptive")

    @classmethod
    def draw_poison(cls, rng: random.Random) -> Scenario:
        """Some jobs kill whatever worker receives them."""
        return replace(cls.draw(rng), poison=rng.choice([0.02, 0.2]))

    @classmethod
    def draw(cls, rng: random.Random) -> Scenario:
        return cls(
            jobs=rng.randint(5, 60),
            workers=rng.randint(1, 4),
            batch_size=rng.choice([1, 1, 2, 4, 16]),
            batching=rng.choice(["adaptive", "adaptive", "fixed"]),
            queue_size=rng.choice([1, 3, 12, 100]),
            service_s=rng.choice([0.00002, 0.0005, 0.01, 0.1]),
            arrival_gap_s=rng.choice([0.0, 0.0001, 0.005, 0.05]),
            death=rng.choice([0.0, 0.03, 0.2]),
            rescale=rng.choice([0.0, 0.1]),
            load_failure=rng.choice([0.0, 0.3]),
            dense=rng.choice([0.0, 0.5, 0.9]),
        )


class Worker:
    """A worker process: a socket with batches in it, one of them running.

    Answers of short batches leave a little later, several at once: ``unsent`` ones die with the process, and so do the
    parts that are ``held`` to leave together.
    """

    def __init__(self, world: World, id: int) -> None:
        self.world, self.id = world, id
        self.inbox: list[Batch] = []
        self.cancelled: set[tuple[int, int]] = set()
        self.dropped: set[int] | None = None  # jobs that it left out; None: it may leave out any that is cancelled
        self.running: Batch | None = None
        self.started = 0
        self.credit: dict[int, int] = {}
        self.parts_left = 0
        self.held: defaultdict[int, list[list[Chunk]]] = defaultdict(list)  # by batch
        self.unsent: list[tuple[Batch, list[Outcome]]] = []
        self.alive = True

    def receive(self, batch: Batch) -> None:
        self.inbox.append(batch)
        if self.running is None:
            self.start_next()

    def start_next(self) -> None:
        if not self.inbox or not self.alive:
            return
        world, rng = self.world, self.world.rng
        batch = self.running = self.inbox.pop(0)
        self.started = batch.id
        world.laws.begins(batch)
        if world.laws.sequences is not None:
            self.dropped = {i for i in range(len(batch.jobs)) if (batch.id, i) in self.cancelled}
            kept = [job for i, job in enumerate(batch.jobs) if i not in self.dropped]
            world.laws.sequences.runs(self, kept)
        self.credit = dict.fromkeys(range(len(batch.jobs)), WINDOW)
        self.parts_left = rng.randint(0, 8) if any(job.streaming for job in batch.jobs) else 0
        if rng.random() < world.scenario.hang:
            return  # never answers: the response timeout must find it
        if rng.random() < world.scenario.death:
            world.after(rng.random() * world.scenario.service_s, lambda: world.kill(self))
        else:
            self.work()

    def work(self) -> None:
        self.world.after(self.world.rng.expovariate(1 / self.world.scenario.service_s), self.step)

    def step(self) -> None:
        """One part, or the end of the batch."""
        batch = self.running
        if not self.alive or batch is None:
            return
        if self.parts_left == 0:
            self.finish(batch)
        elif self.live(batch) and all(self.credit[i] <= 0 for i in self.live(batch)):
            return  # waits for its readers; `grant` and `cancel` go on
        elif not self.live(batch):
            self.parts_left = 0  # everybody left: the handler is stopped
            self.work()
        else:
            self.send_part(batch)

    def live(self, batch: Batch) -> list[int]:
        return [i for i in range(len(batch.jobs)) if (batch.id, i) not in self.cancelled]

    def send_part(self, batch: Batch) -> None:
        rng = self.world.rng
        parts = [Chunk(job.id.encode() * rng.randint(1, 200)) for job in batch.jobs]
        for index, part in enumerate(parts):
            self.credit[index] -= len(part.data)
        self.parts_left -= 1
        self.held[batch.id].append(parts)
        if rng.random() >= self.world.scenario.dense or all(self.credit[i] <= 0 for i in self.live(batch)):
            self.send_held(batch)
        self.work()

    def send_held(self, batch: Batch) -> None:
        held = self.held.pop(batch.id, [])
        self.flush()
        if held:
            self.world.laws.sent(batch, held)
            self.world.core.parts(self.id, batch.id, list(zip(*held, strict=True)), self.world.now)

    def finish(self, batch: Batch) -> None:
        self.send_held(batch)
        self.running = None
        outcomes = [self.outcome(batch, index) for index in range(len(batch.jobs))]
        self.unsent.append((batch, outcomes))
        if self.inbox and self.world.rng.random() < self.world.scenario.held_replies:
            self.world.after(0.001, self.flush)
        else:
            self.flush()
        self.start_next()

    def flush(self) -> None:
        unsent, self.unsent = self.unsent, []
        for batch, outcomes in unsent if self.alive else ():
            self.world.landed(batch)
            self.world.core.done(self.id, batch.id, outcomes, self.world.now)

    def outcome(self, batch: Batch, index: int) -> Outcome:
        may_drop = (batch.id, index) in self.cancelled if self.dropped is None else index in self.dropped
        if may_drop and (self.dropped or self.world.rng.random() < 0.5):
            return Dropped.DROPPED
        if self.world.rng.random() < self.world.scenario.handler_error:
            return errors.HandlerRaised()
        job, world = batch.jobs[index], self.world
        return Chunk(job.id.encode(), handlers_end(job, world.rng) if world.spec.sequences is not None else None)

    def cancel(self, batch_id: int, index: int) -> None:
        self.cancelled.add((batch_id, index))
        self.poke(batch_id)

    def grant(self, batch_id: int, index: int, nbytes: int) -> None:
        if self.running is not None and self.running.id == batch_id:
            self.credit[index] += nbytes
        self.poke(batch_id)

    def poke(self, batch_id: int) -> None:
        if self.running is not None and self.running.id == batch_id and self.parts_left:
            self.work()


class Slot:
    """A place for one worker. ``lifecycle``: as the pool keeps it; ``may_serve``: what is true, noted by hand: a worker
    lives here, or is on its way, or the last one was fit to serve."""

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.may_serve = True


WorkerAction = actions.Send | actions.CancelInWorker | actions.GrantCredit | actions.Restart | actions.Drained
FailureRule = Callable[[Iterable[Lifecycle]], errors.ServingError | None]


class World:
    """Runs one seed. `run` raises `laws.Broken` when a law of the scheduler, or of the pool, is broken."""

    worker_type = Worker
    laws_type = Laws

    def __init__(
        self,
        seed: int,
        *,
        scenario: Scenario | None = None,
        core: type[SchedulerCore] = SchedulerCore,
        failure_rule: FailureRule = failure_of_all,
    ) -> None:
        self.rng = random.Random(seed)
        self.scenario = scenario or Scenario.draw(self.rng)
        self.now = 0.0
        self.spec = self._spec()
        self.core = core(
            self.spec,
            stream_window_bytes=WINDOW,
            stream_stall_timeout_s=STALL_S,
            max_joined_bytes=100 * WINDOW,
        )
        self.workers: dict[int, Worker] = {}
        self.poisons: set[str] = set()
        """Jobs that kill a worker which receives them."""
        self.slots = {number: Slot() for number in range(self.scenario.workers)}
        self._failure_rule = failure_rule
        self.laws = self.laws_type(self.core, self.spec, seed, may_serve=self._may_serve)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def _spec(self) -> ModelSpec:
        scenario = self.scenario
        return ModelSpec(
            key=ModelKey("m", "1.0"),
            url="m.mar",
            model_dir="",
            handler="h",
            batch_size=scenario.batch_size,
            batching=scenario.batching,
            max_batch_delay_s=scenario.max_delay_s,
            job_queue_size=scenario.queue_size,
            response_timeout_s=RESPONSE_TIMEOUT_S,
            stream_batching=scenario.batch_size == 4,
            sequences=scenario.sequences,
            job_tickets=scenario.tickets,
        )

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay_s, self._count, what))

    def run(self) -> Laws:
        self._publish()
        for number, slot in self.slots.items():
            self._start_after(self.rng.random() * 0.1, number, slot)
        at = 0.0
        for number in range(self.scenario.jobs):
            at += self.rng.expovariate(1 / self.scenario.arrival_gap_s) if self.scenario.arrival_gap_s else 0.0
            self.after(at, lambda n=number: self.arrive(n))  # type: ignore[misc]  # a default binds
        self._loop()
        self.laws.at_the_end(self.now)
        return self.laws

    def _loop(self) -> None:
        """Events in time order, and the scheduler's own wake-ups between them. Ends when both run dry."""
        wake = self.core.next_wake()
        while True:
            if self._events and (wake is None or self._events[0][0] <= wake):
                self.now, _, what = heapq.heappop(self._events)
                what()
                self.core.dispatch(self.now)
            elif wake is not None:
                self.now = max(self.now, wake)
                self.core.on_time(self.now)
                self.laws.timer_moved_on(self.now)
            else:
                return
            self._carry_out()
            self.laws.check(self.now < REST_S, "something is never over")
            wake = self.laws.after_turn(self.now)

    # ------------------------------------------------------------------------------ clients

    def arrive(self, number: int) -> None:
        rng, scenario = self.rng, self.scenario
        streaming = rng.random() < scenario.stream
        deadline = self.now + rng.random() * 0.2 if rng.random() < scenario.deadline else None
        job = Job(
            self.spec.key,
            [Input("data", "", b"")],
            deadline=deadline,
            streaming=streaming,
            alone=self._is_alone(streaming),
            id=f"<{number}>",
        )
        if scenario.sequences is not None:
            job = drawn_job(job, scenario.sequences, rng)
        if rng.random() < scenario.rescale:
            self.rescale(rng.randint(1, 4))
        try:
            self.core.submit(job, self.now)
        except errors.ServingError as error:
            self.laws.refused(error)
            return
        self.laws.accepted(job)
        if scenario.poison and rng.random() < scenario.poison:
            self.poisons.add(job.id)
        if rng.random() < scenario.cancel:
            self.after(rng.random() * 0.1, lambda: self.core.cancel(job, self.now))

    def _is_alone(self, streaming: bool) -> bool:
        return streaming and not self.spec.stream_batching

    def _read(self, job: Job, nbytes: int) -> None:
        """The consumer reads what came, at once, later, or never."""
        if self.rng.random() >= self.scenario.stalled_reader:
            self.after(self.rng.random() * 0.05, lambda: self.core.consumed(job, nbytes, self.now))

    # ------------------------------------------------------------------------------ workers

    def _start_after(self, delay_s: float, id: int, slot: Slot) -> None:
        self.after(delay_s, lambda: self.start(id, slot))

    def start(self, id: int, slot: Slot) -> None:
        """Starts a slot's process, which comes up some time later unless it fails to load."""
        if self.slots.get(id) is not slot:
            return
        slot.may_serve = True
        if slot.lifecycle.state is State.BACKOFF:
            self._enter(slot, Event.RETRY)
        self.after(self.rng.random() * 0.02, lambda: self.load(id, slot))

    def load(self, id: int, slot: Slot) -> None:
        """The start ends well, or the slot tries again later."""
        if self.slots.get(id) is not slot:
            return
        if self.rng.random() < self.scenario.load_failure:
            slot.may_serve = False
            self._enter(slot, Event.EXITED, errors.WorkerDied("exit code 1"))
            self._start_after(0.05, id, slot)
            return
        self.workers[id] = self.worker_type(self, id)
        self._enter(slot, Event.GREETED)
        self._enter(slot, Event.LOADED)
        self.core.worker_ready(id)

    def _enter(self, slot: Slot, event: Event, error: errors.ServingError | None = None) -> None:
        slot.lifecycle.enter(event, error)
        self._publish()

    def _publish(self) -> None:
        failure = self._failure_rule(slot.lifecycle for slot in self.slots.values())
        self.core.pool_status(len(self.slots), failure, self.now)

    def _may_serve(self) -> bool:
        """Whether a job that waits may yet be served. A worker whose slot is retired takes no more."""
        return any(slot.may_serve for slot in self.slots.values())

    def rescale(self, count: int) -> None:
        """More or fewer slots. A slot that goes drains its worker first."""
        for id in [id for id in self.slots if id >= count]:
            del self.slots[id]
            self.core.worker_draining(id)
            self.retire(id)
        for id in range(count):
            if id not in self.slots and id not in self.workers:
                slot = self.slots[id] = Slot()
                self._start_after(0.01, id, slot)
        self._publish()

    def retire(self, id: int) -> None:
        if id not in self.workers:
            return
        if self.core.idle(id):
            self.kill(self.workers[id])
        else:
            self.after(0.05, lambda: self.retire(id))

    def kill(self, worker: Worker, error: errors.ServingError | None = None) -> None:
        """The process ends. Its marker tells what it had begun; sometimes nobody can read it."""
        if self.workers.get(worker.id) is not worker:
            return
        worker.alive = False
        del self.workers[worker.id]
        started = worker.started if self.rng.random() < 0.8 else None
        lost = error or errors.WorkerDied("killed")
        flights = list(self.core._workers[worker.id].flights)
        for flight in flights:
            self.landed(flight)
        self.laws.dies(flights, started)
        self.core.worker_lost(worker.id, lost, started, self.now)
        self.laws.died(lost)
        if (slot := self.slots.get(worker.id)) is not None:
            self._enter(slot, Event.EXITED, lost)
            self._start_after(0.05, worker.id, slot)

    def _deliver(self, worker: Worker, batch: Batch) -> None:
        poisons = [job.id for job in batch.jobs if job.id in self.poisons]
        if poisons and worker.alive:
            self.laws.killed_by(poisons)
            self.kill(worker, errors.WorkerDied("it could not read the batch"))
        else:
            worker.receive(batch)

    def landed(self, batch: Batch) -> None:
        if self.laws.sequences is not None:
            self.laws.sequences.landed(batch)

    def _carry_out(self) -> None:
        todo, self.core.actions = self.core.actions, []
        for action in todo:
            self.laws.action(action, self.now)
            if isinstance(action, actions.DeliverParts):
                if action.job.streaming:
                    self._read(action.job, action.nbytes)
            elif not isinstance(action, actions.Deliver | actions.Fail | actions.Wake):
                self._for_worker(action)

    def _for_worker(self, action: WorkerAction) -> None:
        worker = self.workers[action.worker]
        if isinstance(action, actions.Send):
            self.after(0.0, lambda: self._deliver(worker, action.batch))
        elif isinstance(action, actions.CancelInWorker):
            self.after(0.0, lambda: worker.cancel(action.batch_id, action.job_index))
        elif isinstance(action, actions.GrantCredit):
            self.after(0.0, lambda: worker.grant(action.batch_id, action.job_index, action.nbytes))
        elif isinstance(action, actions.Restart):
            self.after(0.0, lambda: self.kill(worker, action.reason))
