"""Makes all changes of the catalog: registers, scales, sets defaults, unregisters.

Operations on one model name run one after the other, those on different names at the same time.  A registration that
fails or is cancelled leaves nothing behind: no entry, no worker, no file.

Invariant: an entry is in the catalog, or in `leaving`, or gone with all that belonged to it; so `close` finds
everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stoker import errors
from stoker.config.settings import Settings
from stoker.core.job import ModelKey
from stoker.core.ports import SCALING_BEGUN, SCALING_UNFINISHED, ModelTelemetryOf, RegisterRequest, ScaleRequest
from stoker.registry import merge, names
from stoker.registry.autoscaler import Autoscaler
from stoker.registry.catalog import Catalog
from stoker.registry.entry import ModelEntry, NodeRole, PoolFactory, SchedulerFactory
from stoker.registry.locks import KeyedLocks
from stoker.registry.preparing import Prepared, Preparer
from stoker.registry.repository import FailedLoads
from stoker.registry.tasks import KeptTasks

log = logging.getLogger(__name__)


class Operations:
    """``changed`` is called whenever health may have changed, ``models_changed`` when a client has changed which models
    there are or how they are served."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog[ModelEntry],
        preparer: Preparer,
        scheduler_factory: SchedulerFactory,
        pool_factory: PoolFactory,
        changed: Callable[[], None],
        telemetry: ModelTelemetryOf,
        models_changed: Callable[[], None],
        autoscaler: Autoscaler,
    ) -> None:
        self._autoscaler = autoscaler
        self._telemetry = telemetry
        self._settings = settings
        self._catalog = catalog
        self._preparer = preparer
        self._scheduler_factory = scheduler_factory
        self._pool_factory = pool_factory
        self._changed = changed
        self._models_changed = models_changed
        self._locks = KeyedLocks()
        self._cleanups = KeptTasks()
        self.failed_loads = FailedLoads()
        self.leaving: set[ModelEntry] = set()
        self.names_with_chosen_default: set[str] = set()
        self.stopping = False

    # ---------------------------------------------------------------------------------------- register

    async def register(
        self, request: RegisterRequest, *, at_startup: bool = False, workers: tuple[int, int] | None = None
    ) -> tuple[ModelEntry, str]:
        """Returns the new entry and TorchServe's reply. ``workers``: minimum and maximum, which override all others."""
        self._check_running()
        check = self._check_free
        try:
            prepared = await self._preparer.prepare(request, at_startup=at_startup, check=check, workers=workers)
            entered = await self._enter(prepared, request.synchronous)
        except errors.ServingError as error:
            self.failed_loads.note(request.url, error.cause)
            raise
        self.failed_loads.forget(request.url)
        return entered

    async def register_node(self, request: RegisterRequest, role: NodeRole) -> ModelEntry:
        """Registers the model of a workflow's node."""
        self._check_running()
        check = partial(self._check_free, role=role)
        prepared = await self._preparer.prepare(request, at_startup=False, check=check, role=role)
        entry, _ = await self._enter(prepared, request.synchronous, role)
        return entry

    async def register_function(self, request: RegisterRequest, role: NodeRole, *, folder: Path) -> ModelEntry:
        """Registers a function in a workflow's handler file (``request.handler``). The workflow has unpacked the file
        to ``folder``, and removes it."""
        self._check_running()
        prepared = self._preparer.prepare_function(request, role, folder=folder)
        self._check_free(prepared.spec.key, role)
        entry, _ = await self._enter(prepared, request.synchronous, role)
        return entry

    async def _enter(
        self, prepared: Prepared, synchronous: bool, role: NodeRole | None = None
    ) -> tuple[ModelEntry, str]:
        entry = None
        try:
            async with self._locks.hold(prepared.spec.key.name):
                entry = self._publish(prepared, role)
                return entry, await self._start(entry, synchronous)
        except BaseException:
            if entry is None:
                self._preparer.discard(prepared.unpacked, delete_download=True)
            raise

    def _check_free(self, key: ModelKey, role: NodeRole | None = None) -> None:
        """Raises AlreadyRegistered: the version exists, or the name does and either model belongs to a workflow."""
        present = self._catalog.find(key.name, None)
        if present is not None and (role is not None or present.role is not None):
            raise errors.AlreadyRegistered(model=key.name, version=present.key.version)
        self._catalog.check_absent(key)

    def _publish(self, prepared: Prepared, role: NodeRole | None) -> ModelEntry:
        self._check_running()
        self._check_free(prepared.spec.key, role)  # again: another operation may have registered it meanwhile
        entry = self._build(prepared, role)
        self._catalog.add(entry)
        self._changed()
        return entry

    def _build(self, prepared: Prepared, role: NodeRole | None) -> ModelEntry:
        scheduler = self._scheduler_factory(prepared.spec)
        pool = self._pool_factory(prepared.spec, scheduler=scheduler, python=prepared.python, on_change=self._changed)
        return ModelEntry(
            prepared.spec,
            unpacked=prepared.unpacked,
            scheduler=scheduler,
            pool=pool,
            counters=self._telemetry(prepared.spec.key).counters,
            role=role,
        )

    async def _start(self, entry: ModelEntry, synchronous: bool) -> str:
        try:
            text = await self._start_workers(entry, synchronous)
        except BaseException as error:
            await self._withdraw(entry, error)
            raise
        entry.confirmed = True
        if not entry.spec.loaded_at_startup and entry.role is None:
            self._models_changed()
        log.info("Model %s registered: %s", entry.key, text, extra=_event("model_registered", entry))
        return text

    async def _start_workers(self, entry: ModelEntry, synchronous: bool) -> str:
        registered = f'Model "{entry.key.name}" Version: {entry.key.version} registered with'
        if entry.role is not None:
            entry.target = entry.role.workers
        entry.scale(entry.min_workers, entry.max_workers)
        if entry.spec.autoscale:
            self._autoscaler.watch(entry)
        if entry.asleep:
            return f"{registered} 0 initial workers. The first request starts one."
        if not entry.target:
            return f"{registered} 0 initial workers. Use scale workers API to add workers for the model."
        if not synchronous:
            return SCALING_BEGUN
        if await self._settle(entry, entry.key.version):
            return f"{registered} {entry.min_workers} initial workers"
        return SCALING_UNFINISHED

    async def _withdraw(self, entry: ModelEntry, error: BaseException) -> None:
        self._catalog.remove(*entry.key)
        self._changed()
        error = errors.ServerStopping() if self.stopping else errors.ModelUnregistered(model=entry.key.name)
        log.warning("Model %s could not be registered: %s", entry.key, str(error) or type(error).__name__)
        await self._tear_down(entry, grace_s=0.0, error=error)

    # ------------------------------------------------------------------------------------ scale, default

    async def scale(self, request: ScaleRequest) -> str:
        self._check_running()
        names.require(request.model)
        most = request.min_workers if request.max_workers is None else request.max_workers
        merge.check_workers(request.min_workers, most)
        self._catalog.lookup(request.model, request.version)  # an unknown model does not wait for the lock
        async with self._locks.hold(request.model):
            self._check_running()
            entry = self._catalog.lookup(request.model, request.version)
            entry.scale(request.min_workers, most)
            self._autoscaler.scaled_by_hand(entry)
            self._changed()
            if entry.role is None:
                self._models_changed()
            if not request.synchronous:
                return SCALING_BEGUN
            return _scaled(request) if await self._settle(entry, request.version or "null") else SCALING_UNFINISHED

    async def _settle(self, entry: ModelEntry, version_shown: str) -> bool:
        """Waits until each worker is ready or has failed; returns whether enough are ready. Raises
        WorkersFailedToStart."""
        await entry.pool.wait_settled()
        error = entry.start_failure()
        if error is None:
            return entry.ready_workers() >= entry.min_workers
        out_of_memory = isinstance(error, errors.WorkerOutOfMemory)
        kind = errors.WorkersOutOfMemory if out_of_memory else errors.WorkersFailedToStart
        text = f"Failed to start workers for model {entry.key.name} version: {version_shown} Cause: {error.cause}"
        raise kind(text) from error

    async def set_default(self, model: str, version: str) -> str:
        self._check_running()
        names.require(model)
        async with self._locks.hold(model):
            self._catalog.set_default(model, version)
            self.names_with_chosen_default.add(model)
            self._changed()
            self._models_changed()
        return f'Default version successfully updated for model "{model}" to "{version}"'

    # --------------------------------------------------------------------------------------- unregister

    async def unregister(self, model: str, version: str | None) -> str:
        """Refuses new requests at once, and serves accepted ones for up to `drain_timeout`. A clean-up that takes too
        long goes on after the reply."""
        self._check_running()
        if not model:
            raise errors.BadRequest("Parameter url is required.")  # TorchServe's text, although it is wrong
        async with self._locks.hold(model):
            present = self._catalog.lookup(model, version)
            if present.role is not None:
                raise errors.ModelOfWorkflow(model=model, workflow=present.role.workflow)
            entry = self._catalog.remove(model, version)
            self._models_changed()
            await self._leave(entry)
        return f'Model "{model}" unregistered'

    async def unregister_node(self, entry: ModelEntry) -> None:
        """Does as `unregister`, for the model of a workflow's node."""
        async with self._locks.hold(entry.key.name):
            if self._catalog.find(*entry.key) is entry:
                self._catalog.remove(*entry.key)
                await self._leave(entry)

    async def _leave(self, entry: ModelEntry) -> None:
        self.leaving.add(entry)
        self._changed()
        await self._clean_up(entry)

    async def _clean_up(self, entry: ModelEntry) -> None:
        grace_s = self._settings.drain_timeout_s
        error = errors.ModelUnregistered(model=entry.key.name)
        cleaning = self._cleanups.start(self._tear_down(entry, grace_s=grace_s, error=error))
        await asyncio.wait({cleaning}, timeout=grace_s + self._settings.unregister_model_timeout_s)
        if not cleaning.done():
            raise errors.UnregisterTimeout(model=entry.key.name)
        cleaning.result()
        log.info("Model %s unregistered", entry.key, extra=_event("model_unregistered", entry))

    async def _tear_down(
        self, entry: ModelEntry, *, grace_s: float, error: errors.ServingError, delete_download: bool = True
    ) -> None:
        """Ends everything that belongs to the entry: its jobs, its workers, its files."""
        self.leaving.add(entry)
        self._autoscaler.forget(entry)
        await entry.close(grace_s=grace_s, error=error)
        self._preparer.discard(entry.unpacked, delete_download=delete_download)
        self.leaving.discard(entry)

    # --------------------------------------------------------------------------------------------- stop

    def _check_running(self) -> None:
        if self.stopping:
            raise errors.ServerStopping()

    async def close(self) -> None:
        """Ends every entry that is left after operations were cancelled. Downloaded archives stay in the store."""
        await self._cleanups.cancel_all()
        entries = [*self._catalog, *self.leaving]
        await asyncio.gather(*(self._close_entry(entry) for entry in entries))

    async def _close_entry(self, entry: ModelEntry) -> None:
        delete_download = entry in self.leaving  # it was being unregistered
        try:
            await self._tear_down(entry, grace_s=0.0, error=errors.ServerStopping(), delete_download=delete_download)
        except Exception:
            log.exception("Model %s could not be cleaned up", entry.key)


def _scaled(request: ScaleRequest) -> str:
    text = f"Workers scaled to {request.min_workers} for model: {request.model}"
    return f"{text}, version: {request.version}" if request.version else text


def _event(event: str, entry: ModelEntry) -> dict[str, str]:
    return {"event": event, "model": entry.key.name, "version": entry.key.version}
