"""May a new job join the queue?  PURE."""

from __future__ import annotations

from dataclasses import dataclass

from stoker import errors
from stoker.core.job import Job
from stoker.core.model import ModelSpec


@dataclass(slots=True)
class Admission:
    """``configured``: worker slots that exist. ``failure``: why none of them can live at present.
    ``closed``: set once, when the model is unregistered or the server stops.

    ``torchserve_give_up``: TorchServe queues for workers that are gone for good; by default callers are told at once.
    """

    spec: ModelSpec
    torchserve_give_up: bool = False
    configured: int = 0
    failure: errors.ServingError | None = None
    closed: errors.ServingError | None = None

    def refusal(self) -> errors.ServingError | None:
        """Why no job of this model can be served now, whatever the queue; None when it can."""
        return self.closed or self.hopeless()

    def hopeless(self) -> errors.ServingError | None:
        """Why even jobs that wait already cannot be served; None while a worker lives or may come back."""
        if self.configured == 0:
            return errors.NoWorkers(self.spec.key.name, self.spec.key.version)
        if self.failure is not None and not self.torchserve_give_up:
            return errors.WorkersUnavailable(model=self.spec.key.name, cause=self.failure.message)
        return None

    def check(self, job: Job, *, queue_full: bool, now: float) -> None:
        """Raises the reason why ``job`` is not accepted."""
        if (refusal := self.refusal()) is not None:
            raise refusal
        if job.deadline is not None and job.deadline <= now:
            raise errors.DeadlineExceeded()
        if queue_full:
            raise errors.QueueFull(self.spec.key.name, self.spec.key.version)
