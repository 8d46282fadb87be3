"""Replaces archives, schedulers and processes in the registry's unit tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from stoker import errors
from stoker.archive.manifest import Manifest
from stoker.archive.store import Unpacked, UnpackedModel
from stoker.config.settings import Settings
from stoker.core.job import Job
from stoker.core.model import ModelSpec
from stoker.core.ports import Load, QueueStatus, WorkerStatus
from stoker.core.reply import Chunk, ResponseMeta
from stoker.pool.devices import Devices
from stoker.registry.registry import Registry


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


class FakeScheduler:
    """Answers each job at once, with ``error`` if there is one, unless ``held``; then when the test says so."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.jobs: list[Job] = []
        self.answer = b"answer"
        self.meta: ResponseMeta | None = None
        self.held = False
        self.error: errors.ServingError | None = None
        self.refusal: errors.ServingError | None = None
        self._drained = asyncio.Event()
        self.load_now = Load()
        self.wake: Callable[[], None] | None = None

    def load(self) -> Load:
        return self.load_now

    def let_sleep(self, wake: Callable[[], None] | None) -> None:
        self.wake = wake

    def submit(self, job: Job) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.jobs.append(job)
        if self.error is not None:
            job.reply.fail(self.error)
        elif not self.held:
            job.reply.push(Chunk(self.answer, self.meta), last=True)

    def answer_all(self) -> None:
        for job in self.jobs:
            job.reply.push(Chunk(self.answer), last=True)
        self._drained.set()

    def queue_status(self) -> QueueStatus:
        return QueueStatus(pending=0, remaining=self.spec.job_queue_size)

    def close_admission(self, error: errors.ServingError) -> None:
        self.refusal = error

    async def wait_drained(self, timeout_s: float) -> bool:
        if self.held and any(not job.reply.ended for job in self.jobs):
            await self._drained.wait()
        return True

    def fail_all(self, error: errors.ServingError) -> None:
        for job in self.jobs:
            job.reply.fail(error)


class FakePool:
    """Workers are ready at once, unless ``gate`` is set to an event; ``error`` makes them fail."""

    def __init__(self, spec: ModelSpec, python: str, on_change: Callable[[], None], world: World) -> None:
        self.spec = spec
        self.python = python
        self.count = 0
        self.error: errors.ServingError | None = world.worker_error
        self.gate: asyncio.Event | None = world.gate
        self.failing_since: float | None = None
        self.closed = False
        self.close_gate: asyncio.Event | None = world.close_gate
        self._on_change = on_change

    @property
    def ready(self) -> bool:
        return self.error is None and (self.gate is None or self.gate.is_set())

    def scale(self, count: int) -> None:
        self.count = count
        self._on_change()

    async def wait_settled(self) -> None:
        if self.gate is not None:
            await self.gate.wait()

    def statuses(self) -> list[WorkerStatus]:
        return [self._status(9000 + number) for number in range(self.count)]

    def _status(self, number: int) -> WorkerStatus:
        return WorkerStatus(
            id=number,
            state="READY" if self.ready else "BACKOFF",
            ready=self.ready,
            failing_since_s=self.failing_since,
            started_at=0.0,
            pid=1,
            memory_bytes=0,
            gpu_id=None,
            gpu_usage=None,
            error=self.error,
        )

    def states(self) -> dict[str, int]:
        return {"READY": self.count}

    async def close(self, grace_s: float) -> None:
        if self.close_gate is not None:
            await self.close_gate.wait()
        self.count = 0
        self.closed = True


class FakeStore:
    """Urls are ``NAME@VERSION``; all exist but those that begin with ``missing``. ``slow``: turns that one takes."""

    def __init__(self) -> None:
        self.unpacked: list[UnpackedModel] = []
        self.discarded: list[tuple[str, bool]] = []
        self.gate: asyncio.Event | None = None
        self.slow: dict[str, int] = {}
        self.extra: dict[str, Any] = {}
        self.unreadable = False
        self.asked_for_s3: list[bool] = []

    async def fetch_and_unpack(
        self, url: str, *, from_operator: bool = False, for_s3: bool = False, keep: bool = True
    ) -> UnpackedModel:
        self.asked_for_s3.append(for_s3)
        if self.gate is not None:
            await self.gate.wait()
        await turns(self.slow.get(url, 0))
        if url.startswith("missing"):
            raise errors.ArchiveNotFound(url=url)
        name, _, version = url.partition("@")
        manifest = Manifest(
            **{"model_name": name or None, "model_version": version or "1.0", "handler": "h.py", **self.extra}
        )
        unpacked = Unpacked(
            manifest=manifest, model_dir=Path("/nowhere"), root=Path("/nowhere"), url=url, file_name=url
        )
        self.unpacked.append(unpacked)
        return unpacked

    async def check_links(self, unpacked: UnpackedModel, names: Iterable[str]) -> None:
        pass

    def discard(self, unpacked: UnpackedModel, *, delete_download: bool) -> None:
        self.discarded.append((unpacked.url, delete_download))

    def startup_names(self) -> list[str]:
        if self.unreadable:
            raise errors.ModelStoreMissing("Cannot list the model store")
        return []

    @property
    def left(self) -> list[str]:
        gone = [url for url, _ in self.discarded]
        return sorted({model.url for model in self.unpacked} - set(gone))


class World:
    """A registry and everything false around it. Pools made later take ``worker_error`` and the gates."""

    def __init__(self, *, snapshots: Any = None, **settings: Any) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.schedulers: dict[str, FakeScheduler] = {}
        self.pools: dict[str, FakePool] = {}
        self.worker_error: errors.ServingError | None = None
        self.gate: asyncio.Event | None = None
        self.close_gate: asyncio.Event | None = None
        self.registry = Registry(
            settings=Settings(**settings),
            store=self.store,  # type: ignore[arg-type]
            devices=Devices(),
            clock=self.clock,
            scheduler_factory=self._scheduler,  # type: ignore[arg-type]
            pool_factory=self._pool,
            snapshots=snapshots,
        )

    def _scheduler(self, spec: ModelSpec) -> FakeScheduler:
        self.schedulers[str(spec.key)] = scheduler = FakeScheduler(spec)
        return scheduler

    def _pool(self, spec: ModelSpec, *, scheduler: object, python: str, on_change: Callable[[], None]) -> FakePool:
        self.pools[str(spec.key)] = pool = FakePool(spec, python, on_change, self)
        return pool


async def turns(count: int = 20) -> None:
    """Lets everything run that can run."""
    for _ in range(count):
        await asyncio.sleep(0)
