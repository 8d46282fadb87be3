"""`AsgiHandler`: serves an ASGI application inside a worker: each request of the model is one call of the application.

The path is what follows ``/predictions/{model}/{version}``; status and content type are the application's, and each
body message is a part.  When the client leaves, the call is cancelled.  Needs ``asyncCommunication: true``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from stoker.worker.handler_utils import send_intermediate_predict_response

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_NOT_FORWARDED = frozenset({"connection", "content-length", "transfer-encoding", "url_path", "explain", "describe"})
_LAST_EVENT = b"data: [DONE]\n\n"


class AsgiHandler:
    """A subclass sets ``app`` in `initialize`."""

    app: App

    def initialize(self, context: Any) -> None:
        raise NotImplementedError("a subclass makes the application here")

    async def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        row = data[0]
        return [await self.answer(self.path_of(row, context), row, context)]

    def path_of(self, row: Mapping[str, Any], context: Any) -> str:
        """Returns the path of a request without the slash in front. Over gRPC, an input ``url_path`` says it."""
        path = context.get_request_header(0, "url_path")
        if not isinstance(path, str):  # the content type of an input of that name, or nothing
            path = row.get("url_path") or ""
        return bytes(path).decode("utf-8", "replace") if isinstance(path, bytes | bytearray) else str(path)

    async def answer(self, path: str, row: Mapping[str, Any], context: Any) -> bytes:
        """Calls the application; sends its answer in parts and returns the last one."""
        body = body_of(row)
        exchange = _Exchange(body, context)
        await self.app(_scope(path, body, context), exchange.receive, exchange.send)
        return exchange.last


def body_of(row: Mapping[str, Any]) -> bytes:
    """Returns the body of a request as it was sent, or as JSON of the same meaning where the server decoded it."""
    value = row.get("body") if row.get("body") is not None else row.get("data")
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else json.dumps(value).encode()


def _scope(path: str, body: bytes, context: Any) -> Message:
    headers = {
        name.lower(): value
        for name, value in context.get_all_request_header(0).items()
        if isinstance(value, str) and name.lower() not in _NOT_FORWARDED
    }
    if body:
        headers.setdefault("content-type", "application/json")
        headers["content-length"] = str(len(body))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": f"/{path}",
        "raw_path": f"/{path}".encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()],
        "client": None,
        "server": None,
        "state": {},
    }


class _Exchange:
    """One call of the application. ``last``: the part that the handler returns after it."""

    def __init__(self, body: bytes, context: Any) -> None:
        self.last = b""
        self._body: bytes | None = body
        self._context = context
        self._ended = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._ended.wait()  # a client that leaves earlier cancels the call
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body":
            await self._part(bytes(message.get("body", b"")), more=message.get("more_body", False))

    def _start(self, message: Message) -> None:
        context = self._context
        context.set_response_status(message["status"], idx=0)
        for raw_name, raw_value in message.get("headers", ()):
            name = bytes(raw_name).decode("latin-1").lower()
            if name not in _NOT_FORWARDED:
                context.set_response_header(0, name, bytes(raw_value).decode("latin-1"))

    async def _part(self, body: bytes, *, more: bool) -> None:
        """Sends a part. Keeps the last one, which the handler returns: OpenAI's last event, or what nothing follows."""
        if not more:
            self._ended.set()
        if not body:
            return
        if self.last:
            self._send(self.last)
        self.last = body
        if more and body != _LAST_EVENT:
            self.last = b""
            self._send(body)
            await self._context.drain()

    def _send(self, part: bytes) -> None:
        send_intermediate_predict_response([part], self._context.request_ids, "Prediction success", 200, self._context)
