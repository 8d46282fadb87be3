"""A worker that batches continuously in the simulated world, and the laws for it.

Between two steps it drops what is cancelled and takes in what has come; every row gets a part or its end in each step.
Parts of quick steps are held to leave together, at the latest before it waits for its readers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from simulation.laws import Laws
from simulation.sequences import handlers_end
from simulation.world import WINDOW, Scenario, Worker, WorkerAction, World
from stoker import errors
from stoker.core.job import Batch
from stoker.core.model import ModelSpec
from stoker.core.ports import Dropped
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.flight import Flight, WorkerState


class Row:
    """A job in progress. ``left``: parts before its end."""

    def __init__(self, batch: Batch, left: int) -> None:
        self.batch = batch
        self.left = left
        self.credit = WINDOW

    @property
    def blocked(self) -> bool:
        return self.credit <= 0


class SteppingLaws(Laws):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._joined: set[str] = set()

    def dies(self, flights: Sequence[Flight], started: int | None) -> None:
        """Where it is unknown what had joined, all may have."""
        super().dies(flights, flights[-1].id if started is None and flights else started)

    def joined(self, batch: Batch) -> None:
        job = batch.jobs[0]
        self.check(job.id not in self._joined, f"job {job.id} was given to a handler twice")
        self._joined.add(job.id)

    def step(self, rows: int, *, alone: bool) -> None:
        slots = self.spec.batch_size * (1 if self.spec.sequences is None else 2)
        self.check(0 < rows <= slots, f"a step of {rows} rows")
        self.check(rows == 1 or not alone, "a job that must be alone has company in a step")

    def unserved(self, now: float) -> bool:
        """A slot is free for the job whose turn it is."""
        head = next(self.core._policy.jobs())
        takes = any(self.takes(worker, alone=head.alone) for worker in self.core._workers.values())
        return takes and not self.forming(now)

    def takes(self, worker: WorkerState, *, alone: bool) -> bool:
        flights = worker.flights
        if worker.draining or any(flight.jobs[0].alone for flight in flights):
            return False
        return len(flights) < (1 if alone else self.spec.batch_size)


class SteppingProcess(Worker):
    """``rows``: those of the step that runs, or of the last one."""

    def __init__(self, world: World, id: int) -> None:
        super().__init__(world, id)
        assert isinstance(world.laws, SteppingLaws)
        self.laws = world.laws
        self.rows: list[Row] = []
        self.in_step = False

    def receive(self, batch: Batch) -> None:
        self.inbox.append(batch)
        self.go_on()

    def cancel(self, batch_id: int, index: int) -> None:
        self.cancelled.add((batch_id, index))
        self.go_on()

    def grant(self, batch_id: int, index: int, nbytes: int) -> None:
        for row in self.rows:
            if row.batch.id == batch_id:
                row.credit += nbytes
        self.go_on()

    def go_on(self) -> None:
        """Begins the next step, unless one runs, there is nobody, or all readers are behind."""
        if self.in_step or not self.alive:
            return
        self.drop_cancelled()
        self.join()
        if not self.rows or all(row.blocked for row in self.rows):
            for row in self.rows:
                self.send_held(row.batch)
            return
        rng, scenario = self.world.rng, self.world.scenario
        self.laws.step(len(self.rows), alone=any(row.batch.jobs[0].alone for row in self.rows))
        self.in_step = True
        if rng.random() < scenario.hang / 4:
            return  # the response timeout must find it
        if rng.random() < scenario.death / 4:
            self.world.after(rng.random() * scenario.service_s, lambda: self.world.kill(self))
        else:
            self.world.after(rng.expovariate(1 / scenario.service_s), self.end_step)

    def drop_cancelled(self) -> None:
        gone = [row for row in self.rows if (row.batch.id, 0) in self.cancelled]
        self.rows = [row for row in self.rows if row not in gone]
        for row in gone:
            self.send_held(row.batch)
            self.world.landed(row.batch)
            self.world.core.done(self.id, row.batch.id, [Dropped.DROPPED], self.world.now)

    def join(self) -> None:
        rng = self.world.rng
        for batch in self.inbox:
            if (batch.id, 0) in self.cancelled:
                self.world.landed(batch)
                self.world.core.done(self.id, batch.id, [Dropped.DROPPED], self.world.now)
                continue
            self.laws.joined(batch)
            if self.laws.sequences is not None:
                self.laws.sequences.runs(self, batch.jobs)
            self.started = batch.id
            self.rows.append(Row(batch, rng.choice([0, 0, 1, 3, 8])))
        self.inbox = []

    def end_step(self) -> None:
        if not self.alive:
            return
        self.in_step = False
        if self.world.rng.random() < self.world.scenario.handler_error:
            failed, self.rows = self.rows, []
            for row in failed:
                self.send_held(row.batch)
                self.world.landed(row.batch)
                self.world.core.done(self.id, row.batch.id, [errors.HandlerRaised()], self.world.now)
        else:
            self.rows = [row for row in self.rows if self.goes_on(row)]
        self.go_on()

    def goes_on(self, row: Row) -> bool:
        world, own = self.world, row.batch.jobs[0].id.encode()
        if row.left == 0:
            self.send_held(row.batch)
            meta = handlers_end(row.batch.jobs[0], world.rng) if world.spec.sequences is not None else None
            world.landed(row.batch)
            world.core.done(self.id, row.batch.id, [Chunk(own, meta)], world.now)
            return False
        row.left -= 1
        part = Chunk(own * world.rng.randint(1, 200))
        row.credit -= len(part.data)
        self.held[row.batch.id].append([part])
        if world.rng.random() >= world.scenario.dense:
            self.send_held(row.batch)
        return True

    def send_held(self, batch: Batch) -> None:
        if batch.id in self.held:
            self.world.landed(batch)  # its sequence's next job may join
        super().send_held(batch)


class SteppingWorld(World):
    """As `World`, of a model that batches continuously."""

    worker_type = SteppingProcess
    laws_type = SteppingLaws

    def __init__(
        self, seed: int, *, scenario: Scenario | None = None, core: type[SchedulerCore] = SchedulerCore
    ) -> None:
        rng = random.Random(f"stepping {seed}")
        drawn = scenario or replace(Scenario.draw(rng), batch_size=rng.choice([1, 2, 4, 8]))
        super().__init__(seed, scenario=drawn, core=core)

    def _spec(self) -> ModelSpec:
        return replace(super()._spec(), continuous=True)

    def _for_worker(self, action: WorkerAction) -> None:
        if isinstance(action, actions.Restart):
            worker = self.workers[action.worker]
            assert isinstance(worker, SteppingProcess)
            self.laws.check(worker.in_step, "a worker that waits for its readers is restarted")
        super()._for_worker(action)

    def _is_alone(self, streaming: bool) -> bool:
        return self.rng.random() < 0.05


class SteppingSequencesWorld(SteppingWorld):
    """As `SteppingWorld`, of a model with sequences."""

    def __init__(
        self, seed: int, *, scenario: Scenario | None = None, core: type[SchedulerCore] = SchedulerCore
    ) -> None:
        rng = random.Random(f"stepping sequences {seed}")
        drawn = replace(scenario or Scenario.draw_sequences(rng), batch_size=rng.choice([1, 2, 4]))
        super().__init__(seed, scenario=drawn, core=core)
