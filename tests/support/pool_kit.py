"""A real pool with a real scheduler around one of the handlers in tests/handlers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psutil

from stoker.core.clock import MonotonicClock
from stoker.core.job import Input, Job, ModelKey
from stoker.core.model import ModelSpec
from stoker.core.ports import ModelTelemetry, WorkerLink
from stoker.core.remote import CPU, RayNeeds
from stoker.errors import ServingError
from stoker.pool.devices import Devices
from stoker.pool.forking import templates
from stoker.pool.ids import WorkerIds
from stoker.pool.pool import WorkerPool
from stoker.pool.remote.placement import Placement
from stoker.pool.spawning import WorkerOptions, ready_template
from stoker.pool.spawning import prepare_template as start_template
from stoker.scheduling.scheduler import Scheduler

forked = False
"""Whether also the first worker is forked from a template, whatever its handler imports."""
elsewhere: Callable[[], AbstractAsyncContextManager[Placement]] | None = None
"""Where workers run if a test says nothing else; None: here."""
SUPPORT = Path(__file__).resolve().parent
HANDLERS = Path(__file__).resolve().parents[1] / "handlers"
KEY = ModelKey("m", "1.0")


class RecordingScheduler(Scheduler):
    """The real one, which also remembers what the pool said."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, clock=MonotonicClock(), stream_window_bytes=1 << 20, stream_stall_timeout_s=30)
        self.links: list[WorkerLink] = []
        self.draining: list[int] = []
        self.lost: list[ServingError] = []
        self.pool_statuses: list[tuple[int, ServingError | None]] = []

    def worker_ready(self, worker: WorkerLink) -> None:
        self.links.append(worker)
        super().worker_ready(worker)

    def worker_draining(self, worker: WorkerLink) -> None:
        self.draining.append(worker.id)
        super().worker_draining(worker)

    def worker_lost(self, worker: WorkerLink, error: ServingError) -> None:
        self.lost.append(error)
        super().worker_lost(worker, error)

    def pool_status(self, configured: int, failure: ServingError | None) -> None:
        self.pool_statuses.append((configured, failure))
        super().pool_status(configured, failure)


class Kit:
    def __init__(self, pool: WorkerPool, scheduler: RecordingScheduler, model_dir: Path) -> None:
        self.pool, self.scheduler, self.model_dir = pool, scheduler, model_dir
        self.changes: list[asyncio.Future[None]] = []

    def submit(self, text: str) -> Job:
        job = Job(KEY, [Input("data", "", text.encode())])
        self.scheduler.submit(job)
        return job

    async def ask(self, text: str) -> str:
        return await answer(self.submit(text))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Waits for changes of the pool, not for time."""
        while not condition():
            change = asyncio.get_running_loop().create_future()
            self.changes.append(change)
            await asyncio.wait_for(change, 60)

    def changed(self) -> None:
        changes, self.changes = self.changes, []
        for change in changes:
            if not change.done():
                change.set_result(None)

    def pids(self) -> list[int]:
        return [status.pid for status in self.pool.statuses() if status.pid is not None]

    def states(self) -> list[str]:
        return [status.state for status in self.pool.statuses()]


async def answer(job: Job) -> str:
    chunk = await asyncio.wait_for(job.reply.next(), 60)
    assert chunk is not None
    return bytes(chunk.data).decode()


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path,
    handler: str = "faults",
    *,
    workers: int = 1,
    options: dict[str, Any] | None = None,
    telemetry: ModelTelemetry | None = None,
    placement: Placement | None = None,
    **spec: Any,
) -> AsyncIterator[Kit]:
    model_dir = tmp_path / "model"
    if not model_dir.exists():
        model_dir.mkdir()
        for file in HANDLERS.glob("*.py"):
            shutil.copy(file, model_dir)
    async with contextlib.AsyncExitStack() as places:
        if placement is None and elsewhere is not None:
            placement = await places.enter_async_context(elsewhere())
        if placement is not None:
            spec["ray"] = RayNeeds(((CPU, 1.0),), spread=False)
        model = ModelSpec(key=KEY, url="m.mar", model_dir=str(model_dir), handler=f"{handler}.py", **spec)
        scheduler = RecordingScheduler(model)
        with_template = forked
        worker_options = WorkerOptions(**(options or {}))
        pool = WorkerPool(
            model,
            scheduler=scheduler,
            options=worker_options,
            devices=Devices(),
            ids=WorkerIds(),
            on_change=lambda: kit.changed(),
            telemetry=telemetry,
            placement=placement,
        )
        kit = Kit(pool, scheduler, model_dir)
        try:
            if with_template:
                await prepare_template(worker_options)
            if workers:
                pool.scale(workers)
                await asyncio.wait_for(pool.wait_settled(), 60)
            yield kit
        finally:
            await pool.close(0)
            if with_template:
                await templates.release()
            scheduler.fail_all(ServingError())


async def prepare_template(options: WorkerOptions) -> None:
    """Acts as if a worker with these options had imported torch before. At the end, call ``templates.release()``."""
    templates.acquire()
    start_template(options)
    await ready_template(options)


def open_files() -> set[str]:
    """Returns what our descriptors point at, apart from the loop's own."""
    found = set()
    for number in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{number.name} {number.readlink()}")
    return found


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def is_gone(pid: int) -> bool:
    """No such process, or only its entry, which init of a container may be slow to take away."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
