"""Interfaces of workflows: between the frontends and whoever serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.core.reply import ReplyStream
from stoker.errors import NodeFailed

PREFIX = "workflow:"
"""Before a name, means the workflow even where a model has the same name: no model's name has a colon."""


class Trace(NamedTuple):
    """Attempts of a node in all, and the seconds that the last one waited and ran."""

    attempts: int
    queued_s: float
    run_s: float


class Form(Protocol):
    """Makes a frontend's answer of the outputs of nodes. ``streams``: `part` makes each part as it comes; else `whole`
    makes the only one. ``traces``: whether `whole` wants them; they are not measured for nothing."""

    @property
    def streams(self) -> bool: ...

    @property
    def traces(self) -> bool: ...

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer: ...

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer: ...

    def failure(self, error: NodeFailed) -> Buffer | None:
        """Makes a part that says what failed, before the answer ends with the error; None: no such part."""
        ...


class WorkflowInferencePort(Protocol):
    """Besides this, a workflow answers `InferencePort.submit` by its name, unless a model has it."""

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
        """Starts one request. ``wanted``: nodes whose outputs are the answer; the leaves if none are named.

        Raises: WorkflowNotFound, BadRequest (no such node), ServerStopping: at once; nothing was started then.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterWorkflowRequest:
    """``None`` means 'not given'. ``synchronous``: answer when the workers of all nodes are ready."""

    url: str
    workflow_name: str | None = None
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    s3_sse_kms: bool = False
    synchronous: bool = True


class WorkflowManagementPort(Protocol):
    """As `ManagementPort`, for workflows."""

    async def register_workflow(self, request: RegisterWorkflowRequest) -> str: ...

    async def unregister_workflow(self, workflow: str) -> str: ...

    def list_workflows(self, limit: int, offset: int) -> dict[str, Any]:
        """Returns ``{"nextPageToken"?: str, "workflows": [{"workflowName", "workflowUrl"}]}``, sorted by name."""
        ...

    def describe_workflow(self, workflow: str, *, with_nodes: bool = False) -> list[dict[str, Any]]: ...
