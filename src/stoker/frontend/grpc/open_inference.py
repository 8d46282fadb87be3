"""The open inference service, under the package name of the protocol and under TorchServe's.

Its health methods (`health_methods`) need no token, like those of grpc.health.v1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from stoker.core.job import new_request_id
from stoker.core.ports import ReadinessPort, TensorPort
from stoker.errors import BadRequest
from stoker.frontend.budget import RequestBudget
from stoker.frontend.grpc import infer_messages
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.infer_stream import InferStream
from stoker.frontend.grpc.messages import LARGE_BYTES
from stoker.frontend.grpc.metadata import request_headers
from stoker.frontend.grpc.model_repository import ModelMethods, RepositoryMethods
from stoker.frontend.grpc.operations import parse
from stoker.frontend.grpc.status import INFERENCE, MANAGEMENT, MODELS, StatusTable, Table
from stoker.frontend.open_inference import described
from stoker.frontend.open_inference.repository import Repository
from stoker.frontend.open_inference.request import InferAnswer
from stoker.frontend.open_inference.service import OpenInference
from stoker.frontend.slices import Steps, current_slices
from stoker.protos import grpc_predict_v2_pb2 as pb

STANDARD = "inference.GRPCInferenceService"
TORCHSERVE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"
SERVICES = (STANDARD, TORCHSERVE)


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
    inference: OpenInference,
    models: TensorPort,
    repository: Repository,
    *,
    budget: RequestBudget,
    status_codes: str = "correct",
) -> Sequence[Method]:
    """``budget``: counts large requests that wait to be read."""
    about_models, about_repository = ModelMethods(models), RepositoryMethods(repository)
    methods = []
    for service in SERVICES:
        one = _Service(inference, models, budget, typed=service == TORCHSERVE)
        status_of = partial(StatusTable, torchserve=status_codes == "torchserve", second_line=service == TORCHSERVE)
        unary, stream = Kind.UNARY, Kind.BIDIRECTIONAL
        rows: list[tuple[Callable[[Call], None], Kind, Table]] = [
            (one.ModelInfer, unary, INFERENCE),
            (one.ModelStreamInfer, stream, INFERENCE),
            (one.ServerMetadata, unary, MODELS),
            (one.ModelReady, unary, MODELS),
            (one.ModelMetadata, unary, MODELS),
            (about_models.ModelConfig, unary, MODELS),
            (about_models.ModelStatistics, unary, MODELS),
            (about_repository.RepositoryIndex, unary, MANAGEMENT),
            (about_repository.RepositoryModelLoad, unary, MANAGEMENT),
            (about_repository.RepositoryModelUnload, unary, MANAGEMENT),
        ]
        methods += [
            Method(
                path=f"/{service}/{handle.__name__}",
                kind=kind,
                handle=handle,
                status_of=status_of(table),
                keeps_deadline=handle == one.ModelInfer,
            )
            for handle, kind, table in rows
        ]
    return methods


class _Service:
    """Implements methods under the service's names for them, from which their paths are derived. ``typed``: answers to
    requests without inputs have typed contents."""

    def __init__(self, inference: OpenInference, models: TensorPort, budget: RequestBudget, *, typed: bool) -> None:
        self._inference = inference
        self._models = models
        self._budget = budget
        self._typed = typed

    def ModelInfer(self, call: Call, read: infer_messages.Read | None = None) -> None:
        """``read``: what the message of the call says, if it was read before."""
        message, call.request = call.request, b""
        if read is None:
            if len(message) > LARGE_BYTES and infer_messages.needs_steps(message):
                steps, size = self._infer_in_steps(call, message), len(message)
                call.on_cancel = current_slices().read(call, steps, size=size, budget=self._budget)
                return
            read = infer_messages.read(message)
        request, raw = read
        call.request_id = new_request_id()
        running = self._inference.start(
            request,
            _Unary(call, raw=not self._typed if raw is None else raw),
            headers=request_headers(call.metadata) if call.metadata else None,
            deadline=call.deadline,
            request_id=call.request_id,
        )
        if running is not None:
            call.on_cancel = running.cancel

    def _infer_in_steps(self, call: Call, message: bytes) -> Steps:
        self.ModelInfer(call, (yield from infer_messages.read_in_steps(message)))

    def ModelStreamInfer(self, call: Call) -> None:
        InferStream(self._inference, call, self._budget, typed=self._typed).begin()

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
        found = described.metadata(self._models, request.name, request.version)
        call.reply(pb.ModelMetadataResponse(**found).SerializeToString())


class _Unary:
    """Sends the answer to a unary call (`service.Receiver`)."""

    __slots__ = ("_call", "_raw")

    writable = True

    def __init__(self, call: Call, *, raw: bool) -> None:
        self._call = call
        self._raw = raw

    def answered(self, answer: InferAnswer, *, last: bool) -> None:
        self._call.reply(infer_messages.write(answer, raw=self._raw))

    def failed(self, error: Exception) -> None:
        self._call.fail(error)
