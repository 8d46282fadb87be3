"""Registers, describes, runs and unregisters the workflows of a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stoker import errors
from stoker.archive.store import WorkflowStore
from stoker.config.model_snapshot import SnapshotWorkflow
from stoker.config.settings import Settings
from stoker.core.clock import Clock
from stoker.core.job import Input, new_request_id
from stoker.core.measures import WorkflowCounters
from stoker.core.model import ModelSpec
from stoker.core.ports import Health
from stoker.core.reply import ReplyStream, ResponseMeta
from stoker.core.sequences import Membership
from stoker.core.tensors import PLAIN
from stoker.core.workflows import PREFIX, Form, RegisterWorkflowRequest
from stoker.registry.describe import page
from stoker.registry.locks import KeyedLocks
from stoker.registry.registry import Registry
from stoker.registry.startup_models import StartupModel, models_to_load
from stoker.registry.tasks import KeptTasks
from stoker.tensors import jobs
from stoker.workflows import describe
from stoker.workflows.answers import STREAMED, TENSORS, WHOLE, plain_inputs
from stoker.workflows.registration import Registered, Registrar
from stoker.workflows.run import RunOptions
from stoker.workflows.workflow import Workflow

log = logging.getLogger(__name__)

_JSON = ResponseMeta(headers={"content-type": "application/json"})
"""Content type of every answer, even of bytes, as in TorchServe."""


class Workflows:
    """Implements `core.workflows.WorkflowInferencePort` and `WorkflowManagementPort`, and `registry.WorkflowsPort`.

    To stop, call `close_admission`, `drain` and `close`, in this order, each before the registry's.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        registry: Registry,
        store: WorkflowStore,
        clock: Clock,
        counters: Callable[[str], WorkflowCounters] | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._store = store
        self._registrar = Registrar(
            store=store,
            nodes=registry.nodes,
            envelope=settings.service_envelope,
            counters=counters or (lambda name: WorkflowCounters()),
            now=clock.now,
        )
        self._registered: dict[str, Registered] = {}
        self._draining: set[Workflow] = set()
        self._locks = KeyedLocks()
        self._tasks = KeptTasks()
        self._stopping = False

    # --------------------------------------------------------------------------------------- inference

    def submit(
        self,
        name: str,
        inputs: Sequence[Input],
        *,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        streaming: bool,
        alone: bool | None,
        request_id: str | None,
        tensors: bytes,
        member: Membership | None,
    ) -> ReplyStream | None:
        forced = name.startswith(PREFIX)
        registered = self._registered.get(name.removeprefix(PREFIX) if forced else name)
        if registered is None:
            if forced:
                raise errors.WorkflowNotFound(workflow=name.removeprefix(PREFIX))
            return None
        workflow = registered.workflow
        options = RunOptions(
            form=STREAMED if streaming and len(workflow.specification.graph.leaves) == 1 else WHOLE,
            request_id=request_id or new_request_id(),
            headers=headers,
            alone=alone,
            meta=_JSON,
            member=member,
        )
        if tensors:
            inputs, options = plain_inputs(inputs, jobs.decode(tensors)), options._replace(form=TENSORS, meta=None)
        return workflow.submit(inputs, options, deadline=deadline)

    def model_spec(self, name: str) -> ModelSpec | None:
        """Returns the start node's specification under the workflow's name, without the node's own tensors."""
        name = name.removeprefix(PREFIX)
        registered = self._registered.get(name)
        if registered is None:
            return None
        workflow = registered.workflow
        spec = workflow.models[workflow.specification.graph.start].entry.spec
        return replace(spec, key=spec.key._replace(name=name), tensors=PLAIN)

    def has_sequences(self, name: str) -> bool:
        registered = self._registered.get(name.removeprefix(PREFIX))
        return registered is not None and registered.workflow.has_sequences

    def predict(
        self,
        workflow: str,
        inputs: Sequence[Input],
        *,
        form: Form,
        wanted: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> ReplyStream:
        if self._stopping:
            raise errors.ServerStopping()
        options = RunOptions(form=form, request_id=request_id or new_request_id(), headers=headers)
        return self._find(workflow).workflow.submit(inputs, options, deadline=deadline, wanted=wanted)

    def _find(self, name: str) -> Registered:
        found = self._registered.get(name.removeprefix(PREFIX))
        if found is None:
            raise errors.WorkflowNotFound(workflow=name)
        return found

    # -------------------------------------------------------------------------------------- management

    async def register_workflow(self, request: RegisterWorkflowRequest) -> str:
        name = await self._tasks.run(self._register(request))
        return f"Workflow {name} has been registered and scaled successfully."

    async def _register(self, request: RegisterWorkflowRequest, *, from_operator: bool = False) -> str:
        self._check_running()
        name, unpacked, specification = await self._registrar.fetch(request, from_operator=from_operator)
        registered = None
        try:
            async with self._locks.hold(name):
                self._check_running()
                if name in self._registered:
                    raise errors.WorkflowAlreadyRegistered(workflow=name)
                registered = await self._registrar.register_nodes(name, unpacked, specification, request)
                self._registered[name] = registered
        finally:
            if registered is None:
                self._registrar.discard(unpacked)
        if not from_operator:
            self._registry.workflows_changed()
        log.info("Workflow %s registered", name, extra={"event": "workflow_registered", "workflow": name})
        return name

    async def unregister_workflow(self, workflow: str) -> str:
        self._check_running()
        self._registry.workflows_changed(forgotten=workflow)
        await self._tasks.run(self._unregister(workflow))
        return f'Workflow "{workflow}" unregistered'

    async def _unregister(self, name: str) -> None:
        async with self._locks.hold(name):
            registered = self._find(name)
            del self._registered[name]
            self._registry.workflows_changed()
            await self._tear_down(registered)
        log.info("Workflow %s unregistered", name, extra={"event": "workflow_unregistered", "workflow": name})

    async def _tear_down(self, registered: Registered) -> None:
        """Serves accepted requests for up to `drain_timeout`, then unregisters the nodes and removes the files."""
        workflow = registered.workflow
        self._draining.add(workflow)
        try:
            await workflow.drain(self._settings.drain_timeout_s)
            workflow.abandon(errors.WorkflowUnregistered(workflow=workflow.name))
            await self._registrar.unregister_nodes([model.entry for model in workflow.models.values()])
        finally:
            self._draining.discard(workflow)
            self._registrar.discard(registered.unpacked)

    def list_workflows(self, limit: int, offset: int) -> dict[str, Any]:
        entries = [
            {"workflowName": name, "workflowUrl": self._registered[name].unpacked.url}
            for name in sorted(self._registered)
        ]
        return page("workflows", entries, limit, offset)

    def describe_workflow(self, workflow: str, *, with_nodes: bool = False) -> list[dict[str, Any]]:
        found = self._find(workflow)
        return [describe.describe(found.workflow, found.unpacked.url, with_nodes=with_nodes)]

    # ------------------------------------------------------------------------------------------ health

    def health(self, name: str) -> Health:
        """Returns the health of the workflow ``name``: serving while every node is."""
        found = self._registered.get(name)
        if found is None:
            return Health.UNKNOWN
        return Health.SERVING if not self._stopping and found.workflow.ready else Health.NOT_SERVING

    # ---------------------------------------------------------------------------------- start and stop

    def saved(self) -> Sequence[SnapshotWorkflow]:
        return [registered.saved() for registered in self._registered.values()]

    async def load_at_startup(self) -> Sequence[str]:
        """Loads the workflows of the snapshot or of `load_workflows`; returns those that failed."""
        snapshot = self._settings.model_snapshot
        if snapshot is not None:
            wanted = [(f"{saved.name} ({saved.war_name})", _request_of(saved)) for saved in snapshot.workflows]
        else:
            wanted = [
                (model.text, RegisterWorkflowRequest(url=model.url, workflow_name=model.name))
                for model in await self._named()
            ]
        outcomes = await asyncio.gather(*(self._load(text, request) for text, request in wanted))
        return [text for (text, _), loaded in zip(wanted, outcomes, strict=True) if not loaded]

    async def _named(self) -> list[StartupModel]:
        try:
            return await asyncio.to_thread(models_to_load, self._settings.load_workflows, self._store.startup_names)
        except errors.StokerError as error:
            log.error("Failed to load the startup workflows: %s", error, extra={"event": "workflow_load_failed"})
            return []

    async def _load(self, text: str, request: RegisterWorkflowRequest) -> bool:
        try:
            await self._tasks.start(self._register(request, from_operator=True))
        except errors.StokerError as error:
            log.error("Failed to load workflow: %s (%s)", text, error, extra={"event": "workflow_load_failed"})
        except Exception:
            log.exception("Failed to load workflow: %s", text, extra={"event": "workflow_load_failed"})
        else:
            return True
        return False

    def _check_running(self) -> None:
        if self._stopping:
            raise errors.ServerStopping()

    def close_admission(self) -> None:
        """Refuses new requests and operations; accepted ones go on. Idempotent."""
        self._stopping = True

    async def drain(self, grace_s: float) -> None:
        await asyncio.gather(*(workflow.drain(grace_s) for workflow in self._all()))

    async def close(self) -> None:
        """Cancels operations and answers the requests that are left. The registry ends the nodes. Idempotent."""
        self.close_admission()
        await self._tasks.cancel_all()
        for workflow in self._all():
            workflow.abandon(errors.ServerStopping())

    def _all(self) -> list[Workflow]:
        return [*(registered.workflow for registered in self._registered.values()), *self._draining]


def _request_of(saved: SnapshotWorkflow) -> RegisterWorkflowRequest:
    return RegisterWorkflowRequest(
        url=saved.url or saved.war_name,
        workflow_name=saved.name,
        response_timeout_s=saved.response_timeout_s,
        startup_timeout_s=saved.startup_timeout_s,
    )
