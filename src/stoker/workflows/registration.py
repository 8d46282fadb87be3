"""Registers a workflow: unpacks its archive, reads its specification, registers every node.  All or nothing.

Invariant: a registration that fails or is cancelled leaves no model, no worker and no file; models that were there
before stay as they were.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from stoker import errors
from stoker.archive.store import UnpackedWorkflow, WorkflowStore
from stoker.config.model_snapshot import SnapshotWorkflow
from stoker.core.measures import WorkflowCounters
from stoker.core.ports import RegisterRequest
from stoker.core.workflows import RegisterWorkflowRequest
from stoker.registry.entry import ModelEntry, NodeRole
from stoker.registry.operations import Operations
from stoker.workflows import specification
from stoker.workflows.graph import Node
from stoker.workflows.specification import Specification
from stoker.workflows.workflow import EntryModel, Workflow

log = logging.getLogger(__name__)

NODES_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A workflow, its unpacked archive, and the request that registered it."""

    workflow: Workflow
    unpacked: UnpackedWorkflow
    request: RegisterWorkflowRequest

    def saved(self) -> SnapshotWorkflow:
        return SnapshotWorkflow(
            name=self.workflow.name,
            war_name=self.unpacked.file_name,
            response_timeout_s=self.request.response_timeout_s,
            startup_timeout_s=self.request.startup_timeout_s,
            url=self.unpacked.external_path,
        )


class Registrar:
    """``nodes``: registers models. ``envelope``: the setting `service_envelope`."""

    def __init__(
        self,
        *,
        store: WorkflowStore,
        nodes: Operations,
        envelope: str | None,
        counters: Callable[[str], WorkflowCounters],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._envelope = envelope
        self._counters = counters
        self._now = now

    async def fetch(
        self, request: RegisterWorkflowRequest, *, from_operator: bool
    ) -> tuple[str, UnpackedWorkflow, Specification]:
        """Returns the workflow's name, its archive and what it specifies. Raises WorkflowError, ArchiveError,
        BadRequest, ServerStopping."""
        for what in ("response_timeout_s", "startup_timeout_s"):
            value = getattr(request, what)
            if value is not None and value < 0:
                raise errors.BadRequest(f"{what.removesuffix('_s')} cannot be less than 0.")
        unpacked = await self._store.fetch_and_unpack(
            request.url, from_operator=from_operator, for_s3=request.s3_sse_kms
        )
        try:
            manifest = unpacked.manifest
            name = manifest.name(request.workflow_name)
            found = await asyncio.to_thread(  # a hostile specification takes seconds
                specification.parse,
                manifest.specification,
                name=manifest.spec_file,
                has_handler=manifest.handler is not None,
            )
        except BaseException:
            self.discard(unpacked)
            raise
        for warning in found.warnings:
            log.warning("Workflow %s: %s", name, warning, extra={"event": "workflow_specification"})
        return name, unpacked, found

    def discard(self, unpacked: UnpackedWorkflow) -> None:
        self._store.discard(unpacked, delete_download=True)

    async def register_nodes(
        self, name: str, unpacked: UnpackedWorkflow, found: Specification, request: RegisterWorkflowRequest
    ) -> Registered:
        """Raises WorkflowNotRegistered: names every node that failed."""
        gate = asyncio.Semaphore(NODES_AT_ONCE)

        async def register(node: Node) -> ModelEntry:
            async with gate:
                return await self._register(name, node, unpacked, request)

        tasks = [asyncio.ensure_future(register(node)) for node in found.graph.nodes.values()]
        try:
            await asyncio.wait(tasks)
            failures = [text for task in tasks if (text := _failure(task)) is not None]
            if failures:
                raise errors.WorkflowNotRegistered(workflow=name, failures=f"[{', '.join(failures)}]")
        except BaseException:
            await self._roll_back(tasks)
            raise
        entries = (task.result() for task in tasks)
        models = {node: EntryModel(entry) for node, entry in zip(found.graph.nodes, entries, strict=True)}
        stateful = [node for node, model in models.items() if model.sequences is not None]
        found = replace(found, graph=found.graph.without_retries(stateful))
        workflow = Workflow(name, found, models, counters=self._counters(name), now=self._now)
        return Registered(workflow=workflow, unpacked=unpacked, request=request)

    async def _register(
        self, name: str, node: Node, unpacked: UnpackedWorkflow, request: RegisterWorkflowRequest
    ) -> ModelEntry:
        serving, manifest = node.serving, unpacked.manifest
        wanted = RegisterRequest(
            url=node.url or "",
            model_name=f"{name}__{node.name}",
            handler=f"{manifest.handler}:{node.name}" if node.is_function else None,
            batch_size=serving.batch_size,
            max_batch_delay_s=serving.max_batch_delay_s,
            initial_workers=serving.max_workers,
            response_timeout_s=request.response_timeout_s,
            startup_timeout_s=request.startup_timeout_s,
            synchronous=request.synchronous,
        )
        role = NodeRole(
            workflow=name,
            min_workers=serving.min_workers,
            workers=serving.max_workers,
            envelope=envelope_of(node, self._envelope),
        )
        try:
            if node.is_function:
                return await self._nodes.register_function(wanted, role, folder=unpacked.model_dir)
            return await self._nodes.register_node(wanted, role)
        except (errors.WorkersFailedToStart, errors.ServerStopping):
            raise
        except errors.StokerError as error:
            text = f"Workflow Node {wanted.model_name} failed to register. Details: {error.message}"
            raise errors.WorkflowError(text) from error

    async def _roll_back(self, tasks: list[asyncio.Task[ModelEntry]]) -> None:
        """Cancels registrations in progress, and unregisters the nodes registered so far."""
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        await self.unregister_nodes([entry for entry in done if isinstance(entry, ModelEntry)])

    async def unregister_nodes(self, entries: list[ModelEntry]) -> None:
        outcomes = await asyncio.gather(*map(self._nodes.unregister_node, entries), return_exceptions=True)
        for error in outcomes:
            if isinstance(error, Exception):
                log.error("A node of a workflow could not be cleaned up", exc_info=error)


def _failure(task: asyncio.Task[ModelEntry]) -> str | None:
    """Returns why a node failed to register; None: it did not. Raises any error that is not about the node, such as
    ServerStopping."""
    error = task.exception()
    if isinstance(error, (errors.WorkflowError, errors.WorkersFailedToStart)):
        return error.message
    if error is not None:
        raise error
    return None


def envelope_of(node: Node, envelope: str | None) -> str | None:
    """Returns the node's envelope: ``NAME``, ``NAME:input`` for the start, ``NAME:output`` for a leaf, or None.

    An envelope translates what clients send and get, so it belongs around the workflow, not around each node.
    """
    starts, ends = not node.predecessors, not node.successors
    if envelope is None or not (starts or ends):
        return None
    if starts and ends:
        return envelope
    return f"{envelope}:input" if starts else f"{envelope}:output"
