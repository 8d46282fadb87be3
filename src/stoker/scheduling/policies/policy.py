"""Defines the interface between the scheduler's core and a batching policy.  PURE.

A policy owns the jobs that wait and knows which workers are ready; the core owns the jobs in flight, deadlines,
streams and all answers.  The core reports events as method calls, and calls `Policy.next_batch` at the end of each
turn until no more batches may leave.

Invariants:
  * a job leaves the policy exactly once: in a batch, or by `Policy.remove` or `Policy.withdraw`;
  * a worker gets batches only after `worker_ready` and before `worker_lost`; after `worker_draining`, only jobs of
    sequences that are bound to it;
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
"""Waiting jobs that can no longer be served, each with the reason; the core removes and answers them."""


class Policy(ABC):
    """``wake_at``: when to call `next_batch` even if nothing has happened; infinity: never."""

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
        """Takes ``job`` and marks it as queued, or raises the reason and keeps nothing of it."""

    @abstractmethod
    def remove(self, job: Job) -> None:
        """Drops a waiting job, and marks it as over; the core answers it."""

    def withdraw(self, job: Job) -> None:
        """Drops a waiting job that is refused after all, as if it had never come."""
        self.remove(job)

    @abstractmethod
    def jobs(self) -> Iterator[Job]:
        """Yields the jobs that wait."""

    @abstractmethod
    def next_batch(self, now: float) -> tuple[WorkerState, list[Job]] | None:
        """Takes the next batch that may leave now, with the worker for it; None: none before ``wake_at``."""

    # ---------------------------------------------------------------------------------------- workers

    def new_worker(self, id: int) -> WorkerState:
        """Makes the state of a worker, whose class says in which order it runs its batches."""
        return WorkerState(id)

    @abstractmethod
    def worker_ready(self, worker: WorkerState) -> None: ...

    @abstractmethod
    def worker_draining(self, worker: WorkerState) -> None:
        """Records that the worker takes no new jobs; it finishes what it holds."""

    def stepped(self, flight: Flight) -> None:  # noqa: B027 - most policies do not need it
        """Records the first part of a batch, which shows that the handler has seen its jobs."""

    def holds(self, worker: WorkerState) -> bool:
        """Tells whether the worker is needed beyond its batches, and so must not stop yet."""
        return False

    @abstractmethod
    def batch_done(self, worker: WorkerState, flight: Flight, outcomes: Sequence[Outcome], now: float) -> Unserved:
        """Records the end of a batch, which is no longer among the worker's flights."""

    @abstractmethod
    def worker_lost(
        self, worker: WorkerState, begun: Sequence[Flight], back: Sequence[Job], error: ServingError
    ) -> Unserved:
        """Records that the worker died. ``begun``: batches that it had begun, which the core fails with ``error``.
        ``back``: unanswered jobs that it had not begun, which other workers may take."""
