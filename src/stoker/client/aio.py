"""The asynchronous client: the same calls as `Client`, awaited."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
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


class AsyncClient:
    """See `Client`. Cancelling the task that awaits a call cancels the request on the server too."""

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.endpoint = endpoint or Endpoint()
        self._channels: list[Any] = []
        self._inference: Any = None
        self._management: Any = None
        self._health: Any = None

    async def __aenter__(self) -> AsyncClient:
        self._channels = [self._channel(self.endpoint.inference), self._channel(self.endpoint.management)]
        self._inference = InferenceAPIsServiceStub(self._channels[0])
        self._management = ManagementAPIsServiceStub(self._channels[1])
        self._health = health_pb2_grpc.HealthStub(self._channels[0])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close()

    def _channel(self, address: str) -> Any:
        options, credentials = self.endpoint.channel_options(), channel_credentials(self.endpoint)
        if credentials is None:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, credentials, options)

    # ------------------------------------------------------------------------------ inference

    async def ping(self, *, timeout: float | None = 10) -> str:
        with call_errors():
            reply = await self._inference.Ping(
                empty_pb2.Empty(), timeout=timeout, metadata=self.endpoint.inference_metadata()
            )
        return str(json.loads(reply.health)["status"])

    async def health(self, name: str = "", *, timeout: float | None = 10) -> str:
        with call_errors():
            reply = await self._health.Check(health_pb2.HealthCheckRequest(service=name), timeout=timeout)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

    async def predict(
        self,
        model: str,
        payload: requests.Payload,
        *,
        version: str | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> Prediction:
        with call_errors():
            call = self._inference.Predictions(
                requests.prediction(model, payload, version),
                timeout=timeout,
                metadata=self.endpoint.inference_metadata(metadata),
            )
            reply = await call
            return Prediction(reply.prediction, headers_of(await call.trailing_metadata()))

    async def predict_stream(
        self,
        model: str,
        payload: requests.Payload,
        *,
        version: str | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> AsyncIterator[Prediction]:
        call = self._inference.StreamPredictions(
            requests.prediction(model, payload, version),
            timeout=timeout,
            metadata=self.endpoint.inference_metadata(metadata),
        )
        try:
            with call_errors():
                async for reply in call:
                    yield Prediction(reply.prediction)
        finally:
            call.cancel()

    # ------------------------------------------------------------------------------ management

    async def register(self, url: str, *, timeout: float | None = None, **options: Any) -> str:
        """Options: see `requests.register`."""
        return await self._manage("RegisterModel", requests.register(url, **options), timeout)

    async def unregister(
        self,
        model: str,
        *,
        version: str | None = None,
        timeout: float | None = None,
    ) -> str:
        request = management_pb2.UnregisterModelRequest(model_name=model, model_version=version or "")
        return await self._manage("UnregisterModel", request, timeout)

    async def scale(self, model: str, *, timeout: float | None = None, **options: Any) -> str:
        """Options: see `requests.scale`."""
        return await self._manage("ScaleWorker", requests.scale(model, **options), timeout)

    async def set_default(self, model: str, version: str, *, timeout: float | None = None) -> str:
        request = management_pb2.SetDefaultRequest(model_name=model, model_version=version)
        return await self._manage("SetDefault", request, timeout)

    async def list_models(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        timeout: float | None = 10,
    ) -> dict[str, Any]:
        request = management_pb2.ListModelsRequest(limit=limit, next_page_token=offset)
        listing: dict[str, Any] = json.loads(await self._manage("ListModels", request, timeout))
        return listing

    async def describe(
        self,
        model: str,
        *,
        version: str | None = None,
        customized: bool = False,
        timeout: float | None = 10,
    ) -> list[dict[str, Any]]:
        request = requests.describe(model, version, customized)
        description: list[dict[str, Any]] = json.loads(await self._manage("DescribeModel", request, timeout))
        return description

    async def _manage(self, method: str, request: Any, deadline_s: float | None) -> str:
        with call_errors():
            reply = await getattr(self._management, method)(
                request, timeout=deadline_s, metadata=self.endpoint.management_metadata()
            )
        return str(reply.msg)
