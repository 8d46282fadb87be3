"""Sequences on workers that batch continuously: a sequence's next job may join while earlier ones run.  PURE.

It joins once the job before has been through one step, so that both see the state in their order.  A worker has twice
as many slots as its batch size says, because the jobs of one sequence may take several.
"""

from __future__ import annotations

from stoker.core.model import ModelSpec
from stoker.core.sequences import SequenceLimits
from stoker.scheduling.flight import Flight, SteppingWorker, WorkerState
from stoker.scheduling.policies.sequence import SequencePolicy


class ContinuousSequencePolicy(SequencePolicy):
    def __init__(self, spec: ModelSpec, limits: SequenceLimits) -> None:
        super().__init__(spec, limits)
        self._rows = 2 * spec.batch_size

    def new_worker(self, id: int) -> WorkerState:
        return SteppingWorker(id)

    def stepped(self, flight: Flight) -> None:
        for job in flight.jobs:
            sequence = self._held[job][1]
            sequence.begun = True
            sequence.joining -= 1
            self._joined.add(job)
            if sequence.queue:
                self._now_ready(sequence)

    def _room(self, worker: WorkerState) -> int:
        flights = worker.flights
        if flights and flights[0].jobs[0].alone:
            return 0
        return int(len(flights) < self._rows)
