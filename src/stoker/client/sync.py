"""The synchronous client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import grpc
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stoker.client import requests
from stoker.client.credentials import channel_credentials
from stoker.client.endpoint import Endpoint
from stoker.client.results import Prediction, call_errors, headers_of
from stoker.protos import InferenceAPIsServiceStub, ManagementAPIsServiceStub, management_pb2


class Client:
    """Connects on entering. Every call raises `CallError`; ``timeout`` is in seconds, None waits for ever.

    The timeout travels as the call's deadline: the server neither starts nor finishes work that is too late.
    """

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.endpoint = endpoint or Endpoint()
        self._stack = ExitStack()
        self._inference: Any = None
        self._management: Any = None
        self._health: Any = None

    def __enter__(self) -> Client:
        inference = self._stack.enter_context(self._channel(self.endpoint.inference))
        management = self._stack.enter_context(self._channel(self.endpoint.management))
        self._inference = InferenceAPIsServiceStub(inference)
        self._management = ManagementAPIsServiceStub(management)
        self._health = health_pb2_grpc.HealthStub(inference)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _channel(self, address: str) -> Any:
        options, credentials = self.endpoint.channel_options(), channel_credentials(self.endpoint)
        if credentials is None:
            return grpc.insecure_channel(address, options)
        return grpc.secure_channel(address, credentials, options)

    # ------------------------------------------------------------------------------ inference

    def ping(self, *, timeout: float | None = 10) -> str:
        """``Healthy`` or ``Unhealthy``."""
        with call_errors():
            reply = self._inference.Ping(
                empty_pb2.Empty(), timeout=timeout, metadata=self.endpoint.inference_metadata()
            )
        return str(json.loads(reply.health)["status"])

    def health(self, name: str = "", *, timeout: float | None = 10) -> str:
        """grpc.health.v1: ``SERVING`` or ``NOT_SERVING`` for the server, ``MODEL`` or ``MODEL/VERSION``."""
        with call_errors():
            reply = self._health.Check(health_pb2.HealthCheckRequest(service=name), timeout=timeout)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

    def predict(
        self,
        model: str,
        payload: requests.Payload,
        *,
        version: str | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> Prediction:
        """One request, one answer. ``payload``: the input ``data``, or a map of inputs."""
        with call_errors():
            reply, call = self._inference.Predictions.with_call(
                requests.prediction(model, payload, version),
                timeout=timeout,
                metadata=self.endpoint.inference_metadata(metadata),
            )
        return Prediction(reply.prediction, headers_of(call.trailing_metadata()))

    def predict_stream(
        self,
        model: str,
        payload: requests.Payload,
        *,
        version: str | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> Iterator[Prediction]:
        """The parts of one answer, as the handler sends them. Closing the iterator cancels the request."""
        call = self._inference.StreamPredictions(
            requests.prediction(model, payload, version),
            timeout=timeout,
            metadata=self.endpoint.inference_metadata(metadata),
        )
        try:
            with call_errors():
                for reply in call:
                    yield Prediction(reply.prediction)
        finally:
            call.cancel()

    # ------------------------------------------------------------------------------ management

    def register(self, url: str, *, timeout: float | None = None, **options: Any) -> str:
        """Options: see `requests.register`."""
        return self._manage("RegisterModel", requests.register(url, **options), timeout)

    def unregister(self, model: str, *, version: str | None = None, timeout: float | None = None) -> str:
        request = management_pb2.UnregisterModelRequest(model_name=model, model_version=version or "")
        return self._manage("UnregisterModel", request, timeout)

    def scale(self, model: str, *, timeout: float | None = None, **options: Any) -> str:
        """Options: see `requests.scale`."""
        return self._manage("ScaleWorker", requests.scale(model, **options), timeout)

    def set_default(self, model: str, version: str, *, timeout: float | None = None) -> str:
        request = management_pb2.SetDefaultRequest(model_name=model, model_version=version)
        return self._manage("SetDefault", request, timeout)

    def list_models(self, *, limit: int = 100, offset: int = 0, timeout: float | None = 10) -> dict[str, Any]:
        request = management_pb2.ListModelsRequest(limit=limit, next_page_token=offset)
        listing: dict[str, Any] = json.loads(self._manage("ListModels", request, timeout))
        return listing

    def describe(
        self, model: str, *, version: str | None = None, customized: bool = False, timeout: float | None = 10
    ) -> list[dict[str, Any]]:
        """``version`` "all": every version."""
        request = requests.describe(model, version, customized)
        description: list[dict[str, Any]] = json.loads(self._manage("DescribeModel", request, timeout))
        return description

    def _manage(self, method: str, request: Any, timeout: float | None) -> str:
        with call_errors():
            reply = getattr(self._management, method)(
                request, timeout=timeout, metadata=self.endpoint.management_metadata()
            )
        return str(reply.msg)
