"""The services of workflow.proto: one registers and describes workflows, the other runs them.

A workflow also answers Predictions and StreamPredictions under its own name; the answers here keep the outputs of its
nodes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from stoker.core.buffer import Buffer
from stoker.core.job import Input, new_request_id
from stoker.core.reply import ReplyStream
from stoker.core.workflows import (
    Form,
    RegisterWorkflowRequest,
    Trace,
    WorkflowInferencePort,
    WorkflowManagementPort,
)
from stoker.errors import BadRequest, ModelApiDisabled, NodeFailed
from stoker.frontend.answers import StreamAnswer
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.metadata import request_headers
from stoker.frontend.grpc.operations import (
    MOST_LISTED,
    LongOperations,
    json_text,
    parse,
    positive,
    reply,
    unary_methods,
)
from stoker.frontend.grpc.status import StatusOf, inference_status, management_status
from stoker.protos import inference_pb2
from stoker.protos import workflow_pb2 as pb

MANAGEMENT_SERVICE = "org.pytorch.serve.grpc.workflow.WorkflowAPIsService"
INFERENCE_SERVICE = "org.pytorch.serve.grpc.workflow.WorkflowInferenceAPIsService"


def _require_name(name: str) -> str:
    if not name:
        raise BadRequest("Parameter workflow_name is required.")
    return name


def workflow_management_methods(
    workflows: WorkflowManagementPort, *, status_codes: str = "correct", enabled: bool = False
) -> Sequence[Method]:
    """Returns the methods. ``enabled``: workflows may be registered and unregistered."""
    service = _Management(workflows, enabled=enabled)
    handlers: list[Callable[[Call], None]] = [
        service.RegisterWorkflow,
        service.UnregisterWorkflow,
        service.DescribeWorkflow,
        service.ListWorkflows,
    ]
    return unary_methods(MANAGEMENT_SERVICE, handlers, management_status(status_codes))


class _Management:
    """Implements the methods under the service's names for them, from which their paths are derived."""

    def __init__(self, workflows: WorkflowManagementPort, *, enabled: bool) -> None:
        self._workflows = workflows
        self._enabled = enabled
        self._operations = LongOperations()

    def RegisterWorkflow(self, call: Call) -> None:
        request = parse(pb.RegisterWorkflowRequest, call)
        self._require_enabled()
        if not request.url:
            raise BadRequest("Parameter url is required.")
        wanted = RegisterWorkflowRequest(
            url=request.url,
            workflow_name=request.workflow_name or None,
            response_timeout_s=positive(request.response_timeout),
            startup_timeout_s=positive(request.startup_timeout),
            s3_sse_kms=request.s3_sse_kms,
            synchronous=request.synchronous if request.HasField("synchronous") else True,
        )
        self._operations.start(call, self._workflows.register_workflow(wanted))

    def UnregisterWorkflow(self, call: Call) -> None:
        request = parse(pb.UnregisterWorkflowRequest, call)
        self._require_enabled()
        self._operations.start(call, self._workflows.unregister_workflow(_require_name(request.workflow_name)))

    def DescribeWorkflow(self, call: Call) -> None:
        request = parse(pb.DescribeWorkflowRequest, call)
        name = _require_name(request.workflow_name)
        reply(call, json_text(self._workflows.describe_workflow(name, with_nodes=True)))

    def ListWorkflows(self, call: Call) -> None:
        request = parse(pb.ListWorkflowsRequest, call)
        reply(call, json_text(self._workflows.list_workflows(request.limit or MOST_LISTED, request.next_page_token)))

    def _require_enabled(self) -> None:
        if not self._enabled:
            raise ModelApiDisabled


def workflow_inference_methods(workflows: WorkflowInferencePort, *, status_codes: str = "correct") -> Sequence[Method]:
    status_of = inference_status(status_codes)
    whole, parts = _Outputs(), _Parts(status_of)

    def method(name: str, kind: Kind, handle: Callable[[Call], None]) -> Method:
        path = f"/{INFERENCE_SERVICE}/{name}"
        return Method(path=path, kind=kind, handle=handle, status_of=status_of, keeps_deadline=True)

    return [
        method("Predict", Kind.UNARY, partial(_predict, workflows, whole)),
        method("StreamPredict", Kind.STREAM, partial(_stream_predict, workflows, parts)),
    ]


def _predict(workflows: WorkflowInferencePort, form: Form, call: Call) -> None:
    call.respond_from(_submit(workflows, form, call))


def _stream_predict(workflows: WorkflowInferencePort, form: Form, call: Call) -> None:
    StreamAnswer(call, _submit(workflows, form, call))


def _submit(workflows: WorkflowInferencePort, form: Form, call: Call) -> ReplyStream:
    request = parse(pb.WorkflowPredictRequest, call)
    call.request = b""  # the inputs have its values
    call.request_id = new_request_id()
    return workflows.predict(
        _require_name(request.workflow_name),
        [Input(name, "", value) for name, value in request.input.items()],
        form=form,
        wanted=tuple(dict.fromkeys(request.nodes)),
        headers=request_headers(call.metadata) if call.metadata else None,
        deadline=call.deadline,
        request_id=call.request_id,
    )


class _Outputs:
    """Implements `core.workflows.Form`: encodes all outputs as one WorkflowPredictResponse."""

    streams = False
    traces = True

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer:
        raise AssertionError("nothing streams")

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
        return pb.WorkflowPredictResponse(
            outputs={name: bytes(output) for name, output in outputs.items()},
            trace={name: _trace(trace) for name, trace in traces.items()},
        ).SerializeToString()

    def failure(self, error: NodeFailed) -> Buffer | None:
        return None


class _Parts:
    """Implements `core.workflows.Form`: encodes each part as a WorkflowPart."""

    streams = True
    traces = False

    def __init__(self, status_of: StatusOf) -> None:
        self._status_of = status_of

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer:
        return pb.WorkflowPart(node=node, data=bytes(data), last=last).SerializeToString()

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
        raise AssertionError("everything streams")

    def failure(self, error: NodeFailed) -> Buffer | None:
        status = inference_pb2.Status(code=self._status_of(error).code, message=str(error))
        return pb.WorkflowPart(node=error.node, last=True, status=status).SerializeToString()


def _trace(trace: Trace) -> pb.NodeTrace:
    return pb.NodeTrace(
        attempts=trace.attempts, queue_us=round(trace.queued_s * 1e6), run_us=max(0, round(trace.run_s * 1e6))
    )
