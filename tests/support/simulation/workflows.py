"""A world for workflows: random graphs, faults, deadlines and callers that leave, drawn from one seed.

`workflows.run` and the pure schedulers of its nodes run as they are, on a virtual clock; clients, workers and faults
are made here.  Each node answers with its name and what it got, so that a mixed-up answer is found.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from simulation.laws import Broken
from stoker import errors
from stoker.core.job import Batch, Input, Job, ModelKey, Place
from stoker.core.measures import RequestTotals
from stoker.core.model import ModelSpec
from stoker.core.ports import Outcome
from stoker.core.reply import Chunk
from stoker.core.sequences import Membership
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore
from stoker.workflows.answers import STREAMED, WHOLE
from stoker.workflows.execution import Execution
from stoker.workflows.graph import Graph, Node, Serving
from stoker.workflows.run import Run, RunOptions

RESPONSE_TIMEOUT_S = 2.0
_RESTART_S = 0.03


@dataclass(slots=True, kw_only=True)
class Faults:
    """How often what happens. Probabilities are per batch, or per request."""

    death: float = 0.03
    hang: float = 0.01
    handler_error: float = 0.05
    deadline: float = 0.2
    leaves: float = 0.1
    streams: float = 0.3
    queue_size: int = 100

    @classmethod
    def draw(cls, rng: random.Random) -> Faults:
        return cls(
            death=rng.choice([0.0, 0.03, 0.3]),
            hang=rng.choice([0.0, 0.02, 0.2]),
            handler_error=rng.choice([0.0, 0.05, 0.3]),
            deadline=rng.choice([0.0, 0.3]),
            leaves=rng.choice([0.0, 0.2]),
            queue_size=rng.choice([2, 10, 100]),
        )


def random_graph(rng: random.Random) -> Graph:
    """Draws a graph with one start; each later node follows one to three before it."""
    count = rng.randint(1, 8)
    names = [f"n{number}" for number in range(count)]
    serving = Serving(retry_attempts=rng.choice([0, 1, 3]), timeout_s=rng.choice([0.05, 0.5, 5.0]))
    edges = [
        (source, name)
        for number, name in enumerate(names[1:], 1)
        for source in rng.sample(names[:number], min(number, rng.randint(1, 3)))
    ]
    return Graph.build([Node(name=name, serving=serving) for name in names], edges)


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class NodeModel:
    """One node's model: its scheduler and its workers. Implements `run.NodeModel` and `core.reply.Producer`."""

    def __init__(self, world: WorkflowWorld, name: str) -> None:
        rng = world.rng
        self.world = world
        self.name = name
        self.key = ModelKey(f"w__{name}", "1.0")
        self.totals: RequestTotals | None = None
        self.streams_alone = True
        self.spec = ModelSpec(
            key=self.key,
            url="",
            model_dir="",
            handler="h",
            batch_size=rng.choice([1, 1, 4]),
            max_batch_delay_s=0.01,
            job_queue_size=world.faults.queue_size,
            response_timeout_s=RESPONSE_TIMEOUT_S,
        )
        self.core = SchedulerCore(
            self.spec, stream_window_bytes=1000, stream_stall_timeout_s=3.0, max_joined_bytes=10_000_000
        )
        self.workers = {number: Worker(self, number) for number in range(rng.randint(1, 2))}
        self.core.pool_status(len(self.workers), None, 0.0)
        for number in self.workers:
            self.core.worker_ready(number)

    def submit(self, job: Job, member: Membership | None) -> Job:
        self.world.submitted(self.name, job)
        self.core.submit(job, self.world.now)
        job.reply.producer, job.reply.job = self, job
        self.world.accepted(self.name, job)
        return job

    def job_cancelled(self, job: Job) -> None:
        self.core.cancel(job, self.world.now)

    def job_consumed(self, job: Job, nbytes: int) -> None:
        self.core.consumed(job, nbytes, self.world.now)

    def carry_out(self) -> None:
        todo, self.core.actions = self.core.actions, []
        for action in todo:
            if isinstance(action, actions.Deliver):
                action.job.reply.push(action.chunk, last=True)
            elif isinstance(action, actions.DeliverParts):
                action.job.reply.push_parts(action.chunks, action.nbytes)
            elif isinstance(action, actions.Fail):
                action.job.reply.fail(action.error)
            elif isinstance(action, actions.Send):
                self.world.after(0.0, partial(self.workers[action.worker].receive, action.batch))
            elif isinstance(action, actions.Restart):
                self.workers[action.worker].die(action.reason)


class Worker:
    """A process that may answer, send parts, fail, hang or die."""

    def __init__(self, model: NodeModel, id: int) -> None:
        self.model, self.world, self.id = model, model.world, id
        self.inbox: list[Batch] = []
        self.running: Batch | None = None
        self.life = 0

    def receive(self, batch: Batch) -> None:
        self.inbox.append(batch)
        if self.running is None:
            self.start_next()

    def start_next(self) -> None:
        if not self.inbox:
            return
        rng, faults, life = self.world.rng, self.world.faults, self.life
        self.running = self.inbox.pop(0)
        if rng.random() < faults.hang:
            return  # the response timeout finds it
        parts = rng.randint(0, 3) if any(job.streaming for job in self.running.jobs) else 0
        for _ in range(parts):
            self.world.after(rng.random() * 0.01, lambda: self.send_part(life))
        if rng.random() < faults.death:
            self.world.after(rng.random() * 0.02, lambda: self.die(errors.WorkerDied("killed"), life))
        else:
            self.world.after(rng.choice([0.0, 0.001, 0.02, 0.2]) + 0.01 * bool(parts), lambda: self.finish(life))

    def send_part(self, life: int) -> None:
        if life == self.life and self.running is not None:
            parts = [[Chunk(b"-")] for _ in self.running.jobs]
            self.model.core.parts(self.id, self.running.id, parts, self.world.now)

    def finish(self, life: int) -> None:
        batch = self.running
        if life != self.life or batch is None:
            return
        self.running = None
        self.life += 1
        self.model.core.done(self.id, batch.id, [self.outcome(job) for job in batch.jobs], self.world.now)
        self.start_next()

    def outcome(self, job: Job) -> Outcome:
        if self.world.rng.random() < self.world.faults.handler_error:
            return self.world.rng.choice([errors.HandlerRaised(), errors.HandlerRefused("busy", 503)])
        return Chunk(output_of(self.model.name, {each.name: bytes(each.value) for each in job.inputs}))

    def die(self, error: errors.ServingError, life: int | None = None) -> None:
        if life is not None and life != self.life:
            return
        started = self.running.id if self.running else None
        self.life += 1
        self.running = None
        self.inbox.clear()
        self.model.core.worker_lost(self.id, error, started, self.world.now)
        self.world.after(_RESTART_S, lambda: self.model.core.worker_ready(self.id))


def output_of(node: str, inputs: Mapping[str, bytes]) -> bytes:
    got = b",".join(name.encode() + b"=" + value.replace(b"-", b"") for name, value in inputs.items())
    return node.encode() + b"(" + got + b")"


def right_outputs(graph: Graph, value: bytes) -> Mapping[str, bytes]:
    """Returns what each node must answer when the start got ``value``."""
    outputs: dict[str, bytes] = {}
    for name, node in graph.nodes.items():  # drawn in topological order
        before = node.predecessors
        if not before:
            got = {"data": value}
        elif len(before) == 1:
            got = {"body": outputs[before[0]]}
        else:
            got = {other: outputs[other] for other in before}
        outputs[name] = output_of(name, got)
    return outputs


class Client:
    """One request: what was asked, and how it ended. Implements `run.Observer` for its own run."""

    def __init__(self, world: WorkflowWorld, number: int) -> None:
        rng, faults = world.rng, world.faults
        self.world = world
        self.value = f"<{number}>".encode()
        self.streams = rng.random() < faults.streams
        self.deadline = world.now + rng.random() if rng.random() < faults.deadline else None
        self.slow = rng.random() < 0.2
        self.got = b""
        self.ends: list[errors.ServingError | None] = []
        self.attempts: dict[str, list[Job]] = {}
        execution = Execution(world.graph, [Input("data", "", self.value)], deadline=self.deadline)
        self.run = Run(
            execution,
            RunOptions(
                form=STREAMED if self.streams and len(world.graph.leaves) == 1 else WHOLE, request_id=f"{number}"
            ),
            models=world.models,
            observer=self,
            now=lambda: world.now,
            call_later=world.call_later,
        )

    def begin(self) -> None:
        self.reply = self.run.begin()
        self.reply.subscribe(self.read)
        if self.world.rng.random() < self.world.faults.leaves:
            self.world.after(self.world.rng.random() * 0.3, self.reply.cancel)

    def read(self) -> None:
        if self.slow:
            self.world.after(0.01, self.read_now)
        else:
            self.read_now()

    def read_now(self) -> None:
        while chunks := self.reply.read_nowait(1000):
            self.got += b"".join(bytes(chunk.data) for chunk in chunks)

    def node_retried(self, node: str) -> None:
        self.world.counts["retried"] += 1

    def run_ended(self, run: Run, error: errors.ServingError | None) -> None:
        self.ends.append(error)
        cause = error.error if isinstance(error, errors.NodeFailed) else error
        self.world.counts[type(cause).__name__] += 1


class WorkflowWorld:
    """Runs one seed. `run` raises `laws.Broken` when a law of workflows is broken."""

    def __init__(self, seed: int, *, faults: Faults | None = None, requests: int = 25) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.faults = faults or Faults.draw(self.rng)
        self.graph = random_graph(self.rng)
        self.now = 0.0
        self.counts: Counter[str] = Counter()
        self.clients: dict[str, Client] = {}
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self.models = {name: NodeModel(self, name) for name in self.graph.nodes}
        for number in range(requests):
            self.after(self.rng.random() * 0.5, partial(self._arrive, number))

    def after(self, delay_s: float, what: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay_s, self._count, what))

    def call_later(self, delay_s: float, call: Callable[..., object], *given: object) -> Timer:
        timer = Timer()
        self.after(delay_s, lambda: None if timer.cancelled else call(*given))
        return timer

    def _arrive(self, number: int) -> None:
        client = self.clients[str(number)] = Client(self, number)
        client.begin()

    def run(self) -> Counter[str]:
        while True:
            wakes = [(wake, model) for model in self.models.values() if (wake := model.core.next_wake()) is not None]
            wake, model = min(wakes, key=lambda each: each[0], default=(None, None))
            if self._events and (wake is None or self._events[0][0] <= wake):
                self.now, _, what = heapq.heappop(self._events)
                what()
            elif wake is not None and model is not None:
                self.now = max(self.now, wake)
                model.core.on_time(self.now)
            else:
                break
            self._turn()
        self._at_the_end()
        return self.counts

    def _turn(self) -> None:
        """Carries out what this event caused, which may concern several nodes."""
        while True:
            for model in self.models.values():
                model.core.dispatch(self.now)
            busy = [model for model in self.models.values() if model.core.actions]
            if not busy:
                break
            for model in busy:
                model.carry_out()
        for client in self.clients.values():
            if client.ends:
                self._check(self._nothing_runs(client), f"request {client.value!r} is over and a node of it runs")

    # ------------------------------------------------------------------------------------------ laws

    def _check(self, holds: bool, law: str) -> None:
        if not holds:
            raise Broken(f"seed {self.seed}: {law}")

    def _of(self, job: Job) -> Client:
        return self.clients[job.id.partition("/")[0]]

    def submitted(self, node: str, job: Job) -> None:
        client = self._of(job)
        before = client.attempts.setdefault(node, [])
        before.append(job)
        allowed = self.graph.nodes[node].serving.retry_attempts + 1
        self._check(not client.ends, f"{node} was submitted for {client.value!r} after its end")
        self._check(len(before) <= allowed, f"{node} was submitted {len(before)} times for {client.value!r}")
        self._check(
            all(other.place in (Place.OVER, Place.NEW) for other in before[:-1]),
            f"an attempt at {node} was superseded and still runs",
        )
        if client.deadline is not None:
            self._check(job.deadline is not None and job.deadline <= client.deadline, "a deadline was lost")

    def accepted(self, node: str, job: Job) -> None:
        self.counts["jobs"] += 1

    def _nothing_runs(self, client: Client) -> bool:
        return all(job.place in (Place.OVER, Place.NEW) for jobs in client.attempts.values() for job in jobs)

    def _at_the_end(self) -> None:
        for client in self.clients.values():
            self._check(len(client.ends) == 1, f"request {client.value!r} ended {len(client.ends)} times")
            self._check(client.reply.ended, f"the caller of {client.value!r} waits forever")
            if client.ends == [None]:
                self._check_answer(client)
        for model in self.models.values():
            self._check(model.core.drained, f"something is left in the scheduler of {model.name}")

    def _check_answer(self, client: Client) -> None:
        right = right_outputs(self.graph, client.value)
        jobs = [job for jobs in client.attempts.values() for job in jobs]
        self._check(len(client.attempts) == len(right), f"not every node ran for {client.value!r}")
        self._check(len(jobs) >= len(right), f"a node of {client.value!r} did not run")
        for leaf in self.graph.leaves:
            self._check(right[leaf] in client.got.replace(b"-", b""), f"{client.value!r} got another answer")
