"""Defines the calls of workflows, as `calls` does those of models.

TorchServe has none of them over gRPC: its server answers UNIMPLEMENTED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from stoker.client.calls import Call, Headers, Payload, Service, inputs, parsed_json, sentence
from stoker.client.results import NodeTrace, WorkflowPart, WorkflowPrediction
from stoker.protos import workflow_pb2

T = TypeVar("T")


def predict_workflow(
    workflow: str,
    payload: Payload,
    *,
    nodes: Sequence[str] = (),
    timeout: float | None = None,
    metadata: Mapping[str, str | bytes] | None = None,
) -> Call[WorkflowPrediction]:
    """Sends one request to a workflow and returns the bytes of each node wanted, whatever they are.

    `predict` with the workflow's name works too, and returns what REST returns.

    Args:
        payload: the input ``data``, or a map of inputs, for the start node.
        nodes: those whose outputs are wanted, inner ones too; none: the leaves.
        timeout: seconds until the deadline, which every node knows; None: no deadline.
        metadata: reaches the handlers as request headers.

    Raises:
        CallError: NOT_FOUND, no such workflow; INVALID_ARGUMENT, no such node; the code of the node that failed, with
            its name; UNAVAILABLE, no worker or no server; DEADLINE_EXCEEDED; PERMISSION_DENIED, a token is needed.
    """
    request = _request(workflow, payload, nodes)
    return Call(Service.WORKFLOW_INFERENCE, "Predict", request, timeout, partial(_predicted, nodes), metadata)


def stream_workflow(
    workflow: str,
    payload: Payload,
    *,
    nodes: Sequence[str] = (),
    timeout: float | None = None,
    metadata: Mapping[str, str | bytes] | None = None,
) -> Call[WorkflowPart]:
    """Yields the parts of each node wanted, as its handler sends them. Closing the iterator cancels the request.

    Args and errors: as `predict_workflow`; ``timeout`` is for the whole stream.
    """
    request = _request(workflow, payload, nodes)
    return Call(Service.WORKFLOW_INFERENCE, "StreamPredict", request, timeout, _part, metadata)


def register_workflow(
    url: str,
    *,
    workflow_name: str | None = None,
    response_timeout_s: int = 0,
    startup_timeout_s: int = 0,
    synchronous: bool = True,
    timeout: float | None = None,
) -> Call[str]:
    """Serves a workflow: all of its nodes, or none. Returns the server's sentence.

    Args:
        url: an archive in the server's workflow store, or a URL that the server may download from.
        workflow_name: name to serve it by; None: the archive's.
        response_timeout_s: seconds that a node's handler may take for a batch; 0: as the server says.
        startup_timeout_s: seconds that a node's worker may take to load; 0: as the server says.
        synchronous: return when the workers of all nodes are ready.
        timeout: seconds until the deadline of this call, download and start included; None: no deadline.

    Raises:
        CallError: NOT_FOUND, no such archive; ALREADY_EXISTS; INVALID_ARGUMENT, a bad archive, specification or graph;
            INTERNAL, a node failed to register; PERMISSION_DENIED, a token is needed or the model API is off;
            DEADLINE_EXCEEDED.
    """
    request = workflow_pb2.RegisterWorkflowRequest(
        url=url,
        workflow_name=workflow_name or "",
        response_timeout=response_timeout_s,
        startup_timeout=startup_timeout_s,
        synchronous=synchronous,
    )
    return _management("RegisterWorkflow", request, timeout, sentence)


def unregister_workflow(workflow: str, *, timeout: float | None = None) -> Call[str]:
    """Stops serving a workflow and its nodes; returns the server's sentence.

    Raises:
        CallError: NOT_FOUND; PERMISSION_DENIED; DEADLINE_EXCEEDED after ``timeout`` seconds.
    """
    request = workflow_pb2.UnregisterWorkflowRequest(workflow_name=workflow)
    return _management("UnregisterWorkflow", request, timeout, sentence)


def list_workflows(*, limit: int = 100, offset: int = 0, timeout: float | None = 10) -> Call[dict[str, Any]]:
    """Returns one page: ``workflows``, and ``nextPageToken``, the offset of the next page if there is one.

    Raises:
        CallError: DEADLINE_EXCEEDED after ``timeout`` seconds; UNAVAILABLE; PERMISSION_DENIED.
    """
    request = workflow_pb2.ListWorkflowsRequest(limit=limit, next_page_token=offset)
    return _management("ListWorkflows", request, timeout, parsed_json)


def describe_workflow(workflow: str, *, timeout: float | None = 10) -> Call[list[dict[str, Any]]]:
    """Returns settings, graph and nodes of a workflow, with each node's workers.

    Raises:
        CallError: NOT_FOUND; DEADLINE_EXCEEDED after ``timeout`` seconds; UNAVAILABLE; PERMISSION_DENIED.
    """
    request = workflow_pb2.DescribeWorkflowRequest(workflow_name=workflow)
    return _management("DescribeWorkflow", request, timeout, parsed_json)


def _management(method: str, request: Any, timeout: float | None, read: Callable[[Any, Headers], T]) -> Call[T]:
    return Call(Service.WORKFLOWS, method, request, timeout, read)


def _request(workflow: str, payload: Payload, nodes: Sequence[str]) -> Any:
    return workflow_pb2.WorkflowPredictRequest(workflow_name=workflow, input=inputs(payload), nodes=nodes)


def _predicted(nodes: Sequence[str], reply: Any, headers: Headers) -> WorkflowPrediction:
    """Puts the outputs in the order of ``nodes``, since protobuf's maps have none."""
    outputs = {node: reply.outputs[node] for node in nodes or sorted(reply.outputs) if node in reply.outputs}
    trace = {
        node: NodeTrace(one.attempts, queue_s=one.queue_us / 1e6, run_s=one.run_us / 1e6)
        for node, one in sorted(reply.trace.items())
    }
    return WorkflowPrediction(outputs, trace, headers)


def _part(reply: Any, _: Headers) -> WorkflowPart:
    return WorkflowPart(reply.node, reply.data, reply.last, error=reply.status.message)
