"""The asynchronous client: the same calls as `Client`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from stoker.client import calls, sequence_calls, workflow_calls
from stoker.client.calls import Call, Service
from stoker.client.channel import channel
from stoker.client.endpoint import Api, Endpoint
from stoker.client.results import call_errors, headers_of

P = ParamSpec("P")
T = TypeVar("T")


def _method(definition: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(definition(*args, **kwargs))

    calls.as_method(method, definition)
    return method


def _stream(definition: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._run_stream(definition(*args, **kwargs))

    calls.as_method(method, definition)
    return method


class AsyncClient:
    """See `Client`. Cancelling the awaiting task cancels the request on the server too."""

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.endpoint = endpoint or Endpoint()
        self._channels: dict[Api, Any] = {}
        self._stubs: dict[Service, Any] = {}

    async def __aenter__(self) -> AsyncClient:
        self._channels = {api: channel(grpc.aio, self.endpoint, api) for api in Api}
        self._stubs = {service: service.stub(self._channels[service.api]) for service in Service}
        return self

    async def __aexit__(self, *_: object) -> None:
        for opened in self._channels.values():
            await opened.close()

    ping = _method(calls.ping)
    health = _method(calls.health)
    predict = _method(calls.predict)
    predict_stream = _stream(calls.predict_stream)
    predict_sequences = _stream(sequence_calls.predict_sequences)
    register = _method(calls.register)
    unregister = _method(calls.unregister)
    scale = _method(calls.scale)
    set_default = _method(calls.set_default)
    list_models = _method(calls.list_models)
    describe = _method(calls.describe)
    predict_workflow = _method(workflow_calls.predict_workflow)
    stream_workflow = _stream(workflow_calls.stream_workflow)
    register_workflow = _method(workflow_calls.register_workflow)
    unregister_workflow = _method(workflow_calls.unregister_workflow)
    list_workflows = _method(workflow_calls.list_workflows)
    describe_workflow = _method(workflow_calls.describe_workflow)

    async def _run(self, call: Call[T]) -> T:
        with call_errors():
            running = self._start(call)
            reply = await running
            return call.read(reply, headers_of(await running.trailing_metadata()))

    async def _run_stream(self, call: Call[T]) -> AsyncIterator[T]:
        replies = self._start(call)
        try:
            with call_errors():
                async for reply in replies:
                    yield call.read(reply, {})
        finally:
            replies.cancel()

    def _start(self, call: Call[T]) -> Any:
        metadata = self.endpoint.metadata(call.service.api, call.metadata)
        return getattr(self._stubs[call.service], call.method)(call.request, timeout=call.timeout, metadata=metadata)
