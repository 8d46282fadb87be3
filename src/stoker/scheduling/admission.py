"""Decides whether a model can serve a new job at all.  PURE."""

from __future__ import annotations

from stoker import errors
from stoker.core.job import Job
from stoker.core.model import ModelSpec


class Admission:
    """``configured``: worker slots that exist. ``failure``: why none of them can have a worker at present.
    ``closed``: set once, when the model is unregistered or the server stops. ``may_sleep``: a job for a model without
    workers is accepted; it waits, and wakes the model.

    ``torchserve_give_up``: jobs wait even for workers that never come back, as in TorchServe; by default they fail at
    once.
    """

    __slots__ = ("_closed", "_configured", "_failure", "_may_sleep", "_spec", "_torchserve_give_up", "open")

    def __init__(self, spec: ModelSpec, torchserve_give_up: bool = False) -> None:
        self._spec = spec
        self._torchserve_give_up = torchserve_give_up
        self._configured = 0
        self._failure: errors.ServingError | None = None
        self._closed: errors.ServingError | None = None
        self._may_sleep = False
        self.open = False  # whether jobs can skip `check`, unless they have a deadline; read for every job

    def close(self, error: errors.ServingError) -> None:
        self._closed = error
        self.open = False

    def pool_status(self, configured: int, failure: errors.ServingError | None) -> None:
        self._configured, self._failure = configured, failure
        self._update_open()

    def may_sleep(self, may: bool) -> None:
        self._may_sleep = may
        self._update_open()

    def _update_open(self) -> None:
        self.open = not self.asleep and self.refusal() is None

    @property
    def asleep(self) -> bool:
        return self._may_sleep and self._configured == 0

    def refusal(self, named_version: str | None = None) -> errors.ServingError | None:
        """Returns why this model accepts no jobs now, room in the queue aside; None when it does."""
        return self._closed or self._workers_error(named_version)

    def workers_error(self) -> errors.ServingError | None:
        """Returns the error for jobs that already wait; None while a worker runs or may come back."""
        return self._workers_error(self._spec.key.version)

    def _workers_error(self, named_version: str | None) -> errors.ServingError | None:
        if self._configured == 0:
            return None if self._may_sleep else errors.NoWorkers(self._spec.key.name, named_version)
        if self._failure is not None and not self._torchserve_give_up:
            return errors.WorkersUnavailable(model=self._spec.key.name, cause=self._failure.cause)
        return None

    def check(self, job: Job, now: float) -> None:
        """Raises the error with which ``job`` is refused, room in the queue aside."""
        if not self.open and (refusal := self.refusal(job.named_version)) is not None:
            raise refusal
        if job.deadline is not None and job.deadline <= now:
            raise errors.DeadlineExceeded()
