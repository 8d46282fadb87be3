"""The synchronous client: runs the calls that `calls` defines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from stoker.client import calls, sequence_calls, workflow_calls
from stoker.client.calls import Call, Service
from stoker.client.channel import channel
from stoker.client.endpoint import Api, Endpoint
from stoker.client.results import call_errors, headers_of

P = ParamSpec("P")
T = TypeVar("T")


def _method(definition: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(definition(*args, **kwargs))

    calls.as_method(method, definition)
    return method


def _stream(definition: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._run_stream(definition(*args, **kwargs))

    calls.as_method(method, definition)
    return method


class Client:
    """Connects on entering. Every call raises `CallError`; ``timeout`` is in seconds, None waits without limit.

    The timeout travels as the call's deadline: the server neither starts nor finishes work that is too late. Entering
    raises `AddressError` where an address of the endpoint cannot be understood.
    """

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.endpoint = endpoint or Endpoint()
        self._stack = ExitStack()
        self._stubs: dict[Service, Any] = {}

    def __enter__(self) -> Client:
        channels = {api: self._stack.enter_context(channel(grpc, self.endpoint, api)) for api in Api}
        self._stubs = {service: service.stub(channels[service.api]) for service in Service}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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

    def _run(self, call: Call[T]) -> T:
        with call_errors():
            reply, done = getattr(self._stubs[call.service], call.method).with_call(
                call.request, timeout=call.timeout, metadata=self._metadata(call)
            )
        return call.read(reply, headers_of(done.trailing_metadata()))

    def _run_stream(self, call: Call[T]) -> Iterator[T]:
        replies = getattr(self._stubs[call.service], call.method)(
            call.request, timeout=call.timeout, metadata=self._metadata(call)
        )
        try:
            with call_errors():
                for reply in replies:
                    yield call.read(reply, {})
        finally:
            replies.cancel()

    def _metadata(self, call: Call[T]) -> Any:
        return self.endpoint.metadata(call.service.api, call.metadata)
