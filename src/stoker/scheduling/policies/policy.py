"""The interface between the scheduler's core and a batching policy.  PURE.

A policy owns the jobs that wait and knows which workers are ready; the core owns the jobs in flight, deadlines,
streams and all answers.  The core reports what happens as method calls, and asks `Policy.next_batch` at the end of
each turn until nothing more may leave.

What every policy keeps:
  * a job that it was given leaves it once: in a batch, or by `Policy.remove`;
  * a worker gets batches only between `worker_ready` and `worker_draining` or `worker_lost`;
  * a worker that may take a job gets one in the same turn, or at ``wake_at``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from math import inf

from stoker.core.job import Job
from stoker.core.ports import Outcome
from stoker.errors import ServingError
from stoker.scheduling.flight import Flight, WorkerState

Unserved = Iterable[tuple[Job, ServingError]]
"""Jobs that wait and can no longer be served, each with the reason; the core removes and answers them."""


class Policy(ABC):
    """``wake_at``: when `next_batch` has something to do although nothing happened; infinity: never."""

    wake_at = inf

    # ------------------------------------------------------------------------------------------- jobs

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Returns how many jobs wait."""

    @property
    @abstractmethod
    def remaining(self) -> int:
        """Returns how many more may wait."""

    @abstractmethod
    def put(self, job: Job, now: float) -> None:
        """Takes ``job`` and marks it as queued, or raises why not and keeps nothing of it."""

    @abstractmethod
    def remove(self, job: Job) -> None:
        """Drops a waiting job, which the core answers, and marks it as over."""

    def withdraw(self, job: Job) -> None:
        """Drops a waiting job as if it had never come: it is refused."""
        self.remove(job)

    @abstractmethod
    def jobs(self) -> Iterator[Job]:
        """Yields the jobs that wait."""

    @abstractmethod
    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        """Takes the next batch that may leave, with the worker for it; None: nothing leaves before ``wake_at``."""

    # ---------------------------------------------------------------------------------------- workers

    def new_worker(self, id: int) -> WorkerState:
        """Makes the state of a worker: how it runs the batches that it holds."""
        return WorkerState(id)

    @abstractmethod
    def worker_ready(self, worker: WorkerState) -> None: ...

    @abstractmethod
    def worker_draining(self, worker: WorkerState) -> None:
        """Notes that the worker takes nothing new; what it holds it finishes."""

    def stepped(self, flight: Flight) -> None:  # noqa: B027 - most policies need not know
        """Notes the first part of a batch: whatever ran before it has seen its jobs."""

    def holds(self, worker: WorkerState) -> bool:
        """Tells whether the worker is needed for more than its batches, so that it cannot stop yet."""
        return False

    @abstractmethod
    def batch_done(self, worker: WorkerState, flight: Flight, outcomes: Sequence[Outcome], now: float) -> Unserved:
        """Notes the end of a batch; it has left the worker's flights already."""

    @abstractmethod
    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        """Notes a death. ``begun``: what it had begun, which the core answers with ``error``. ``back``: unanswered
        jobs that it had not begun, for other workers."""
