"""Serves sequences on workers that batch continuously: the next job of a sequence may join while others run.  PURE.

It joins once the previous job has been through one step, so that they see the sequence's state in order.  A worker has
twice as many slots as its batch size, because one sequence may occupy several.
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
