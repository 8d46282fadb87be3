"""Defines every call of the APIs once: its arguments, its message, and how its answer is read.

`Client` and `AsyncClient` turn these functions into methods with the same arguments and docstrings, and differ only in
how they run a `Call`.  This module uses no channel.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, ParamSpec, TypeVar

from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stoker.client.endpoint import Api
from stoker.client.results import Prediction
from stoker.protos import (
    InferenceAPIsServiceStub,
    ManagementAPIsServiceStub,
    WorkflowAPIsServiceStub,
    WorkflowInferenceAPIsServiceStub,
    inference_pb2,
    management_pb2,
)

T = TypeVar("T")
P = ParamSpec("P")
Payload = bytes | bytearray | memoryview | str | Mapping[str, bytes]
Headers = Mapping[str, str]


class Service(Enum):
    """A gRPC service, and the API whose address and token it is called with."""

    INFERENCE = "inference"
    MANAGEMENT = "management"
    HEALTH = "health"
    WORKFLOWS = "workflows"
    WORKFLOW_INFERENCE = "workflow inference"

    @property
    def api(self) -> Api:
        return Api.MANAGEMENT if self in (Service.MANAGEMENT, Service.WORKFLOWS) else Api.INFERENCE

    def stub(self, channel: Any) -> Any:
        return _STUBS[self](channel)


_STUBS: Mapping[Service, Callable[[Any], Any]] = {
    Service.INFERENCE: InferenceAPIsServiceStub,
    Service.MANAGEMENT: ManagementAPIsServiceStub,
    Service.HEALTH: health_pb2_grpc.HealthStub,
    Service.WORKFLOWS: WorkflowAPIsServiceStub,
    Service.WORKFLOW_INFERENCE: WorkflowInferenceAPIsServiceStub,
}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """``timeout``: seconds. ``read`` turns an answer and its trailing metadata into the result."""

    service: Service
    method: str
    request: Any
    timeout: float | None
    read: Callable[[Any, Headers], T]
    metadata: Mapping[str, str | bytes] | None = None


def as_method(method: Callable[..., Any], definition: Callable[P, Call[T]]) -> None:
    """Gives ``method`` the name, docstring and arguments (after ``self``) of ``definition``."""
    signature = inspect.signature(definition)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = definition.__name__
    method.__qualname__ = definition.__qualname__
    method.__doc__ = definition.__doc__
    described = signature.replace(
        parameters=[own, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
    vars(method)["__signature__"] = described


# -------------------------------------------------------------------------------------------- inference


def ping(*, timeout: float | None = 10) -> Call[str]:
    """Returns the server's health by TorchServe's rule: ``Healthy`` or ``Unhealthy``.

    Raises:
        CallError: UNAVAILABLE, no server answers; DEADLINE_EXCEEDED after ``timeout`` seconds.
    """
    return Call(Service.INFERENCE, "Ping", empty_pb2.Empty(), timeout, _ping_status)


def health(name: str = "", *, timeout: float | None = 10) -> Call[str]:
    """Asks grpc.health.v1: ``SERVING`` or ``NOT_SERVING``. ``name``: ``MODEL`` or ``MODEL/VERSION``; empty: the server.

    Raises:
        CallError: NOT_FOUND, nothing has this name; UNAVAILABLE; DEADLINE_EXCEEDED after ``timeout`` seconds.
    """
    return Call(Service.HEALTH, "Check", health_pb2.HealthCheckRequest(service=name), timeout, _serving_status)


def predict(
    model: str,
    payload: Payload,
    *,
    version: str | None = None,
    sequence_id: str | None = None,
    timeout: float | None = None,
    metadata: Mapping[str, str | bytes] | None = None,
) -> Call[Prediction]:
    """Sends one request and returns its answer.

    Args:
        payload: the input ``data``, or a map of inputs.
        version: None: the model's default version.
        sequence_id: of a model that keeps state; None: the server begins a sequence, and the answer has its id.
        timeout: seconds until the deadline, which the server knows too; None: no deadline.
        metadata: reaches the handler as request headers.

    Raises:
        CallError: NOT_FOUND, no such model or version; RESOURCE_EXHAUSTED, the queue is full; UNAVAILABLE, no worker
            or no server; INTERNAL, the handler failed; DEADLINE_EXCEEDED; PERMISSION_DENIED, a token is needed.
    """
    request = _prediction(model, payload, version, sequence_id)
    return Call(Service.INFERENCE, "Predictions", request, timeout, _predicted, metadata)


def predict_stream(
    model: str,
    payload: Payload,
    *,
    version: str | None = None,
    sequence_id: str | None = None,
    timeout: float | None = None,
    metadata: Mapping[str, str | bytes] | None = None,
) -> Call[Prediction]:
    """Yields the parts of one answer, as the handler sends them. Closing the iterator cancels the request.

    Args and errors: as `predict`; ``timeout`` is for the whole stream.
    """
    request = _prediction(model, payload, version, sequence_id)
    return Call(Service.INFERENCE, "StreamPredictions", request, timeout, _predicted, metadata)


# ------------------------------------------------------------------------------------------- management


def register(
    url: str,
    *,
    model_name: str | None = None,
    handler: str | None = None,
    runtime: str | None = None,
    batch_size: int = 0,
    max_batch_delay_ms: int = 0,
    initial_workers: int = 0,
    response_timeout_s: int = 0,
    startup_timeout_s: int = 0,
    synchronous: bool = False,
    timeout: float | None = None,
) -> Call[str]:
    """Serves a model; returns the server's sentence. For zero and None, the value of the archive or the server counts.

    Args:
        url: an archive in the server's model store, or a URL that the server may download from.
        model_name: name to serve it by.
        handler: ``module:function``, in place of the archive's.
        runtime: ``python``, ``python3`` or ``LSP``.
        batch_size: most requests per call of the handler.
        max_batch_delay_ms: milliseconds that a batch may wait to fill.
        initial_workers: workers to start.
        response_timeout_s: seconds that the handler may take for a batch.
        startup_timeout_s: seconds that a worker may take to load the model.
        synchronous: return when the workers are ready, not when they begin to start.
        timeout: seconds until the deadline of this call, download and start included; None: no deadline.

    Raises:
        CallError: NOT_FOUND, no such archive; ALREADY_EXISTS; INVALID_ARGUMENT, a bad archive or value; INTERNAL, the
            workers did not start; PERMISSION_DENIED, a token is needed or the model API is off; DEADLINE_EXCEEDED.
    """
    request = management_pb2.RegisterModelRequest(
        url=url,
        model_name=model_name or "",
        handler=handler or "",
        runtime=runtime or "",
        batch_size=batch_size,
        max_batch_delay=max_batch_delay_ms,
        initial_workers=initial_workers,
        response_timeout=response_timeout_s,
        startup_timeout=startup_timeout_s,
        synchronous=synchronous,
    )
    return _management("RegisterModel", request, timeout, sentence)


def unregister(model: str, *, version: str | None = None, timeout: float | None = None) -> Call[str]:
    """Stops serving a version; without one, the default version. Returns the server's sentence.

    Raises:
        CallError: NOT_FOUND; FAILED_PRECONDITION, the default version while others are there; DEADLINE_EXCEEDED after
            ``timeout`` seconds.
    """
    request = management_pb2.UnregisterModelRequest(model_name=model, model_version=version or "")
    return _management("UnregisterModel", request, timeout, sentence)


def scale(
    model: str,
    *,
    min_workers: int,
    max_workers: int = 0,
    version: str | None = None,
    synchronous: bool = False,
    timeout: float | None = None,
) -> Call[str]:
    """Sets the number of a model's workers; returns the server's sentence.

    Args:
        min_workers: at least so many; 0 counts as 1: only REST can scale to none.
        max_workers: at most so many; 0: as many as ``min_workers``.
        version: None: the model's default version.
        synchronous: return when the workers are ready, not when they begin to start.
        timeout: seconds until the deadline of this call; None: no deadline.

    Raises:
        CallError: NOT_FOUND; INVALID_ARGUMENT; INTERNAL, the workers did not start; DEADLINE_EXCEEDED.
    """
    request = management_pb2.ScaleWorkerRequest(
        model_name=model,
        model_version=version or "",
        min_worker=min_workers,
        max_worker=max_workers,
        synchronous=synchronous,
    )
    return _management("ScaleWorker", request, timeout, sentence)


def set_default(model: str, version: str, *, timeout: float | None = None) -> Call[str]:
    """Makes a version the one that requests without a version go to; returns the server's sentence.

    Raises:
        CallError: NOT_FOUND; DEADLINE_EXCEEDED after ``timeout`` seconds.
    """
    request = management_pb2.SetDefaultRequest(model_name=model, model_version=version)
    return _management("SetDefault", request, timeout, sentence)


def list_models(*, limit: int = 100, offset: int = 0, timeout: float | None = 10) -> Call[dict[str, Any]]:
    """Returns one page of the models: ``models``, and ``nextPageToken``, the offset of the next page if there is one.

    Raises:
        CallError: DEADLINE_EXCEEDED after ``timeout`` seconds; UNAVAILABLE; PERMISSION_DENIED.
    """
    request = management_pb2.ListModelsRequest(limit=limit, next_page_token=offset)
    return _management("ListModels", request, timeout, parsed_json)


def describe(
    model: str, *, version: str | None = None, customized: bool = False, timeout: float | None = 10
) -> Call[list[dict[str, Any]]]:
    """Returns settings, workers and queue of a model.

    ``version`` "all": every version. ``customized``: asks the handler too.

    Raises:
        CallError: NOT_FOUND; DEADLINE_EXCEEDED after ``timeout`` seconds; UNAVAILABLE; PERMISSION_DENIED.
    """
    request = management_pb2.DescribeModelRequest(model_name=model, model_version=version or "", customized=customized)
    return _management("DescribeModel", request, timeout, parsed_json)


# ------------------------------------------------------------------------------- messages and answers


def _management(method: str, request: Any, timeout: float | None, read: Callable[[Any, Headers], T]) -> Call[T]:
    return Call(Service.MANAGEMENT, method, request, timeout, read)


def _prediction(model: str, payload: Payload, version: str | None, sequence_id: str | None) -> Any:
    request = inference_pb2.PredictionsRequest(model_name=model, model_version=version or "", input=inputs(payload))
    if sequence_id:
        request.sequence_id = sequence_id
    return request


def inputs(payload: Payload) -> Mapping[str, bytes]:
    """Names a bare payload ``data``, by TorchServe's convention."""
    if isinstance(payload, str):
        payload = payload.encode()
    return payload if isinstance(payload, Mapping) else {"data": bytes(payload)}


def _predicted(reply: Any, headers: Headers) -> Prediction:
    return Prediction(reply.prediction, headers, reply.sequence_id)


def _ping_status(reply: Any, _: Headers) -> str:
    return str(json.loads(reply.health)["status"])


def _serving_status(reply: Any, _: Headers) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def sentence(reply: Any, _: Headers) -> str:
    return str(reply.msg)


def parsed_json(reply: Any, _: Headers) -> Any:
    return json.loads(reply.msg)
