"""Holds what belongs to one registered model version: its spec, scheduler, workers and unpacked archive.

Scheduler and pool are protocols here, so that tests can replace them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from stoker import errors
from stoker.archive.store import UnpackedModel
from stoker.core.job import Job, ModelKey
from stoker.core.measures import ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.ports import Load, QueueStatus, SchedulerPort, WorkerStatus
from stoker.scheduling.autoscaling import Autoscaling


class ModelScheduler(SchedulerPort, Protocol):
    """The registry's view of `scheduling.scheduler.Scheduler`."""

    def submit(self, job: Job) -> None: ...

    def queue_status(self) -> QueueStatus: ...

    def load(self) -> Load: ...

    def let_sleep(self, wake: Callable[[], None] | None) -> None: ...

    def close_admission(self, error: errors.ServingError) -> None: ...

    async def wait_drained(self, timeout_s: float) -> bool: ...

    def fail_all(self, error: errors.ServingError) -> None: ...


class ModelWorkers(Protocol):
    """The registry's view of `pool.pool.WorkerPool`."""

    def scale(self, count: int) -> None: ...

    async def wait_settled(self) -> None: ...

    def statuses(self) -> list[WorkerStatus]: ...

    def states(self) -> Mapping[str, int]: ...

    async def close(self, grace_s: float) -> None: ...


SchedulerFactory = Callable[[ModelSpec], ModelScheduler]


class PoolFactory(Protocol):
    def __call__(
        self, spec: ModelSpec, *, scheduler: SchedulerPort, python: str, on_change: Callable[[], None]
    ) -> ModelWorkers: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRole:
    """The role of a model that is a node of a workflow. ``workers``: how many start; ``min_workers``: how many must be
    ready. ``envelope``: replaces the setting `service_envelope`."""

    workflow: str
    min_workers: int
    workers: int
    envelope: str | None = None

    def applied_to(self, spec: ModelSpec) -> ModelSpec:
        return replace(spec, envelope=self.envelope)


@dataclass(slots=True)
class Scaling:
    """State of a model's autoscaling. ``reason``: for the current number of workers; ``changed_at``: since when, in
    seconds since 1970. ``changes``: how often the model was scaled up, scaled down, put to sleep and woken."""

    policy: Autoscaling
    reason: str = "as registered"
    changed_at: float = 0.0
    changes: Counter[str] = field(default_factory=lambda: Counter(up=0, down=0, sleep=0, wake=0))


class ModelEntry:
    """``unpacked``: None: a function of a workflow. ``role``: None: not a node of a workflow. ``min_workers``,
    ``max_workers``: as last scaled; ``target``: how many should run. ``counters``: count its requests; None: nothing
    does. ``confirmed``: its registration has succeeded. ``scaling``: None: only operators change its number of
    workers."""

    __slots__ = (
        "confirmed",
        "counters",
        "key",
        "max_workers",
        "min_workers",
        "pool",
        "role",
        "scaling",
        "scheduler",
        "spec",
        "target",
        "unpacked",
    )

    def __init__(
        self,
        spec: ModelSpec,
        *,
        unpacked: UnpackedModel | None,
        scheduler: ModelScheduler,
        pool: ModelWorkers,
        counters: ModelCounters | None = None,
        role: NodeRole | None = None,
    ) -> None:
        self.role = role
        self.counters = counters
        self.key: ModelKey = spec.key
        self.spec = spec
        self.unpacked = unpacked
        self.scheduler = scheduler
        self.pool = pool
        self.min_workers = spec.min_workers
        self.max_workers = spec.max_workers
        self.target = 0
        self.confirmed = False
        self.scaling: Scaling | None = None

    def scale(self, min_workers: int, max_workers: int) -> None:
        """Scales up to the minimum or down to the maximum; a number in between stays."""
        self.min_workers, self.max_workers = min_workers, max_workers
        self.resize(min(max(self.target, min_workers), max_workers))

    def resize(self, workers: int) -> None:
        self.target = workers
        self.pool.scale(workers)

    @property
    def asleep(self) -> bool:
        """Tells whether it has no workers until the next request starts some."""
        return self.may_sleep and self.target == 0

    @property
    def may_sleep(self) -> bool:
        """Tells whether a request can start its workers. With job tickets none can, because no request may wait."""
        return self.scaling is not None and self.max_workers > 0 and not self.spec.job_tickets

    @property
    def workers_due(self) -> int:
        """Returns how many workers must be ready for the model to count as healthy."""
        return 0 if self.asleep else self.min_workers

    def ready_workers(self) -> int:
        return sum(status.ready for status in self.pool.statuses())

    def start_failure(self) -> errors.ServingError | None:
        """Returns why a worker that should run does not; None: none has failed. Call it only on a settled pool."""
        return next((status.error for status in self.pool.statuses() if not status.ready and status.error), None)

    async def close(self, *, grace_s: float, error: errors.ServingError) -> None:
        """Lets accepted jobs end within ``grace_s``, fails the rest with ``error``, and stops the workers."""
        self.scheduler.close_admission(error)
        if grace_s > 0:
            await self.scheduler.wait_drained(grace_s)
        self.scheduler.fail_all(error)
        await self.pool.close(0.0)
