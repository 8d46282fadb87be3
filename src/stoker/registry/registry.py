"""Presents the models, the operations on them, and health to the frontends.

`submit` is on the hot path: one lookup, one job, no waiting.  Operations run as tasks of their own, so that a client
that leaves does not stop one halfway.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from stoker import errors
from stoker.archive.store import ModelStore
from stoker.config.model_snapshot import SnapshotModel
from stoker.config.settings import Settings
from stoker.core.clock import Clock
from stoker.core.job import Input, Job, ModelKey, new_request_id
from stoker.core.measures import ModelCounters, Unmeasured
from stoker.core.model import ModelSpec
from stoker.core.ports import (
    Description,
    Health,
    ModelFigures,
    ModelTelemetry,
    ModelTelemetryOf,
    Readiness,
    RegisterRequest,
    RepositoryEntry,
    ScaleRequest,
)
from stoker.core.reply import ReplyStream, ResponseMeta
from stoker.core.sequences import Membership, SequenceLimits, in_sequence, membership, new_sequence_id
from stoker.core.workflows import PREFIX
from stoker.pool.devices import Devices
from stoker.pool.remote.placement import Placement
from stoker.pool.spawning import usable_cores
from stoker.registry import describe, factories, loading, names, repository
from stoker.registry.autoscaler import Autoscaler
from stoker.registry.catalog import Catalog
from stoker.registry.entry import ModelEntry, PoolFactory, SchedulerFactory
from stoker.registry.health import HealthView
from stoker.registry.merge import Machine
from stoker.registry.operations import Operations
from stoker.registry.preparing import Preparer
from stoker.registry.startup_models import StartupModel, models_to_load, models_to_resume, saved_model
from stoker.registry.tasks import KeptTasks, T
from stoker.registry.workflows_port import WorkflowsPort
from stoker.snapshots.keeper import SnapshotKeeper, Writer

log = logging.getLogger(__name__)

_DESCRIBE = {"describe": "True"}


class Registry:
    """Implements `core.ports.InferencePort`, `TensorPort`, `ManagementPort`, `HealthPort` and `ReadinessPort`.

    The caller closes the store. ``snapshots``: writes a snapshot whenever models change. ``placement``: starts workers
    on other machines.

    To stop, call `close_admission`, `drain` and `close`, in this order.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: ModelStore,
        devices: Devices,
        clock: Clock,
        scheduler_factory: SchedulerFactory | None = None,
        pool_factory: PoolFactory | None = None,
        telemetry: ModelTelemetryOf | None = None,
        snapshots: Writer | None = None,
        placement: Placement | None = None,
    ) -> None:
        telemetry = telemetry or _unmeasured
        self._settings = settings
        self._store = store
        self._now = clock.now
        self._catalog: Catalog[ModelEntry] = Catalog()
        self._health = HealthView(self._catalog, clock=clock)
        self._tasks = KeptTasks()
        self._operations = Operations(
            settings=settings,
            catalog=self._catalog,
            preparer=Preparer(settings=settings, store=store, machine=Machine(devices.count, usable_cores())),
            scheduler_factory=scheduler_factory or factories.scheduler_factory(settings, clock, telemetry),
            pool_factory=pool_factory or factories.pool_factory(settings, devices, clock, telemetry, placement),
            changed=self._health.changed,
            telemetry=telemetry,
            models_changed=self._models_changed,
            autoscaler=Autoscaler(clock, changed=self._health.changed, low_memory_percent=settings.memory_low_percent),
        )
        self._snapshots = SnapshotKeeper(
            writer=snapshots,
            served=self._saved_models,
            is_registered=lambda key: self._catalog.find(*key) is not None,
            chosen_defaults=self._operations.names_with_chosen_default,
            workflows=lambda: () if self._workflows is None else self._workflows.saved(),
            resumed=settings.model_snapshot,
        )
        self._workflows: WorkflowsPort | None = None

    @property
    def nodes(self) -> Operations:
        """Registers and unregisters the models of workflows' nodes."""
        return self._operations

    def attach(self, workflows: WorkflowsPort) -> None:
        """Has ``workflows`` serve names that no model has; loads and saves them with the models."""
        self._workflows = workflows

    def workflows_changed(self, forgotten: str | None = None) -> None:
        """Records that a client has changed which workflows there are. ``forgotten``: one that was unregistered."""
        if forgotten is not None:
            self._snapshots.forget_workflow(forgotten)
        self._health.changed()
        self._snapshots.changed()

    def _models_changed(self) -> None:
        self._snapshots.changed()

    def _saved_models(self) -> list[SnapshotModel]:
        handler = self._settings.default_service_handler
        return [
            saved_model(entry, default=self._catalog.is_default(entry), default_handler=handler)
            for entry in self._catalog
            if entry.confirmed and entry.role is None
        ]

    # ---------------------------------------------------------------------------------------- inference

    def submit(
        self,
        model: str,
        version: str | None,
        inputs: Sequence[Input],
        *,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        streaming: bool = False,
        alone: bool | None = None,
        request_id: str | None = None,
        tensors: bytes = b"",
        member: Membership | None = None,
    ) -> ReplyStream:
        entry = self._catalog.find(model, version) if version else self._catalog.default_of(model)
        if entry is None:
            return self._submit_to_workflow(
                model,
                version,
                inputs,
                headers=headers,
                deadline=deadline,
                streaming=streaming,
                alone=alone,
                request_id=request_id,
                tensors=tensors,
                member=member,
            )
        spec = entry.spec
        if spec.client_timeout_s:
            timeout = self._now() + spec.client_timeout_s
            deadline = timeout if deadline is None else min(deadline, timeout)
        if alone is None:
            alone = streaming and spec.streams_alone
        counters, totals = entry.counters, None
        if counters is not None:
            totals = counters.by_version if version else counters.by_default
            totals.requests += 1
        job = Job(
            entry.key,
            inputs,
            headers=headers if headers is not None else {},
            deadline=deadline,
            streaming=streaming,
            alone=alone,
            id=request_id or new_request_id(),
            totals=totals,
            named_version=version,
            tensors=tensors,
        )
        if spec.sequences is not None:
            job = self._in_sequence(job, spec.sequences, member)
        try:
            entry.scheduler.submit(job)
        except errors.ServingError:
            if counters is not None:
                counters.refused += 1
            raise
        return job.reply

    def _submit_to_workflow(self, model: str, version: str | None, inputs: Sequence[Input], **how: Any) -> ReplyStream:
        reply = None
        if self._workflows is not None and not version and not self._operations.stopping:
            reply = self._workflows.submit(model, inputs, **how)
        if reply is None:
            raise self._not_found(model, version)
        return reply

    def _in_sequence(self, job: Job, limits: SequenceLimits, member: Membership | None) -> Job:
        """Makes the job a request of the sequence that it names, or of a new one."""
        member = member or membership(limits.names, job.inputs, job.headers)
        return in_sequence(job, limits, member, new_sequence_id())

    def _not_found(self, model: str, version: str | None) -> errors.ServingError:
        if self._operations.stopping:
            return errors.ServerStopping()
        try:
            self._entry(model, version)
        except errors.ServingError as error:
            return error
        raise AssertionError("it was not there a moment ago")

    def has_sequences(self, model: str, version: str | None) -> bool:
        entry = self._catalog.find(model, version)
        if entry is None:
            return self._workflows is not None and self._workflows.has_sequences(model)
        return entry.spec.sequences is not None

    def healthy(self) -> bool:
        return self._health.healthy()

    def only_startup_model(self) -> str | None:
        names = {entry.key.name for entry in self._catalog if entry.spec.loaded_at_startup}
        return names.pop() if len(names) == 1 else None

    def model_spec(self, model: str, version: str | None) -> ModelSpec:
        entry = self._catalog.find(model, version)
        if entry is not None:
            return entry.spec
        spec = None if self._workflows is None or version else self._workflows.model_spec(model)
        if spec is None:
            raise self._not_found(model, version)
        return spec

    def versions(self, model: str) -> list[str]:
        names.require(model)
        return [entry.key.version for entry in self._catalog.versions(model)]

    def version_ready(self, model: str, version: str | None) -> bool:
        return self._health.ready(self._entry(model, version))

    def takes_more_rows(self, model: str, version: str | None) -> bool:
        return self._entry(model, version).scheduler.queue_status().remaining > 1

    def counters(self, model: str, version: str | None) -> list[tuple[ModelKey, ModelCounters | None]]:
        if version:
            entries = [self._entry(model, version)]
        else:
            entries = self._catalog.versions(model) if model else list(self._catalog)
        return [(entry.key, entry.counters) for entry in entries]

    async def repository(self) -> list[RepositoryEntry]:
        archives, failed = await self.archives(), self._operations.failed_loads
        return repository.index(self._catalog, archives, ready=self._health.ready, failed=failed)

    async def archives(self) -> list[str]:
        try:
            return await asyncio.to_thread(self._store.startup_names)
        except errors.ModelStoreMissing:
            return []

    # --------------------------------------------------------------------------------------- management

    async def register(self, request: RegisterRequest) -> str:
        _, text = await self._keep(self._operations.register(request))
        return text

    async def scale(self, request: ScaleRequest) -> str:
        return await self._keep(self._operations.scale(request))

    async def set_default(self, model: str, version: str) -> str:
        return await self._keep(self._operations.set_default(model, version))

    async def unregister(self, model: str, version: str | None) -> str:
        self._snapshots.forget(model, version)
        return await self._keep(self._operations.unregister(model, version))

    def list_models(self, limit: int, offset: int) -> dict[str, Any]:
        return describe.list_models(self._catalog.defaults(), limit, offset)

    def describe(self, model: str, version: str | None) -> list[dict[str, Any]]:
        names.require(model)
        if version == "all":
            return [describe.describe(entry) for entry in self._catalog.versions(model)]
        return [describe.describe(self._entry(model, version))]

    async def describe_customized(
        self, model: str, version: str | None, *, headers: Mapping[str, str] | None = None
    ) -> Description:
        if version == "all":
            return Description(self.describe(model, version))
        entry = self._entry(model, version)
        answer, meta = await self._ask_handler(entry, {**(headers or {}), **_DESCRIBE})
        metadata = describe.customized_metadata(answer)
        described = describe.describe(entry)
        if metadata is not None:
            described["customizedMetadata"] = metadata
        return Description([described], meta)

    async def _ask_handler(self, entry: ModelEntry, headers: Mapping[str, str]) -> tuple[bytes, ResponseMeta | None]:
        if entry.target == 0 and not entry.asleep:
            raise errors.NoWorkersToDescribe(entry.key.name)
        job = Job(entry.key, (), headers=headers, alone=True)
        entry.scheduler.submit(job)
        parts_read, meta = [], None
        try:
            while (chunk := await job.reply.next()) is not None:
                parts_read.append(chunk.data)
                meta = chunk.meta if meta is None else meta
        except asyncio.CancelledError:
            job.reply.cancel()
            raise
        return b"".join(parts_read), meta

    def _entry(self, model: str, version: str | None) -> ModelEntry:
        names.require(model)
        return self._catalog.lookup(model, version)

    async def _keep(self, operation: Coroutine[Any, Any, T]) -> T:
        return await self._tasks.run(operation)

    def figures(self) -> list[ModelFigures]:
        """Samples every model version, for metrics."""
        return [
            ModelFigures(
                key=entry.key,
                waiting=entry.scheduler.queue_status().pending,
                workers=entry.pool.states(),
                nodes=_workers_by_node(entry) if entry.spec.ray is not None else {},
                wanted=None if entry.scaling is None else entry.target,
                changes=None if entry.scaling is None else entry.scaling.changes,
            )
            for entry in self._catalog
        ]

    # ------------------------------------------------------------------------------------------- health

    def health(self, name: str) -> Health:
        if self._workflows is not None and name.startswith(PREFIX):
            return self._workflows.health(name.removeprefix(PREFIX))
        return self._health.health(name)

    def readiness(self) -> Readiness:
        return self._health.readiness()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._health.on_change(listener)

    # ------------------------------------------------------------------------------------ start and stop

    async def load_at_startup(self) -> None:
        """Loads the models of the snapshot or of `load_models`, then the workflows. Returns once each is registered or
        has failed, and a snapshot of that is written; models' workers may still be starting then."""
        loaded, failed = await self._load_models()
        if self._workflows is not None:
            failed = [*failed, *await self._workflows.load_at_startup()]
        self._health.failed = failed
        await self._snapshots.started(loaded=loaded, all_loaded=not failed)

    async def _load_models(self) -> tuple[list[SnapshotModel], list[str]]:
        """Returns the models that were resumed, and those that failed, as the operator named them."""
        try:
            wanted = await self._startup_models()
        except errors.StokerError as error:
            log.error("Failed to load the startup models: %s", error, extra={"event": "model_load_failed"})
            return [], list(self._settings.load_models)
        failed = await loading.load_all(wanted, operations=self._operations, catalog=self._catalog, tasks=self._tasks)
        loaded = [model.saved for model in wanted if model not in failed and model.saved is not None]
        return loaded, [loading.shown(model) for model in failed]

    async def _startup_models(self) -> list[StartupModel]:
        """Returns the models to load. Raises ModelStoreMissing: all are to be loaded, and the store cannot be read."""
        if self._settings.model_snapshot is not None:
            return models_to_resume(self._settings.model_snapshot)
        return await asyncio.to_thread(models_to_load, self._settings.load_models, self._store.startup_names)

    def close_admission(self) -> None:
        """Refuses new requests and operations. Accepted ones go on: workflows can still use their nodes. Idempotent."""
        self._operations.stopping = self._health.stopping = True
        for entry in self._catalog:
            if entry.role is None:
                entry.scheduler.close_admission(errors.ServerStopping())
        self._health.changed()

    async def drain(self, grace_s: float) -> None:
        """Waits until every accepted job is answered, but at most ``grace_s``."""
        entries = [*self._catalog, *self._operations.leaving]
        await asyncio.gather(*(entry.scheduler.wait_drained(grace_s) for entry in entries))

    async def close(self) -> None:
        """Cancels operations, fails the jobs that are left, stops all workers, and removes unpacked archives.
        Idempotent."""
        self.close_admission()
        await self._snapshots.close()
        await self._tasks.cancel_all()
        await self._operations.close()

    async def __aenter__(self) -> Registry:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _workers_by_node(entry: ModelEntry) -> Mapping[str, int]:
    return Counter(status.node for status in entry.pool.statuses() if status.ready and status.node)


def _unmeasured(key: ModelKey) -> ModelTelemetry:
    return Unmeasured()
