"""Makes client stubs over a `grpc.Channel` or a `grpc.aio.Channel` from the descriptors.

They have the names and the interface of protoc's stubs; grpc itself is not imported, the channel provides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from stoker.protos.pool import POOL


def _callable(channel: Any, service: str, method: MethodDescriptor) -> Callable[..., Any]:
    sent = "stream" if method.client_streaming else "unary"
    received = "stream" if method.server_streaming else "unary"
    make: Callable[..., Callable[..., Any]] = getattr(channel, f"{sent}_{received}")
    return make(
        f"/{service}/{method.name}",
        request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )


class _Stub:
    """Sets one multi-callable for each method of ``SERVICE``."""

    SERVICE: ClassVar[str]

    def __init__(self, channel: Any) -> None:
        for method in POOL.FindServiceByName(self.SERVICE).methods:
            setattr(self, method.name, _callable(channel, self.SERVICE, method))


class InferenceAPIsServiceStub(_Stub):
    SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"

    Ping: Callable[..., Any]
    Predictions: Callable[..., Any]
    StreamPredictions: Callable[..., Any]
    StreamPredictions2: Callable[..., Any]


class ManagementAPIsServiceStub(_Stub):
    SERVICE = "org.pytorch.serve.grpc.management.ManagementAPIsService"

    DescribeModel: Callable[..., Any]
    ListModels: Callable[..., Any]
    RegisterModel: Callable[..., Any]
    ScaleWorker: Callable[..., Any]
    SetDefault: Callable[..., Any]
    UnregisterModel: Callable[..., Any]


class GRPCInferenceServiceStub(_Stub):
    SERVICE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"

    ServerLive: Callable[..., Any]
    ServerReady: Callable[..., Any]
    ModelReady: Callable[..., Any]
    ServerMetadata: Callable[..., Any]
    ModelMetadata: Callable[..., Any]
    ModelInfer: Callable[..., Any]


class WorkflowAPIsServiceStub(_Stub):
    SERVICE = "org.pytorch.serve.grpc.workflow.WorkflowAPIsService"

    RegisterWorkflow: Callable[..., Any]
    UnregisterWorkflow: Callable[..., Any]
    DescribeWorkflow: Callable[..., Any]
    ListWorkflows: Callable[..., Any]


class WorkflowInferenceAPIsServiceStub(_Stub):
    SERVICE = "org.pytorch.serve.grpc.workflow.WorkflowInferenceAPIsService"

    Predict: Callable[..., Any]
    StreamPredict: Callable[..., Any]
