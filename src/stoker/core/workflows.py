"""Defines the interfaces between the frontends and the workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.core.reply import ReplyStream
from stoker.errors import NodeFailed

PREFIX = "workflow:"
"""Prefix of a name that means the workflow even if a model has the same name. Names of models contain no colon."""


class Trace(NamedTuple):
    """Tells how one node ran in a request. ``attempts``: all of them. ``queued_s``, ``run_s``: how long the last one
    waited and ran."""

    attempts: int
    queued_s: float
    run_s: float


class Form(Protocol):
    """Formats a frontend's answer from the outputs of nodes. ``streams``: `part` formats each part as it comes;
    otherwise `whole` formats the answer. ``traces``: whether `whole` needs them; otherwise they are not measured."""

    @property
    def streams(self) -> bool: ...

    @property
    def traces(self) -> bool: ...

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer: ...

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer: ...

    def failure(self, error: NodeFailed) -> Buffer | None:
        """Formats a part that tells what failed, to send before the answer ends with the error; None: sends none."""
        ...


class WorkflowInferencePort(Protocol):
    """Serves workflows as such. `InferencePort.submit` also serves one by its name, unless a model has that name."""

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
        """Starts one request. ``wanted``: nodes whose outputs are the answer; empty: the leaves.

        Raises: WorkflowNotFound, BadRequest (no such node), ServerStopping: nothing was started.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterWorkflowRequest:
    """``None`` means 'not given'. ``synchronous``: answer once the workers of all nodes are ready."""

    url: str
    workflow_name: str | None = None
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    s3_sse_kms: bool = False
    synchronous: bool = True


class WorkflowManagementPort(Protocol):
    """Manages workflows, as `ManagementPort` manages models."""

    async def register_workflow(self, request: RegisterWorkflowRequest) -> str: ...

    async def unregister_workflow(self, workflow: str) -> str: ...

    def list_workflows(self, limit: int, offset: int) -> dict[str, Any]:
        """Returns ``{"nextPageToken"?: str, "workflows": [{"workflowName", "workflowUrl"}]}``, sorted by name."""
        ...

    def describe_workflow(self, workflow: str, *, with_nodes: bool = False) -> list[dict[str, Any]]: ...
