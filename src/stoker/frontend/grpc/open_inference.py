"""The open inference service, under the package name of its clients and under TorchServe's.

Health needs no token, as that of gRPC does not; see `health_methods`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from stoker.core.job import new_request_id
from stoker.core.ports import ReadinessPort, TensorPort
from stoker.core.tensors import TensorSpec
from stoker.errors import BadRequest, MalformedMessage
from stoker.frontend.grpc import infer_messages
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.metadata import request_headers
from stoker.frontend.grpc.status import INFERENCE, MODELS, StatusTable
from stoker.frontend.open_inference import controls, described
from stoker.frontend.open_inference.request import InferAnswer
from stoker.frontend.open_inference.service import OpenInference
from stoker.protos import grpc_predict_v2_pb2 as pb

STANDARD = "inference.GRPCInferenceService"
TORCHSERVE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"
SERVICES = (STANDARD, TORCHSERVE)

_Request = TypeVar("_Request", bound=Message)


def health_methods(readiness: ReadinessPort) -> Sequence[Method]:
    """Returns ServerLive and ServerReady, which answer while the server drains."""

    def live(call: Call) -> None:
        call.reply(pb.ServerLiveResponse(live=True).SerializeToString())

    def ready(call: Call) -> None:
        call.reply(pb.ServerReadyResponse(ready=readiness.readiness().ready).SerializeToString())

    return [
        Method(
            path=f"/{service}/{name}",
            kind=Kind.UNARY,
            handle=handle,
            status_of=StatusTable(INFERENCE, torchserve=False),
            while_draining=True,
        )
        for service in SERVICES
        for name, handle in (("ServerLive", live), ("ServerReady", ready))
    ]


def open_inference_methods(
    inference: OpenInference, models: TensorPort, *, status_codes: str = "correct"
) -> Sequence[Method]:
    methods = []
    for service in SERVICES:
        one = _Service(inference, models, typed=service == TORCHSERVE)
        status = partial(StatusTable, torchserve=status_codes == "torchserve", second_line=service == TORCHSERVE)
        method = partial(_method, service)
        methods += [
            method(one.ModelInfer, status(INFERENCE), keeps_deadline=True),
            method(one.ServerMetadata, status(MODELS)),
            method(one.ModelReady, status(MODELS)),
            method(one.ModelMetadata, status(MODELS)),
        ]
    return methods


def _method(
    service: str, handle: Callable[[Call], None], status_of: StatusTable, *, keeps_deadline: bool = False
) -> Method:
    return Method(
        path=f"/{service}/{handle.__name__}",
        kind=Kind.UNARY,
        handle=handle,
        status_of=status_of,
        keeps_deadline=keeps_deadline,
    )


class _Service:
    """Methods with the service's names, from which their paths are derived. ``typed``: answers to requests without
    inputs have typed contents."""

    def __init__(self, inference: OpenInference, models: TensorPort, *, typed: bool) -> None:
        self._inference = inference
        self._models = models
        self._typed = typed

    def ModelInfer(self, call: Call) -> None:
        request, raw = infer_messages.read(call.request)
        call.request = b""
        call.request_id = new_request_id()
        running = self._inference.start(
            request,
            _Unary(call, raw=not self._typed if raw is None else raw),
            headers=request_headers(call.metadata) if call.metadata else None,
            deadline=controls.deadline(call.deadline, request.parameters, time.monotonic()),
            request_id=call.request_id,
        )
        if running is not None:
            call.on_cancel = running.cancel

    def ServerMetadata(self, call: Call) -> None:
        answer = pb.ServerMetadataResponse(
            name=described.SERVER, version=described.VERSION, extensions=described.EXTENSIONS
        )
        call.reply(answer.SerializeToString())

    def ModelReady(self, call: Call) -> None:
        request = parse(pb.ModelReadyRequest, call)
        if not request.name:
            raise BadRequest("Parameter name is required.")
        ready = self._models.version_ready(request.name, request.version)
        call.reply(pb.ModelReadyResponse(ready=ready).SerializeToString())

    def ModelMetadata(self, call: Call) -> None:
        request = parse(pb.ModelMetadataRequest, call)
        if not request.name:
            raise BadRequest("Parameter model_name is required.")
        interface = self._models.model_spec(request.name, request.version).tensors
        answer = pb.ModelMetadataResponse(
            name=request.name,
            versions=[request.version] if request.version else self._models.versions(request.name),
            platform=interface.platform,
            inputs=[_metadata(spec) for spec in interface.inputs],
            outputs=[_metadata(spec) for spec in interface.outputs],
        )
        call.reply(answer.SerializeToString())


class _Unary:
    """Answers a unary call."""

    __slots__ = ("_call", "_raw")

    writable = True

    def __init__(self, call: Call, *, raw: bool) -> None:
        self._call = call
        self._raw = raw

    def answered(self, answer: InferAnswer, *, last: bool) -> None:
        self._call.reply(infer_messages.write(answer, raw=self._raw))

    def failed(self, error: Exception) -> None:
        self._call.fail(error)


def parse(kind: type[_Request], call: Call) -> _Request:
    try:
        return kind.FromString(call.request)
    except DecodeError:
        raise MalformedMessage(message_type=kind.DESCRIPTOR.name) from None


def _metadata(spec: TensorSpec) -> Any:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)
