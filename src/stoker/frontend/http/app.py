"""What a listener serves: the APIs of its roles, as one ASGI application.

An `Api` is the routes of one role (inference, management, metrics) and who may use them.  A listener that serves
several roles tries them in order.  Every error becomes TorchServe's error document here; an answer of status 400 or
more closes its connection.

Laws: a request gets exactly one answer, also when the server stops; no stack leaves the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoker.core.job import new_request_id
from stoker.errors import MessageTooLarge, MethodNotAllowed, ResourceNotFound, ServerStopping
from stoker.frontend.http.protocol import Predictor
from stoker.frontend.http.records import RequestRecords
from stoker.frontend.http.responses import ALWAYS, error_response

Headers = Sequence[tuple[bytes, bytes]]


def everyone(request: Request) -> None:
    """The `Api.admit` of an API that asks nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """``admit`` raises what a request is refused with, before a route of ``routes`` is even looked for (the token,
    the origin); ``open_routes`` are served without it.  ``headers``: on each answer that has none of that name."""

    routes: Sequence[BaseRoute]
    open_routes: Sequence[BaseRoute] = ()
    admit: Callable[[Request], None] = everyone


class App:
    """An ASGI application. ``headers``: more for every answer (CORS). ``predictor``: what of the listener's requests
    takes the short way instead."""

    def __init__(
        self,
        apis: Sequence[Api],
        *,
        max_request_size: int,
        records: RequestRecords,
        headers: Headers = (),
        predictor: Predictor | None = None,
    ) -> None:
        self._apis = apis
        self.max_request_size = max_request_size
        self.records = records
        self.headers = headers
        self.predictor = predictor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"an HTTP listener got a scope of type {scope['type']}")
        answer = _Answer(scope, send, self.headers)
        try:
            await self._serve(scope, _Limited(receive, self.max_request_size), answer)
        except asyncio.CancelledError:  # only the end of a drain cancels
            await answer.fail(ServerStopping())
        except Exception as error:
            await answer.fail(error)
        finally:
            took_s = time.monotonic() - answer.started_at
            self.records.answered(answer.peer, answer.request_line, answer.status, took_s, answer.request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        partial = False
        for api in self._apis:
            for route in api.open_routes:
                if route.matches(scope)[0] is Match.FULL:
                    return await _handle(route, scope, receive, send)
        refusal: Exception | None = None
        for api in self._apis:
            try:
                api.admit(request)
            except Exception as error:
                refusal = refusal or error
                if any(route.matches(scope)[0] is Match.FULL for route in api.routes):
                    raise
                continue
            for route in api.routes:
                match, _ = route.matches(scope)
                if match is Match.FULL:
                    return await _handle(route, scope, receive, send)
                partial = partial or match is Match.PARTIAL
        if partial:  # of an API that admitted the request
            raise MethodNotAllowed
        raise refusal or ResourceNotFound


async def _handle(route: BaseRoute, scope: Scope, receive: Receive, send: Send) -> None:
    _, found = route.matches(scope)
    scope.update(found)
    app: ASGIApp = getattr(route, "app", route)
    await app(scope, receive, send)


class _Limited:
    """A `Receive` that does not take more than ``limit`` bytes."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise MessageTooLarge(size=self._size, limit=self._limit)
        return message


class _Answer:
    """A `Send` that adds what every answer has, and can answer an error once."""

    def __init__(self, scope: Scope, send: Send, headers: Headers) -> None:
        self._scope = scope
        self._send = send
        self._headers = headers
        self.started_at = time.monotonic()
        self.status = 500
        self.started = False
        self.request_id = scope["request_id"] = new_request_id()

    @property
    def peer(self) -> str:
        client = self._scope.get("client")
        return f"{client[0]}:{client[1]}" if client else "unix"

    @property
    def request_line(self) -> str:
        scope = self._scope
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        return f"{scope['method']} {target.decode('latin-1')} HTTP/{scope['http_version']}"

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message = {**message, "headers": self._all_headers(message)}
        await self._send(message)

    def _all_headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        own = list(message.get("headers", ()))
        names = {name.lower() for name, _ in own}
        own += [(name, value) for name, value in self._headers if name.lower() not in names]
        connection = b"keep-alive" if self.status < 400 and self._scope["http_version"] == "1.1" else b"close"
        return [*own, (b"x-request-id", self.request_id.encode()), *ALWAYS, (b"connection", connection)]

    async def fail(self, error: Exception) -> None:
        if self.started:
            raise error  # the connection is cut: the client must not take what it has for the whole answer
        await error_response(error)(self._scope, _nothing, self)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
